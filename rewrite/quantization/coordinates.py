"""Layers whose results say where something is, not what it is."""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterator

import torch
from torch import fx

from rewrite.program import Program
from rewrite.schema import arguments

aten = torch.ops.aten

_PLACES = ("grid", "index", "indices")
"""What operators call the argument that says which values are read or written."""
_CHOOSE = (
    aten.argmax.default,
    aten.argmin.default,
    aten.argsort.default,
    aten.bucketize.Tensor,
    aten.searchsorted.Tensor,
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
        for source in _places(node):
            reader = str(node.target).split(".")[-2]
            for kernel in _behind(source, kernels):
                found.setdefault(
                    kernel, f"its result gives {reader} its places, which int8 would move"
                )
    return found


def _places(node: fx.Node) -> list[fx.Node]:
    """Return what says which values a call reads or writes."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return []
    given = arguments(node)
    values = [given[name] for name in _PLACES if name in given]
    return [each for value in values for each in _nodes(value)]


def _behind(source: fx.Node, kernels: Collection[fx.Node]) -> Iterator[fx.Node]:
    """Yield the kernels that a value is computed from without another one between."""
    seen, open_nodes = {source}, [source]
    while open_nodes:
        node = open_nodes.pop()
        if node in kernels:
            yield node
            continue
        if _chooses(node):
            continue
        fresh = [each for each in node.all_input_nodes if each not in seen]
        seen.update(fresh)
        open_nodes += fresh


def _chooses(node: fx.Node) -> bool:
    """Tell whether a value says which of others is the larger: their places, or a mask."""
    value = node.meta.get("val")
    dtype = value.dtype if isinstance(value, torch.Tensor) else None
    if node.target is operator.getitem:
        return dtype == torch.int64 and _is_second_result(node)
    return dtype == torch.bool or node.target in _CHOOSE


def _is_second_result(item: fx.Node) -> bool:
    """Tell whether an operator returns something else first, as a sort or a pool does."""
    given = arguments(item)
    target = given["self"].target
    several = isinstance(target, torch._ops.OpOverload) and len(target._schema.returns) > 1
    return several and given["index"] > 0


def _nodes(value: object) -> list[fx.Node]:
    given = value if isinstance(value, (list, tuple)) else [value]
    return [each for each in given if isinstance(each, fx.Node)]
