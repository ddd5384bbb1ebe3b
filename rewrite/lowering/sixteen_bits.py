"""Sixteen bits before opset 21: ONNX Runtime's own operators quantize them."""

from __future__ import annotations

import onnx_ir as ir

_FIRST_OPSET = 21
_WIDE = (ir.DataType.INT16, ir.DataType.UINT16)
_DOMAIN = "com.microsoft"


def use_contributed_operators(model: ir.Model, opset: int) -> None:
    """Move QuantizeLinear and DequantizeLinear of 16 bits to `com.microsoft`, in place.

    ONNX has them from opset 21 on; ONNX Runtime and OpenVINO read this domain at any.
    """
    if opset >= _FIRST_OPSET:
        return
    for node in model.graph:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear") or len(node.inputs) < 3:
            continue
        zero_point = node.inputs[2]
        if zero_point is not None and zero_point.dtype in _WIDE:
            node.domain = _DOMAIN
            # The contributed operator is older than this attribute, which concerns float8 alone.
            node.attributes.pop("saturate", None)
            model.opset_imports[_DOMAIN] = 1
