"""Sorting has one order: the first of equal values stays first, as runtimes have it."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from rewrite.emitter import Emitter
from rewrite.pattern import Match, Op
from rewrite.program import Program
from rewrite.rules import Rule
from rewrite.schema import arguments

aten = torch.ops.aten


class StableSort(Rule):
    """sort(x, d) = sort(x, d, stable): torch promises nothing about the order of equal values."""

    pattern = Op((aten.sort.default, aten.sort.stable), "sort")
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline a sort that is stable already."""
        return "it is stable" if arguments(match.root).get("stable") else None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the stable sort."""
        return _sort(match.root, emit, match.root.meta["val"])


class PlacesOfSort(Rule):
    """argsort(x, d) = sort(x, d, stable)[1]."""

    pattern = Op((aten.argsort.default, aten.argsort.stable), "sort")
    report_misses = False

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the stable sort and take its places."""
        return emit.item(_sort(match.root, emit), 1, like=match.root)


def _sort(call: fx.Node, emit: Emitter, val: Any = None) -> fx.Node:
    bound = arguments(call)
    return emit.call(
        aten.sort.stable,
        like=call,
        val=val,
        self=bound["self"],
        stable=True,
        dim=bound["dim"],
        descending=bound["descending"],
    )


SORT_RULES: list[Rule] = [StableSort(), PlacesOfSort()]
