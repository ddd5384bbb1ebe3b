"""A node that changes nothing and that no runtime moves a quantizer past."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir


def same(model: ir.Model, value: ir.Value, name: str) -> ir.Node:
    """Return max(value, lowest), not in the graph yet: it is the value, and nothing merges it."""
    node = ir.node("Max", [value, scalar(model, "lowest", float(np.finfo(np.float32).min))])
    node.name, made = name, node.outputs[0]
    made.name, made.type, made.shape = f"{name}_out", value.type, value.shape
    return node


def scalar(model: ir.Model, name: str, number: float) -> ir.Value:
    """Return the float initializer of a name, added unless it is there."""
    known = model.graph.initializers.get(name)
    if known is not None:
        return known
    tensor = ir.tensor(number, dtype=ir.DataType.FLOAT, name=name)
    value = ir.Value(
        name=name, shape=ir.Shape([]), type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    model.graph.register_initializer(value)
    return value
