"""Integer types: which ones a runtime has kernels for, and where they must be alike."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from rewrite.lint.file import File, behind_clamp, quantizers_of
from rewrite.lint.rule import Finding, Rule
from rewrite.runtimes.qdq_graph import integer_type, is_quantize, readers, zero_points

_UNSIGNED = tuple(dtype for dtype in ir.DataType if dtype.name.startswith("UINT"))
_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16)
_FROM_21 = (
    ir.DataType.INT16,
    ir.DataType.UINT16,
    ir.DataType.INT4,
    ir.DataType.UINT4,
)
_SIXTEEN_BITS = (ir.DataType.INT16, ir.DataType.UINT16)
_JOINS = ("Add", "Mul", "Concat")


def _signed(file: File) -> Iterator[Finding]:
    for value in file.model.graph.inputs:
        if value.dtype in _UNSIGNED and not _becomes_float(value):
            yield None, f"has input '{value.name}' of {value.dtype.name}: cast it to float at once"
    for node in file.every_node:
        dtype = integer_type(node) if _is_quantizing(node) else None
        if dtype in _UNSIGNED:
            yield node, f"is {dtype.name}: quantize to int8, symmetrically"
        elif dtype is None:
            yield from _unsigned_around(node)


def _is_quantizing(node: ir.Node) -> bool:
    return is_quantize(node) or node.op_type == "DequantizeLinear"


def _unsigned_around(node: ir.Node) -> Iterator[Finding]:
    for value in node.outputs:
        if value.dtype in _UNSIGNED and not _was_float(value):
            yield node, f"gives {value.dtype.name}: use a signed type"
    for stored in node.inputs:
        if stored is not None and stored.is_initializer() and stored.dtype in _UNSIGNED:
            yield node, f"reads a constant of {stored.dtype.name}: use a signed type"


def _becomes_float(given: ir.Value) -> bool:
    """Tell whether an input of the graph is read by casts to float alone."""
    nodes = readers(given)
    casts = [node for node in nodes if node.op_type == "Cast" and node.outputs[0].dtype in _FLOATS]
    return len(casts) == len(nodes) and not given.is_graph_output()


def _was_float(output: ir.Value) -> bool:
    """Tell whether a value is an output of the graph that a cast makes of float."""
    cast = output.producer()
    if cast is None or cast.op_type != "Cast" or not output.is_graph_output():
        return False
    source = cast.inputs[0]
    return source is not None and source.dtype in _FLOATS and not readers(output)


def _weights(file: File) -> Iterator[Finding]:
    for layer in file.layers:
        side = layer.weight
        if side is None or not side.is_weight:
            continue
        points = zero_points(side.node)
        if side.dtype is not ir.DataType.INT8:
            yield layer.node, f"has a weight of {side.dtype.name}: store it as int8, zero point 0"
        elif points.any():
            point = int(points[points != 0].flat[0])
            yield layer.node, f"has a weight with zero point {point}: quantize it symmetrically"


def _widths(file: File) -> Iterator[Finding]:
    for node in file.pairs:
        dtype = integer_type(node)
        if dtype in _FROM_21 and node.domain in ("", "ai.onnx") and file.opset < 21:
            yield (
                node,
                (
                    f"is {dtype.name}, which ONNX has from opset 21 on (this file: {file.opset}): "
                    "raise the opset, or use the operator of domain com.microsoft"
                ),
            )


def _eight_bits(file: File) -> Iterator[Finding]:
    for layer in file.layers:
        sides = [layer.activation, None if layer.has_weight else layer.weight]
        wide = next((s for s in sides if s is not None and s.dtype in _SIXTEEN_BITS), None)
        if wide is not None and layer.is_quantized:
            yield layer.node, f"reads {wide.dtype.name}, so it runs in float: quantize to 8 bits"


def _alike(file: File) -> Iterator[Finding]:
    for node in file.nodes("Conv", *_JOINS):
        values = node.inputs[:1] if node.op_type == "Conv" else node.inputs
        sources = [v.producer() for v in values if v is not None]
        found = [n for n in sources if n is not None and n.op_type == "DequantizeLinear"]
        after = [n for n in quantizers_of(behind_clamp(node.outputs[0])[1]) if is_quantize(n)]
        names = sorted({integer_type(n).name for n in [*found, *after]})
        if found and after and len(names) > 1:
            yield node, f"reads and gives {' and '.join(names)}: use one type around it"


RULES = (
    Rule(
        "no-unsigned",
        "No tensor is unsigned, but inputs that a Cast makes float, and outputs it makes of float.",
        "NVIDIA TensorRT documentation, data types: INT8, FP8, INT4, FP4, and UINT8 at the ends of "
        "a network; onnx-tensorrt 10.1",
        _signed,
    ),
    Rule(
        "signed-weights",
        "Weights are int8 with zero point 0.",
        "OpenVINO, transformation_pipeline.cpp; ONNX Runtime has no VNNI kernel for uint8 weights",
        _weights,
    ),
    Rule(
        "bit-widths",
        "Quantizers of 16 and 4 bits are of opset 21, or of the domain com.microsoft.",
        "ONNX, changes of QuantizeLinear in opset 21",
        _widths,
    ),
    Rule(
        "eight-bit-activations",
        "A layer with an int8 weight, or a product, reads 8-bit activations.",
        "measured on ONNX Runtime 1.31 and OpenVINO 2026.4: with 16 bits it runs in float",
        _eight_bits,
    ),
    Rule(
        "one-type",
        "What a Conv, Add, Mul or Concat reads and gives has one type.",
        "ONNX Runtime, qdq_selectors.cc: ConvNodeGroupSelector, BinaryNodeGroupSelector",
        _alike,
    ),
)
