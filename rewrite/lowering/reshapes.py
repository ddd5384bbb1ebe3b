"""Shapes of rows that a runtime would otherwise carry scales past."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rewrite.lowering.constants import constant

_SCALED = ("BatchNormalization", "Div", "Mul")
"""What OpenVINO takes for the scales of integers, where one side is a constant per channel."""
_NORMS = ("GroupNormalization", "InstanceNormalization", "LayerNormalization")
_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_PASSED = (
    "Add",
    "Cast",
    "Clip",
    "DequantizeLinear",
    "Identity",
    "MaxPool",
    "Relu",
    "Squeeze",
    "Sub",
    "Transpose",
    "Unsqueeze",
)
"""What OpenVINO moves scales past, or what may stand between them and a Reshape."""


def hide_shapes(model: ir.Model) -> None:
    """Compute the shape of a Reshape behind scales per channel as shape + 0·size(x), in place.

    OpenVINO 2026.4 moves the scales past a Reshape to a constant shape. Where the first size is
    dynamic and the channels are cut otherwise, it reshapes the scales as if they were the rows:
    the file does not compile, or, where the numbers happen to fit, computes something else.
    """
    nothing: ir.Value | None = None
    for node in list(model.graph):
        sizes = _sizes(node) if node.op_type == "Reshape" else None
        if sizes is None or not _is_scaled(node.inputs[0]):
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
    """Return the constant sizes of a Reshape to three dimensions or more, the first one dynamic."""
    given, source = reshape.inputs[1], reshape.inputs[0]
    tensor = ir.convenience.get_const_tensor(given) if given is not None else None
    if tensor is None or source is None or source.shape is None or not len(source.shape):
        return None
    sizes = tensor.numpy().astype(np.int64)
    dynamic = not isinstance(source.shape[0], int)
    return sizes if dynamic and len(sizes) > 2 else None


def _is_scaled(value: ir.Value | None) -> bool:
    """Tell whether a value is, for OpenVINO, something times a constant per channel."""
    shifted = False
    while value is not None and (node := value.producer()) is not None:
        if node.op_type in _PRODUCTS:
            # The sum with a bias keeps the scales where they are, unless it adds zeros.
            biased = len(node.inputs) > 2 and not _is_zero(node.inputs[2])
            return not shifted and not biased and _comes_scaled(node)
        if node.op_type in _NORMS:
            return _is_vector(node.inputs[1])
        if node.op_type in _SCALED and any(map(_is_vector, node.inputs)):
            return True
        if node.op_type not in _PASSED:
            return False
        if node.op_type in ("Add", "Sub"):
            shifted = shifted or not any(map(_is_zero, node.inputs))
        if node.op_type == "DequantizeLinear":
            # A shift behind it is one per channel, even where its scale is none.
            return shifted or _is_vector(node.inputs[1])
        value = next((v for v in node.inputs if v is not None and not _is_constant(v)), None)
    return False


def _comes_scaled(product: ir.Node) -> bool:
    """Tell whether the weight of a product is of integers with a scale per channel."""
    weight = product.inputs[1]
    source = weight.producer() if weight is not None else None
    return source is not None and (
        source.op_type == "DequantizeLinear" and _is_vector(source.inputs[1])
    )


def _is_vector(value: ir.Value | None) -> bool:
    """Tell whether a value is constant and more than one number."""
    if value is None:
        return False
    source = value.producer()
    if source is not None and source.op_type == "DequantizeLinear":
        return source.inputs[0] is not None and _is_vector(source.inputs[0])
    tensor = ir.convenience.get_const_tensor(value)
    return tensor is not None and tensor.size > 1


def _is_zero(value: ir.Value | None) -> bool:
    """Tell whether a value is nothing but zeros, maybe stored as integers with zero point 0."""
    source = value.producer() if value is not None else None
    if source is not None and source.op_type == "DequantizeLinear":
        value = source.inputs[0] if len(source.inputs) < 3 else None
    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return tensor is not None and not np.any(tensor.numpy())


def _is_constant(value: ir.Value) -> bool:
    source = value.producer()
    if source is not None and source.op_type == "DequantizeLinear":
        return source.inputs[0] is not None and _is_constant(source.inputs[0])
    return ir.convenience.get_const_tensor(value) is not None


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
