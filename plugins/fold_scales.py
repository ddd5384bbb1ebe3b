"""Pass `fold-scales`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from rewrite_plugins.fold_batch_norm import CONV, TRANSPOSED, scale_outputs
from torch import Tensor, fx

from rewrite import (
    Emitter,
    Match,
    Op,
    Program,
    Reject,
    Rule,
    RulePass,
    Var,
    arguments,
    is_call,
)
from rewrite.quantization.kinds import is_weight
from rewrite.quantization.weights import channels

aten = torch.ops.aten
_LAYERS = (*CONV, *TRANSPOSED, aten.linear.default)


@dataclass(frozen=True)
class FoldScales(RulePass):
    """Fold the factor behind a layer into its weights.

    Between a layer of integers and the sum that reads it, a factor makes floats of both.
    """

    name = "fold-scales"
    equivalence = "exact"
    after = ("fold-batch-norm", "remove-dead-code")
    before = ("convolve-transposed", "convolve-batch-norm", "split-composites", "insert-quantizers")

    def rules(self) -> list[Rule]:
        """One rule for products, one for quotients."""
        return [FactorIntoLayer(), DivisorIntoLayer()]


class FactorIntoLayer(Rule):
    """s·(W∗x + b) = (s·W)∗x + s·b, s a number or one for each output channel."""

    pattern = Op(aten.mul.Tensor, "call", self=Op(_LAYERS, "layer"), other=Var("factor"))
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline where others read the layer, and factors that are not one for each channel."""
        layer: fx.Node = match["layer"]
        if len(layer.users) > 1:
            return "something else reads the layer's result"
        bound = arguments(layer)
        if any(v is not None and not is_weight(v) for v in (bound["weight"], bound["bias"])):
            return "the layer's weight or bias is computed at run time"
        if match.root.meta["val"].dtype != layer.meta["val"].dtype:
            return "its result is of another type than the layer's"
        return self._not_of_channels(match["factor"], layer, program)

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the layer with new weights."""
        layer, factor = match["layer"], match["factor"]
        bound = arguments(layer)
        weight, bias = bound["weight"], bound["bias"]
        scale = self.scale(factor, _width(layer), emit)
        layout = (is_call(layer, *TRANSPOSED), bound.get("groups", 1))
        recipe = (type(self).__name__, *layout, getattr(factor, "target", factor))
        changed = {
            "weight": emit.weight(
                lambda: scale_outputs(emit.tensor(weight), scale, layer),
                source=str(weight.target),
                recipe=recipe,
            )
        }
        if bias is not None:
            changed["bias"] = emit.weight(
                lambda: emit.tensor(bias) * scale, source=str(bias.target), recipe=recipe
            )
        val = match.root.meta["val"]
        return emit.call(layer.target, like=match.root, val=val, **{**bound, **changed})

    def scale(self, factor: Any, width: int, emit: Emitter) -> Tensor:
        """Return the factor of each output channel, float64."""
        if isinstance(factor, fx.Node):
            return emit.tensor(factor).double().reshape(-1).expand(width)
        return torch.full((width,), float(factor), dtype=torch.float64)

    def _not_of_channels(self, factor: Any, layer: fx.Node, program: Program) -> str | None:
        if not isinstance(factor, fx.Node):
            number = isinstance(factor, (int, float)) and math.isfinite(factor)
            return None if number else f"its factor is {factor}"
        if not is_weight(factor):
            return "its factor is computed at run time"
        value = program.weight(str(factor.target))
        if not value.is_floating_point():
            return f"its factor is {value.dtype}"
        rank = layer.meta["val"].dim()
        axis = rank - 1 if is_call(layer, aten.linear.default) else 1
        wanted = [1] * rank
        wanted[axis] = _width(layer)
        shape = [1] * (rank - value.dim()) + list(value.shape)
        batched = is_call(layer, aten.linear.default) or rank == _weight(layer).dim()
        if not batched or shape not in ([1] * rank, wanted):
            return "its factor is not one for each channel"
        return None


class DivisorIntoLayer(FactorIntoLayer):
    """(W∗x + b) / d = (W/d)∗x + b/d, d a number or one for each output channel."""

    pattern = Op(aten.div.Tensor, "call", self=Op(_LAYERS, "layer"), other=Var("factor"))

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline zeros, too."""
        reason = super().check(match, program)
        if reason is not None:
            return reason
        divisor = match["factor"]
        if isinstance(divisor, fx.Node):
            return None if program.weight(str(divisor.target)).all() else "its divisor has zeros"
        return None if divisor else "its divisor is 0"

    def scale(self, factor: Any, width: int, emit: Emitter) -> Tensor:
        """Return the factor of each output channel, float64."""
        return super().scale(factor, width, emit).reciprocal()


def _weight(layer: fx.Node) -> Tensor:
    return arguments(layer)["weight"].meta["val"]  # type: ignore[no-any-return]


def _width(layer: fx.Node) -> int:
    """Return how many output channels a layer has."""
    found = channels(layer)
    assert found is not None
    return found.outside
