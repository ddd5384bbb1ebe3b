"""Node units: the dequantizers in front of an operator and the quantizers behind it."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from rewrite.lint.file import CLAMPS, File, behind_clamp, quantizers_of
from rewrite.lint.rule import Finding, Rule
from rewrite.runtimes.qdq_graph import PASS_THROUGH, is_constant, is_quantize, only_reader, readers

_DATA_INPUTS = {"Clip": 1, "Resize": 1, "Pad": 1, "Upsample": 1}
"""Operators whose later inputs say how to work, and are no tensors to quantize."""
_JOINS = ("Add", "Mul", "Concat")
_NO_TENSOR_WORK = ("Constant", "Shape", "Size")
_PAIR = ("QuantizeLinear", "DequantizeLinear")
_ON_INTEGERS = PASS_THROUGH | {"Clip"}
"""Operators that may stand inside a pair: the integers move, or are cut to fewer bits."""


def _is_dequantized(value: ir.Value) -> bool:
    producer = value.producer()
    return producer is not None and producer.op_type == "DequantizeLinear"


def _is_float(value: ir.Value | None) -> bool:
    return value is not None and value.dtype is ir.DataType.FLOAT


def _whole(file: File) -> Iterator[Finding]:
    for node in file.every_node:
        if node.op_type in (*_PAIR, *_NO_TENSOR_WORK):
            continue
        problem = _unit(node)
        if problem:
            yield node, problem


def _unit(node: ir.Node) -> str:
    values = node.inputs[: _DATA_INPUTS.get(node.op_type, len(node.inputs))]
    absorbed = node.op_type in CLAMPS and _follows_alone(node)
    for number, value in enumerate(values):
        if value is None or not _is_float(value) or _is_dequantized(value) or absorbed:
            continue
        return f"input {number} is float: put a quantizer and a dequantizer in front of it"
    for output in node.outputs:
        value = output if node.op_type in CLAMPS else behind_clamp(output)[1]
        if not _is_float(output):
            continue
        nodes = readers(value)
        if value.is_graph_output() or not nodes or not all(is_quantize(n) for n in nodes):
            return "its output is read in float: put a quantizer and a dequantizer behind it"
    return ""


def _follows_alone(clamp: ir.Node) -> bool:
    value = clamp.inputs[0]
    if value is None or value.producer() is None or only_reader(value) is not clamp:
        return False
    producer = value.producer()
    return producer is not None and producer.op_type not in _PAIR


def _joins(file: File) -> Iterator[Finding]:
    for node in file.nodes(*_JOINS):
        values = [v for v in node.inputs if v is not None]
        if not quantizers_of(behind_clamp(node.outputs[0])[1]):
            continue
        given = [_is_dequantized(v) for v in values]
        for number, value in enumerate(values):
            if any(given) and is_constant(value):
                yield node, f"input {number} is a float constant beside int8: quantize it too"


def _readers(file: File) -> Iterator[Finding]:
    for layer in file.layers:
        nodes = readers(layer.output)
        quantized = [n for n in nodes if is_quantize(n)]
        if not layer.is_quantized or not quantized:
            continue
        if layer.output.is_graph_output():
            yield layer.node, "its output is quantized and is an output of the graph: give the copy"
        elif len(quantized) < len(nodes):
            other = next(n for n in nodes if not is_quantize(n))
            yield (
                layer.node,
                f"its output is quantized, and read in float by {other.op_type}: "
                f"let {other.op_type} read the DequantizeLinear",
            )


def _outputs(file: File) -> Iterator[Finding]:
    for layer in file.layers:
        if layer.node.op_type != "Conv" or not layer.is_quantized:
            continue
        if not quantizers_of(behind_clamp(layer.output)[1]):
            yield layer.node, "has no quantizer behind it: add one, behind its Relu or Clip"


def _pairs(file: File) -> Iterator[Finding]:
    for node in file.quantizers:
        ends = list(_ends(node.outputs[0]))
        for reader in ends:
            if reader is not None and reader.op_type != "DequantizeLinear":
                yield node, f"is read by {reader.op_type}: let it read a DequantizeLinear"
        if None in ends or not ends:
            yield node, "is read by no DequantizeLinear: add one"


def _ends(value: ir.Value) -> Iterator[ir.Node | None]:
    """Yield what reads integers once they are moved and clipped, None for an output."""
    if value.is_graph_output():
        yield None
    for reader in readers(value):
        if reader.op_type in _ON_INTEGERS and reader.inputs[0] is value:
            for output in reader.outputs:
                yield from _ends(output)
        else:
            yield reader


RULES = (
    Rule(
        "node-units",
        "Every float input of an operator is dequantized, and every float output quantized.",
        "ONNX Runtime, QNN execution provider: node units; get_qnn_qdq_config",
        _whole,
    ),
    Rule(
        "whole-joins",
        "An Add, Mul or Concat of int8 tensors whose result is quantized has no float constant.",
        "ONNX Runtime, qdq_selectors.cc: CheckQDQNodes counts the dequantizers",
        _joins,
    ),
    Rule(
        "quantizers-alone",
        "If a quantizer reads the output of an int8 layer, only quantizers do.",
        "ONNX Runtime, qdq_selectors.cc: CheckQDQNodes",
        _readers,
    ),
    Rule(
        "conv-output",
        "A quantized Conv has a quantizer behind it.",
        "ONNX Runtime, qdq_selectors.cc: ConvNodeGroupSelector",
        _outputs,
    ),
    Rule(
        "pairs",
        "What a quantizer gives is read by dequantizers alone, also behind what moves it.",
        "ONNX, QDQ format of ONNX Runtime and OpenVINO",
        _pairs,
    ),
)
