"""Adaptive pooling at any size: windows computed from the sizes, gathered and reduced by axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from onnxscript import opset18 as op
from rewrite_plugins.lowerings.values import axis_size, integers, number, size_of

from rewrite import Lowering


@dataclass(frozen=True)
class _Windows:
    """The windows of one axis, as ONNX values or arrays of numpy: window i is row i."""

    starts: Any
    """[n]: the first place of each."""
    places: Any
    """[n, k]: what each covers, the last place again where it covers less than k."""
    factors: Any
    """[n, k] in float32: one over its length, 0 for what is not covered."""


def adaptive_avg_pool(self: Any, output_size: Sequence[Any]) -> Any:
    """Translate aten.adaptive_avg_pool{1,2,3}d: the mean of the means along each axis."""
    result = self
    for axis, count in _axes(self, output_size):
        if count == 1:
            result = op.ReduceMean(result, op.Constant(value_ints=[axis]))
            continue
        windows = _windows(self, axis, count)
        trailing = op.Constant(value_ints=list(range(2, 1 + len(self.shape) - axis)))
        factors = windows.factors
        if len(self.shape) - axis > 1:
            factors = op.Unsqueeze(factors, trailing)
        if self.dtype != ir.DataType.FLOAT:
            factors = op.Cast(factors, to=self.dtype)
        covered = op.Mul(op.Gather(result, windows.places, axis=axis), factors)
        result = op.ReduceSum(covered, op.Constant(value_ints=[axis + 1]), keepdims=0)
    return result


def adaptive_max_pool(self: Any, output_size: Sequence[Any]) -> Any:
    """Translate aten.adaptive_max_pool{1,2,3}d: the largest of each window, and where it was."""
    result, where, inner = self, None, None
    for axis, count in reversed(_axes(self, output_size)):
        windows, column = _windows(self, axis, count), op.Constant(value_ints=[axis + 1])
        size = axis_size(self, axis)
        covered = op.Gather(result, windows.places, axis=axis)
        chosen = op.ArgMax(covered, axis=axis + 1, keepdims=1)
        trailing = [1] * (len(self.shape) - axis - 1)
        starts = op.Reshape(windows.starts, op.Constant(value_ints=[-1, *trailing]))
        place = op.Add(op.Squeeze(chosen, column), starts)
        if where is not None:
            inside = op.GatherElements(
                op.Gather(where, windows.places, axis=axis), chosen, axis=axis + 1
            )
            place = op.Add(op.Mul(place, inner), op.Squeeze(inside, column))
        where, inner = place, size if inner is None else op.Mul(inner, size)
        result = op.ReduceMax(covered, column, keepdims=0)
    return result, where


def _axes(value: Any, output_size: Sequence[Any]) -> list[tuple[int, Any]]:
    """Return (axis, how many windows) of each pooled axis."""
    first = len(value.shape) - len(output_size)
    return [(first + i, count) for i, count in enumerate(output_size)]


def _windows(value: Any, axis: int, count: Any) -> _Windows:
    """Return windows from ⌊i·s/n⌋ to ⌈(i+1)·s/n⌉, s the size of the axis and n their count."""
    size = size_of(value, axis)
    if isinstance(size, int) and isinstance(count, int):
        return _fixed_windows(size, count)
    size, count = axis_size(value, axis), number(count)
    zero, one = op.Constant(value_int=0), op.Constant(value_int=1)
    rows = op.Range(zero, count, one)
    starts = op.Div(op.Mul(rows, size), count)
    above = op.Add(op.Mul(op.Add(rows, one), size), op.Sub(count, one))
    ends = op.Div(above, count)
    lengths = op.Sub(ends, starts)
    longest = op.ReduceMax(lengths, op.Constant(value_ints=[0]), keepdims=0)
    column = op.Constant(value_ints=[1])
    places = op.Add(op.Unsqueeze(starts, column), op.Range(zero, longest, one))
    ends, lengths = op.Unsqueeze(ends, column), op.Unsqueeze(lengths, column)
    inside = op.Cast(op.Less(places, ends), to=ir.DataType.FLOAT)
    factors = op.Div(inside, op.Cast(lengths, to=ir.DataType.FLOAT))
    return _Windows(starts, op.Min(places, op.Sub(ends, one)), factors)


def _fixed_windows(size: int, count: int) -> _Windows:
    rows = np.arange(count)
    starts, ends = rows * size // count, -((rows + 1) * -size // count)
    lengths = ends - starts
    places = starts[:, None] + np.arange(lengths.max())
    factors = (places < ends[:, None]) / lengths[:, None]
    covered = np.minimum(places, ends[:, None] - 1)
    constant = op.Constant(value=ir.tensor(factors.astype(np.float32)))
    return _Windows(integers(starts), integers(covered), constant)


LOWERINGS = (
    *(
        Lowering(overload, adaptive_avg_pool)
        for overload in (
            torch.ops.aten.adaptive_avg_pool1d.default,
            torch.ops.aten.adaptive_avg_pool2d.default,
            torch.ops.aten.adaptive_avg_pool3d.default,
            torch.ops.aten._adaptive_avg_pool2d.default,
            torch.ops.aten._adaptive_avg_pool3d.default,
        )
    ),
    *(
        Lowering(overload, adaptive_max_pool)
        for overload in (
            torch.ops.aten.adaptive_max_pool1d.default,
            torch.ops.aten.adaptive_max_pool2d.default,
            torch.ops.aten.adaptive_max_pool3d.default,
        )
    ),
)
