"""What OpenVINO takes for the scales of integers, and carries past other operators."""

from __future__ import annotations

import onnx_ir as ir

from rewrite.lowering.dequantized import is_stored, is_zero

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
_ROWS = ("Gemm", "LayerNormalization", "MatMul")
"""Their channels are the last axis."""


def is_scaled(value: ir.Value | None, *, across: bool = False) -> bool:
    """Tell whether a value is, for OpenVINO, something times a constant per channel.

    Args:
        value: of a float type.
        across: whether only scales count that lie along another axis than the last one.
    """
    shifted = False
    while value is not None and (node := value.producer()) is not None:
        if node.op_type in _PRODUCTS:
            # The sum with a bias keeps the scales where they are, unless it adds zeros.
            biased = len(node.inputs) > 2 and not is_zero(node.inputs[2])
            rows = node.op_type in _ROWS
            return not shifted and not biased and _comes_scaled(node) and not (across and rows)
        if node.op_type in _NORMS:
            return _is_vector(node.inputs[1]) and not (across and node.op_type in _ROWS)
        if node.op_type in _SCALED and any(map(_is_vector, node.inputs)):
            return not across or _lies_across(node)
        if node.op_type not in _PASSED:
            return False
        if node.op_type in ("Add", "Sub"):
            shifted = shifted or not any(map(is_zero, node.inputs))
        if node.op_type == "DequantizeLinear":
            # A shift behind it is one per channel, even where its scale is none.
            return (shifted or _is_vector(node.inputs[1])) and not across
        value = next((v for v in node.inputs if v is not None and not is_stored(v)), None)
    return False


def _comes_scaled(product: ir.Node) -> bool:
    """Tell whether the weight of a product is of integers with a scale per channel."""
    weight = product.inputs[1]
    source = weight.producer() if weight is not None else None
    return source is not None and (
        source.op_type == "DequantizeLinear" and _is_vector(source.inputs[1])
    )


def _lies_across(node: ir.Node) -> bool:
    """Tell whether a sum, a product or a batch norm has constants along another axis than the last.

    They have one element along the last axis, and more along another.
    """
    if node.op_type == "BatchNormalization":
        source = node.inputs[0]
        return source is not None and source.shape is not None and len(source.shape) > 2
    tensors = [ir.convenience.get_const_tensor(v) for v in node.inputs if v is not None]
    return any(t is not None and t.size > 1 and t.shape[-1] == 1 for t in tensors)


def _is_vector(value: ir.Value | None) -> bool:
    """Tell whether a value is constant and more than one number."""
    if value is None:
        return False
    source = value.producer()
    if source is not None and source.op_type == "DequantizeLinear":
        return source.inputs[0] is not None and _is_vector(source.inputs[0])
    tensor = ir.convenience.get_const_tensor(value)
    return tensor is not None and tensor.size > 1
