"""What is computed from weights alone is a weight."""

from __future__ import annotations

import operator
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import torch
from torch import fx
from torch.fx.node import map_arg

from rewrite.canonical.common_calls import is_pure
from rewrite.emitter import Emitter

if TYPE_CHECKING:
    from rewrite.program import Program

aten = torch.ops.aten
_MOST_GROWTH = 2
"""A result may hold twice as many elements as the weights it is made of …"""
_SMALL = 2**16
"""… or this many, whatever it is made of: index tables, masks of known size."""
_LAYOUT = frozenset(
    {
        aten.reshape.default,
        aten.permute.default,
        aten.unsqueeze.default,
        aten.squeeze.dim,
        aten.squeeze.dims,
        aten.squeeze.default,
        aten.expand.default,
    }
)
"""Operators that cost nothing at run time, but would store a shared weight twice."""


def fold_constants(program: Program, written: Collection[str] = ()) -> int:
    """Replace what is computed from weights and literals by new weights; return how many.

    Args:
        program: changed in place.
        written: names of buffers that the model writes, which are no constants.
    """
    emit = Emitter(program)
    known: dict[fx.Node, int] = {}
    for node in program.graph.nodes:
        if _computable(node, known):
            known[node] = sum(known[n] for n in node.all_input_nodes)
        elif node.op == "get_attr" and node.target not in written:
            value = program.attribute(str(node.target))
            if isinstance(value, torch.Tensor):
                known[node] = value.numel()
    values: dict[fx.Node, Any] = {}
    folded = 0
    for node in [n for n in known if _worth_it(n, known)]:
        if node._erased:
            continue
        value = _value(node, program, values)
        emit.replace(node, _weight(node, value, emit))
        folded += 1
    return folded


def _computable(node: fx.Node, known: dict[fx.Node, int]) -> bool:
    if node.op != "call_function" or not is_pure(node.target):
        return False
    if node.target is not operator.getitem and not isinstance(node.target, torch._ops.OpOverload):
        return False
    if getattr(node.target, "namespace", "aten") != "aten":
        return False
    return all(source in known for source in node.all_input_nodes)


def _worth_it(node: fx.Node, known: dict[fx.Node, int]) -> bool:
    """Tell whether a computed value is where folding stops, and is no bigger than it may be."""
    val = node.meta.get("val")
    if node.op == "get_attr" or not isinstance(val, torch.Tensor):
        return False
    if not all(isinstance(s, int) for s in val.shape):
        return False
    if all(user in known and _fits(user, known) for user in node.users):
        return False
    return _fits(node, known)


def _fits(node: fx.Node, known: dict[fx.Node, int]) -> bool:
    val = node.meta.get("val")
    if not isinstance(val, torch.Tensor):
        return True
    if val.numel() > max(_MOST_GROWTH * known[node], _SMALL):
        return False
    return not _shares(node)


def _shares(node: fx.Node) -> bool:
    """Tell whether a value is a weight in another layout, which others read as it is."""
    while node.op == "call_function" and node.target in _LAYOUT:
        source = node.all_input_nodes[0]
        if len(source.users) > 1:
            return True
        node = source
    return False


def _value(node: fx.Node, program: Program, values: dict[fx.Node, Any]) -> Any:
    if node.op == "get_attr":
        return program.weight(str(node.target))
    if node not in values:
        for source in node.all_input_nodes:
            _value(source, program, values)

        def value(source: fx.Node) -> Any:
            return _value(source, program, values)

        with torch.no_grad():
            values[node] = node.target(  # type: ignore[operator]
                *map_arg(node.args, value), **map_arg(node.kwargs, value)
            )
    return values[node]


def _weight(node: fx.Node, value: torch.Tensor, emit: Emitter) -> fx.Node:
    """Store a value, named after the first weight it is made of."""
    pending, source = [node], "constant"
    while pending:
        candidate = pending.pop(0)
        if candidate.op == "get_attr":
            source = str(candidate.target)
            break
        pending.extend(candidate.all_input_nodes)
    recipe = ("folded", node.name)
    return emit.weight(value.contiguous().clone(), source=source, recipe=recipe, dtype=value.dtype)
