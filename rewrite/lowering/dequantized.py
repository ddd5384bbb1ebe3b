"""What a value of an ONNX model is stored as: constants, types, and what integers stand for."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx_ir as ir

_OF_ITS_TYPE = (
    *("Abs", "Add", "Div", "Floor", "Max", "Min", "Mod", "Mul", "Neg", "Reshape", "Sub"),
    *("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum"),
)
"""What gives the type of the first value that it reads."""


def is_dequantized(value: ir.Value | None, past: Collection[str] = ()) -> bool:
    """Tell whether a value comes from a DequantizeLinear, maybe past nodes of these operators."""
    node = value.producer() if value is not None else None
    while node is not None and node.op_type in past and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    return node is not None and node.op_type == "DequantizeLinear"


def constant_of(value: ir.Value | None) -> np.ndarray | None:
    """Return the numbers of a constant, None for what is computed."""
    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return None if tensor is None else np.asarray(tensor.numpy())


def is_stored(value: ir.Value | None) -> bool:
    """Tell whether a value is a constant, maybe one that is dequantized."""
    source = value.producer() if value is not None else None
    if source is not None and source.op_type == "DequantizeLinear":
        return is_stored(source.inputs[0])
    return constant_of(value) is not None


def is_zero(value: ir.Value | None) -> bool:
    """Tell whether a value is nothing but zeros, maybe stored as integers with zero point 0."""
    source = value.producer() if value is not None else None
    if source is not None and source.op_type == "DequantizeLinear":
        point = source.inputs[2] if len(source.inputs) > 2 else None
        if point is not None and not is_zero(point):
            return False
        value = source.inputs[0]
    found = constant_of(value)
    return found is not None and not found.any()


def type_of(value: ir.Value | None) -> ir.DataType | None:
    """Return the type of a value: those inside of a decomposition are not written down."""
    if value is None or value.dtype is not None:
        return value.dtype if value is not None else None
    node, known = value.producer(), constant_of(value)
    if known is not None:
        return ir.DataType.from_numpy(known.dtype)
    if node is not None and node.op_type == "Cast":
        return ir.DataType(node.attributes.get_int("to", 0))
    if node is None or node.op_type not in _OF_ITS_TYPE:
        return None
    return type_of(node.inputs[0])
