"""Division with a rest: quotients rounded down or towards 0, and remainders, to the last number.

The exporter divides integers as float32, which has 24 bits, and rounds a quotient of floats before
it takes its floor: 2.0 // 0.1 is 19, as 0.1 is a little more than a tenth, and not 20.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from onnxscript import opset18 as op

from rewrite import Lowering

aten = torch.ops.aten


def floor_divide(self: Any, other: Any) -> Any:
    """Translate aten.floor_divide: (a - a mod b) / b, rounded as torch does."""
    a, b, dtype = _of_one_type(self, other)
    if not dtype.is_floating_point():
        return op.Div(op.Sub(a, op.Mod(a, b)), b)
    rest = op.Mod(a, b, fmod=1)
    below = op.Cast(_is_across(rest, b, other, dtype), to=dtype)
    quotient = op.Sub(op.Div(op.Sub(a, rest), b), below)
    floor = op.Floor(quotient)
    above = op.Cast(op.Greater(op.Sub(quotient, floor), _number(0.5, dtype)), to=dtype)
    result = op.Add(floor, above)
    if _is_number(other) and other:
        return result
    return op.Where(op.Equal(b, _number(0, dtype)), op.Div(a, b), result)


def div_mode(self: Any, other: Any, rounding_mode: str | None = None) -> Any:
    """Translate aten.div with a rounding mode: None, "floor" or "trunc"."""
    if rounding_mode == "floor":
        return floor_divide(self, other)
    a, b, dtype = _of_one_type(self, other, is_true=rounding_mode is None)
    quotient = op.Div(a, b)
    if rounding_mode is None or not dtype.is_floating_point():
        return quotient
    return op.Mul(op.Floor(op.Abs(quotient)), op.Sign(quotient))


def remainder(self: Any, other: Any) -> Any:
    """Translate aten.remainder: of the sign of the divisor."""
    a, b, dtype = _of_one_type(self, other)
    if not dtype.is_floating_point():
        return op.Mod(a, b)
    rest = op.Mod(a, b, fmod=1)
    return op.Where(_is_across(rest, b, other, dtype), op.Add(rest, b), rest)


def _is_across(rest: Any, b: Any, divisor: Any, dtype: ir.DataType) -> Any:
    """Tell where a rest has another sign than the divisor."""
    zero = _number(0, dtype)
    if _is_number(divisor) and divisor:
        return op.Less(rest, zero) if divisor > 0 else op.Greater(rest, zero)
    signs = op.Xor(op.Less(rest, zero), op.Less(b, zero))
    return op.And(op.Not(op.Equal(rest, zero)), signs)


def _of_one_type(left: Any, right: Any, *, is_true: bool = False) -> tuple[Any, Any, ir.DataType]:
    """Return two operands as tensors of one type, and this; a true quotient is of floats."""
    dtype: ir.DataType = (right if _is_number(left) else left).dtype
    fraction = is_true or isinstance(left, float) or isinstance(right, float)
    if fraction and not dtype.is_floating_point():
        dtype = ir.DataType.FLOAT
    a, b = (
        _number(each, dtype) if _is_number(each) else op.Cast(each, to=dtype) if fraction else each
        for each in (left, right)
    )
    return a, b, dtype


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _number(value: float, dtype: ir.DataType) -> Any:
    held: Any = ir.tensor(np.array(value, dtype.numpy()))
    return op.Constant(value=held)


LOWERINGS = (
    Lowering(aten.floor_divide.default, floor_divide),
    Lowering(aten.floor_divide.Scalar, floor_divide),
    Lowering(aten.div.Tensor_mode, div_mode),
    Lowering(aten.div.Scalar_mode, div_mode),
    Lowering(aten.remainder.Tensor, remainder),
    Lowering(aten.remainder.Scalar, remainder),
    Lowering(aten.remainder.Scalar_Tensor, remainder),
)
