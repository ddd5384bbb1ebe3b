"""The graph that OpenVINO executes: its layers, and which node of the file each one computes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from rewrite.runtimes import qdq_graph

__all__ = ["ExecutedLayer", "executed_layers", "layer_kind", "match"]

_COMPUTE_LAYERS = frozenset(
    {"Convolution", "Deconvolution", "FullyConnected", "MatMul", "Subgraph"}
)
_LAID_OUT = frozenset({"Convert", "Reorder", "Reshape", "Transpose"})
"""What may stand between a layer and its weight."""
# What OpenVINO adds to a name as it takes a node apart.
_SUFFIX = re.compile(r"(/WithoutBiases|/Dequantization(Subtract|Multiply)|_original)$")


@dataclass(frozen=True)
class ExecutedLayer:
    """An executed layer that computes."""

    names: frozenset[str]
    """Of everything that went into it."""
    weight: str
    """The constant it reads, under its name in the file; empty if there is none."""
    kernel: str


def executed_layers(model: Any) -> list[ExecutedLayer]:
    """Return the layers that compute, of the graph that the plugin executes."""
    layers = []
    for operation in model.get_ordered_ops():
        info, kind = operation.get_rt_info(), layer_kind(operation)
        if kind not in _COMPUTE_LAYERS:
            continue
        names = {operation.get_friendly_name(), *_info(info, "originalLayersNames").split(",")}
        # Older releases call it execType.
        detail = _info(info, "primitiveType") or _info(info, "execType")
        spellings = frozenset(spelling for name in names for spelling in _spellings(name))
        layers.append(ExecutedLayer(spellings, _weight(operation), f"{kind}:{detail}"))
    return layers


def layer_kind(operation: Any) -> str:
    """Return what the plugin calls the kind of an executed operation."""
    return _info(operation.get_rt_info(), "layerType")


def _weight(operation: Any) -> str:
    """Return the name of the constant behind the second input, through what lays it out."""
    inputs = operation.input_values()[1:2]
    while inputs:
        source = inputs[0].get_node()
        kind = layer_kind(source)
        if kind == "Const":
            return str(source.get_friendly_name())
        # The other side of a sum is no weight: it would lead through the model to its beginning.
        inputs = source.input_values()[:1] if kind in _LAID_OUT else []
    return ""


def match(nodes: list[ir.Node], layers: list[ExecutedLayer]) -> dict[ir.Node, str]:
    """Return the kernel of each node by its name, else by its weight.

    A factor that is merged into the weight takes the layer's name along.
    """
    by_name: dict[str, str] = {}
    for layer in layers:
        for name in layer.names:
            by_name.setdefault(name, layer.kernel)
    found: dict[ir.Node, str] = {}
    for node in nodes:
        # A node without a Q behind it may take the name of its output.
        for own in (node.outputs[0].name, node.name):
            if own and own in by_name:
                found[node] = by_name[own]
    by_weight: dict[str, list[str]] = {}
    for layer in layers:
        by_weight.setdefault(layer.weight, []).append(layer.kernel)
    readers = Counter(name for node in nodes for name in qdq_graph.upstream_constants(node))
    for node in nodes:
        for weight in qdq_graph.upstream_constants(node):
            if readers[weight] == 1 and len(by_weight.get(weight, ())) == 1:
                found.setdefault(node, by_weight[weight][0])
    return found


def _info(info: Any, key: str) -> str:
    if key not in info:
        return ""
    return str(getattr(info[key], "value", info[key]))


def _spellings(name: str) -> Iterator[str]:
    previous = None
    while name != previous:
        yield name
        previous, name = name, _SUFFIX.sub("", name)
