"""Where operators that only move numbers put the axes of what they read."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import torch
from torch import fx

from rewrite.checks.axes import (
    Carried,
    CarryRule,
    broadcast,
    expressions,
    ranked,
    tensors,
    without,
)
from rewrite.schema import arguments

__all__ = ["MOVES"]

aten = torch.ops.aten


def _permute(node: fx.Node) -> Iterator[Carried]:
    bound = arguments(node)
    count = ranked(bound["self"])
    yield bound["self"], {d % count: place for place, d in enumerate(bound["dims"])}


def _transpose(node: fx.Node) -> Iterator[Carried]:
    bound = arguments(node)
    count = ranked(bound["self"])
    first, second = bound["dim0"] % count, bound["dim1"] % count
    swap = {first: second, second: first}
    yield bound["self"], {a: swap.get(a, a) for a in range(count)}


def _relaid(node: fx.Node) -> Iterator[Carried]:
    """Follow axes of the same size that have as many numbers in front of them as before."""
    source = next(tensors(node))
    places: dict[Any, int] = {}
    before: Any = 1
    for axis, size in enumerate(expressions(node)):
        if size != 1:
            places[before, size] = axis
        before = before * size
    kept, before = {}, 1
    for axis, size in enumerate(expressions(source)):
        if (before, size) in places:
            kept[axis] = places[before, size]
        before = before * size
    yield source, kept


def _select(node: fx.Node) -> Iterator[Carried]:
    bound = arguments(node)
    gone = bound["dim"] % ranked(bound["self"])
    yield (
        bound["self"],
        {a: a - (a > gone) for a in range(ranked(bound["self"])) if a != gone},
    )


def _cut(node: fx.Node) -> Iterator[Carried]:
    bound = arguments(node)
    yield bound["self"], without(bound["self"], bound["dim"])


def _part(node: fx.Node) -> Iterator[Carried]:
    """Follow one of the tensors that a split returns."""
    call = arguments(node)["self"]
    if call.target in (aten.split.Tensor, aten.split_with_sizes.default, aten.chunk.default):
        bound = arguments(call)
        yield bound["self"], without(bound["self"], bound["dim"])
    elif call.target is aten.unbind.int:
        yield from _select(call)


def _gather(node: fx.Node) -> Iterator[Carried]:
    bound = arguments(node)
    yield bound["self"], without(bound["self"], bound["dim"])
    yield bound["index"], {a: a for a in range(ranked(bound["index"]))}


def _index_select(node: fx.Node) -> Iterator[Carried]:
    bound = arguments(node)
    if not ranked(bound["self"]):
        return
    dim = bound["dim"] % ranked(bound["self"])
    yield bound["self"], without(bound["self"], dim)
    yield bound["index"], {0: dim}


def _index(node: fx.Node) -> Iterator[Carried]:
    """Follow indices that stand side by side: their axes take the place of those they index."""
    bound = arguments(node)
    given = list(bound["indices"])
    places = [p for p, index in enumerate(given) if isinstance(index, fx.Node)]
    if not places or places != list(range(places[0], places[-1] + 1)):
        return
    # A mask of several axes makes one of them, with as many places as it has true ones.
    if any(_is_wide_mask(given[place]) for place in places):
        return
    wide = max(ranked(given[p]) for p in places)
    first, last = places[0], places[-1]
    source = bound["self"]
    kept = {a: a if a < first else a - (last - first + 1) + wide for a in range(ranked(source))}
    yield source, {a: to for a, to in kept.items() if not first <= a <= last}
    whole = expressions(node)
    for place in places:
        shift = first + wide - ranked(given[place])
        sizes = expressions(given[place])
        yield given[place], {a: a + shift for a, s in enumerate(sizes) if whole[a + shift] == s}


def _is_wide_mask(index: fx.Node) -> bool:
    value = index.meta["val"]
    return value.dtype in (torch.bool, torch.uint8) and value.dim() != 1


def _embedding(node: fx.Node) -> Iterator[Carried]:
    indices = arguments(node)["indices"]
    yield indices, {a: a for a in range(ranked(indices))}


def _cat(node: fx.Node) -> Iterator[Carried]:
    bound = arguments(node)
    for source in bound["tensors"]:
        yield source, without(source, bound["dim"])


def _stack(node: fx.Node) -> Iterator[Carried]:
    bound = arguments(node)
    new = bound["dim"] % ranked(node)
    for source in bound["tensors"]:
        yield source, {a: a + (a >= new) for a in range(ranked(source))}


def _repeat(node: fx.Node) -> Iterator[Carried]:
    """Follow the axes that are there once."""
    bound = arguments(node)
    source, times = bound["self"], list(bound["repeats"])
    shift = len(times) - ranked(source)
    yield source, {a: a + shift for a in range(ranked(source)) if times[a + shift] == 1}


def _along(node: fx.Node) -> Iterator[Carried]:
    """Follow the axes that are not named, of roll, flip and repeat_interleave."""
    bound = arguments(node)
    dims = bound["dims"] if "dims" in bound else bound["dim"]
    if dims is None or dims == []:
        return
    yield bound["self"], without(bound["self"], *(dims if isinstance(dims, list) else [dims]))


def _pad(node: fx.Node) -> Iterator[Carried]:
    bound = arguments(node)
    source, pad = bound["self"], list(bound["pad"])
    last = ranked(source) - 1
    padded = [last - k // 2 for k, width in enumerate(pad) if width != 0]
    yield source, without(source, *padded)


MOVES: dict[Any, CarryRule] = {
    aten.permute.default: _permute,
    aten.transpose.int: _transpose,
    **dict.fromkeys(
        (
            aten.reshape.default,
            aten.view.default,
            aten.flatten.using_ints,
            aten.unflatten.int,
            aten.unsqueeze.default,
            aten.squeeze.default,
            aten.squeeze.dim,
            aten.squeeze.dims,
        ),
        _relaid,
    ),
    aten.expand.default: broadcast,
    aten.select.int: _select,
    aten.slice.Tensor: _cut,
    aten.narrow.default: _cut,
    operator.getitem: _part,
    aten.gather.default: _gather,
    aten.index_select.default: _index_select,
    aten.index.Tensor: _index,
    aten.embedding.default: _embedding,
    aten.cat.default: _cat,
    aten.stack.default: _stack,
    aten.repeat.default: _repeat,
    aten.repeat_interleave.self_int: _along,
    aten.roll.default: _along,
    aten.flip.default: _along,
    aten.constant_pad_nd.default: _pad,
    aten.pad.default: _pad,
}
