"""Spellings that cost nothing on any runtime, and that one of them needs."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rewrite.lowering.constants import constant
from rewrite.lowering.pads import spell_pads

_ELEMENTWISE = ("Add", "Div", "Mul", "Sub")
_LAYOUT = ("Reshape", "Squeeze", "Transpose", "Unsqueeze")


def spell(model: ir.Model) -> None:
    """Write a model in the spellings that all runtimes read alike, in place."""
    spell_pads(model)
    keep_padding(model)
    widen_factors(model)
    part_readers(model)
    squeeze_scalars(model)


def keep_padding(model: ir.Model) -> None:
    """Pad with -0.0, which equals 0, in front of a MaxPool.

    ONNX Runtime 1.31 merges a Pad of 0 into a MaxPool, which then pads with its lowest number. It
    tells 0 by its bits.
    """
    for node in model.graph:
        readers = {use.node.op_type for use in node.outputs[0].uses()}
        if node.op_type != "Pad" or "MaxPool" not in readers:
            continue
        mode = node.attributes.get("mode")
        kind = node.inputs[0].dtype if node.inputs[0] is not None else None
        if (mode is not None and mode.as_string() != "constant") or kind is None:
            continue
        given = node.inputs[2] if len(node.inputs) > 2 else None
        value = ir.convenience.get_const_tensor(given) if given is not None else None
        if given is not None and (value is None or value.numpy().any()):
            continue
        zero = np.array(-0.0, kind.numpy())
        negative = constant(model, f"{node.outputs[0].name}_zero", zero)
        node.resize_inputs(max(3, len(node.inputs)))
        node.replace_input_with(2, negative)


def widen_factors(model: ir.Model) -> None:
    """Write a scalar beside an embedding as a vector as long as its rows.

    OpenVINO 2026.4 cannot compile (Gather(w) * scalar) + y: it merges the two into a kernel, and
    then fails to fold the scalar.
    """
    for node in model.graph:
        if node.op_type not in _ELEMENTWISE:
            continue
        for index, other in ((0, 1), (1, 0)):
            width, scalar = _row_width(node.inputs[other]), node.inputs[index]
            value = ir.convenience.get_const_tensor(scalar) if scalar is not None else None
            if width is None or value is None or value.size != 1 or value.numpy().ndim > 1:
                continue
            name = f"{node.outputs[0].name}_factor"
            row = np.full((width,), value.numpy().reshape(-1)[0])
            node.replace_input_with(index, constant(model, name, row))


def part_readers(model: ir.Model) -> None:
    """Give each reader of a signed tensor a QuantizeLinear of its own.

    ONNX Runtime on x64 has kernels for unsigned operands alone, and makes a signed one unsigned
    only if nothing else reads it. It merges equal nodes, so each gets another axis: with a single
    scale the axis has no meaning.
    """
    for quantize in list(model.graph):
        output = quantize.outputs[0]
        if quantize.op_type != "QuantizeLinear" or output.dtype != ir.DataType.INT8:
            continue
        uses = list(output.uses())
        if len(uses) != 1 or uses[0].node.op_type != "DequantizeLinear":
            continue
        dequantize = uses[0].node
        shape, scale = output.shape, quantize.inputs[1]
        if shape is None or scale is None or scale.shape is None or len(scale.shape):
            continue
        axes = [axis for axis in range(-len(shape), len(shape)) if axis != 1]
        for number, use in enumerate(list(dequantize.outputs[0].uses())[1:]):
            if dequantize.outputs[0].is_graph_output() or number >= len(axes):
                break
            again = _copy(quantize, list(quantize.inputs), axes[number])
            back = _copy(dequantize, [again.outputs[0], *dequantize.inputs[1:]], axes[number])
            model.graph.insert_after(dequantize, [again, back])
            use.node.replace_input_with(use.idx, back.outputs[0])


def squeeze_scalars(model: ir.Model) -> None:
    """Write a Reshape to no dimensions as a Squeeze of all, each of which is 1.

    OpenVINO 2026.4 ends the process where the first stands behind a MatMul.
    """
    for node in list(model.graph):
        shape = node.inputs[1] if node.op_type == "Reshape" else None
        sizes = ir.convenience.get_const_tensor(shape) if shape is not None else None
        if sizes is None or sizes.size:
            continue
        squeeze = ir.node("Squeeze", [node.inputs[0]], name=node.name)
        value, given = squeeze.outputs[0], node.outputs[0]
        value.name, value.type, value.shape = given.name, given.type, given.shape
        ir.convenience.replace_nodes_and_values(
            model.graph, node, [node], [squeeze], node.outputs, squeeze.outputs
        )


def _row_width(value: ir.Value | None) -> int | None:
    """Return how long the rows are that a Gather takes from a table, if it is one."""
    source = value.producer() if value is not None else None
    while source is not None and source.op_type in _LAYOUT and source.inputs[0] is not None:
        source = source.inputs[0].producer()
    if source is None or source.op_type != "Gather" or source.inputs[0] is None:
        return None
    table = ir.convenience.get_const_tensor(source.inputs[0])
    if value is None or not value.shape or table is None or len(table.shape) != 2:
        return None
    width = value.shape[-1]
    return width if isinstance(width, int) else None


def _copy(node: ir.Node, inputs: list[ir.Value | None], axis: int) -> ir.Node:
    attributes = {**node.attributes, "axis": ir.AttrInt64("axis", axis)}
    same = ir.node(node.op_type, inputs, attributes=attributes)
    value, given = same.outputs[0], node.outputs[0]
    same.name = f"{node.name}_axis{axis}"
    value.name, value.type, value.shape = f"{given.name}_axis{axis}", given.type, given.shape
    return same
