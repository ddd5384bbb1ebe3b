"""Which type a runtime has no kernel for: its message names the node alone."""

from __future__ import annotations

import re
from collections.abc import Iterable

import onnx
import onnx_ir as ir

_NODE = re.compile(r"Could not find an implementation for (\w+)\(\d+\) node with name '([^']*)'")


def why_missing(message: str, model: str | bytes) -> str:
    """Return what to do about a node without a kernel, '' where that is not what happened.

    Args:
        message: of ONNX Runtime.
        model: the file, or what it holds.
    """
    found = _NODE.search(message)
    if found is None:
        return ""
    op, name = found.groups()
    if isinstance(model, str):
        whole = onnx.load(model, load_external_data=False)
    else:
        whole = onnx.load_model_from_string(model)
    graph = ir.from_proto(whole).graph
    nodes = [n for n in graph.all_nodes() if n.op_type == op and (n.name or "") == name]
    types = list(dict.fromkeys(_types(nodes)))
    if not types:
        return ""
    advice = "choose another type"
    if "bfloat16" in types:
        advice = "make the model float32, as model.float() does"
    return f"ONNX Runtime has no CPU kernel of {op} for {' and '.join(types)}: {advice}"


def _types(nodes: Iterable[ir.Node]) -> Iterable[str]:
    for node in nodes:
        for value in (*node.inputs, *node.outputs):
            if value is not None and value.dtype is not None:
                yield value.dtype.name.lower()
