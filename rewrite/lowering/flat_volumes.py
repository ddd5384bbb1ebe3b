"""Convolutions of volumes that are one layer deep, kept out of a kernel that gets them wrong."""

from __future__ import annotations

import onnx_ir as ir

from rewrite.lowering.barrier import same
from rewrite.lowering.dequantized import is_dequantized

_RANK = 5


def hold_flat_volumes(model: ir.Model) -> None:
    """Put max(x, lowest) = x in front of int8 convolutions of one channel over a depth of one.

    OpenVINO 2026.4's kernel of integers for AVX-512 reads beside the volume there, where the
    kernel is deeper than the volume and padding makes up for it. A depth that is not known may be
    one.
    """
    for node in list(model.graph):
        if node.op_type != "Conv" or not _is_flat(node) or not is_dequantized(node.inputs[0]):
            continue
        value = node.inputs[0]
        assert value is not None
        copy = same(model, value, f"{node.name}_held")
        model.graph.insert_before(node, copy)
        node.replace_input_with(0, copy.outputs[0])


def _is_flat(node: ir.Node) -> bool:
    value, weight = node.inputs[:2]
    shape = weight.shape if weight is not None else None
    if shape is None or len(shape) != _RANK or shape[1] != 1 or shape[2] == 1:
        return False
    depth = value.shape[2] if value is not None and value.shape is not None else None
    pads = node.attributes.get("pads")
    padded = pads is not None and any(pads.as_ints()[:: _RANK - 2])
    return padded and (depth == 1 or not isinstance(depth, int))
