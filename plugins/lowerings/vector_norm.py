"""Norms of vectors: of all dimensions too when these are kept, and of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import onnx_ir as ir
import torch
from onnxscript import opset18 as op
from rewrite_plugins.lowerings.values import like

from rewrite import Lowering


def vector_norm(
    self: Any,
    ord: float = 2.0,
    dim: Sequence[int] | None = None,
    keepdim: bool = False,
    dtype: int = -1,
) -> Any:
    """Translate aten.linalg_vector_norm: (Σ |x|^p)^(1/p), the largest, the smallest, or a count."""
    x = self if dtype == -1 else op.Cast(self, to=dtype)
    axes = op.Constant(value_ints=list(dim)) if dim and len(self.shape) else None
    kept = int(keepdim)
    if ord == 1:
        return op.ReduceL1(x, axes, keepdims=kept)
    if ord == 2:
        return op.ReduceL2(x, axes, keepdims=kept)
    if math.isinf(ord):
        reduce = op.ReduceMax if ord > 0 else op.ReduceMin
        return reduce(op.Abs(x), axes, keepdims=kept)
    if ord == 0:
        present = op.CastLike(op.Cast(x, to=ir.DataType.BOOL), x)
        return op.ReduceSum(present, axes, keepdims=kept)
    powers = op.Pow(op.Abs(x), like(ord, self))
    return op.Pow(op.ReduceSum(powers, axes, keepdims=kept), like(1 / ord, self))


LOWERINGS = (Lowering(torch.ops.aten.linalg_vector_norm.default, vector_norm),)
