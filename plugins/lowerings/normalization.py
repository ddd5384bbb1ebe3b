"""Normalizations as the operators that runtimes know or fuse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from onnxscript import opset18 as op

from rewrite import Lowering

_NARROW = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


def rms_norm(
    input: Any, normalized_shape: Sequence[int], weight: Any = None, eps: float | None = None
) -> Any:
    """Translate aten.rms_norm: x / √(mean(x²) + eps) · w, in float32 at least.

    ONNX Runtime fuses these operators into SimplifiedLayerNormalization, with an eps of 1e-5 where
    that is a double (1.31): a product with the reciprocal is left alone.
    """
    kind = input.dtype
    if kind in _NARROW:
        input = op.Cast(input, to=ir.DataType.FLOAT)
        weight = None if weight is None else op.Cast(weight, to=ir.DataType.FLOAT)
    double = kind == ir.DataType.DOUBLE
    if eps is None:
        eps = torch.finfo(torch.float64 if double else torch.float32).eps
    dtype = np.float64 if double else np.float32
    axes = op.Constant(value_ints=list(range(-len(normalized_shape), 0)))
    square = op.Pow(input, _constant(np.array(2.0, dtype)))
    spread = op.Add(op.ReduceMean(square, axes), _constant(np.array(eps, dtype)))
    root = op.Sqrt(spread)
    result = op.Mul(input, op.Reciprocal(root)) if double else op.Div(input, root)
    if weight is not None:
        result = op.Mul(result, weight)
    return op.Cast(result, to=kind) if kind in _NARROW else result


def batch_norm(
    input: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Any:
    """Translate aten.batch_norm with running statistics, or over those of the batch."""
    channels, dtype = input.shape[1], input.dtype.numpy()
    weight = _constant(np.ones(channels, dtype)) if weight is None else weight
    bias = _constant(np.zeros(channels, dtype)) if bias is None else bias
    if training or running_mean is None or running_var is None:
        running_mean, running_var = _batch_statistics(input)
    return op.BatchNormalization(input, weight, bias, running_mean, running_var, epsilon=eps)


def _batch_statistics(x: Any) -> tuple[Any, Any]:
    """Return mean and variance per channel of [N, C, …]."""
    others = op.Constant(value_ints=[d for d in range(len(x.shape)) if d != 1])
    centred = op.Sub(x, op.ReduceMean(x, others, keepdims=1))
    variance = op.ReduceMean(op.Mul(centred, centred), others, keepdims=0)
    return op.ReduceMean(x, others, keepdims=0), variance


def _constant(value: Any) -> Any:
    return op.Constant(value=ir.tensor(value))


LOWERINGS = (
    Lowering(torch.ops.aten.rms_norm.default, rms_norm),
    Lowering(torch.ops.aten.batch_norm.default, batch_norm),
)
