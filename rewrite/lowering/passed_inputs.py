"""Outputs that are inputs, but for casts there and back."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rewrite.lowering.constants import constant

_PASSED = ("Cast", "Identity", "Reshape")


def hold_passed_inputs(model: ir.Model) -> None:
    """Put max(y, -∞) = y behind an output that is an input in another type and back, in place.

    OpenVINO 2026.4 drops such casts, x.half().float() say, where a size is dynamic, and gives out
    the memory of the input: the next run writes into what its caller may have freed.
    """
    for place, value in enumerate(list(model.graph.outputs)):
        node = value.producer()
        if node is None or value.dtype != ir.DataType.FLOAT or not _is_passed(value):
            continue
        least = constant(model, "least", np.array(-np.inf, np.float32))
        kept = ir.node("Max", [value, least])
        kept.name, made = f"{node.name}_held", kept.outputs[0]
        made.type, made.shape = value.type, value.shape
        made.name, value.name = value.name, f"{value.name}_passed"
        model.graph.insert_after(node, kept)
        model.graph.outputs[place] = made


def _is_passed(value: ir.Value | None) -> bool:
    """Tell whether a value is an input of its type behind nothing but casts and reshapes."""
    kind, cast = value.dtype if value is not None else None, False
    while value is not None and (node := value.producer()) is not None:
        if node.op_type not in _PASSED:
            return False
        cast = cast or node.op_type == "Cast"
        value = node.inputs[0]
    return value is not None and cast and value.is_graph_input() and value.dtype == kind
