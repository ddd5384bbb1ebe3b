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
        x: float32 or float16, any shape.
        scale: of the dtype of `x`, one element or one per channel.
        zero_point: integer of the result's dtype, same shape as `scale`.
        qmin: smallest value of the result.
        qmax: largest value of the result.
        axis: channel axis when scales are per channel.
    """
    if x.dtype == torch.float16:
        # As runtimes divide: a quotient in float16 would be rounded twice.
        x, scale = x.float(), scale.float()
    steps = (x / _along(scale, x, axis)).round_()
    shifted = steps.add_(_along(zero_point, x, axis))
    return shifted.clamp_(qmin, qmax).to(zero_point.dtype)


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
        scale: float32 or float16, the dtype of the result, one element or one per channel.
        zero_point: integer of the dtype of `x`, same shape as `scale`.
        axis: channel axis when scales are per channel.
    """
    steps = x.to(scale.dtype, copy=True)
    if x.dtype != torch.int32:
        steps.sub_(_along(zero_point, x, axis))
    return steps.mul_(_along(scale, x, axis))


@dequantize.register_fake
def _(x: Tensor, scale: Tensor, zero_point: Tensor, axis: int | None = None) -> Tensor:
    return torch.empty_like(x, dtype=scale.dtype)


@torch.library.custom_op("rewrite::dequantize_blocks", mutates_args=())
def dequantize_blocks(
    x: Tensor, scale: Tensor, zero_point: Tensor, axis: int, block: int, bits: int
) -> Tensor:
    """Return (x - zero_point) * scale with a scale per block, as ONNX DequantizeLinear from 21 on.

    Args:
        x: integers [M, N] of `bits` bits, in an 8-bit type.
        scale: float32, [M, N] but for ⌈N/block⌉ (or ⌈M/block⌉) elements along `axis`.
        zero_point: integer of the dtype of `x`, same shape as `scale`.
        axis: the blocked one.
        block: elements that share a scale; the last ones may be fewer.
        bits: 4 or 8.
    """

    def spread(parameter: Tensor) -> Tensor:
        return parameter.repeat_interleave(block, axis).narrow(axis, 0, x.shape[axis])

    return (x.to(scale.dtype) - spread(zero_point.to(scale.dtype))).mul_(spread(scale))


@dequantize_blocks.register_fake
def _(x: Tensor, scale: Tensor, zero_point: Tensor, axis: int, block: int, bits: int) -> Tensor:
    return torch.empty_like(x, dtype=scale.dtype)


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
DEQUANTIZE_BLOCKS = torch.ops.rewrite.dequantize_blocks.default
MARKERS = (OBSERVE, QUANTIZE, DEQUANTIZE)
