"""Nodes that change nothing and that no runtime moves a quantizer past, or merges."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rewrite.lowering.constants import constant


def same(model: ir.Model, value: ir.Value, name: str) -> ir.Node:
    """Return max(value, lowest), not in the graph yet: it is the value, and nothing merges it.

    Only -∞ becomes the lowest number, which no quantizer behind it tells apart.
    """
    node = ir.node("Max", [value, constant(model, "lowest", np.array(np.finfo(np.float32).min))])
    node.name, made = name, node.outputs[0]
    made.name, made.type, made.shape = f"{name}_out", value.type, value.shape
    return node


def itself(value: ir.Value, name: str) -> ir.Node:
    """Return max(value, value), not in the graph yet: it is the value, NaN and infinities too.

    A quantizer may be moved past it: it is for files of floats.
    """
    node = ir.node("Max", [value, value])
    node.name, made = name, node.outputs[0]
    made.name, made.type, made.shape = f"{name}_out", value.type, value.shape
    return node


def put_behind(model: ir.Model, node: ir.Node) -> None:
    """Let everything that reads a result of one node, and the model's output, read its double."""
    output = node.inputs[0]
    producer = output.producer() if output is not None else None
    assert output is not None and producer is not None
    model.graph.insert_after(producer, node)
    made, name = node.outputs[0], output.name
    for use in list(output.uses()):
        if use.node is not node:
            use.node.replace_input_with(use.idx, made)
    for place, value in enumerate(list(model.graph.outputs)):
        if value is output:
            output.name, made.name = f"{name}_apart", name
            model.graph.outputs[place] = made
