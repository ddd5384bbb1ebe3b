"""Sorting as TopK of everything, which puts the first of equal values first."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
import torch
from onnxscript import opset18 as op

from rewrite import Lowering

_SORTED = (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.INT32, ir.DataType.INT64)
"""Runtimes sort these; others go through int64, or through float32 where they have fractions."""
_FRACTIONS = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


def sort_stable(
    self: Any, stable: bool | None = None, dim: int = -1, descending: bool = False
) -> Any:
    """Translate aten.sort.stable: the sorted values, and where each was."""
    kind, rank = self.dtype, len(self.shape)
    if rank == 0:
        return op.Identity(self), op.Constant(value_int=0)
    wide = ir.DataType.FLOAT if kind in _FRACTIONS else ir.DataType.INT64
    keys = self if kind in _SORTED else op.Cast(self, to=wide)
    axis = dim % rank
    count = op.Shape(self, start=axis, end=axis + 1)
    values, places = op.TopK(keys, count, axis=axis, largest=int(descending), sorted=1)
    return values if kind in _SORTED else op.Cast(values, to=kind), places


LOWERINGS = (Lowering(torch.ops.aten.sort.stable, sort_stable),)
