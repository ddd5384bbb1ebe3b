"""Dropping Identity nodes, inside branches and bodies as well."""

from __future__ import annotations

import onnx_ir as ir


def drop_identities(model: ir.Model) -> None:
    """Remove the Identity nodes that stand for nothing, in place.

    One stays that gives a graph, a branch or a body a result of its own: of an input or a constant,
    of a value computed outside, or of a value that is a result already.
    """
    for node in list(model.graph.all_nodes()):
        if node.op_type != "Identity" or node.domain not in ("", "ai.onnx"):
            continue
        (source,), (result,) = node.inputs, node.outputs
        if source is None or (result.is_graph_output() and not _may_be_result(source, node)):
            continue
        _drop(node, source, result)


def _may_be_result(source: ir.Value, node: ir.Node) -> bool:
    outside = source.graph is not node.graph
    return not (
        outside or source.is_graph_input() or source.is_initializer() or source.is_graph_output()
    )


def _drop(node: ir.Node, source: ir.Value, result: ir.Value) -> None:
    assert node.graph is not None
    if source.type is None:
        source.type = result.type
    if source.shape is None:
        source.shape = result.shape
    is_output, name = result.is_graph_output(), result.name
    ir.convenience.replace_all_uses_with(result, source, replace_graph_outputs=True)
    if is_output:
        source.name = name
    node.graph.remove(node, safe=True)
