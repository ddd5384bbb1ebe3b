"""Other activations written out: SiLU, hard sigmoid, hard swish, and bounded ReLUs."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from rewrite.canonical.polynomials import is_polynomial
from rewrite.canonical.values import dtype, number
from rewrite.emitter import Emitter
from rewrite.pattern import Match, Op, Var
from rewrite.program import Program
from rewrite.rules import Rule
from rewrite.schema import arguments

aten = torch.ops.aten
_RELU6 = Op(
    aten.hardtanh.default, "relu6", self=Op(aten.add.Tensor, "shifted"), min_val=0, max_val=6
)


class WrittenSilu(Rule):
    """x·sigmoid(x) = silu(x)."""

    pattern = Op(aten.mul.Tensor, self=Var("x"), other=Op(aten.sigmoid.default, self=Var("x")))
    report_misses = False

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the SiLU."""
        return _emit(aten.silu.default, match, emit, match["x"])


class WrittenHardSigmoid(Rule):
    """relu6(x + 3)/6 = hardsigmoid(x)."""

    pattern = Op((aten.div.Tensor, aten.mul.Tensor), self=_RELU6)
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline another divisor, and another shift."""
        if not is_polynomial(match.root, match["relu6"], {1: 1 / 6}):
            return "it is not divided by 6"
        return None if _unshifted(match) is not None else "it is not shifted by 3"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the hard sigmoid."""
        return _emit(aten.hardsigmoid.default, match, emit, _unshifted(match))


class WrittenHardSwish(Rule):
    """x·hardsigmoid(x) = hardswish(x)."""

    pattern = Op(aten.mul.Tensor, self=Var("x"), other=Op(aten.hardsigmoid.default, self=Var("x")))
    report_misses = False

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the hard swish."""
        return _emit(aten.hardswish.default, match, emit, match["x"])


class DividedHardSwish(Rule):
    """(x·relu6(x + 3))/6 = hardswish(x)."""

    pattern = Op(
        (aten.div.Tensor, aten.mul.Tensor),
        self=Op(aten.mul.Tensor, "product", self=Var("x"), other=_RELU6),
    )
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline another divisor, another shift, and a gate of another value."""
        if not is_polynomial(match.root, match["product"], {1: 1 / 6}):
            return "it is not divided by 6"
        if _unshifted(match) is not match["x"]:
            return "its gate is not relu6 of the same value plus 3"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the hard swish."""
        return _emit(aten.hardswish.default, match, emit, match["x"])


class BoundedRelu(Rule):
    """relu6(x) = clamp(x, 0, 6) = hardtanh(x, 0, 6); clamp(x, 0) = relu(x)."""

    pattern = Op((aten.relu6.default, aten.clamp.default, aten.clamp_min.default), self=Var("x"))
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline integers, and bounds of which one is missing but no ReLU's."""
        low, high = self._bounds(match.root)
        given = arguments(match.root)
        if any(isinstance(given.get(name), fx.Node) for name in ("min", "max")):
            return "its bounds are known at run time only"
        kind = dtype(match["x"])
        if kind is None or not kind.is_floating_point:
            return "it bounds integers"
        return None if low == 0 or None not in (low, high) else "it has one bound that is not 0"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit a hardtanh with both bounds, or a ReLU."""
        low, high = self._bounds(match.root)
        if high is None:
            return _emit(aten.relu.default, match, emit, match["x"])
        return emit.call(
            aten.hardtanh.default,
            like=match.root,
            val=match.root.meta["val"],
            self=match["x"],
            min_val=low,
            max_val=high,
        )

    @staticmethod
    def _bounds(node: fx.Node) -> tuple[float | None, float | None]:
        bound = arguments(node)
        if node.target is aten.relu6.default:
            return 0.0, 6.0
        return number(bound["min"]), number(bound.get("max"))


class SteadyRrelu(Rule):
    """rrelu(x, a, b) = leaky_relu(x, (a + b) / 2), when it draws nothing."""

    pattern = Op(aten.rrelu.default, "rrelu", self=Var("x"))
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline training."""
        return "it draws its slopes" if arguments(match.root)["training"] else None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the activation with the slope in the middle."""
        bound = arguments(match.root)
        return emit.call(
            aten.leaky_relu.default,
            like=match.root,
            val=match.root.meta["val"],
            self=match["x"],
            negative_slope=(bound["lower"] + bound["upper"]) / 2,
        )


def _unshifted(match: Match) -> fx.Node | None:
    """Return the x of x + 3."""
    bound = arguments(match["shifted"])
    for x in (bound["self"], bound["other"]):
        if isinstance(x, fx.Node) and is_polynomial(match["shifted"], x, {1: 1.0, 0: 3.0}):
            return x
    return None


def _emit(overload: Any, match: Match, emit: Emitter, x: Any) -> fx.Node:
    return emit.call(overload, like=match.root, val=match.root.meta["val"], self=x)


ACTIVATION_RULES: list[Rule] = [
    SteadyRrelu(),
    WrittenSilu(),
    DividedHardSwish(),
    WrittenHardSigmoid(),
    WrittenHardSwish(),
    BoundedRelu(),
]
