"""Products of 16-bit activations, kept as they are."""

from __future__ import annotations

import onnx_ir as ir

from rewrite.lowering.barrier import same

_PRODUCTS = ("Gemm", "MatMul")
_WIDE = (ir.DataType.UINT16, ir.DataType.INT16)
_BYTES = (ir.DataType.UINT8, ir.DataType.INT8)
_LAID_OUT = ("Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")


def hold_wide_products(model: ir.Model) -> None:
    """Put max(w, lowest) = w between an 8-bit weight and a product with 16-bit activations.

    ONNX Runtime 1.32 makes one MatMulNBits of a dequantized weight and a product, whatever its
    number of bits, and that rounds the activations to 8.
    """
    for node in list(model.graph):
        if node.op_type not in _PRODUCTS:
            continue
        value, weight = node.inputs[:2]
        if _stored(value) not in _WIDE or weight is None or _stored(weight) not in _BYTES:
            continue
        copy = same(model, weight, f"{node.name}_weight")
        model.graph.insert_before(node, copy)
        node.replace_input_with(1, copy.outputs[0])


def _stored(value: ir.Value | None) -> ir.DataType | None:
    """Return the type that a value is dequantized from, maybe in another layout."""
    node = value.producer() if value is not None else None
    while node is not None and node.op_type in _LAID_OUT and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    if node is None or node.op_type != "DequantizeLinear" or node.inputs[0] is None:
        return None
    return node.inputs[0].dtype
