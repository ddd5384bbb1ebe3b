"""A quantized file with its quantizers written as arithmetic, which no runtime has kernels for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir

from rewrite.file_parts import save
from rewrite.runtimes import qdq_graph

_RANGES = {
    ir.DataType.UINT8: (0, 255),
    ir.DataType.INT8: (-128, 127),
    ir.DataType.UINT16: (0, 65535),
    ir.DataType.INT16: (-32768, 32767),
}


def write(path: Path, folder: Path) -> Path:
    """Write a file that computes what another one says, and is not taken for a quantized one.

    Args:
        path: the quantized file.
        folder: where the other one goes, under the same name.

    Returns:
        its path.
    """
    model = qdq_graph.read(path)
    for graph in model.graphs():
        for node in list(graph):
            if qdq_graph.is_quantize(node):
                _replace(graph, node)
    ir.external_data.load_to_model(model)
    save(model, folder / path.name)
    return folder / path.name


def _replace(graph: ir.Graph, node: ir.Node) -> None:
    """Put clip(round(x / s) + z) in the place of a QuantizeLinear of one scale, half to even."""
    data, scale, zero_point = [*node.inputs, None][:3]
    dtype = _dtype(node)
    if data is None or scale is None or dtype not in _RANGES or not _is_one(scale):
        return
    wide, (low, high) = scale.dtype, _RANGES[dtype]
    if wide is None:
        return
    made: list[ir.Node] = []

    def call(op_type: str, *inputs: ir.Value, **attributes: int) -> ir.Value:
        made.append(ir.node(op_type, list(inputs), attributes))
        return made[-1].outputs[0]

    def number(value: int) -> ir.Value:
        tensor = ir.tensor(np.array(value, dtype=wide.numpy()))
        made.append(ir.node("Constant", [], {"value": tensor}))
        return made[-1].outputs[0]

    steps = call("Round", call("Div", data, scale))
    if zero_point is not None:
        steps = call("Add", steps, call("Cast", zero_point, to=int(wide)))
    whole = call("Cast", call("Clip", steps, number(low), number(high)), to=int(dtype))
    old = node.outputs[0]
    graph.insert_before(node, made)
    whole.name, old.name = old.name, None
    whole.shape, whole.type = old.shape, old.type
    ir.convenience.replace_all_uses_with(old, whole, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _dtype(node: ir.Node) -> ir.DataType:
    """Return the type that a QuantizeLinear makes."""
    if len(node.inputs) > 2 and node.inputs[2] is not None and node.inputs[2].dtype is not None:
        return node.inputs[2].dtype
    stated = node.attributes.get("output_dtype")
    return ir.DataType(stated.as_int()) if stated is not None else ir.DataType.UINT8


def _is_one(scale: ir.Value) -> bool:
    """Tell whether a scale is of one element: others need an axis."""
    return scale.shape is not None and all(size == 1 for size in scale.shape)
