"""Batch normalisation in its one-result form."""

from __future__ import annotations

import operator

import torch
from torch import fx

from rewrite.emitter import Emitter
from rewrite.pattern import Match, Op
from rewrite.program import Program
from rewrite.rules import Rule
from rewrite.schema import arguments

aten = torch.ops.aten


class NativeBatchNorm(Rule):
    """native_batch_norm(x, γ, β, μ, σ²)[0] = batch_norm(x, γ, β, μ, σ², training=False)."""

    pattern = Op(
        operator.getitem, self=Op(aten._native_batch_norm_legit_no_training, "norm"), index=0
    )
    report_misses = False

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the one-result form."""
        bound = arguments(match["norm"])
        return emit.call(
            aten.batch_norm.default,
            like=match["norm"],
            val=match.root.meta["val"],
            training=False,
            cudnn_enabled=False,
            **bound,
        )


class OfTheBatch(Rule):
    """training_batch_norm(x, γ, β)[0] = batch_norm(x, γ, β, training=True).

    Running statistics do not change the result, but the operator would write them.
    """

    pattern = Op(
        operator.getitem,
        self=Op((aten._native_batch_norm_legit, aten._native_batch_norm_legit_functional), "norm"),
        index=0,
    )
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline inference."""
        return None if arguments(match["norm"])["training"] else "it is in evaluation mode"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the one-result form."""
        return _without_statistics(match.root, match["norm"], emit)


class UnreadStatistics(Rule):
    """batch_norm(x, γ, β, μ, σ², training=True) = batch_norm(x, γ, β, training=True)."""

    pattern = Op(aten.batch_norm.default, "norm", training=True)
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline what is in this form."""
        unread = arguments(match.root)["running_mean"] is None
        return "it has no running statistics" if unread else None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the norm without them."""
        return _without_statistics(match.root, match.root, emit)


class UnreadInstanceStatistics(Rule):
    """instance_norm(x, γ, β, μ, σ², input's own) = instance_norm(x, γ, β, input's own)."""

    pattern = Op(aten.instance_norm.default, "norm", use_input_stats=True)
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline what is in this form."""
        unread = arguments(match.root)["running_mean"] is None
        return "it has no running statistics" if unread else None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the norm without them."""
        kept = {**arguments(match.root), "running_mean": None, "running_var": None}
        val = match.root.meta["val"]
        return emit.call(aten.instance_norm.default, like=match.root, val=val, **kept)


def _without_statistics(root: fx.Node, norm: fx.Node, emit: Emitter) -> fx.Node:
    bound = arguments(norm)
    kept = {name: bound[name] for name in ("input", "weight", "bias", "momentum", "eps")}
    return emit.call(
        aten.batch_norm.default,
        like=norm,
        val=root.meta["val"],
        running_mean=None,
        running_var=None,
        training=True,
        cudnn_enabled=False,
        **kept,
    )


BATCH_NORM_RULES: list[Rule] = [
    NativeBatchNorm(),
    OfTheBatch(),
    UnreadStatistics(),
    UnreadInstanceStatistics(),
]
