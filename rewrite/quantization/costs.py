"""What kernels cost in float and in int8 on a target's runtime, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from rewrite.errors import UsageError, unknown
from rewrite.quantization.kinds import KINDS, kind
from rewrite.schema import arguments

_LAYERS = ("conv", "conv-3d", "depthwise-conv", "grouped-conv", "linear", "matmul")
CLASSES = frozenset({*_LAYERS, *KINDS})
"""Layers, and kinds of other calls: those do one multiply-add for each output."""
_NARROW = 32
"""Groups of fewer input channels are multiplied one by one, each with its own overhead."""
_MILLION = 1e6
_RATES = ("quantize", "dequantize", "relayout", "call", "saving", "exact-output")


@dataclass(frozen=True)
class Work:
    """What a kernel does, by what its time grows with."""

    multiply_adds: float
    outputs: float
    """Elements of its result."""
    windows: float
    """Groups times positions of its result: each is a product of its own."""


@dataclass(frozen=True)
class CostTable:
    """Microseconds on one thread; only their ratios matter."""

    kernels: Mapping[str, Mapping[str, tuple[float, ...]]] = field(default_factory=dict)
    """By class and by `float` or `int8`: per million multiply-adds, outputs and windows."""
    quantize: float = 0.0
    """Per million elements that become integers."""
    dequantize: float = 0.0
    """Per million elements that become float again."""
    relayout: float = 0.0
    """Per million elements between a float convolution and an int8 one: each has a layout."""
    call: float = 0.0
    """Per kernel, whatever its size."""
    exact_output: float = 0.0
    """What share of all kernels' int8 time it may cost that an output is not rounded."""
    saving: float = 0.0
    """What float must save, in a part of the program that shares conversions, to be taken."""

    def __bool__(self) -> bool:
        """Tell whether there is anything in it."""
        return bool(self.kernels)

    @classmethod
    def from_data(cls, data: Mapping[str, Any], source: str) -> CostTable:
        """Read the table `[cost]` of a target.

        Raises:
            UsageError: for an unknown class or key, or a number that is none.
        """
        kernels, rates = {}, {}
        for name, value in data.items():
            if name in _RATES:
                rates[name.replace("-", "_")] = _number(value, name, source)
            elif name in CLASSES:
                kernels[name] = _kernel(value, name, source)
            else:
                raise unknown("key of [cost]", name, {*_RATES, *CLASSES}, where=source)
        return cls(kernels, **rates)

    def of(self, node: fx.Node) -> tuple[float, float] | None:
        """Return what a call costs in float and in int8, in µs; None where nothing is known."""
        found, work = self.kernels.get(class_of(node)), work_of(node)
        if found is None or work is None:
            return None
        amounts = (work.multiply_adds, work.outputs, work.windows)
        in_float, in_int8 = (
            self.call + sum(r * n / _MILLION for r, n in zip(found[t], amounts, strict=False))
            for t in ("float", "int8")
        )
        return in_float, in_int8


def class_of(node: fx.Node) -> str:
    """Return the class of a kernel's costs; '' for what is none."""
    if kind(node) != "conv":
        return kind(node)
    bound = arguments(node)
    outside, inside = bound["weight"].meta["val"].shape[:2]
    if bound["weight"].meta["val"].dim() == 5:
        return "conv-3d"
    if bound["groups"] == 1 or inside >= _NARROW:
        return "conv"
    return "depthwise-conv" if inside == 1 and bound["groups"] == outside else "grouped-conv"


def work_of(node: fx.Node) -> Work | None:
    """Return what a call does on the example inputs; None where sizes are not known."""
    bound, outputs = arguments(node), elements(node)
    if outputs is None:
        return None
    if class_of(node) not in _LAYERS:
        return Work(outputs, outputs, outputs)
    if kind(node) == "matmul":
        left = bound["self"].meta["val"].shape
        inner = size(left[-1])
        return None if inner is None else Work(outputs * inner, outputs, outputs)
    weight = bound["weight"].meta["val"]
    if kind(node) == "linear":
        return Work(outputs * weight.shape[-1], outputs, outputs)
    channels = weight.shape[0]
    products = outputs * weight.numel() / channels
    return Work(products, outputs, outputs / channels * bound["groups"])


def elements(node: fx.Node) -> float | None:
    """Return how many elements a value has on the example inputs; None where that is not known."""
    val = node.meta.get("val")
    if isinstance(val, (tuple, list)) and all(isinstance(part, torch.Tensor) for part in val):
        parts = [_count(part) for part in val]
        return None if None in parts else float(sum(part or 0.0 for part in parts))
    return _count(val) if isinstance(val, torch.Tensor) else None


def _count(val: torch.Tensor) -> float | None:
    count = 1.0
    for each in val.shape:
        known = size(each)
        if known is None:
            return None
        count *= known
    return count


def size(value: Any) -> int | None:
    """Return a size, a dynamic one as it is on the example inputs."""
    if isinstance(value, int):
        return value
    hint = value.node.hint
    return int(hint) if hint is not None else None


def _kernel(value: Any, name: str, source: str) -> dict[str, tuple[float, ...]]:
    is_whole = isinstance(value, Mapping) and set(value) == {"float", "int8"}
    if not is_whole or not all(isinstance(rates, (list, tuple)) for rates in value.values()):
        raise UsageError(
            f"[cost.{name}] gives what it costs in float and in int8",
            where=source,
            hint="float = [8.8, 16], int8 = [2.6, 48]: µs per million multiply-adds and outputs",
        )
    return {
        kind_: tuple(_number(each, f"{name}.{kind_}", source) for each in rates)
        for kind_, rates in value.items()
    }


def _number(value: Any, name: str, source: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise UsageError(f"{name} of [cost] is {value!r}, not a number from 0 on", where=source)
    return float(value)
