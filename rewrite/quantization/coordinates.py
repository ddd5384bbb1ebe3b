"""Layers whose results say where something is, not what it is."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import torch
from torch import fx

from rewrite.program import Program
from rewrite.schema import arguments

aten = torch.ops.aten

_PLACES = {
    aten.grid_sampler.default: "grid",
    aten.grid_sampler_2d.default: "grid",
    aten.grid_sampler_3d.default: "grid",
    aten.gather.default: "index",
    aten.index.Tensor: "indices",
    aten.index_select.default: "index",
}
"""The argument of each call that says which values are read."""
_CHOOSE = (
    aten.argmax.default,
    aten.argmin.default,
    aten.argsort.default,
    aten.sort.default,
    aten.topk.default,
)
"""What finds places by comparing values: rounding moves them where values are near alone."""


def feeding_coordinates(program: Program, kernels: Collection[fx.Node]) -> dict[fx.Node, str]:
    """Return the layers that a grid or an index is computed from, and why they stay float.

    A value that is off by half a step of 255 is still that value, nearly; a place is another one.

    Args:
        program: canonical.
        kernels: the calls that would be quantized; the walk ends there.
    """
    found: dict[fx.Node, str] = {}
    for node in program.graph.nodes:
        name = _PLACES.get(node.target)
        if name is None:
            continue
        reader = str(node.target).split(".")[-2]
        for source in _nodes(arguments(node)[name]):
            for kernel in _behind(source, kernels):
                found.setdefault(
                    kernel, f"its result gives {reader} its places, which int8 would move"
                )
    return found


def _behind(source: fx.Node, kernels: Collection[fx.Node]) -> Iterator[fx.Node]:
    """Yield the kernels that a value is computed from without another one between."""
    seen, open_nodes = {source}, [source]
    while open_nodes:
        node = open_nodes.pop()
        if node in kernels:
            yield node
            continue
        if node.target in _CHOOSE:
            continue
        fresh = [each for each in node.all_input_nodes if each not in seen]
        seen.update(fresh)
        open_nodes += fresh


def _nodes(value: object) -> list[fx.Node]:
    given = value if isinstance(value, (list, tuple)) else [value]
    return [each for each in given if isinstance(each, fx.Node)]
