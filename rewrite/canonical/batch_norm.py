"""Inference batch normalisation in its one-result form."""

from __future__ import annotations

import operator

import torch
from torch import fx

from rewrite.emitter import Emitter
from rewrite.pattern import Match, Op
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
