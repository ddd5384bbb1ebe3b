"""Compiling one architecture and judging the file at sizes that it was not compiled with."""

from __future__ import annotations

import math
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from rewrite.compile import compile_model
from rewrite.descriptors import Model
from rewrite.errors import RewriteError
from rewrite.request import Request
from tests.fuzz.judge import sqnr
from tests.fuzz.running import open_file
from tests.integration.compiling import OneModel, batches_like
from tests.time_limit import TooLongError, time_limit

from .tiny import Tiny, make

OUTCOMES = ("agrees", "refused", "suspicious", "wrong", "crash", "slow", "skipped")
SECONDS = 600
"""An architecture gets this long."""
FLOOR = 60.0
"""In dB, of a float file against eager torch."""
INT8_DROP, INT8_LEAST = 15.0, 20.0
"""In dB: an int8 file that keeps so much less of other inputs than it claims, and no more than the
second, is suspicious: ranges are of the example's sizes."""
_LEVELS = (("batch", "tokens"), ("batch",), ())
"""What is dynamic, the most first."""
OTHERS = ((3, 11), (1, 5))
"""Batch and tokens of the inputs that the file is run on besides the example's sizes."""


def judge(name: str, preset: str, keep: Path | None = None) -> dict[str, Any]:
    """Return the outcome of an architecture, with its reason; its file stays in `keep`."""
    row: dict[str, Any] = {"architecture": name, "dynamic": "", "reason": "", "notes": []}
    try:
        with time_limit(SECONDS), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return row | _judge(name, preset, keep)
    except TooLongError:
        return row | {"outcome": "slow", "reason": f"more than {SECONDS} s"}
    except LookupError as error:
        return row | {"outcome": "skipped", "reason": " ".join(str(error).split())}


def _judge(name: str, preset: str, keep: Path | None) -> dict[str, Any]:
    made = make(name)
    notes: list[str] = []
    for dynamic in _LEVELS:
        if "tokens" in dynamic and not made.has("tokens"):
            continue
        called = "+".join(dynamic) or "static"
        with tempfile.TemporaryDirectory() as folder:
            path = (keep or Path(folder)) / "model.onnx"
            try:
                claimed = _compile(name, made, dynamic, preset, path)
            except RewriteError as error:
                notes.append(f"{called}: {_line(error)}")
                continue
            except TooLongError:
                raise
            except Exception as error:
                reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
                return {"outcome": "crash", "dynamic": called, "reason": reason, "notes": notes}
            found = compare(made, path, dynamic, quantized=preset != "float")
        outcome, reason = _verdict(found, claimed, preset)
        return {"outcome": outcome, "dynamic": called, "reason": reason, "notes": notes}
    return {"outcome": "refused", "dynamic": "", "reason": notes[-1], "notes": notes}


def _compile(
    name: str, made: Tiny, dynamic: tuple[str, ...], preset: str, path: Path
) -> dict[str, float]:
    """Write the file and return the dB of the model that each runtime is claimed to keep."""
    description = Model(
        name,
        lambda: made.model,
        lambda: made.inputs,
        made.dims(dynamic),
        lambda: batches_like(made.inputs),
    )
    request = Request(f"zoo:{name}", preset=preset, output=path, threads=1)
    summary = compile_model(request, OneModel(description)).as_json()
    claims = {}
    for runtime, found in summary["runtimes"].items():
        own = (found.get("against_model") or {}).get("sqnr_db")
        claims[runtime] = math.inf if own is None else own
    return claims


def compare(
    made: Tiny, path: Path, dynamic: tuple[str, ...], *, quantized: bool
) -> dict[str, float]:
    """Return the lowest dB of any output, by runtime, on new values at new sizes."""
    found: dict[str, float] = {}
    sizes = ((2, 7), *OTHERS)
    for runtime in ("onnxruntime", "openvino"):
        run = open_file(runtime, path, quantized=quantized)
        lowest = math.inf
        for number, (batch, tokens) in enumerate(sizes):
            torch.manual_seed(number + 1)
            batch = batch if "batch" in dynamic else 2
            tokens = tokens if "tokens" in dynamic else 7
            inputs = made.resized(batch, tokens)
            expected = _eager(made, inputs)
            if expected is not None:
                lowest = min(lowest, _lowest(expected, run(inputs)))
        found[runtime] = lowest
    return found


def _eager(made: Tiny, inputs: dict[str, Tensor]) -> list[Tensor] | None:
    """Return the model's tensors, None where it does not take these sizes itself."""
    try:
        with torch.no_grad():
            result = made.model(**{name: value.clone() for name, value in inputs.items()})
    except Exception:
        return None
    return [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor)]


def _lowest(expected: list[Tensor], actual: list[Tensor]) -> float:
    if len(expected) != len(actual):
        return -math.inf
    pairs = list(zip(expected, actual, strict=True))
    if any(left.shape != right.shape for left, right in pairs):
        return -math.inf
    return min((sqnr(left, right) for left, right in pairs), default=math.inf)


def _verdict(found: dict[str, float], claimed: dict[str, float], preset: str) -> tuple[str, str]:
    shown = ", ".join(f"{runtime} {db:.0f} dB" for runtime, db in found.items())
    if preset == "float":
        return ("agrees" if min(found.values()) >= FLOOR else "wrong"), shown
    told = ", ".join(f"{runtime} {db:.0f}" for runtime, db in claimed.items())
    drop = max(claimed.get(runtime, math.inf) - db for runtime, db in found.items())
    lost = drop > INT8_DROP and min(found.values()) < INT8_LEAST
    return ("suspicious" if lost else "agrees"), f"{shown} (claimed: {told})"


def _line(error: RewriteError) -> str:
    return " ".join(str(error).split())[:300]
