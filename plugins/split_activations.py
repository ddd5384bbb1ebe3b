"""Pass `split-activations`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import fx

from rewrite import Emitter, Match, Op, Program, Reject, Rule, RulePass, Var, argument, option
from rewrite.errors import unknown

aten = torch.ops.aten


@dataclass(frozen=True)
class SplitActivations(RulePass):
    """Write SiLU and PReLU as operators that have int8 kernels, or quick ones.

    A runtime without a kernel of its own for them computes floats between two layers of integers,
    and turns every element back and forth.
    """

    name = "split-activations"
    equivalence = "exact"
    after = ("fold-batch-norm", "remove-dead-code", "expand-attention")
    before = ("split-composites", "insert-quantizers")

    of: tuple[str, ...] = option(("silu", "prelu"), help="Activations to split.")

    def __post_init__(self) -> None:
        for name in self.of:
            if name not in _RULES:
                raise unknown("activation to split", name, _RULES)

    def rules(self) -> list[Rule]:
        """One rule for SiLU, and two for PReLU."""
        return [rule() for name in self.of for rule in _RULES[name]]


class SiluIsProduct(Rule):
    """silu(x) = x·σ(x)."""

    pattern = Op(aten.silu.default, self=Var("x"))
    report_misses = False

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the sigmoid and the product."""
        gate = emit.call(aten.sigmoid.default, like=match.root, self=match["x"])
        return emit.call(aten.mul.Tensor, like=match.root, self=match["x"], other=gate)


class PreluIsLeaky(Rule):
    """prelu(x, a) = leaky_relu(x, a), for one slope a."""

    pattern = Op(aten.prelu.default, self=Var("x"))
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline slopes that differ, and a computed one."""
        slopes: fx.Node = argument(match.root, "weight")
        if slopes.op != "get_attr":
            return "its slope is computed at run time"
        if program.weight(str(slopes.target)).unique().numel() != 1:
            return "its slopes differ"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the call with a number."""
        slope = emit.tensor(argument(match.root, "weight")).flatten()[0]
        return emit.call(
            aten.leaky_relu.default, like=match.root, self=match["x"], negative_slope=float(slope)
        )


class PreluIsSum(Rule):
    """prelu(x, a) = max(x, 0) + a·min(x, 0)."""

    pattern = Op(aten.prelu.default, self=Var("x"))

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline computed slopes of channels, which would have to be laid out."""
        slopes: fx.Node = argument(match.root, "weight")
        if _along_channels(match) and slopes.op != "get_attr":
            return "its slopes are computed at run time"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit both sides of zero."""
        root, x = match.root, match["x"]
        slopes: fx.Node = argument(root, "weight")
        if _along_channels(match):
            rank = x.meta["val"].dim()
            slopes = emit.weight(
                emit.tensor(slopes).reshape(-1, *[1] * (rank - 2)),
                source=str(slopes.target),
                recipe=("along-channels", rank),
                dtype=slopes.meta["val"].dtype,
            )
        above = emit.call(aten.relu.default, like=root, self=x)
        below = emit.call(aten.clamp.default, like=root, self=x, max=0)
        below = emit.call(aten.mul.Tensor, like=root, self=below, other=slopes)
        return emit.call(aten.add.Tensor, like=root, self=above, other=below)


_RULES: dict[str, tuple[type[Rule], ...]] = {
    "silu": (SiluIsProduct,),
    "prelu": (PreluIsLeaky, PreluIsSum),
}


def _along_channels(match: Match) -> bool:
    """Tell whether there are slopes of channels, and dimensions behind those."""
    slopes: fx.Node = argument(match.root, "weight")
    return bool(match["x"].meta["val"].dim() > 2 and slopes.meta["val"].numel() > 1)
