"""Tidying an ONNX model: folded shape arithmetic, no identities, nothing twice."""

from __future__ import annotations

import logging

import onnx_ir as ir
import onnx_ir.passes.common as common
from onnxscript import optimizer

from rewrite.lowering.identities import drop_identities
from rewrite.lowering.origin import set_origin_aside
from rewrite.lowering.sizes import infer_sizes

_FOLD_LIMIT = 1024
"""Constants up to this many elements are folded: shape arithmetic, never weights."""


def tidy(model: ir.Model) -> None:
    """Fold constants, drop identities and unused nodes, share equal subexpressions, in place."""
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)
    common.InlinePass()(model)
    optimizer.fold_constants(
        model,
        onnx_shape_inference=False,
        input_size_limit=_FOLD_LIMIT,
        output_size_limit=_FOLD_LIMIT,
    )
    infer_sizes(model)
    set_origin_aside(model)
    drop_identities(model)
    _share_tables(model)
    known = [(value.type, value.shape) for value in model.graph.outputs]
    ir.passes.Sequential(
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedFunctionsPass(),  # type: ignore[no-untyped-call]
        common.RemoveUnusedOpsetsPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.CommonSubexpressionEliminationPass(),
        common.OutputFixPass(),
        common.NameFixPass(),
    )(model)
    # An output may be shared with what is inside of a decomposition, which has no type.
    for value, (kind, shape) in zip(model.graph.outputs, known, strict=True):
        value.type, value.shape = value.type or kind, value.shape or shape


def drop_unused(model: ir.Model) -> None:
    """Drop what later steps left without a reader: ONNX Runtime warns of it at each load."""
    common.RemoveUnusedNodesPass()(model)


def _share_tables(model: ir.Model) -> None:
    """Keep one of the large constants that are the same tensor; weights are none, nor sizes."""
    first: dict[int, ir.Value] = {}
    for node in list(model.graph):
        held = node.attributes.get("value") if node.op_type == "Constant" else None
        if held is None or held.as_tensor().size <= _FOLD_LIMIT:
            continue
        output = node.outputs[0]
        kept = first.setdefault(id(held.as_tensor()), output)
        if kept is not output and not output.is_graph_output():
            output.replace_all_uses_with(kept)
