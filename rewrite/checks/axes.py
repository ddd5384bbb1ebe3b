"""Axes of the tensors that a call reads, and what the rules of operators say of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import fx

Carried = tuple[fx.Node, dict[int, int]]
"""A value that is read, and the axis of the result for each of its axes that is kept whole."""

CarryRule = Callable[[fx.Node], Iterator[Carried]]


def rank(node: Any) -> int | None:
    """Return the number of dimensions of a value, None where it is no tensor."""
    value = node.meta.get("val") if isinstance(node, fx.Node) else None
    return value.dim() if isinstance(value, torch.Tensor) else None


def expressions(node: fx.Node) -> list[Any]:
    """Return the sizes of a tensor, symbolic ones as expressions."""
    return [getattr(getattr(s, "node", None), "expr", s) for s in node.meta["val"].shape]


def ranked(node: fx.Node) -> int:
    """Return the number of dimensions of a value, 0 where it is no tensor."""
    return rank(node) or 0


def tensors(node: fx.Node) -> Iterator[fx.Node]:
    """Yield the tensors that a call reads."""
    return (source for source in node.all_input_nodes if rank(source) is not None)


def broadcast(node: fx.Node) -> Iterator[Carried]:
    """Carry the axes that are as long in what is read as in the result, counted from the last."""
    whole = expressions(node)
    for source in tensors(node):
        shift = len(whole) - ranked(source)
        sizes = expressions(source)
        yield source, {a: a + shift for a, s in enumerate(sizes) if whole[a + shift] == s}


def without(source: fx.Node, *dims: int) -> dict[int, int]:
    """Return all axes of a tensor but some, each carried to its own place."""
    gone = {dim % max(ranked(source), 1) for dim in dims}
    return {a: a for a in range(ranked(source)) if a not in gone}
