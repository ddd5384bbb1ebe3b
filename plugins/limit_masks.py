"""Pass `limit-masks`."""

from __future__ import annotations

import math
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
_WHERE = (
    aten.where.Scalar,
    aten.where.ScalarOther,
    aten.where.ScalarSelf,
    aten.where.self,
)
_ROOM = 1e3
"""What is added to a number that hides may be this, and the sum hides still."""
_KEEPS = (aten._to_copy.default, aten.index.Tensor, aten.embedding.default)
_ARITHMETIC = (*_KEEPS, aten.add.Tensor, aten.mul.Tensor, aten.rsub.Scalar)
_CHOICES = ("self", "other")
_DEPTH = 8
"""Calls that a mask is followed back through."""


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
    """softmax(x + where(c, m, -∞)) ≈ softmax(x + where(c, m, low)), m ≥ low / 2 or ≤ -10⁴."""

    pattern = Op((aten.where.Scalar, aten.where.ScalarOther, aten.where.ScalarSelf), "mask")
    report_misses = False

    def __init__(self, low: float) -> None:
        self.low = low

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline a choice that hides nothing, of scores, or that more than a softmax reads."""
        hiding, bound = self._hiding(match.root), arguments(match.root)
        if not hiding:
            return "it chooses no large negative number"
        if not all(_is_mask(bound[n], self.low, program) for n in _CHOICES if n not in hiding):
            return "what it chooses otherwise is not known to be near 0"
        return None if _only_softmax(match.root) else "more than the scores of a softmax read it"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Choose the moderate number."""
        emit.set_arguments(match.root, **dict.fromkeys(self._hiding(match.root), self.low))
        return match.root

    @staticmethod
    def _hiding(node: fx.Node) -> list[str]:
        return [n for n in _CHOICES if _is_large(arguments(node)[n])]


class ConstantMask(Rule):
    """softmax(x + m) ≈ softmax(x + max(m, low)), m a weight."""

    pattern = Op(aten.add.Tensor, "sum", self=Var("scores"), other=Weight("mask"))
    report_misses = False

    def __init__(self, low: float) -> None:
        self.low = low

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline a constant that hides nothing, or a sum that more than a softmax reads."""
        values = program.weight(str(match["mask"].target)).detach()
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
    """softmax(x + max(m, -3e38)) ≈ softmax(x + max(m, low)), m a weight, or ≥ low / 2 or ≤ -10⁴."""

    pattern = Op(aten.clamp.default, "mask")
    report_misses = False

    def __init__(self, low: float) -> None:
        self.low = low

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline a bound that hides nothing, of scores, or that more than a softmax reads."""
        bound = arguments(match.root)
        if not _is_large(bound["min"]) or bound["max"] is not None:
            return "it cuts at no large negative number"
        if bound["self"].op != "get_attr" and not _is_mask(bound["self"], self.low, program):
            return "what it cuts is not known to be a mask"
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


@dataclass(frozen=True)
class _Values:
    """What a tensor may hold beside numbers that hide."""

    low: float
    high: float
    whole: bool = False
    """Nothing but whole numbers."""
    hides: bool = False

    def __or__(self, other: _Values) -> _Values:
        low, high = min(self.low, other.low), max(self.high, other.high)
        return _Values(low, high, self.whole and other.whole, self.hides or other.hides)

    def __add__(self, other: _Values) -> _Values | None:
        if (self.hides and other.high > _ROOM) or (other.hides and self.high > _ROOM):
            return None
        low, high = self.low + other.low, self.high + other.high
        return _Values(low, high, self.whole and other.whole, self.hides or other.hides)

    def times(self, number: float) -> _Values | None:
        if self.hides or not math.isfinite(number):
            return None
        if self.whole and number <= _LEAST:
            # A whole number is 0 or far from it, and so is the product.
            return _Values(0.0, 0.0 if self.low >= 0 else math.inf, hides=True)
        ends = (self.low * number, self.high * number) if number else (0.0, 0.0)
        return _Values(min(ends), max(ends), self.whole and float(number).is_integer())


def _is_mask(value: Any, low: float, program: Program) -> bool:
    """Prove that what a tensor holds either hides, or is well above `low`."""
    values = _values(value, program, _DEPTH)
    return values is not None and values.low >= low / 2


def _values(value: Any, program: Program, depth: int) -> _Values | None:
    """Bound what a tensor holds by how it is computed; None where that says nothing."""
    if isinstance(value, (int, float)):
        return _held(torch.tensor(value, dtype=torch.float64))
    if not isinstance(value, fx.Node) or depth == 0:
        return None
    if value.op == "get_attr":
        return _held(program.weight(str(value.target)))
    val = value.meta.get("val")
    if not isinstance(val, torch.Tensor):
        return None
    if val.dtype == torch.bool:
        return _Values(0.0, 1.0, whole=True)
    if not val.dtype.is_floating_point:
        return _Values(-math.inf, math.inf, whole=True)
    if value.op == "placeholder":
        return _given(value, program)
    return _computed(value, program, depth - 1)


def _computed(node: fx.Node, program: Program, depth: int) -> _Values | None:
    if not is_call(node, *_LAYOUT, *_WHERE, *_ARITHMETIC):
        return None
    bound = arguments(node)
    first = _values(bound["weight" if "weight" in bound else "self"], program, depth)
    if first is None or is_call(node, *_LAYOUT, *_KEEPS):
        return first
    if is_call(node, aten.mul.Tensor):
        number = bound["other"]
        return first.times(number) if isinstance(number, (int, float)) else None
    if bound.get("alpha", 1) != 1:
        return None
    second = _values(bound["other"], program, depth)
    if is_call(node, aten.rsub.Scalar):
        first = first.times(-1.0)
    if first is None or second is None:
        return None
    return first | second if is_call(node, *_WHERE) else first + second


def _held(values: torch.Tensor) -> _Values | None:
    values = values.detach().double()
    seen = values[~(values <= _LEAST)]
    if seen.isnan().any():
        return None
    low, high = (float(end) for end in seen.aminmax()) if seen.numel() else (0.0, 0.0)
    return _Values(low, high, bool((seen == seen.round()).all()), seen.numel() < values.numel())


def _given(placeholder: fx.Node, program: Program) -> _Values | None:
    """Take a float input for a mask where the example holds 0 and numbers that hide alone."""
    flat = program.signature.flatten_inputs(*program.example)
    values = _held(flat[program.inputs().index(placeholder)])
    return values if values is not None and values.low == values.high == 0 else None
