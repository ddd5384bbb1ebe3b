"""Other Pythons, made of this one: what they start with, and what their runtime does."""

from __future__ import annotations

import sys
from pathlib import Path

_SOURCE = """\
import os
import sys
{first}
if {is_patched}:
    import onnxruntime

    onnxruntime.__version__ = {version!r} or onnxruntime.__version__

    class Session(onnxruntime.InferenceSession):
        def __init__(self, path, options, **more):
            {on_load}
            super().__init__(path, options, **more)

    onnxruntime.InferenceSession = Session
_, _, code, *rest = sys.argv
sys.argv = ["-c", *rest]
exec(code, {{"__name__": "__main__"}})
"""


def another(folder: Path, first: str = "pass", on_load: str = "", version: str = "") -> Path:
    """Return the path of an interpreter.

    Args:
        folder: where it is written.
        first: what it does when it starts.
        on_load: what its ONNX Runtime does with `path` and `options` before it loads a file.
        version: what its ONNX Runtime calls itself.
    """
    source, python = folder / "start.py", folder / "another-python"
    source.write_text(
        _SOURCE.format(
            first=first,
            is_patched=bool(on_load or version),
            on_load=on_load or "pass",
            version=version,
        )
    )
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{source}" "$@"\n')
    python.chmod(0o755)
    return python
