"""Places of values with scales per channel, which a runtime would carry past them."""

from __future__ import annotations

import onnx_ir as ir

from rewrite.lowering.barrier import same
from rewrite.lowering.scales import is_scaled


def hold_gathers(model: ir.Model) -> None:
    """Put max(x, lowest) = x in front of a Gather that drops or adds axes of scaled x, in place.

    OpenVINO 2026.4 moves scales of another axis than the last past it as they are, with as many
    dimensions as x has: the file does not compile, or the result has other sizes.
    """
    for node in list(model.graph):
        if node.op_type != "Gather" or _is_list(node.inputs[1]):
            continue
        value = node.inputs[0]
        if value is not None and is_scaled(value, across=True):
            copy = same(model, value, f"{node.name}_held")
            model.graph.insert_before(node, copy)
            node.replace_input_with(0, copy.outputs[0])


def _is_list(index: ir.Value | None) -> bool:
    """Tell whether an index is known to have one dimension: then the axes stay as they are."""
    return index is not None and index.shape is not None and len(index.shape) == 1
