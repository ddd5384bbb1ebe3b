"""A runtime of another Python: two versions of one cannot live in one process.

Both ends run the code of this package, which is loaded by its path: the other interpreter needs
numpy, onnx, onnx-ir and the runtime, and no `rewrite` of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rewrite.runtimes import Array, KernelVerdict, RuntimeFailure
from rewrite.runtimes.worker import read_arrays, write_arrays

__all__ = ["Elsewhere", "LoadedElsewhere", "find"]

_PACKAGE = Path(__file__).parents[1]
_START = """
import importlib.util, json, sys
if sys.version_info < (3, 10):
    print(json.dumps({"old": sys.version.split()[0]}))
    sys.exit()
spec = importlib.util.spec_from_file_location(
    "rewrite", sys.argv[1] + "/__init__.py", submodule_search_locations=[sys.argv[1]]
)
sys.modules["rewrite"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["rewrite"])
try:
    from rewrite.runtimes.worker import main
except ImportError as error:
    print(json.dumps({"missing": error.name or str(error)}))
    sys.exit()
main(sys.argv[2])
"""
_MODULES = {"onnx_ir": "onnx-ir"}
"""Names of packages that are not those of their modules."""
_ITS_OWN = ("PYTHONHOME", "PYTHONPATH")
"""What is set for this interpreter, and would lead another one to its packages."""


@dataclass(frozen=True)
class Elsewhere:
    """A runtime as one interpreter has it."""

    name: str
    python: Path
    version: str

    def available(self) -> bool:
        """Say whether the runtime is installed; it was when it was found."""
        return True

    @contextlib.contextmanager
    def loaded(self, path: Path, threads: int = 0) -> Iterator[LoadedElsewhere]:
        """Load a file in a process of its own, which ends with the block.

        Raises:
            RuntimeFailure: when the runtime refuses the file, or its process ends over it.
        """
        with _process(self.python, self.name) as process:
            _greeting(process)
            process.ask("load", path=str(path.resolve()), threads=threads)
            yield LoadedElsewhere(process)


def find(python: Path, name: str) -> Elsewhere:
    """Return the runtime that an interpreter has.

    Raises:
        RuntimeFailure: for what is no interpreter, or one without the runtime.
    """
    with _process(python, name) as process:
        return Elsewhere(name, python, _greeting(process))


@dataclass
class LoadedElsewhere:
    """A file that another process holds ready to run."""

    process: _Process
    given: Mapping[str, Array] = field(default_factory=dict)
    """The inputs that were last written down."""

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run once; inputs and outputs go by the file's names."""
        return self._results("run", feeds)

    def run_usual(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run once as users do."""
        return self._results("run-usual", feeds)

    def caveat(self, feeds: Mapping[str, Array]) -> str:
        """Return what users must know to get these results there; empty if nothing."""
        return str(self.process.ask("caveat", **self._feeds(feeds))["caveat"])

    def kernels(self) -> list[KernelVerdict]:
        """Return one verdict per compute node of the file, in the file's order."""
        return [KernelVerdict(**each) for each in self.process.ask("kernels")["kernels"]]

    def kinds(self) -> dict[str, int]:
        """Return how often each kernel is in the graph that runs."""
        return dict(self.process.ask("kinds")["kinds"])

    def latency(
        self, feeds: Mapping[str, Array], repeats: int = 30, seconds: float | None = None
    ) -> list[float]:
        """Return milliseconds of single runs, after a warm-up; the way there is not counted."""
        asked = self.process.ask("latency", repeats=repeats, seconds=seconds, **self._feeds(feeds))
        return [float(ms) for ms in asked["ms"]]

    def _results(self, do: str, feeds: Mapping[str, Array]) -> dict[str, Array]:
        path = str(self.process.folder / "results.npz")
        found = self.process.ask(do, results=path, **self._feeds(feeds))
        return read_arrays(path, found["names"])

    def _feeds(self, feeds: Mapping[str, Array]) -> dict[str, Any]:
        path = str(self.process.folder / "feeds.npz")
        if feeds is not self.given:
            write_arrays(path, feeds)
            self.given = feeds
        return {"feeds": path, "names": list(feeds)}


@dataclass(frozen=True)
class _Process:
    """A worker, and the folder that tensors are exchanged in."""

    python: Path
    folder: Path
    pipes: subprocess.Popen[str]

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """Send one request and return the answer.

        Raises:
            RuntimeFailure: that of the runtime, or one that tells how the process ended.
        """
        assert self.pipes.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # why it ended is told below
            self.pipes.stdin.write(json.dumps({"do": do, **more}) + "\n")
            self.pipes.stdin.flush()
        answer = self.answer(f"in '{do}'")
        if "failure" in answer:
            raise RuntimeFailure(answer["failure"], answer["hint"])
        return answer

    def answer(self, when: str) -> dict[str, Any]:
        """Read one line; `when` says what the process was doing, should it have ended.

        Raises:
            RuntimeFailure: when it has, with what it said last as the hint.
        """
        assert self.pipes.stdout is not None
        line = self.pipes.stdout.readline()
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise RuntimeFailure(f"'{self.python}' {self._ended(line, when)}", self._last_words())
        return value

    def _ended(self, line: str, when: str) -> str:
        if line:
            return f"says {line.strip()[:80]!r}: it is no Python"
        code = self.pipes.wait()
        return f"ended {when}, {f'by signal {-code}' if code < 0 else f'with exit code {code}'}"

    def _last_words(self) -> str:
        lines = (self.folder / "stderr").read_text(errors="replace").split("\n")
        return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "")


@contextlib.contextmanager
def _process(python: Path, name: str) -> Iterator[_Process]:
    with tempfile.TemporaryDirectory(prefix="rewrite-") as created:
        folder = Path(created)
        own = python == Path(sys.executable)
        kept = {k: v for k, v in os.environ.items() if own or k not in _ITS_OWN}
        with (folder / "stderr").open("w") as stderr:
            try:
                pipes = subprocess.Popen(
                    [str(python), "-c", _START, str(_PACKAGE), name],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    text=True,
                    encoding="utf-8",
                    cwd=folder,
                    env=kept,
                )
            except OSError as error:
                raise RuntimeFailure(
                    f"cannot start '{python}': {error.strerror}", "give the path of a Python"
                ) from error
            try:
                yield _Process(python, folder, pipes)
            finally:
                pipes.kill()
                pipes.communicate()


def _greeting(process: _Process) -> str:
    """Return the version of the runtime that a process says when it starts."""
    said = process.answer("when it started")
    if "version" in said:
        return str(said["version"])
    if "old" in said:
        raise RuntimeFailure(
            f"'{process.python}' is Python {said['old']}", "3.10 or newer is needed"
        )
    module = str(said.get("missing")).partition(".")[0]
    package = _MODULES.get(module, module)
    raise RuntimeFailure(
        f"'{process.python}' has no module '{module}'",
        f"{process.python} -m pip install {package}",
    )
