"""Signed activations that several nodes read."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from rewrite.lint.file import File, is_on_weight
from rewrite.lint.rule import Finding, Rule
from rewrite.runtimes.qdq_graph import integer_type, readers


def _single(file: File) -> Iterator[Finding]:
    for node in file.quantizers:
        if integer_type(node) is not ir.DataType.INT8 or is_on_weight(node):
            continue
        count = sum(_uses(reader) for reader in readers(node.outputs[0]))
        if count > 1:
            yield node, f"gives int8 to {count} readers: use uint8, or a quantizer for each"


def _uses(reader: ir.Node) -> int:
    output = reader.outputs[0]
    if reader.op_type != "DequantizeLinear":
        return 1
    return max(1, len(readers(output)) + int(output.is_graph_output()))


RULES = (
    Rule(
        "signed-single-reader",
        "An int8 activation has one reader.",
        "ONNX Runtime, qdq_s8_to_u8.cc: on x86-64 int8 becomes uint8 for single readers only",
        _single,
    ),
)
