"""Where the axes of what a call reads are found again in what it returns."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import fx

from rewrite.elementwise import ACTIVATIONS
from rewrite.quantization.markers import DEQUANTIZE, OBSERVE, QUANTIZE
from rewrite.schema import arguments

aten = torch.ops.aten

Carried = tuple[fx.Node, dict[int, int]]
"""A value that is read, and the axis of the result for each of its axes that is kept whole."""

_SAME = (*ACTIVATIONS, aten._to_copy.default, aten.prelu.default, aten.triu.default,
         aten.tril.default, aten.contiguous.default, QUANTIZE, DEQUANTIZE, OBSERVE)  # fmt: skip
_ALONG = (
    aten.softmax.int,
    aten._softmax.default,
    aten.log_softmax.int,
    aten._log_softmax.default,
    aten.cumsum.default,
)
"""They mix what lies along `dim`, and keep the shape."""


def carried(node: fx.Node) -> list[Carried]:
    """Return the axes that a call carries on, for every tensor that it reads.

    An axis is carried when slot i of the result along it depends on slot i of what was read alone.
    What is not known to carry an axis is taken not to.
    """
    if node.op != "call_function" or rank(node) is None:
        return []
    target: Any = node.target
    if target in _RULES:
        return list(_RULES[target](node))
    tags = getattr(target, "tags", ())
    if target in _SAME or torch.Tag.pointwise in tags:
        return list(_broadcast(node))
    if torch.Tag.reduction in tags or target in _REDUCTIONS:
        return list(_reduction(node))
    if target in _ALONG:
        source = arguments(node)["self"]
        return [(source, _without(source, arguments(node)["dim"]))]
    return []


def rank(node: Any) -> int | None:
    """Return the number of dimensions of a value, None where it is no tensor."""
    value = node.meta.get("val") if isinstance(node, fx.Node) else None
    return value.dim() if isinstance(value, torch.Tensor) else None


def expressions(node: fx.Node) -> list[Any]:
    """Return the sizes of a tensor, symbolic ones as expressions."""
    return [getattr(getattr(s, "node", None), "expr", s) for s in node.meta["val"].shape]


def _ranked(node: fx.Node) -> int:
    return rank(node) or 0


def _tensors(node: fx.Node) -> Iterator[fx.Node]:
    return (source for source in node.all_input_nodes if rank(source) is not None)


def _broadcast(node: fx.Node) -> Iterator[Carried]:
    whole = expressions(node)
    for source in _tensors(node):
        shift = len(whole) - _ranked(source)
        sizes = expressions(source)
        yield source, {a: a + shift for a, s in enumerate(sizes) if whole[a + shift] == s}


def _without(source: fx.Node, *dims: int) -> dict[int, int]:
    gone = {dim % max(_ranked(source), 1) for dim in dims}
    return {a: a for a in range(_ranked(source)) if a not in gone}


def _reduction(node: fx.Node) -> Iterator[Carried]:
    bound = arguments(node)
    source, dim = bound.get("self"), bound.get("dim")
    if not isinstance(source, fx.Node) or dim is None or dim == []:
        return
    count = _ranked(source)
    gone = (
        {d % count for d in (dim if isinstance(dim, (list, tuple)) else (dim,))} if count else {0}
    )
    kept = [a for a in range(count) if a not in gone]
    stay = bool(bound.get("keepdim"))
    yield source, {a: a if stay else place for place, a in enumerate(kept)}


_REDUCTIONS = (
    aten.mean.dim,
    aten.sum.dim_IntList,
    aten.amax.default,
    aten.amin.default,
    aten.prod.dim_int,
    aten.any.dim,
    aten.all.dim,
    aten.argmax.default,
    aten.argmin.default,
    aten.logsumexp.default,
)


def _permute(node: fx.Node) -> Iterator[Carried]:
    bound = arguments(node)
    count = _ranked(bound["self"])
    yield bound["self"], {d % count: place for place, d in enumerate(bound["dims"])}


def _transpose(node: fx.Node) -> Iterator[Carried]:
    bound = arguments(node)
    count = _ranked(bound["self"])
    first, second = bound["dim0"] % count, bound["dim1"] % count
    swap = {first: second, second: first}
    yield bound["self"], {a: swap.get(a, a) for a in range(count)}


def _relaid(node: fx.Node) -> Iterator[Carried]:
    """Follow axes of the same size that have as many numbers in front of them as before."""
    source = next(_tensors(node))
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
    gone = bound["dim"] % _ranked(bound["self"])
    yield (
        bound["self"],
        {a: a - (a > gone) for a in range(_ranked(bound["self"])) if a != gone},
    )


def _cut(node: fx.Node) -> Iterator[Carried]:
    bound = arguments(node)
    yield bound["self"], _without(bound["self"], bound["dim"])


def _part(node: fx.Node) -> Iterator[Carried]:
    """Follow one of the tensors that a split returns."""
    call = arguments(node)["self"]
    if call.target in (aten.split.Tensor, aten.split_with_sizes.default, aten.chunk.default):
        bound = arguments(call)
        yield bound["self"], _without(bound["self"], bound["dim"])


def _gather(node: fx.Node) -> Iterator[Carried]:
    bound = arguments(node)
    yield bound["self"], _without(bound["self"], bound["dim"])
    yield bound["index"], {a: a for a in range(_ranked(bound["index"]))}


def _index_select(node: fx.Node) -> Iterator[Carried]:
    bound = arguments(node)
    dim = bound["dim"] % _ranked(bound["self"])
    yield bound["self"], _without(bound["self"], dim)
    yield bound["index"], {0: dim}


def _index(node: fx.Node) -> Iterator[Carried]:
    """Follow indices that stand side by side: their axes take the place of those they index."""
    bound = arguments(node)
    given = list(bound["indices"])
    places = [p for p, index in enumerate(given) if isinstance(index, fx.Node)]
    if not places or places != list(range(places[0], places[-1] + 1)):
        return
    wide = max(_ranked(given[p]) for p in places)
    first, last = places[0], places[-1]
    source = bound["self"]
    kept = {a: a if a < first else a - (last - first + 1) + wide for a in range(_ranked(source))}
    yield source, {a: to for a, to in kept.items() if not first <= a <= last}
    whole = expressions(node)
    for place in places:
        shift = first + wide - _ranked(given[place])
        sizes = expressions(given[place])
        yield given[place], {a: a + shift for a, s in enumerate(sizes) if whole[a + shift] == s}


def _embedding(node: fx.Node) -> Iterator[Carried]:
    indices = arguments(node)["indices"]
    yield indices, {a: a for a in range(_ranked(indices))}


def _matmul(node: fx.Node) -> Iterator[Carried]:
    bound = arguments(node)
    left: fx.Node = bound["self"]
    right: fx.Node = bound["other"] if "other" in bound else bound["mat2"]
    if _ranked(left) < 2 or _ranked(right) < 2:
        return
    wide = _ranked(node)
    shift = wide - _ranked(left)
    yield left, {a: a + shift for a in range(_ranked(left) - 1)}
    shift = wide - _ranked(right)
    columns = _ranked(right) - 2
    yield right, {a: a + shift for a in range(_ranked(right)) if a != columns}


def _linear(node: fx.Node) -> Iterator[Carried]:
    source = arguments(node)["input"]
    yield source, {a: a for a in range(_ranked(source) - 1)}


def _cat(node: fx.Node) -> Iterator[Carried]:
    bound = arguments(node)
    for source in bound["tensors"]:
        yield source, _without(source, bound["dim"])


def _stack(node: fx.Node) -> Iterator[Carried]:
    bound = arguments(node)
    new = bound["dim"] % _ranked(node)
    for source in bound["tensors"]:
        yield source, {a: a + (a >= new) for a in range(_ranked(source))}


_RULES: dict[Any, Callable[[fx.Node], Iterator[Carried]]] = {
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
    aten.expand.default: _broadcast,
    aten.select.int: _select,
    aten.slice.Tensor: _cut,
    aten.narrow.default: _cut,
    operator.getitem: _part,
    aten.gather.default: _gather,
    aten.index_select.default: _index_select,
    aten.index.Tensor: _index,
    aten.embedding.default: _embedding,
    aten.matmul.default: _matmul,
    aten.bmm.default: _matmul,
    aten.linear.default: _linear,
    aten.cat.default: _cat,
    aten.stack.default: _stack,
}
