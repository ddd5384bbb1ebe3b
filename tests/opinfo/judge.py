"""Compiling one sample of the operator database and judging the file it gives."""

from __future__ import annotations

import re
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.testing._internal.opinfo.core import OpInfo
from torch.utils import _pytree as pytree

from rewrite.compile import compile_model
from rewrite.descriptors import Model
from rewrite.errors import CaptureError, CheckError, RewriteError
from rewrite.plugin_host import PluginHost
from rewrite.request import Request
from tests.fuzz.running import open_file
from tests.time_limit import TooLongError, time_limit

from .samples import Sample, samples

OUTCOMES = ("wrong", "crash", "slow", "refused by a check", "no translation", "capture", "agrees")
"""Worst first: that of an entry is the worst of its samples."""
RUNTIMES = {"ort-x64": "onnxruntime", "openvino": "openvino"}
"""By target: each has one."""
SECONDS = 120
"""An entry gets this long."""
CLOSE = 2e-4
"""Of a value, or of one beside larger ones: float32 kernels of two libraries."""
ROUNDINGS = 16.0
"""A file may be this many times farther from float64 than eager float32 is."""


class Host(PluginHost):
    """A host that has one more model."""

    def __init__(self, description: Model) -> None:
        super().__init__()
        self.description = description

    def find_model(self, name: str) -> Model:
        return self.description


def judge(
    entry: OpInfo, count: int, preset: str = "float", target: str = "ort-x64"
) -> dict[str, Any]:
    """Return the outcome of an entry and its reason, over `count` samples."""
    found: list[tuple[str, str]] = []
    try:
        with time_limit(SECONDS):
            for sample in samples(entry, count):
                found.append(judge_sample(sample, preset, target))
    except TooLongError:
        found.append(("slow", f"more than {SECONDS} s"))
    except Exception as error:  # the database itself fails for some entries
        found.append(("capture", f"no samples: {_line(error)}"))
    if not found:
        found.append(("capture", "no sample has tensors with elements"))
    outcome, reason = min(found, key=lambda each: OUTCOMES.index(each[0]))
    agreeing = sum(name == "agrees" for name, _ in found)
    return {
        "entry": entry.formatted_name,
        "outcome": outcome,
        "reason": reason,
        "agreeing": agreeing,
        "samples": len(found),
    }


def judge_sample(sample: Sample, preset: str, target: str) -> tuple[str, str]:
    """Compile a sample, run the file on all its draws and return (outcome, reason)."""
    model, example = sample.model, sample.draws[0]
    # A float file is compiled with the example alone: the rest is ours to find.
    batches = None if preset == "float" else lambda: iter(sample.draws)
    description = Model("opinfo", lambda: model, lambda: example, None, batches)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "opinfo.onnx"
        request = Request("zoo:opinfo", preset=preset, target=target, output=path, threads=1)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                compile_model(request, Host(description))
        except CaptureError as error:
            return "capture", _line(error)
        except CheckError as error:
            missing = "no ONNX translation" in error.what
            return "no translation" if missing else "refused by a check", _line(error)
        except RewriteError as error:
            return "refused by a check", _line(error)
        except TooLongError:
            raise
        except Exception as error:
            return "crash", f"{type(error).__name__}: {_line(error)}"
        loose = preset != "float"
        return compare(model, path, RUNTIMES[target], sample.draws, loose=loose)


def compare(
    model: nn.Module,
    path: Path,
    runtime: str,
    draws: list[tuple[Tensor, ...]],
    *,
    loose: bool = False,
) -> tuple[str, str]:
    """Run a file on draws of its inputs beside the model."""
    run = open_file(runtime, path, quantized=loose)
    for number, draw in enumerate(draws):
        expected = _outputs(model, draw)
        if expected is None:
            continue
        if not expected:
            return "capture", "its result is no tensor"
        precise = _outputs(model, pytree.tree_map(_double, draw))
        feeds = {f"tensors_{i}": tensor.contiguous() for i, tensor in enumerate(draw)}
        actual = [value.numpy() for value in run(feeds)]
        if len(actual) != len(expected):
            return "wrong", f"{len(actual)} outputs for {len(expected)}"
        for index, (left, right) in enumerate(zip(actual, expected, strict=True)):
            exact = precise[index] if precise and len(precise) == len(expected) else None
            problem = difference(left, right, exact, loose=loose)
            if problem:
                return "wrong", f"draw {number}, output {index}: {problem}"
    return "agrees", ""


def difference(
    actual: np.ndarray, expected: Tensor, exact: Tensor | None, *, loose: bool = False
) -> str:
    """Say how an output differs from the model's, '' where it does not."""
    reference = expected.numpy()
    if actual.shape != reference.shape:
        return f"shape {actual.shape}, not {reference.shape}"
    if actual.dtype != reference.dtype:
        return f"dtype {actual.dtype}, not {reference.dtype}"
    if not reference.size:
        return ""
    if reference.dtype.kind not in "fc":
        # Quantization may move an index or a comparison.
        return "" if loose or (actual == reference).all() else "other integers"
    finite = np.isfinite(reference)
    if (np.isfinite(actual) != finite).any() and not loose:
        return "finite where the model is not, or the reverse"
    same = np.array_equal(actual[~finite], reference[~finite], equal_nan=True)
    if not same and not loose:
        return "another infinity or NaN"
    with np.errstate(all="ignore"):
        errors = np.abs(np.where(finite, actual - reference, 0))
        errors = np.where(np.isfinite(errors), errors, np.inf).astype(np.float64)
    largest = float(np.abs(reference[finite]).max()) if finite.any() else 0.0
    allowed = CLOSE * np.maximum(np.abs(np.where(finite, reference, 0)), min(1.0, largest))
    if exact is not None and exact.shape == expected.shape:
        near = np.nan_to_num(exact.numpy().astype(reference.dtype.type))
        own = np.abs(np.where(finite, reference - near, 0)).max()
        allowed = allowed + ROUNDINGS * own
    if loose:
        power, noise = (np.square(np.where(finite, reference, 0)).sum(), np.square(errors).sum())
        return "" if noise <= 0.05 * power + 1e-12 else f"error power {noise / (power + 1e-30):.2g}"
    worst = float((errors - allowed).max())
    return "" if worst <= 0 else f"error {errors.max():.2g} of at most {largest:.2g}"


def _outputs(model: nn.Module, draw: tuple[Tensor, ...]) -> list[Tensor] | None:
    """Return the model's tensors, None where it does not take the values."""
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = model(*[tensor.clone() for tensor in draw])
    except Exception:
        return None
    return [leaf.detach() for leaf in pytree.tree_leaves(made) if isinstance(leaf, Tensor)]


def _double(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def _line(error: Exception) -> str:
    what = getattr(error, "what", None) or str(error)
    return " ".join(re.sub(r"\S*/opinfo\.onnx", "opinfo.onnx", what).split())[:200]
