"""Attention masks that mask nothing, and masks spread before the scores spread them."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from rewrite.canonical.values import rank, same_size, shape
from rewrite.emitter import Emitter
from rewrite.pattern import Match, OneOf, Op, Var, Weight
from rewrite.program import Program
from rewrite.rules import Rule
from rewrite.schema import argument, arguments, is_call

aten = torch.ops.aten


class ExpandedCondition(Rule):
    """where(expand(c, s), a, b) = expand(where(c, a, b), s), c a weight, a and b scalars."""

    pattern = Op(
        aten.where.ScalarOther,
        condition=Op(aten.expand.default, "expand", self=Weight("condition")),
        self=Weight("value"),
    )
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline a value that is no scalar."""
        return None if rank(match["value"]) == 0 else "it chooses between tensors"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the choice on the small condition, then the expansion."""
        small = emit.call(
            aten.where.ScalarOther,
            like=match.root,
            condition=match["condition"],
            self=match["value"],
            other=argument(match.root, "other"),
        )
        return emit.call(
            aten.expand.default,
            like=match.root,
            val=match.root.meta["val"],
            self=small,
            size=argument(match["expand"], "size"),
        )


class ExpandedMask(Rule):
    """attention(q, k, v, expand(m)) = attention(q, k, v, m): the scores spread it themselves."""

    pattern = Op(
        aten.scaled_dot_product_attention.default,
        attn_mask=Op(aten.expand.default, "expand", self=Var("mask")),
    )
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline an expansion that adds dimensions, or of queries and keys at run time."""
        if rank(match["mask"]) != rank(match["expand"]):
            return "it adds dimensions"
        last = zip(shape(match["mask"])[-2:], shape(match["expand"])[-2:], strict=True)
        return None if all(same_size(a, b) for a, b in last) else "it spreads queries or keys"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the attention with the small mask."""
        return _with_mask(match, emit, match["mask"])


class NeutralMask(Rule):
    """attention(q, k, v, 0) = attention(q, k, v), and with a mask that allows everything."""

    pattern = Op(
        aten.scaled_dot_product_attention.default,
        attn_mask=OneOf(Weight("mask"), Op(aten.expand.default, self=Weight("mask"))),
    )
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline a mask that masks something."""
        mask = program.weight(match["mask"].target)
        neutral = bool(mask.all()) if mask.dtype == torch.bool else not bool(mask.any())
        return None if neutral else "it masks something"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the attention without a mask."""
        return _with_mask(match, emit, None)


class AndTrue(Rule):
    """True & m = m."""

    pattern = Op(
        (aten.__and__.Tensor, aten.bitwise_and.Tensor, aten.logical_and.default), "conjunction"
    )
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline when neither side is a lone True."""
        return None if self._other(match.root) is not None else "neither side is True"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Return the other side itself."""
        other = self._other(match.root)
        assert other is not None
        return other

    @staticmethod
    def _other(node: fx.Node) -> fx.Node | None:
        bound = arguments(node)
        for one, other in ((bound["self"], bound["other"]), (bound["other"], bound["self"])):
            made = is_call(one, aten.new_ones.default, aten.ones.default)
            if made and rank(one) == 0 and _boolean(one) and _boolean(other):
                found: fx.Node = other
                return found
        return None


def _boolean(value: Any) -> bool:
    return isinstance(value, fx.Node) and value.meta["val"].dtype == torch.bool


def _with_mask(match: Match, emit: Emitter, mask: fx.Node | None) -> fx.Node:
    return emit.call(
        aten.scaled_dot_product_attention.default,
        like=match.root,
        val=match.root.meta["val"],
        **{**arguments(match.root), "attn_mask": mask},
    )


MASK_RULES: list[Rule] = [ExpandedCondition(), ExpandedMask(), NeutralMask(), AndTrue()]
