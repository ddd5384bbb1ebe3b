"""Why OpenVINO's CPU plugin keeps a quantized node in float, read from the source graph.

The rules restate the restrictions of its low-precision transformations (LPT).
"""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from rewrite.runtimes import qdq_graph as qdq

_Rule = Callable[[ir.Node, qdq.Dequantized, qdq.Dequantized], "str | None"]


def why_float(node: ir.Node, kernel: str) -> str:
    """Return why `node`, which the file asks int8 for, became the float layer `kernel`."""
    if not kernel:
        return "the node is gone: the runtime folded it or merged it into another"
    first, second = (qdq.dequantized(value) for value in node.inputs[:2])
    assert first is not None and second is not None, "only for eligible nodes"
    for rule in _RULES:
        reason = rule(node, first, second)
        if reason:
            return reason
    if kernel.startswith("Subgraph") and _is_behind_float_product(first):
        return (
            "OpenVINO makes one kernel of the attention and names the type of its first product "
            "only, which is float"
        )
    if kernel.startswith("Subgraph"):
        return "OpenVINO makes one kernel of several layers and names the type of its input only"
    return f"OpenVINO runs it as float {kernel}, for no reason known here"


def _is_behind_float_product(probabilities: qdq.Dequantized) -> bool:
    """Tell whether a float product gives, past a softmax, what a second one reads."""
    quantize = probabilities.quantize
    value = quantize.inputs[0] if quantize is not None else None
    while value is not None and (node := value.producer()) is not None:
        if node.op_type == "MatMul":
            return any(qdq.dequantized(given) is None for given in node.inputs[:2])
        value = node.inputs[0] if node.inputs else None
    return False


def _weight(node: ir.Node, first: qdq.Dequantized, second: qdq.Dequantized) -> str | None:
    if not second.is_weight:
        return None
    if second.dtype is not ir.DataType.INT8:
        return "weight is uint8: OpenVINO's int8 kernels need int8 weights with zero point 0"
    if qdq.zero_points(second.node).any():
        return "weight has a zero point: OpenVINO's int8 kernels need int8 weights with 0"
    return None


def _weight_axis(node: ir.Node, first: qdq.Dequantized, second: qdq.Dequantized) -> str | None:
    scale, shape = second.scale, getattr(second.node.inputs[0], "shape", None)
    if not second.is_weight or second.path or shape is None or scale is None or scale.size == 1:
        return None
    rank = len(shape)
    axis = int(qdq.attribute(second.node, "axis", 1)) % rank
    wanted = {"Conv": 0, "ConvTranspose": 1}.get(node.op_type, rank - 1)
    if node.op_type == "Gemm" and qdq.attribute(node, "transB", 0):
        wanted = 0
    if axis == wanted:
        return None
    return f"weight is per-channel along axis {axis}: only the output axis, {wanted} here, works"


def _conv_transpose(node: ir.Node, first: qdq.Dequantized, second: qdq.Dequantized) -> str | None:
    if node.op_type != "ConvTranspose" or not qdq.zero_points(first.node).any():
        return None
    point = int(qdq.zero_points(first.node).max())
    return f"activation has zero point {point}: ConvTranspose needs 0 on activation and weight"


def _two_activations(node: ir.Node, first: qdq.Dequantized, second: qdq.Dequantized) -> str | None:
    if second.is_weight:
        return None
    point = int(qdq.zero_points(first.node).reshape(-1)[0])
    if point != 0:
        return f"input A has zero point {point}: a product of two activations needs zero point 0"
    other = int(qdq.zero_points(second.node).reshape(-1)[0])
    if (second.dtype, other) in ((ir.DataType.INT8, 0), (ir.DataType.UINT8, 128)):
        return None
    return (
        f"input B is {second.dtype.name} with zero point {other}: a product of two activations "
        "needs int8 with zero point 0 there"
    )


def _signed_convolution(
    node: ir.Node, first: qdq.Dequantized, second: qdq.Dequantized
) -> str | None:
    if node.op_type != "Conv" or first.dtype is not ir.DataType.INT8:
        return None
    return "activation is int8: convolutions take uint8, or on some CPUs int8 with zero point 0"


_RULES: tuple[_Rule, ...] = (
    _weight,
    _weight_axis,
    _conv_transpose,
    _two_activations,
    _signed_convolution,
)
