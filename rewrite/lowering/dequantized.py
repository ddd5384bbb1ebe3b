"""What a value of an ONNX model is stored as: constants, and what integers stand for."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx_ir as ir


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
