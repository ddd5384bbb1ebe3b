"""Additions behind a convolution: the skip is int8, the branch goes on in float."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from rewrite.lint.file import File, is_stored
from rewrite.lint.rule import Finding, Rule
from rewrite.runtimes.qdq_graph import dequantized, only_reader

_CONVOLUTIONS = ("Conv", "ConvTranspose")


def _skip(file: File) -> Iterator[Finding]:
    int8 = {layer.node for layer in file.layers if layer.is_quantized}
    for node in file.nodes("Add"):
        left, right = node.inputs
        if left is None or right is None or is_stored(left) or is_stored(right):
            continue
        branches = [_branch(value, int8) for value in (left, right)]
        if not any(branches):
            continue
        given = [dequantized(value) is not None for value in (left, right)]
        if all(given):
            yield node, "has both sides quantized: leave the one that a convolution gives float"
        elif not any(given):
            yield node, "adds a float tensor to a convolution: quantize the skip"


def _branch(value: ir.Value, int8: set[ir.Node]) -> bool:
    """Tell whether a value is what an int8 convolution gives to this addition alone."""
    side = dequantized(value)
    if side is not None:
        quantizer = side.quantize
        if quantizer is None or quantizer.inputs[0] is None:
            return False
        if only_reader(quantizer.outputs[0]) is not side.node or only_reader(value) is None:
            return False
        value = quantizer.inputs[0]
    producer = value.producer()
    alone = only_reader(value) is not None
    return producer in int8 and producer.op_type in _CONVOLUTIONS and alone


RULES = (
    Rule(
        "skip-only",
        "Of an addition behind a convolution only the skip is quantized.",
        "NVIDIA TensorRT documentation, placement of Q/DQ in residual blocks; ModelOpt 0.47",
        _skip,
    ),
)
