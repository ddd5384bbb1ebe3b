"""Where files are to be written: obstacles are found before the work, and files are whole."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rewrite.errors import UsageError
from rewrite.named_files import special
from rewrite.request import Request

_SCRATCH = ".rewrite-"


def check_output(request: Request) -> None:
    """Find out before any work whether the file of a request can be written.

    Raises:
        UsageError: for a name of another kind, or a place that cannot be written.
    """
    output = request.output
    if output is None:
        if request.latency:
            raise UsageError("--latency times a written file", hint="leave out --dry-run")
        return
    if output.suffix not in (".onnx", ".pt2") and not output.is_dir():
        raise UsageError(
            f"the output '{output}' ends in neither .onnx nor .pt2",
            hint=f"-o {output.with_suffix('.onnx')}" if output.name else "name a file",
        )
    if output.suffix == ".pt2" and request.require_int8 is not None:
        raise UsageError("--require-int8 looks at a runtime's kernels", hint="-o NAME.onnx")
    if output.suffix == ".pt2" and request.latency:
        raise UsageError("--latency times a file on its runtime", hint="-o NAME.onnx")
    check_writable(output, "model.onnx")


def make_scratch(output: Path) -> Path:
    """Make a folder beside a file to be written, and remove those that killed runs left there.

    A folder says which machine and process made it: of other machines that share the place nobody
    here knows what still runs.

    Raises:
        UsageError: when no folder can be made there.
    """
    folder = output.parent
    mine = f"{_SCRATCH}{platform.node()}-"
    for left in folder.iterdir():
        owner = left.name.removeprefix(mine).partition("-")[0]
        if left.name.startswith(mine) and owner.isdigit() and not _is_running(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    try:
        return Path(tempfile.mkdtemp(prefix=f"{mine}{os.getpid()}-", dir=folder))
    except OSError as error:
        raise _unwritten(output, error) from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield where to write a file that takes the place of `path` when it is whole.

    A link at `path` is replaced itself: what it points to stays as it is.

    Raises:
        UsageError: when the disk does not take it.
    """
    scratch = make_scratch(path)
    try:
        yield scratch / path.name
        put(scratch / path.name, path)
    except OSError as error:
        raise _unwritten(path, error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def put(written: Path, path: Path) -> None:
    """Let a written file take the place of another, once its bytes are on the disk."""
    with written.open("rb") as file:
        os.fsync(file.fileno())
    written.replace(path)


def check_writable(path: Path, name: str) -> None:
    """Make sure that a file can be written at `path`; in a folder it might be called `name`.

    Raises:
        UsageError: when it is a folder or a device, or its folder is not there or not writable.
    """
    if path.is_dir():
        raise UsageError(
            f"cannot write '{path}': it is a folder", hint=f"name a file: {path / name}"
        )
    if special(path):
        raise UsageError(f"cannot write '{path}': it is {special(path)}", hint="name a file")
    folder = path.absolute().parent
    if folder.exists() and not folder.is_dir():
        raise UsageError(
            f"cannot write '{path}': '{folder}' is not a folder", hint="choose another place"
        )
    if not folder.is_dir():
        raise UsageError(
            f"cannot write '{path}': there is no folder '{folder}'", hint=f"mkdir -p {folder}"
        )
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"cannot write '{path}': {error.strerror}", hint="choose another place"
        ) from None


def _unwritten(path: Path, error: OSError) -> UsageError:
    return UsageError(f"cannot write '{path}': {error.strerror or error}")


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
