"""Means over space, in the form that a runtime fuses with the quantizer behind it."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rewrite.lowering.constants import constant

_AXES_ARE_AN_INPUT = 18
"""From this opset on ReduceMean reads its axes; before, they are an attribute."""


def merge_squeezes(model: ir.Model) -> None:
    """Write Squeeze(GlobalAveragePool(x)) as a ReduceMean that drops the dimensions, in place.

    OpenVINO 2026.4 takes the quantizer behind a ReduceMean into its kernel; a Squeeze between the
    two makes it reorder, reshape and quantize in kernels of their own.
    """
    for node in list(model.graph):
        if node.op_type == "Squeeze" and (pool := _pool_before(node)) is not None:
            _merge(model, pool, node)


def _pool_before(squeeze: ir.Node) -> ir.Node | None:
    """Return the pool that nothing else reads and whose space a Squeeze drops."""
    value = squeeze.inputs[0]
    pool = value.producer() if value is not None else None
    if value is None or pool is None or pool.op_type != "GlobalAveragePool":
        return None
    if value.is_graph_output() or len(list(value.uses())) > 1:
        return None
    source, result = pool.inputs[0], squeeze.outputs[0]
    known = source is not None and source.shape is not None and result.shape is not None
    return pool if known and len(result.shape or ()) == 2 else None


def _merge(model: ir.Model, pool: ir.Node, squeeze: ir.Node) -> None:
    output, source = squeeze.outputs[0], pool.inputs[0]
    assert source is not None and source.shape is not None
    axes = list(range(2, len(source.shape)))
    inputs, attributes = [source], {"keepdims": ir.AttrInt64("keepdims", 0)}
    if model.opset_imports[""] < _AXES_ARE_AN_INPUT:
        attributes["axes"] = ir.AttrInt64s("axes", axes)
    else:
        inputs.append(constant(model, f"{output.name}_axes", np.array(axes, np.int64)))
    mean = ir.node("ReduceMean", inputs, attributes=attributes)
    made, name = mean.outputs[0], output.name
    mean.name, made.type, made.shape = squeeze.name, output.type, output.shape
    model.graph.insert_before(pool, mean)
    ir.convenience.replace_all_uses_with(output, made, replace_graph_outputs=True)
    model.graph.remove(squeeze, safe=True)
    model.graph.remove(pool, safe=True)
    made.name = name
