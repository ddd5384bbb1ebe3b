"""Quantizers behind a Concat, kept where they are."""

from __future__ import annotations

import onnx_ir as ir

from rewrite.lowering.barrier import same

_MERGED = ("Add", "Clip", "Div", "Identity", "Mul", "Relu", "Sub")
"""What OpenVINO merges into the quantizer behind it, with constants."""
_LAID_OUT = ("DequantizeLinear", "Identity", "MaxPool", "Slice", "Split", "Transpose")
"""What OpenVINO moves a dequantizer per position past; a Reshape is not among them."""
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def hold_concats(model: ir.Model) -> None:
    """Put max(x, lowest) = x between a Concat and a quantizer with a zero point, in place.

    OpenVINO 2026.4 moves the quantizer in front of the Concat and dequantizes per position along
    its axis. Along the channels of the layer that reads it this is as good as before; along
    another axis a product cannot be compiled, and a convolution becomes float.
    """
    for node in list(model.graph):
        if node.op_type != "QuantizeLinear" or not _is_shifted(node):
            continue
        concat = _concat_before(node)
        value = node.inputs[0]
        if concat is None or value is None or not _is_split(concat, node):
            continue
        copy = same(model, value, f"{node.name}_held")
        model.graph.insert_before(node, copy)
        node.replace_input_with(0, copy.outputs[0])


def _is_shifted(node: ir.Node) -> bool:
    """Tell whether a quantizer has a zero point other than 0."""
    point = node.inputs[2] if len(node.inputs) > 2 else None
    tensor = ir.convenience.get_const_tensor(point) if point is not None else None
    return tensor is not None and bool((tensor.numpy() != 0).any())


def _concat_before(node: ir.Node) -> ir.Node | None:
    """Return the Concat that a quantizer can be moved in front of."""
    while True:
        computed = [v.producer() for v in node.inputs if v is not None and not _is_constant(v)]
        if len(computed) != 1 or computed[0] is None:
            return None
        node = computed[0]
        if node.op_type not in _MERGED:
            return node if node.op_type == "Concat" else None


def _is_constant(value: ir.Value) -> bool:
    return ir.convenience.get_const_tensor(value) is not None


def _is_split(concat: ir.Node, quantizer: ir.Node) -> bool:
    """Tell whether a layer reads the quantized tensor along other channels than a Concat joins."""
    shape = concat.outputs[0].shape
    if shape is None:
        return True
    rank = len(shape)
    axis = concat.attributes["axis"].as_int() % rank
    channels = {1 if layer.op_type.startswith("Conv") else rank - 1 for layer in _layers(quantizer)}
    return bool(channels - {axis})


def _layers(quantizer: ir.Node) -> list[ir.Node]:
    """Return the layers that read a quantized tensor, maybe in another layout."""
    found, readers = [], [use.node for use in quantizer.outputs[0].uses()]
    while readers:
        reader = readers.pop()
        if reader.op_type in _LAYERS:
            found.append(reader)
        elif reader.op_type in _LAID_OUT:
            readers += [use.node for output in reader.outputs for use in output.uses()]
    return found
