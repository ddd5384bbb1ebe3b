"""Products of activations, and the softmax between them."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from rewrite.lint.file import File, quantizers_of
from rewrite.lint.rule import Finding, Rule
from rewrite.runtimes.qdq_graph import zero_points

_RIGHT = {ir.DataType.INT8: 0, ir.DataType.UINT8: 128}
"""The zero point of a right side, by its type."""


def _operands(file: File) -> Iterator[Finding]:
    for layer in file.layers:
        left, right = layer.activation, layer.weight
        if layer.node.op_type != "MatMul" or left is None or right is None or right.is_weight:
            continue
        if zero_points(left.node).any():
            yield layer.node, "has a left side with a zero point: quantize it symmetrically to int8"
        points = zero_points(right.node)
        if right.dtype not in _RIGHT or (points != _RIGHT[right.dtype]).any():
            yield layer.node, "has a right side that is neither int8 with 0 nor uint8 with 128"


def _softmax(file: File) -> Iterator[Finding]:
    for node in file.nodes("Softmax"):
        value = node.inputs[0]
        source = value.producer() if value is not None else None
        before = source is not None and source.op_type == "DequantizeLinear"
        if before or quantizers_of(node.outputs[0]):
            yield node, "is quantized: leave what it reads and gives float"


RULES = (
    Rule(
        "product-operands",
        "A product of activations reads a left side with zero point 0, a right one of int8 range.",
        "measured on OpenVINO 2026.4: others run in float",
        _operands,
    ),
    Rule(
        "float-softmax",
        "The softmax is float on both sides.",
        "NVIDIA ModelOpt 0.47: operators it leaves out",
        _softmax,
    ),
)
