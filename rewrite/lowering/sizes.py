"""Sizes in an ONNX model: as few as possible, and read where a runtime reads them correctly."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rewrite.lowering.constants import constant


def infer_sizes(model: ir.Model) -> None:
    """Let a Reshape infer the one size that is known at run time only, in place."""
    for node in model.graph:
        if node.op_type != "Reshape" or len(node.inputs) < 2:
            continue
        sizes = _one_unknown(node)
        if sizes is not None:
            node.replace_input_with(1, _integers(model, f"{node.outputs[0].name}_sizes", sizes))


def hide_sizes(model: ir.Model) -> None:
    """Read sizes as shape(x)[i + Σ shape(x) · 0], whose origin a runtime does not see, in place.

    OpenVINO 2026.4 knows that the output of a convolution has the batch size of the input, reads
    the size there instead, and then loses the bias of the convolution if its output is quantized
    right away. Without a biased convolution nothing is hidden. A sum over shape(x) · onehot hides
    as well, but takes a division behind it along, and rounds that to the nearest.
    """
    if not any(node.op_type == "Conv" and len(node.inputs) > 2 for node in model.graph):
        return
    for node in list(model.graph):
        if node.op_type == "Shape" and node.inputs[0] is not None:
            _hide(model, node)


def _one_unknown(reshape: ir.Node) -> list[int] | None:
    """Return the sizes a Reshape is given, the one that is computed as -1; None if more are."""
    given, result = reshape.inputs[1], reshape.outputs[0]
    concat = given.producer() if given is not None else None
    if concat is None or concat.op_type != "Concat" or result.shape is None:
        return None
    known = [ir.convenience.get_const_tensor(v) if v is not None else None for v in concat.inputs]
    parts = [[-1] if t is None else [int(s) for s in t.numpy().reshape(-1)] for t in known]
    sizes = [size for part in parts for size in part]
    single = sizes.count(-1) == 1 and len(sizes) == len(result.shape)
    return sizes if single and 0 not in sizes else None


def _hide(model: ir.Model, node: ir.Node) -> None:
    source, output = node.inputs[0], node.outputs[0]
    assert source is not None
    rank = None if source.shape is None else len(source.shape)
    start, end = (node.attributes.get(name) for name in ("start", "end"))
    if rank is None or rank < 2 or start is None or end is None:
        return
    first, last = int(start.value) % rank, int(end.value)
    if last != first + 1:
        return
    whole = ir.node("Shape", [source])
    none = ir.node("Mul", [whole.outputs[0], _integers(model, f"{output.name}_none", [0] * rank)])
    zero = ir.node("ReduceSum", [none.outputs[0]], attributes={"keepdims": 1})
    place = ir.node("Add", [zero.outputs[0], _integers(model, f"{output.name}_at", [first])])
    size = ir.node("Gather", [whole.outputs[0], place.outputs[0]], attributes={"axis": 0})
    nodes = {"shape": whole, "nothing": none, "zero": zero, "place": place, "size": size}
    for kind, made in nodes.items():
        made.outputs[0].name = f"{output.name}_{kind}"
        made.name = f"{node.name}_{kind}"
    size.outputs[0].type, size.outputs[0].shape = output.type, output.shape
    model.graph.insert_before(node, list(nodes.values()))
    ir.convenience.replace_all_uses_with(output, size.outputs[0])
    model.graph.remove(node, safe=True)


def _integers(model: ir.Model, name: str, values: list[int]) -> ir.Value:
    return constant(model, name, np.array(values, np.int64))
