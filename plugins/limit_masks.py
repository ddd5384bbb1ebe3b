"""Pass `limit-masks`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from rewrite import (
    Emitter,
    Match,
    Op,
    Program,
    Reject,
    Rule,
    RulePass,
    Var,
    Weight,
    arguments,
    is_call,
    option,
)

aten = torch.ops.aten
_LEAST = -1e4
"""What a mask adds to hide a score is this or less; no score is."""
_LAYOUT = (
    aten.expand.default,
    aten.reshape.default,
    aten.permute.default,
    aten.unsqueeze.default,
    aten.slice.Tensor,
    aten.select.int,
)


@dataclass(frozen=True)
class LimitMasks(RulePass):
    """Let masks add a moderate number to the scores that they hide, which a scale can represent.

    A sum with -3e38 quantized to 8 bits has no step left for the scores.
    """

    name = "limit-masks"
    equivalence = "lossy"
    after = ("expand-attention",)
    before = ("split-composites", "insert-quantizers")

    low: float = option(-32.0, help="What is added to a score that is hidden.", low=-1e4, high=-1)

    def rules(self) -> list[Rule]:
        """One rule for each way to make a mask."""
        return [ChosenMask(self.low), ConstantMask(self.low), CutMask(self.low)]


class ChosenMask(Rule):
    """softmax(x + where(c, 0, -∞)) ≈ softmax(x + where(c, 0, low))."""

    pattern = Op((aten.where.Scalar, aten.where.ScalarOther, aten.where.ScalarSelf), "mask")
    report_misses = False

    def __init__(self, low: float) -> None:
        self.low = low

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline a choice that hides nothing, or that more than a softmax reads."""
        if not self._hiding(match.root):
            return "it chooses no large negative number"
        return None if _only_softmax(match.root) else "more than the scores of a softmax read it"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Choose the moderate number."""
        emit.set_arguments(match.root, **dict.fromkeys(self._hiding(match.root), self.low))
        return match.root

    @staticmethod
    def _hiding(node: fx.Node) -> list[str]:
        return [n for n in ("self", "other") if _is_large(arguments(node)[n])]


class ConstantMask(Rule):
    """softmax(x + m) ≈ softmax(x + max(m, low)), m a weight."""

    pattern = Op(aten.add.Tensor, "sum", self=Var("scores"), other=Weight("mask"))
    report_misses = False

    def __init__(self, low: float) -> None:
        self.low = low

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline a constant that hides nothing, or a sum that more than a softmax reads."""
        values = program.weight(str(match["mask"].target))
        if not values.is_floating_point() or not values.numel() or float(values.min()) > _LEAST:
            return "it adds no large negative number"
        if not all(is_call(user, aten.softmax.int) for user in match.root.users):
            return "more than a softmax reads the sum"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the sum with a mask that is cut."""
        name = str(match["mask"].target)
        cut = emit.tensor(match["mask"]).clamp(min=self.low)
        mask = emit.weight(cut, source=name, recipe=("limited", self.low))
        return emit.call(aten.add.Tensor, like=match.root, self=match["scores"], other=mask)


class CutMask(Rule):
    """softmax(x + max(m, -3e38)) ≈ softmax(x + max(m, low))."""

    pattern = Op(aten.clamp.default, "mask")
    report_misses = False

    def __init__(self, low: float) -> None:
        self.low = low

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline a bound that hides nothing, or that more than a softmax reads."""
        bound = arguments(match.root)
        if not _is_large(bound["min"]) or bound["max"] is not None:
            return "it cuts at no large negative number"
        return None if _only_softmax(match.root) else "more than the scores of a softmax read it"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Cut at the moderate number; a constant is cut here and now."""
        mask = arguments(match.root)["self"]
        if mask.op == "get_attr":
            cut = emit.tensor(mask).clamp(min=self.low)
            return emit.weight(cut, source=str(mask.target), recipe=("limited", self.low))
        emit.set_arguments(match.root, min=self.low)
        return match.root


def _is_large(value: Any) -> bool:
    return isinstance(value, (int, float)) and value <= _LEAST


def _only_softmax(mask: fx.Node) -> bool:
    """Tell whether a mask goes nowhere but into sums that softmaxes alone read."""
    return bool(mask.users) and all(
        (is_call(user, *_LAYOUT) and _only_softmax(user))
        or (is_call(user, aten.add.Tensor) and _reads(user, lambda n: is_call(n, aten.softmax.int)))
        for user in mask.users
    )


def _reads(node: fx.Node, fits: Callable[[fx.Node], bool]) -> bool:
    return bool(node.users) and all(fits(user) for user in node.users)
