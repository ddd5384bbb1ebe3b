"""A size that an input has is read there."""

from __future__ import annotations

import torch
from torch import fx

from rewrite.canonical.values import positive_dim, same_size, shape
from rewrite.emitter import Emitter
from rewrite.pattern import Match, Op
from rewrite.program import Program
from rewrite.rules import Rule
from rewrite.schema import arguments

aten = torch.ops.aten


class SizeOfInput(Rule):
    """size(x, d) = size(i, e), i the first input with a dimension e of the same size."""

    pattern = Op(aten.sym_size.int, "size")
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline sizes that no input has, and those that are read there."""
        place = _place(match.root, program)
        if place is None:
            return "no input has this size"
        bound = arguments(match.root)
        same = place == (bound["self"], positive_dim(bound["dim"], bound["self"]))
        return "it is read from the input" if same else None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the size of the input."""
        place = _place(match.root, emit.program)
        assert place is not None
        val = match.root.meta["val"]
        return emit.call(aten.sym_size.int, like=match.root, val=val, self=place[0], dim=place[1])


def _place(size: fx.Node, program: Program) -> tuple[fx.Node, int] | None:
    for node in program.inputs():
        for dim, other in enumerate(shape(node)):
            if not isinstance(other, int) and same_size(other, size.meta["val"]):
                return node, dim
    return None


SIZE_RULES: list[Rule] = [SizeOfInput()]
