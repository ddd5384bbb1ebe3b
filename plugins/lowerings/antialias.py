"""Antialiased resizes as two products with the weights that torch gives each pixel.

Row i of the weights is f((j + ½ - c) / max(r, 1)) for every pixel j, divided by its sum, where r is
the step between results, c = r·(i + ½), and f a triangle or Keys' cubic with a = -½. All is in
float32, in torch's order. ONNX's Resize knows the attribute `antialias`, and not every runtime
does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import onnx_ir as ir
import torch
from onnxscript import opset18 as op
from rewrite_plugins.lowerings.values import axis_size, number, result_size

from rewrite import Lowering


def antialiased(
    x: Any,
    sizes: Sequence[Any] | None,
    factors: Sequence[float | None],
    *,
    align_corners: bool,
    weigh: Callable[[Any], Any],
) -> Any:
    """Translate a resize of [N, C, H, W] that averages what it leaves out.

    Args:
        x: the images.
        sizes: of the result, or None for those that the factors give.
        factors: by which torch scales, None for the quotient of the sizes.
        align_corners: whether the step is (s - 1) / (o - 1).
        weigh: the weight of a pixel at a distance.
    """
    kind = x.dtype
    given = op.Cast(x, to=ir.DataType.FLOAT) if kind != ir.DataType.FLOAT else x
    rows, columns = (
        _weights(
            axis_size(x, axis),
            result_size(x, axis, sizes[place] if sizes else None, factors[place]),
            None if align_corners else factors[place],
            align_corners=align_corners,
            weigh=weigh,
        )
        for place, axis in enumerate((2, 3))
    )
    wide = op.MatMul(given, op.Transpose(columns, perm=[1, 0]))
    result = op.MatMul(rows, wide)
    return op.Cast(result, to=kind) if kind != ir.DataType.FLOAT else result


def _weights(
    size: Any,
    count: Any,
    factor: float | None,
    *,
    align_corners: bool,
    weigh: Callable[[Any], Any],
) -> Any:
    """Return the weight of each pixel in each result, [count, size]."""
    step = _step(size, count, factor, align_corners=align_corners)
    half, one = _float(0.5), _float(1.0)
    centers = op.Unsqueeze(op.Mul(step, op.Add(_range(count), half)), _axis(1))
    pixels = op.Unsqueeze(_range(size), _axis(0))
    inverse = op.Div(one, op.Max(step, one))
    found = weigh(op.Abs(op.Mul(op.Add(op.Sub(pixels, centers), half), inverse)))
    return op.Div(found, op.ReduceSum(found, _axis(1), keepdims=1))


def _step(size: Any, count: Any, factor: float | None, *, align_corners: bool) -> Any:
    if factor is not None:
        return _float(1.0 / factor)
    wide, out = op.Cast(size, to=ir.DataType.FLOAT), op.Cast(count, to=ir.DataType.FLOAT)
    if not align_corners:
        return op.Div(wide, out)
    one = _float(1.0)
    # A result of one pixel has no step: (s - 1) / 0 must not be formed.
    several = op.Cast(op.Greater(out, one), to=ir.DataType.FLOAT)
    return op.Div(op.Mul(several, op.Sub(wide, one)), op.Max(op.Sub(out, one), one))


def _triangle(distance: Any) -> Any:
    """Return max(1 - d, 0)."""
    return op.Relu(op.Sub(_float(1.0), distance))


def _cubic(distance: Any) -> Any:
    """Return Keys' cubic with a = -½: 1.5d³ - 2.5d² + 1 below 1, -½d³ + 2.5d² - 4d + 2 below 2."""
    near = op.Add(_polynomial(distance, 1.5, -2.5, 0.0), _float(1.0))
    far = op.Add(_polynomial(distance, -0.5, 2.5, -4.0), _float(2.0))
    beyond = op.Where(op.Less(distance, _float(2.0)), far, _float(0.0))
    return op.Where(op.Less(distance, _float(1.0)), near, beyond)


def _polynomial(d: Any, cube: float, square: float, line: float) -> Any:
    inner = op.Add(op.Mul(op.Add(op.Mul(d, _float(cube)), _float(square)), d), _float(line))
    return op.Mul(inner, d)


def _range(count: Any) -> Any:
    zero, one = op.Constant(value_int=0), op.Constant(value_int=1)
    return op.Cast(op.Range(zero, number(count), one), to=ir.DataType.FLOAT)


def _float(value: float) -> Any:
    return op.Constant(value_float=value)


def _axis(axis: int) -> Any:
    return op.Constant(value_ints=[axis])


def _vec(weigh: Callable[[Any], Any]) -> Callable[..., Any]:
    def translate(
        input: Any, output_size: Any, align_corners: bool, scale_factors: Any = None
    ) -> Any:
        factors = scale_factors or [None, None]
        return antialiased(input, output_size, factors, align_corners=align_corners, weigh=weigh)

    return translate


def _default(weigh: Callable[[Any], Any]) -> Callable[..., Any]:
    def translate(
        self: Any,
        output_size: Any,
        align_corners: bool,
        scales_h: float | None = None,
        scales_w: float | None = None,
    ) -> Any:
        return antialiased(
            self, output_size, [scales_h, scales_w], align_corners=align_corners, weigh=weigh
        )

    return translate


_KINDS = (
    (torch.ops.aten._upsample_bilinear2d_aa, _triangle),
    (torch.ops.aten._upsample_bicubic2d_aa, _cubic),
)
LOWERINGS = tuple(
    entry
    for packet, weigh in _KINDS
    for entry in (Lowering(packet.vec, _vec(weigh)), Lowering(packet.default, _default(weigh)))
)
