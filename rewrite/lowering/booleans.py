"""Numbers made of booleans, which a runtime would compute with as booleans."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rewrite.lowering.constants import constant


def choose_numbers(model: ir.Model) -> None:
    """Write the cast of a boolean b to float as Where(b, 1, 0), in place, in files with quantizers.

    OpenVINO 2026.4 leaves out the cast in front of a sum or a product with a constant, as it does
    with integers, and has no kernel for booleans: the file does not compile, or every output of it
    is empty.
    """
    nodes = list(model.graph.all_nodes())
    if not any(node.op_type == "QuantizeLinear" for node in nodes):
        return
    for node in nodes:
        if node.op_type == "Cast" and _is_boolean(node.inputs[0]) and _is_float(node):
            _choose(model, node)


def _choose(model: ir.Model, cast: ir.Node) -> None:
    one, zero = (constant(model, f"float_{n}", np.array(n, np.float32)) for n in (1, 0))
    made = ir.node("Where", [cast.inputs[0], one, zero], name=cast.name)
    made.meta.update(cast.meta)
    graph = cast.graph
    assert graph is not None
    ir.convenience.replace_nodes_and_values(graph, cast, [cast], [made], cast.outputs, made.outputs)


def _is_boolean(value: ir.Value | None) -> bool:
    return value is not None and value.dtype is ir.DataType.BOOL


def _is_float(node: ir.Node) -> bool:
    return node.outputs[0].dtype is ir.DataType.FLOAT
