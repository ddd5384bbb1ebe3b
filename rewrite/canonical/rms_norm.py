"""Root-mean-square normalisation written out, and its weight."""

from __future__ import annotations

import torch
from torch import fx

from rewrite.canonical.norms import (
    Scaled,
    channel_vector,
    mean_of,
    normalised_last,
    scaled_by_root,
    square_of,
)
from rewrite.canonical.values import rank, shape
from rewrite.emitter import Emitter
from rewrite.pattern import Match, Op, Var, only_user
from rewrite.program import Program
from rewrite.rules import Reject, Rule
from rewrite.schema import argument, arguments

aten = torch.ops.aten


class WrittenRmsNorm(Rule):
    """x/√(mean(x²) + eps) = rms_norm(x, eps=eps), the mean over the last dimensions."""

    pattern = Op((aten.mul.Tensor, aten.div.Tensor), "normalised")
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline other means, and dimensions that are not the last ones."""
        found = _read(match.root)
        return None if isinstance(found, tuple) else found

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the norm."""
        found = _read(match.root)
        assert isinstance(found, tuple)
        x, dims, eps = found
        return emit.call(
            aten.rms_norm.default,
            like=match.root,
            val=match.root.meta["val"],
            input=x,
            normalized_shape=[shape(x)[d] for d in dims],
            eps=eps,
        )


class RmsNormWeight(Rule):
    """rms_norm(x)·γ = rms_norm(x, γ)."""

    pattern = Op(
        aten.mul.Tensor, self=Op(aten.rms_norm.default, "norm", weight=None), other=Var("weight")
    )
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline a factor that is no weight of the normalised dimensions, and other users."""
        norm = match["norm"]
        if not channel_vector(match["weight"], norm, _dims(norm), None):
            return "its factor is no weight of the normalised dimensions"
        return None if only_user(norm) else Reject("the norm is read without it as well", norm)

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the norm with its weight."""
        norm = match["norm"]
        vector = channel_vector(match["weight"], norm, _dims(norm), emit)
        return emit.call(
            aten.rms_norm.default,
            like=norm,
            after=match.root,
            val=match.root.meta["val"],
            **{**arguments(norm), "weight": vector},
        )


def _dims(norm: fx.Node) -> list[int]:
    count = len(argument(norm, "normalized_shape"))
    return list(range(rank(norm) - count, rank(norm)))


def _read(root: fx.Node) -> tuple[fx.Node, list[int], float] | Reject | str:
    """Return (x, dims, eps) of a norm written out, or why it is none."""
    scaled = scaled_by_root(root)
    if not isinstance(scaled, Scaled):
        return scaled
    mean = mean_of(scaled.spread)
    if mean is None or square_of(mean[0]) is not scaled.value:
        return Reject("what stands under the root is not the mean of its squares", scaled.spread)
    if not normalised_last(mean[1], scaled.value):
        return Reject("the mean is not over the last dimensions", scaled.spread)
    return scaled.value, mean[1], scaled.eps


RMS_NORM_RULES: list[Rule] = [WrittenRmsNorm(), RmsNormWeight()]
