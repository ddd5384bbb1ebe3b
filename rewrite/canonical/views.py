"""Strides are no part of the program: every view is one reshape."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from rewrite.canonical.values import rank, same_size, shape
from rewrite.emitter import Emitter
from rewrite.pattern import Match, Op
from rewrite.program import Program
from rewrite.rules import Rule
from rewrite.schema import argument, is_call

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
    """flatten(x, a, b) = reshape(x, s), unflatten(x, a, f) = reshape(x, s), s with one -1."""

    pattern = Op((aten.flatten.using_ints, aten.unflatten.int), "view")
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline when two sizes are symbols, which one -1 cannot stand for."""
        if sum(not isinstance(s, int) for s in shape(match.root)) > 1:
            return "two of its sizes are known at run time only"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the reshape."""
        sizes = [s if isinstance(s, int) else -1 for s in shape(match.root)]
        value = argument(match.root, "self")
        return emit.call(
            aten.reshape.default,
            like=match.root,
            val=match.root.meta["val"],
            self=value,
            shape=sizes,
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


def _moves_ones_only(permute: fx.Node) -> bool:
    source: Any = argument(permute, "self")
    sizes = shape(source)
    kept = [d % rank(source) for d in argument(permute, "dims")]
    moved = [d for d in kept if not same_size(sizes[d], 1)]
    return moved == sorted(moved)


VIEW_RULES: list[Rule] = [ViewIsReshape(), FlattenIsReshape(), ReshapeOfReshape()]
