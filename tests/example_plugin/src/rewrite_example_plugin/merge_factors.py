"""Pass `merge-factors`: two multiplications by numbers in a row become one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import fx

from rewrite import Emitter, Match, Op, Program, Reject, Rule, RulePass, Var, only_user, option

aten = torch.ops.aten


@dataclass(frozen=True)
class ProductOfFactors(Rule):
    """(x · a) · b = x · (a·b) for numbers a and b."""

    limit: float

    pattern = Op(
        aten.mul.Tensor,
        self=Op(aten.mul.Tensor, "inner", self=Var("x"), other=Var("a")),
        other=Var("b"),
    )
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Keep factors that are tensors, integers that may wrap, and products that overflow."""
        a, b, inner = match["a"], match["b"], match["inner"]
        if not isinstance(a, (int, float)) or not isinstance(b, (int, float)):
            return "one of the factors is a tensor"
        if not match.root.meta["val"].is_floating_point():
            return "integers may wrap around between the two factors"
        if not only_user(inner):
            return Reject("the first product is also used elsewhere", inner)
        if not math.isfinite(a * b) or abs(a * b) > self.limit:
            return f"the product of the factors, {a * b:g}, is over limit={self.limit:g}"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit one multiplication."""
        factor = float(match["a"] * match["b"])
        return emit.call(aten.mul.Tensor, like=match.root, self=match["x"], other=factor)


@dataclass(frozen=True)
class MergeFactors(RulePass):
    """Multiply by one number where there were two in a row."""

    name = "merge-factors"
    equivalence = "exact"
    before = ("remove-dead-code",)

    limit: float = option(1e30, help="largest product of two factors", low=0.0)

    def rules(self) -> list[Rule]:
        """Return the one rule."""
        return [ProductOfFactors(self.limit)]
