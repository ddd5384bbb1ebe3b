"""Pass `fold-scale`: a number that multiplies a linear layer's result goes into its weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import fx

from rewrite import (
    Emitter,
    Match,
    Maybe,
    Op,
    Pass,
    Program,
    Reject,
    Rule,
    RulePass,
    Var,
    Weight,
    arguments,
    hookimpl,
    only_user,
)

aten = torch.ops.aten


class ScaledLinear(Rule):
    """c · linear(x, W, b) = linear(x, c·W, c·b) for a number c."""

    pattern = Op(
        aten.mul.Tensor,
        self=Op(aten.linear.default, "linear", weight=Weight("weight"), bias=Maybe(Weight("bias"))),
        other=Var("factor"),
    )

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline for factors that are tensors, and where the unscaled result is read too."""
        if not isinstance(match["factor"], (int, float)):
            return "the factor is a tensor, not a number"
        if not only_user(match["linear"]):
            return "the layer's result is also read without the factor"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the layer with new weights; the old ones may belong to another layer too."""
        bound = arguments(match["linear"])
        for name in ("weight", "bias"):
            old = bound[name]
            if old is not None:
                bound[name] = emit.weight(
                    emit.tensor(old) * match["factor"],
                    source=old.target,
                    recipe=("fold-scale", match["factor"]),
                )
        return emit.call(aten.linear.default, like=match.root, **bound)


@dataclass(frozen=True)
class FoldScale(RulePass):
    """Fold a factor behind a linear layer into the layer."""

    name = "fold-scale"
    equivalence = "exact"
    before = ("insert-quantizers",)

    def rules(self) -> list[Rule]:
        """Return the one rule."""
        return [ScaledLinear()]


@hookimpl
def rewrite_passes() -> Iterator[type[Pass]]:
    """Yield the pass."""
    yield FoldScale
