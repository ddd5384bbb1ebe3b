"""Chains of operators for which ONNX has a single one that runtimes compute faster."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

_BLOCKS_LAST = [0, 3, 5, 1, 2, 4]
"""[N, C, H, b, W, b] to [N, b, b, C, H, W]."""


def fuse(model: ir.Model) -> None:
    """Replace the chains, in place."""
    for node in list(model.graph):
        if node.op_type == "Reshape":
            _space_to_depth(model, node)
        elif node.op_type == "Conv":
            _padded_conv(node)


def _space_to_depth(model: ir.Model, last: ir.Node) -> None:
    """Reshape(Transpose(Reshape(x))) that moves blocks of pixels to channels = SpaceToDepth(x)."""
    transpose = _only_source(last, "Transpose")
    first = _only_source(transpose, "Reshape") if transpose is not None else None
    if transpose is None or first is None or first.inputs[0] is None:
        return
    perm = transpose.attributes.get("perm")
    source, target = first.inputs[0].shape, last.outputs[0].shape
    apart, shape = _integers(first.inputs[1]), _integers(last.inputs[1])
    if perm is None or list(perm.as_ints()) != _BLOCKS_LAST or source is None or target is None:
        return
    if len(source) != 4 or len(apart) != 6 or len(shape) != 4 or apart[3] != apart[5]:
        return
    channels, rows, block, columns = apart[1], apart[2], apart[3], apart[4]
    if list(source[1:]) != [channels, rows * block, columns * block]:
        return
    if shape[1:] != [block * block * channels, rows, columns]:
        return
    fused = ir.node("SpaceToDepth", [first.inputs[0]], attributes={"blocksize": block})
    fused.name, value = f"{last.name}_blocks", fused.outputs[0]
    value.name, value.type = f"{fused.name}_out", last.outputs[0].type
    value.shape = ir.Shape([source[0], *shape[1:]])
    model.graph.insert_before(last, fused)
    ir.convenience.replace_all_uses_with(last.outputs[0], value, replace_graph_outputs=True)
    for node in (last, transpose, first):
        model.graph.remove(node, safe=True)


def _padded_conv(conv: ir.Node) -> None:
    """Conv(Pad(x, zeros)) = Conv(x) with wider pads."""
    pad = _only_source(conv, "Pad")
    if pad is None or pad.inputs[0] is None or pad.graph is None:
        return
    amounts, value = _integers(pad.inputs[1]), pad.inputs[2] if len(pad.inputs) > 2 else None
    zeros = value is None or _is_zero(value)
    mode, automatic = pad.attributes.get("mode"), conv.attributes.get("auto_pad")
    rank = len(amounts) // 2
    spatial = amounts[2:rank] + amounts[rank + 2 :]
    if (
        not zeros
        or (mode is not None and mode.as_string() != "constant")
        or (automatic is not None and automatic.as_string() != "NOTSET")
        or len(pad.inputs) > 3
        or rank < 3
        or any(amounts[:2] + amounts[rank : rank + 2])
        or min(spatial) < 0
    ):
        return
    own = conv.attributes.get("pads")
    given = list(own.as_ints()) if own is not None else [0] * len(spatial)
    pads = [a + b for a, b in zip(given, spatial, strict=True)]
    conv.attributes["pads"] = ir.AttrInt64s("pads", pads)
    conv.replace_input_with(0, pad.inputs[0])
    pad.graph.remove(pad, safe=True)


def _only_source(node: ir.Node, kind: str) -> ir.Node | None:
    """Return what makes a node's first input, if it is of a kind and nothing else reads it."""
    value = node.inputs[0] if node.inputs else None
    source = value.producer() if value is not None else None
    if value is None or source is None or source.op_type != kind:
        return None
    return source if len(value.uses()) == 1 and not value.is_graph_output() else None


def _integers(value: ir.Value | None) -> list[int]:
    """Return a constant list of integers, empty when it is not constant."""
    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return [] if tensor is None else [int(n) for n in tensor.numpy().reshape(-1)]


def _is_zero(value: ir.Value) -> bool:
    tensor = ir.convenience.get_const_tensor(value)
    return tensor is not None and not np.any(tensor.numpy())
