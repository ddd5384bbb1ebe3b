"""Where files are to be written: every obstacle is found before the work begins."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from pathlib import Path

from rewrite.errors import UsageError
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
    """
    folder = output.resolve().parent
    mine = f"{_SCRATCH}{platform.node()}-"
    for left in folder.iterdir():
        owner = left.name.removeprefix(mine).partition("-")[0]
        if left.name.startswith(mine) and owner.isdigit() and not _is_running(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{mine}{os.getpid()}-", dir=folder))


def check_writable(path: Path, name: str) -> None:
    """Make sure that a file can be written at `path`; in a folder it might be called `name`.

    Raises:
        UsageError: when it is a folder, or its folder is not there or not writable.
    """
    if path.is_dir():
        raise UsageError(
            f"cannot write '{path}': it is a folder", hint=f"name a file: {path / name}"
        )
    folder = path.resolve().parent
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


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
