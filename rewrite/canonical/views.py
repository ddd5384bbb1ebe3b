"""Strides are no part of the program: every view is one reshape."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from rewrite.canonical.values import positive_dim, rank, same_size, shape
from rewrite.emitter import Emitter
from rewrite.pattern import Match, Op
from rewrite.program import Program
from rewrite.rules import Rule
from rewrite.schema import argument, arguments, is_call

aten = torch.ops.aten
_SHAPE_ONLY = (aten.reshape.default, aten.unsqueeze.default, aten.squeeze, aten.flatten.using_ints)


class ViewIsReshape(Rule):
    """view(x, size) = reshape(x, size)."""

    pattern = Op((aten.view.default, aten._unsafe_view.default), "view")
    report_misses = False

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the reshape."""
        return emit.call(
            aten.reshape.default,
            like=match.root,
            val=match.root.meta["val"],
            self=argument(match.root, "self"),
            shape=argument(match.root, "size"),
        )


class FlattenIsReshape(Rule):
    """flatten(x, a, b) = reshape(x, s), unflatten(x, a, f) = reshape(x, s)."""

    pattern = Op((aten.flatten.using_ints, aten.unflatten.int), "view")
    report_misses = False

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the reshape; sizes in front and behind are those of x."""
        bound, source = arguments(match.root), argument(match.root, "self")
        if match.root.target is aten.flatten.using_ints:
            first = positive_dim(bound["start_dim"], source)
            behind, inner = positive_dim(bound["end_dim"], source) + 1, [-1]
        else:
            first = positive_dim(bound["dim"], source)
            behind, inner = first + 1, list(bound["sizes"])
        outer = [_size(source, i, match.root, emit) for i in range(rank(source))]
        return emit.call(
            aten.reshape.default,
            like=match.root,
            val=match.root.meta["val"],
            self=source,
            shape=[*outer[:first], *inner, *outer[behind:]],
        )


class SizesInNumbers(Rule):
    """reshape(x, s) with each known size of s as a number, and a single unknown one as -1."""

    pattern = Op(aten.reshape.default, "view")
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline sizes in their form, and those of empty results, which -1 cannot tell."""
        given, wanted = list(argument(match.root, "shape")), _sizes(match.root)
        if 0 in shape(match.root):
            return "its result is empty"
        return "it is in its one form" if given == wanted else None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the reshape with these sizes."""
        return emit.call(
            aten.reshape.default,
            like=match.root,
            val=match.root.meta["val"],
            self=argument(match.root, "self"),
            shape=_sizes(match.root),
        )


class ReshapeOfReshape(Rule):
    """reshape(f(x), s) = reshape(x, s) for every f that keeps the order of the elements."""

    pattern = Op(aten.reshape.default, self=Op((*_SHAPE_ONLY, aten.permute.default), "inner"))
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline a permute that moves elements."""
        inner = match["inner"]
        if is_call(inner, aten.permute.default) and not _moves_ones_only(inner):
            return "the permute under it moves elements"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit one reshape of the source."""
        return emit.call(
            aten.reshape.default,
            like=match.root,
            val=match.root.meta["val"],
            self=argument(match["inner"], "self"),
            shape=argument(match.root, "shape"),
        )


class SqueezeNamesOnes(Rule):
    """squeeze(x) = squeeze(x, d) = squeeze(x, those of d whose size is 1)."""

    pattern = Op((aten.squeeze.default, aten.squeeze.dims), "view")
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline the list of the dimensions that go, and what changes nothing."""
        ones = _squeezed(match.root)
        if not ones:
            return "none of its dimensions has the size 1"
        named = list(arguments(match.root).get("dim") or ())
        return "it is in its one form" if named == ones and len(ones) > 1 else None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the squeeze of these dimensions."""
        ones = _squeezed(match.root)
        several = len(ones) > 1
        return emit.call(
            aten.squeeze.dims if several else aten.squeeze.dim,
            like=match.root,
            val=match.root.meta["val"],
            self=argument(match.root, "self"),
            dim=ones if several else ones[0],
        )


def _squeezed(view: fx.Node) -> list[int]:
    """Return the dimensions that a squeeze drops: at capture a dynamic size is no 1."""
    source: Any = argument(view, "self")
    given = arguments(view).get("dim")
    asked = range(rank(source)) if given is None else {d % max(1, rank(source)) for d in given}
    return [d for d in sorted(asked) if d < rank(source) and same_size(shape(source)[d], 1)]


def _sizes(view: fx.Node) -> list[Any]:
    given, result = argument(view, "shape"), shape(view)
    unknown = sum(not isinstance(size, int) for size in result)
    if unknown == 1:
        return [size if isinstance(size, int) else -1 for size in result]
    return [r if isinstance(r, int) else g for g, r in zip(given, result, strict=True)]


def _size(source: fx.Node, dim: int, like: fx.Node, emit: Emitter) -> Any:
    size = shape(source)[dim]
    if isinstance(size, int):
        return size
    return emit.call(aten.sym_size.int, like=like, val=size, self=source, dim=dim)


def _moves_ones_only(permute: fx.Node) -> bool:
    source: Any = argument(permute, "self")
    sizes = shape(source)
    kept = [d % rank(source) for d in argument(permute, "dims")]
    moved = [d for d in kept if not same_size(sizes[d], 1)]
    return moved == sorted(moved)


VIEW_RULES: list[Rule] = [
    ViewIsReshape(),
    FlattenIsReshape(),
    SizesInNumbers(),
    ReshapeOfReshape(),
    SqueezeNamesOnes(),
]
