"""Outputs that are inputs, but for casts there and back."""

from __future__ import annotations

import onnx_ir as ir

from rewrite.lowering.barrier import itself, put_behind

_PASSED = ("Cast", "Identity", "Reshape")


def hold_passed_inputs(model: ir.Model) -> None:
    """Put max(y, y) = y behind an output that is an input in another type and back, in place.

    OpenVINO 2026.4 drops such casts, x.half().float() say, where a size is dynamic, and gives out
    the memory of the input: the next run writes into what its caller may have freed.
    """
    for value in list(model.graph.outputs):
        node = value.producer()
        if node is not None and value.dtype == ir.DataType.FLOAT and _is_passed(value):
            put_behind(model, itself(value, f"{node.name}_held"))


def _is_passed(value: ir.Value | None) -> bool:
    """Tell whether a value is an input of its type behind nothing but casts and reshapes."""
    kind, cast = value.dtype if value is not None else None, False
    while value is not None and (node := value.producer()) is not None:
        if node.op_type not in _PASSED:
            return False
        cast = cast or node.op_type == "Cast"
        value = node.inputs[0]
    return value is not None and cast and value.is_graph_input() and value.dtype == kind
