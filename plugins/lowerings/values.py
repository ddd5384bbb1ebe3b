"""What translations ask of ONNX values: sizes known now or at run time, and constants."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript import opset18 as op


def size_of(value: Any, axis: int) -> int | None:
    """Return the size of an axis, None where it is known at run time only."""
    size = value.shape[axis] if value.shape is not None else None
    return size if isinstance(size, int) else None


def axis_size(value: Any, axis: int) -> Any:
    """Return the size of an axis as an ONNX value without dimensions."""
    size = size_of(value, axis)
    if size is not None:
        return op.Constant(value_int=size)
    axis %= len(value.shape)
    return op.Squeeze(op.Shape(value, start=axis, end=axis + 1), op.Constant(value_ints=[0]))


def number(value: Any) -> Any:
    """Return a size that ATen gives, a number or a value, as a value without dimensions."""
    if isinstance(value, int):
        return op.Constant(value_int=value)
    return op.Reshape(value, op.Constant(value=ir.tensor(np.zeros(0, np.int64))))


def result_size(x: Any, axis: int, size: Any, factor: float | None) -> Any:
    """Return the size of a resized axis, without dimensions: as given, or ⌊s·factor⌋."""
    if size is not None:
        return number(size)
    known = size_of(x, axis)
    assert factor is not None
    if known is not None:
        return op.Constant(value_int=int(known * factor))
    wide = op.Cast(axis_size(x, axis), to=ir.DataType.DOUBLE)
    product = op.Mul(wide, op.Constant(value=ir.tensor(np.float64(factor))))
    return op.Cast(op.Floor(product), to=ir.DataType.INT64)


def integers(values: Any) -> Any:
    """Return a constant of int64."""
    return op.Constant(value=ir.tensor(np.asarray(values, np.int64)))


def like(value: Any, reference: Any) -> Any:
    """Return a constant of the reference's element type."""
    return op.Constant(value=ir.tensor(np.asarray(value, reference.dtype.numpy())))
