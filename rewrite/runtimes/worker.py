"""The other end of `rewrite.runtimes.elsewhere`: answers each line of JSON with one.

It runs in interpreters that may lack torch: nothing is imported but `rewrite.runtimes`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, TextIO

import numpy as np

from rewrite.runtimes import Array, LoadedModel, RuntimeFailure, get_runtime

__all__ = ["main", "read_arrays", "serve", "write_arrays"]


def main(name: str) -> None:
    """Serve a runtime on the standard streams; whatever it prints itself goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(name, sys.stdin, answers)


def serve(name: str, requests: Iterable[str], answers: TextIO) -> None:
    """Say the runtime's version, or which module is missing, and then answer requests."""
    try:
        runtime = get_runtime(name)
        missing = "" if runtime.available() else name
    except ImportError as error:
        missing = error.name or str(error)
    if missing:
        _write(answers, {"missing": missing})
        return
    _write(answers, {"version": runtime.version})
    loaded: LoadedModel | None = None
    for line in requests:
        request = json.loads(line)
        try:
            if request["do"] == "load":
                loaded = runtime.load(request["path"], request["threads"])
                _write(answers, {})
            else:
                assert loaded is not None, "a file is loaded first"
                _write(answers, _answer(loaded, request))
        except RuntimeFailure as failure:
            _write(answers, {"failure": failure.what, "hint": failure.hint})
        except Exception as error:
            _write(answers, {"failure": f"{type(error).__name__}: {error}", "hint": ""})


def write_arrays(path: str, arrays: Mapping[str, Array]) -> None:
    """Write arrays without their names, of which some are no names of files.

    What numpy cannot store, such as bfloat16, becomes float32.

    Raises:
        RuntimeFailure: for text.
    """
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise RuntimeFailure(f"'{name}' holds text", "only numbers are compared")
    stored = [a.astype(np.float32) if a.dtype.kind == "V" else a for a in arrays.values()]
    np.savez(path, *stored)


def read_arrays(path: str, names: Iterable[str]) -> dict[str, Array]:
    """Read arrays that were written in the order of these names."""
    with np.load(path) as stored:
        return {name: stored[f"arr_{place}"] for place, name in enumerate(names)}


def _answer(loaded: LoadedModel, request: Mapping[str, Any]) -> dict[str, Any]:
    if request["do"] == "kernels":
        return {"kernels": [asdict(verdict) for verdict in loaded.kernels()]}
    if request["do"] == "kinds":
        return {"kinds": loaded.kinds()}
    feeds = read_arrays(request["feeds"], request["names"])
    if request["do"] == "caveat":
        return {"caveat": loaded.caveat(feeds)}
    if request["do"] == "latency":
        return {"ms": loaded.latency(feeds, request["repeats"], request["seconds"])}
    results = loaded.run(feeds) if request["do"] == "run" else loaded.run_usual(feeds)
    write_arrays(request["results"], results)
    return {"names": list(results)}


def _write(answers: TextIO, value: Mapping[str, Any]) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()
