"""Marker operators: quantization in a program, with the exact arithmetic of ONNX.

`observe` marks an edge that is to be quantized; calibration turns it into `quantize` and
`dequantize`, which a program simulates and the lowering stage translates one to one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


@torch.library.custom_op("rewrite::observe", mutates_args=())
def observe(x: Tensor, spec: str, group: str) -> Tensor:
    """Mark a tensor that is to be quantized; the value passes through.

    Args:
        x: any float tensor.
        spec: name of the target's quantization spec.
        group: tensors of one group share their scale.
    """
    return x.clone()


@observe.register_fake
def _(x: Tensor, spec: str, group: str) -> Tensor:
    return torch.empty_like(x)


@torch.library.custom_op("rewrite::quantize", mutates_args=())
def quantize(
    x: Tensor, scale: Tensor, zero_point: Tensor, qmin: int, qmax: int, axis: int | None = None
) -> Tensor:
    """Return saturate(round_half_even(x / scale) + zero_point) as ONNX QuantizeLinear.

    Args:
        x: float32, any shape.
        scale: float32, one element or one per channel.
        zero_point: integer of the result's dtype, same shape as `scale`.
        qmin: smallest value of the result.
        qmax: largest value of the result.
        axis: channel axis when scales are per channel.
    """
    steps = torch.round(x / _along(scale, x, axis))
    shifted = steps + _along(zero_point, x, axis)
    return shifted.clamp(qmin, qmax).to(zero_point.dtype)


@quantize.register_fake
def _(
    x: Tensor, scale: Tensor, zero_point: Tensor, qmin: int, qmax: int, axis: int | None = None
) -> Tensor:
    return torch.empty_like(x, dtype=zero_point.dtype)


@torch.library.custom_op("rewrite::dequantize", mutates_args=())
def dequantize(x: Tensor, scale: Tensor, zero_point: Tensor, axis: int | None = None) -> Tensor:
    """Return (x - zero_point) * scale as ONNX DequantizeLinear.

    Args:
        x: integers, any shape.
        scale: float32, one element or one per channel.
        zero_point: integer of the dtype of `x`, same shape as `scale`.
        axis: channel axis when scales are per channel.
    """
    offset = _along(zero_point, x, axis)
    if x.dtype == torch.int32:
        return x.to(scale.dtype) * _along(scale, x, axis)
    return (x.to(scale.dtype) - offset.to(scale.dtype)) * _along(scale, x, axis)


@dequantize.register_fake
def _(x: Tensor, scale: Tensor, zero_point: Tensor, axis: int | None = None) -> Tensor:
    return torch.empty_like(x, dtype=scale.dtype)


@torch.library.custom_op("rewrite::quantize_dequantize", mutates_args=())
def quantize_dequantize(
    x: Tensor, scale: Tensor, zero_point: Tensor, qmin: int, qmax: int, axis: int | None = None
) -> Tensor:
    """Return dequantize(quantize(x)); its gradient passes straight through inside the range.

    Args:
        x: float32, any shape.
        scale: float32, one element or one per channel.
        zero_point: integer, same shape as `scale`.
        qmin: smallest quantized value.
        qmax: largest quantized value.
        axis: channel axis when scales are per channel.
    """
    quantized = quantize(x, scale, zero_point, qmin, qmax, axis)
    result: Tensor = dequantize(quantized, scale, zero_point, axis)
    return result


@quantize_dequantize.register_fake
def _(
    x: Tensor, scale: Tensor, zero_point: Tensor, qmin: int, qmax: int, axis: int | None = None
) -> Tensor:
    return torch.empty_like(x, dtype=scale.dtype)


def _keep_range(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, scale, zero_point, qmin, qmax, axis = inputs
    steps = torch.round(x / _along(scale, x, axis)) + _along(zero_point, x, axis)
    ctx.save_for_backward((steps >= qmin) & (steps <= qmax))


def _inside_range(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None, None]:
    (inside,) = ctx.saved_tensors
    return grad * inside, None, None, None, None, None


quantize_dequantize.register_autograd(_inside_range, setup_context=_keep_range)


def _along(parameter: Tensor, x: Tensor, axis: int | None) -> Tensor:
    if axis is None or parameter.numel() == 1:
        return parameter.reshape(())
    shape = [1] * x.dim()
    shape[axis] = parameter.numel()
    return parameter.reshape(shape)


def _straight_through(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    return grad, None, None


observe.register_autograd(_straight_through)

OBSERVE = torch.ops.rewrite.observe.default
QUANTIZE = torch.ops.rewrite.quantize.default
DEQUANTIZE = torch.ops.rewrite.dequantize.default
QUANTIZE_DEQUANTIZE = torch.ops.rewrite.quantize_dequantize.default
MARKERS = (OBSERVE, QUANTIZE, DEQUANTIZE)
