"""Means over space as GlobalAveragePool, for which runtimes have int8 kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir
import torch
from onnxscript import opset18 as op

from rewrite import Lowering


def mean_dim(
    self: Any, dim: Sequence[int] | None = None, keepdim: bool = False, dtype: int = -1
) -> Any:
    """Translate aten.mean.dim: GlobalAveragePool when it covers all of [N, C, …]'s space."""
    rank = len(self.shape)
    dims = sorted({d % rank for d in dim}) if dim else list(range(rank))
    if dtype not in (-1, None):
        self = op.Cast(self, to=dtype)
    # Runtimes pool float32 only, and a cast is no place for an int8 kernel.
    elif rank >= 3 and dims == list(range(2, rank)) and self.dtype == ir.DataType.FLOAT:
        pooled = op.GlobalAveragePool(self)
        if keepdim:
            return pooled
        return op.Squeeze(pooled, op.Constant(value_ints=dims))
    return op.ReduceMean(self, op.Constant(value_ints=dims), keepdims=int(keepdim))


LOWERINGS = (Lowering(torch.ops.aten.mean.dim, mean_dim),)
