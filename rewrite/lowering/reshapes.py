"""Shapes of rows that a runtime would otherwise carry scales past."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rewrite.lowering.constants import constant
from rewrite.lowering.scales import is_scaled

_ROWS_APART = 3
"""Dimensions from which on rows may be cut in another way; channels at the end stay one axis."""


def hide_shapes(model: ir.Model) -> None:
    """Compute the shape of a Reshape behind scales per channel as shape + 0·size(x), in place.

    OpenVINO 2026.4 moves the scales past a Reshape to a constant shape. Where the first size is
    dynamic and the channels are cut otherwise, it reshapes the scales as if they were the rows:
    the file does not compile, or, where the numbers happen to fit, computes something else.
    """
    nothing: ir.Value | None = None
    for node in list(model.graph):
        sizes = _sizes(node) if node.op_type == "Reshape" else None
        if sizes is None or not is_scaled(node.inputs[0], across=len(sizes) < _ROWS_APART):
            continue
        if nothing is None and (nothing := _nothing(model)) is None:
            return
        hidden = ir.node("Add", [constant(model, f"{node.name}_shape", sizes), nothing])
        hidden.name, made = f"{node.name}_hidden", hidden.outputs[0]
        made.name, made.type = f"{node.name}_hidden_shape", ir.TensorType(ir.DataType.INT64)
        made.shape = ir.Shape([len(sizes)])
        model.graph.insert_before(node, hidden)
        node.replace_input_with(1, made)


def _sizes(reshape: ir.Node) -> np.ndarray[tuple[int], np.dtype[np.int64]] | None:
    """Return the constant sizes of a Reshape, the first one dynamic."""
    given, source = reshape.inputs[1], reshape.inputs[0]
    tensor = ir.convenience.get_const_tensor(given) if given is not None else None
    if tensor is None or source is None or source.shape is None or not len(source.shape):
        return None
    sizes = tensor.numpy().astype(np.int64)
    dynamic = not isinstance(source.shape[0], int)
    return sizes if dynamic else None


def _nothing(model: ir.Model) -> ir.Value | None:
    """Return 0 · Σ shape(input), which no runtime folds; None where no input has dimensions."""
    given = next((v for v in model.graph.inputs if v.shape is not None and len(v.shape)), None)
    if given is None or given.shape is None:
        return None
    zeros = constant(model, "no_size", np.zeros(len(given.shape), np.int64))
    shape = ir.node("Shape", [given])
    parts = ir.node("Mul", [shape.outputs[0], zeros])
    total = ir.node("ReduceSum", [parts.outputs[0]], attributes={"keepdims": 1})
    first = model.graph[0]
    for node, name in ((shape, "shape"), (parts, "parts"), (total, "zero")):
        node.name = f"{given.name}_{name}"
        node.outputs[0].name = f"{node.name}_of_sizes"
        node.outputs[0].type = ir.TensorType(ir.DataType.INT64)
    model.graph.insert_before(first, [shape, parts, total])
    return total.outputs[0]
