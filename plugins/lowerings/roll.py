"""Rolls: the two parts of an axis, in the other order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from onnxscript import opset18 as op
from rewrite_plugins.lowerings.values import integers, size_of

from rewrite import Lowering

_END = 2**63 - 1


def roll(self: Any, shifts: Sequence[int], dims: Sequence[int] = ()) -> Any:
    """Translate aten.roll: what leaves an axis at its end comes in at its beginning.

    Without dims it rolls all elements in the order in which they lie.
    """
    rank = len(self.shape)
    if not rank:
        return op.Identity(self)
    if not dims:
        flat = op.Reshape(self, integers([-1]))
        sizes = [size_of(self, axis) for axis in range(rank)]
        known = all(size is not None for size in sizes)
        rolled = _along(flat, shifts[0], 0, math.prod(s or 0 for s in sizes) if known else None)
        return op.Reshape(rolled, op.Shape(self))
    result = self
    for shift, dim in zip(shifts, dims, strict=True):
        result = _along(result, shift, dim % rank, size_of(self, dim % rank))
    return result


def _along(x: Any, shift: int, axis: int, size: int | None) -> Any:
    """Return concat(x[n - k:], x[:n - k]), k = shift mod n."""
    if size is not None:
        if size == 0 or shift % size == 0:
            return op.Identity(x)
        cut = integers([size - shift % size])
    else:
        length = op.Shape(x, start=axis, end=axis + 1)
        # Mod of ONNX has the sign of the divisor, as Python's.
        cut = op.Sub(length, op.Mod(integers([shift]), op.Max(length, integers([1]))))
    axes = integers([axis])
    tail = op.Slice(x, cut, integers([_END]), axes)
    return op.Concat(tail, op.Slice(x, integers([0]), cut, axes), axis=axis)


LOWERINGS = (Lowering(torch.ops.aten.roll.default, roll),)
