"""Joins of tensors of which some hold nothing."""

from __future__ import annotations

import torch
from torch import fx

from rewrite.canonical.values import dtype, shape
from rewrite.emitter import Emitter
from rewrite.pattern import Match, Op
from rewrite.program import Program
from rewrite.rules import Rule
from rewrite.schema import arguments

aten = torch.ops.aten


class JoinOfElements(Rule):
    """cat(x, nothing, y) = cat(x, y): an empty cache in front of its first keys.

    torch takes a vector of no elements beside tensors of any rank, which no other library does.
    """

    pattern = Op(aten.cat.default, "join")
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline a join whose parts all have elements, and one of several types."""
        parts = arguments(match.root)["tensors"]
        if any(dtype(part) != dtype(match.root) for part in parts):
            return "its parts are of several types"
        kept = _kept(match.root)
        return None if len(kept) < len(parts) else "all its parts count"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the join of the others, or return the only one."""
        bound = arguments(match.root)
        parts = _kept(match.root)
        if len(parts) == 1:
            only: fx.Node = parts[0]
            return only
        return emit.call(
            aten.cat.default,
            like=match.root,
            val=match.root.meta["val"],
            tensors=parts,
            dim=bound["dim"],
        )


def _kept(join: fx.Node) -> list[fx.Node]:
    """Return the parts with elements; where none has any, those of the rank of the result."""
    parts = arguments(join)["tensors"]
    full = [part for part in parts if not _is_empty(part)]
    return full or [part for part in parts if len(shape(part)) == len(shape(join))]


def _is_empty(part: fx.Node) -> bool:
    return any(isinstance(size, int) and size == 0 for size in shape(part))


JOIN_RULES: list[Rule] = [JoinOfElements()]
