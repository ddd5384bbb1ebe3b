"""Tidying an ONNX model: folded shape arithmetic, no identities, nothing twice."""

from __future__ import annotations

import logging

import onnx_ir as ir
import onnx_ir.passes.common as common
from onnxscript import optimizer

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
    _forget_origin(model)
    ir.passes.Sequential(
        common.IdentityEliminationPass(),
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedFunctionsPass(),  # type: ignore[no-untyped-call]
        common.RemoveUnusedOpsetsPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.CommonSubexpressionEliminationPass(),
        common.OutputFixPass(),
        common.NameFixPass(),
    )(model)


def _forget_origin(model: ir.Model) -> None:
    """Drop the exporter's notes: stack traces with paths of the machine, half of a small file."""
    common.ClearMetadataAndDocStringPass()(model)
    values = [*model.graph.inputs, *model.graph.initializers.values()]
    for value in [*values, *(o for node in model.graph for o in node.outputs)]:
        value.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.metadata_props.clear()
