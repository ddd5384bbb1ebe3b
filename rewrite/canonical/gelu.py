"""GELU written out, by the error function or by tanh, in whatever order."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx

from rewrite.canonical.polynomials import (
    Polynomial,
    is_polynomial,
    is_product,
    under_factors,
)
from rewrite.canonical.values import number
from rewrite.emitter import Emitter
from rewrite.pattern import Match, OneOf, Op, Var
from rewrite.program import Program
from rewrite.rules import Rule
from rewrite.schema import is_call

aten = torch.ops.aten
_TANH = math.sqrt(2 / math.pi)
_ARGUMENTS: dict[Any, Polynomial] = {
    aten.erf.default: {1: math.sqrt(0.5)},
    aten.tanh.default: {1: _TANH, 3: _TANH * 0.044715},
}
_GATE = Op(
    aten.add.Tensor,
    self=Op((aten.erf.default, aten.tanh.default), "function", self=Var("argument")),
    other=1,
)
_PRODUCT = Op(aten.mul.Tensor, "inner", self=Var("second"), other=_GATE)


class WrittenGelu(Rule):
    """x/2·(1 + erf(x/√2)) = gelu(x); x/2·(1 + tanh(√(2/π)·(x + 0.044715x³))) = gelu(x, "tanh")."""

    pattern = Op(aten.mul.Tensor, self=Var("first"), other=OneOf(_GATE, _PRODUCT))
    report_misses = False

    def factors(self, match: Match) -> list[Any]:
        """Return what the gate is multiplied by."""
        return [match[name] for name in ("first", "second") if name in match.binding]

    def check(self, match: Match, program: Program) -> str | None:
        """Decline other constants, and a gate and a factor of different values."""
        if self._find(match) is not None:
            return None
        name = "erf" if is_call(match["function"], aten.erf.default) else "tanh"
        return f"its factors, or the argument of {name}, are not those of a GELU"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the GELU."""
        return emit.call(
            aten.gelu.default,
            like=match.root,
            val=match.root.meta["val"],
            self=self._find(match),
            approximate="tanh" if is_call(match["function"], aten.tanh.default) else "none",
        )

    def _find(self, match: Match) -> fx.Node | None:
        """Return the x of which the factors make x/2 and which the gate is a function of."""
        wanted = _ARGUMENTS[match["function"].target]
        factors = self.factors(match)
        for factor in factors:
            for x in under_factors(factor):
                if is_polynomial(match["argument"], x, wanted) and is_product(factors, x, {1: 0.5}):
                    return x
        return None


class DividedGelu(WrittenGelu):
    """x·(1 + erf(x/√2)) / 2 = gelu(x), and the tanh form alike."""

    pattern = Op(aten.div.Tensor, self=_PRODUCT, other=Var("divisor"))

    def factors(self, match: Match) -> list[Any]:
        """Return what the gate is multiplied by, the divisor as a factor."""
        divisor = number(match["divisor"])
        return [match["second"], 1 / divisor if divisor else 0.0]


GELU_RULES: list[Rule] = [WrittenGelu(), DividedGelu()]
