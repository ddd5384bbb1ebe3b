"""Zero points: which values runtimes take, and that they are there."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from rewrite.lint.file import File
from rewrite.lint.rule import Finding, Rule
from rewrite.runtimes.qdq_graph import integer_type, zero_points


def _zero(file: File) -> Iterator[Finding]:
    for node in file.pairs:
        points = zero_points(node)
        if points.any():
            yield node, f"has zero point {int(points[points != 0].flat[0])}: quantize symmetrically"


def _signed_zero(file: File) -> Iterator[Finding]:
    for node in file.pairs:
        points = zero_points(node)
        if integer_type(node) is ir.DataType.INT8 and points.any():
            yield (
                node,
                "is int8 with a zero point other than 0: use uint8, or quantize symmetrically",
            )


def _explicit(file: File) -> Iterator[Finding]:
    for node in file.pairs:
        given = len(node.inputs) > 2 and node.inputs[2] is not None
        if not given and integer_type(node) is not ir.DataType.INT32:
            yield node, "has no zero point: give it as third input, even if it is 0"


RULES = (
    Rule(
        "zero-point-zero",
        "Every zero point is 0.",
        "onnx-tensorrt 10.1, importer of QuantizeLinear: shiftIsAllZeros; TensorRT#4698",
        _zero,
    ),
    Rule(
        "signed-zero-point-zero",
        "The zero point of int8 tensors is 0.",
        "measured on OpenVINO 2026.4: int8 with another zero point runs in float",
        _signed_zero,
    ),
    Rule(
        "explicit-zero-point",
        "Every quantizer and dequantizer has its zero point as an input; int32 biases need none.",
        "ONNX Runtime, qdq_selectors.cc: pass-through operators compare zero points",
        _explicit,
    ),
)
