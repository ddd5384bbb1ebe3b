"""Every transposition is one permute with its dimensions counted from the front."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from rewrite.canonical.values import positive_dim, positive_dims, rank
from rewrite.emitter import Emitter
from rewrite.pattern import Match, Op
from rewrite.program import Program
from rewrite.rules import Rule
from rewrite.schema import argument, arguments

aten = torch.ops.aten


class TransposeIsPermute(Rule):
    """transpose(x, a, b) = permute(x, p), p the identity with a and b exchanged; t, mT, T alike."""

    pattern = Op(
        (aten.transpose.int, aten.t.default, aten.numpy_T.default, aten.mT.default), "transpose"
    )
    report_misses = False

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the permute."""
        bound = arguments(match.root)
        source = bound["self"]
        dims = list(range(rank(source)))
        if match.root.target is aten.transpose.int and dims:
            a, b = positive_dim(bound["dim0"], source), positive_dim(bound["dim1"], source)
            dims[a], dims[b] = dims[b], dims[a]
        elif match.root.target is aten.mT.default:
            dims[-1], dims[-2] = dims[-2], dims[-1]
        else:
            dims.reverse()
        return _permute(emit, match.root, source, dims)


class PermuteOfPermute(Rule):
    """permute(permute(x, p), q) = permute(x, p∘q)."""

    pattern = Op(aten.permute.default, self=Op(aten.permute.default, "inner"))
    report_misses = False

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit one permute of the source."""
        inner = match["inner"]
        source = argument(inner, "self")
        first = positive_dims(argument(inner, "dims"), source)
        second = positive_dims(argument(match.root, "dims"), source)
        return _permute(emit, match.root, source, [first[d] for d in second])


class PermuteIsIdentity(Rule):
    """permute(x, (0, 1, …, n-1)) = x."""

    pattern = Op(aten.permute.default, "permute")
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline a permute that moves a dimension."""
        source: Any = argument(match.root, "self")
        moves = positive_dims(argument(match.root, "dims"), source) != list(range(rank(source)))
        return "it moves a dimension" if moves else None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Return the source itself."""
        source: fx.Node = argument(match.root, "self")
        return source


def _permute(emit: Emitter, root: fx.Node, source: fx.Node, dims: list[int]) -> fx.Node:
    return emit.call(aten.permute.default, like=root, val=root.meta["val"], self=source, dims=dims)


PERMUTE_RULES: list[Rule] = [TransposeIsPermute(), PermuteOfPermute(), PermuteIsIdentity()]
