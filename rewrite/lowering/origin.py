"""Where the nodes of a file come from in the user's source: kept in memory, never written."""

from __future__ import annotations

import re
from collections.abc import Collection

import onnx_ir as ir
import onnx_ir.passes.common as common

from rewrite.provenance import line_of

_TRACE = "pkg.torch.onnx.stack_trace"
_NAME = re.compile(r"""(?<=['"(: ])[\w./:]+(?=[)'">])""")


def set_origin_aside(model: ir.Model) -> None:
    """Take the exporter's notes off a model, in place, keeping where its nodes come from.

    They hold paths of the machine, and are half of a small file.
    """
    for node in model.graph.all_nodes():
        node.meta[_TRACE] = node.metadata_props.get(_TRACE, "")
    common.ClearMetadataAndDocStringPass()(model)
    values = [*model.graph.inputs, *model.graph.initializers.values()]
    for value in [*values, *(o for node in model.graph for o in node.outputs)]:
        value.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.metadata_props.clear()


def origins_of(model: ir.Model, names: Collection[str]) -> dict[str, str]:
    """Return by name the line behind a node, or behind what it reads; '' where there is none.

    Args:
        model: as `set_origin_aside` left it.
        names: of nodes, or of results.
    """
    nodes = {name: node for node in model.graph.all_nodes() for name in _names(node)}
    return {name: _nearest(nodes[name]) if name in nodes else "" for name in names}


def _nearest(start: ir.Node) -> str:
    waiting, seen = [start], {start}
    for node in waiting:
        line = line_of(node.meta.get(_TRACE, ""))
        if line:
            return line
        for producer in (value.producer() for value in node.inputs if value is not None):
            if producer is not None and producer not in seen:
                seen.add(producer)
                waiting.append(producer)
    return ""


def _names(node: ir.Node) -> list[str | None]:
    return [node.name, *(value.name for value in node.outputs)]


def origin_of_named(model: ir.Model, message: str) -> str:
    """Return the line behind the first node that a runtime's message names, '' for none.

    Where it names none, that of the first node whose operator it names.

    Args:
        model: as `set_origin_aside` left it.
        message: names nodes or their results in quotes, parentheses or angle brackets.
    """
    traces = {}
    for node in model.graph.all_nodes():
        traces.update({name: node.meta.get(_TRACE, "") for name in _names(node) if name})
    found = [line_of(traces.get(name, "")) for name in _NAME.findall(message)]
    kinds = set(re.findall(r"[A-Za-z]+", message))
    found += [
        line_of(node.meta.get(_TRACE, ""))
        for node in model.graph.all_nodes()
        if len(node.op_type) > 2 and node.op_type in kinds
    ]
    return next(filter(None, found), "")
