"""Layer normalisation written out, and its affine part."""

from __future__ import annotations

from typing import Any

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
from rewrite.canonical.values import positive_dims, rank, shape
from rewrite.emitter import Emitter
from rewrite.pattern import Match, Op, only_user
from rewrite.program import Program
from rewrite.rules import Reject, Rule
from rewrite.schema import argument, arguments, is_call

aten = torch.ops.aten


class WrittenLayerNorm(Rule):
    """(x - mean(x))/√(mean((x - mean(x))²) + eps) = layer_norm(x), moved to the end and back."""

    pattern = Op((aten.div.Tensor, aten.mul.Tensor), "normalised")
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline eps outside the root, an unbiased variance, and other means."""
        found = _read(match.root)
        return found if isinstance(found, (str, Reject)) else None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the norm over the last dimensions, between permutes where it ran over others."""
        found = _read(match.root)
        assert isinstance(found, tuple)
        x, dims, eps = found
        like, sizes = match.root, [shape(x)[d] for d in dims]
        order = [d for d in range(rank(x)) if d not in dims] + dims
        if not normalised_last(dims, x):
            x = emit.call(aten.permute.default, like=like, self=x, dims=order)
        norm = emit.call(
            aten.layer_norm.default, like=like, input=x, normalized_shape=sizes, eps=eps
        )
        if order == sorted(order):
            return norm
        back = [order.index(d) for d in range(len(order))]
        return emit.call(aten.permute.default, like=like, self=norm, dims=back)


class _Affine(Rule):
    """Shared by the two affine parts: what stands around the norm and along which dimensions."""

    report_misses = False
    wants_weight = True

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline a factor that is no weight of the normalised dimensions, and other users."""
        found = self._find(match.root)
        if found is None:
            return "it does not work on a layer norm by a weight of the normalised dimensions"
        norm, outer, _, _ = found
        bound = arguments(norm)
        if bound["bias"] is not None or (self.wants_weight and bound["weight"] is not None):
            return Reject("the norm has its affine part already", norm)
        for node in {norm, outer}:
            if not only_user(node):
                return Reject("the norm is read without it as well", node)
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the norm with the weight, and the permute around it again."""
        found = self._find(match.root)
        assert found is not None
        norm, outer, value, dims = found
        vector = channel_vector(value, outer, dims, emit)
        given = {"weight" if self.wants_weight else "bias": vector}
        new = emit.call(
            aten.layer_norm.default,
            like=norm,
            after=match.root,
            val=norm.meta["val"],
            **{**arguments(norm), **given},
        )
        if outer is norm:
            return new
        order = argument(outer, "dims")
        return emit.call(
            aten.permute.default,
            like=outer,
            after=new,
            val=outer.meta["val"],
            self=new,
            dims=order,
        )

    def _find(self, root: fx.Node) -> tuple[fx.Node, fx.Node, Any, list[int]] | None:
        """Return (norm, norm or the permute around it, weight, its dimensions)."""
        bound = arguments(root)
        for outer, value in ((bound["self"], bound["other"]), (bound["other"], bound["self"])):
            norm = argument(outer, "self") if is_call(outer, aten.permute.default) else outer
            if not is_call(norm, aten.layer_norm.default) or bound.get("alpha", 1) != 1:
                continue
            count = len(argument(norm, "normalized_shape"))
            dims = list(range(rank(norm) - count, rank(norm)))
            if outer is not norm:
                moved = positive_dims(argument(outer, "dims"), norm)
                dims = [moved.index(d) for d in dims]
            if channel_vector(value, outer, dims, None) and dims == sorted(dims):
                return norm, outer, value, dims
        return None


class LayerNormWeight(_Affine):
    """layer_norm(x)·γ = layer_norm(x, γ)."""

    pattern = Op(aten.mul.Tensor, "affine")


class LayerNormBias(_Affine):
    """layer_norm(x, γ) + β = layer_norm(x, γ, β)."""

    pattern = Op(aten.add.Tensor, "affine")
    wants_weight = False


def _read(root: fx.Node) -> tuple[fx.Node, list[int], float] | Reject | str:
    """Return (x, dims, eps) of a norm written out, or why it is none."""
    scaled = scaled_by_root(root)
    if not isinstance(scaled, Scaled):
        return scaled
    centred = scaled.value
    if not is_call(centred, aten.sub.Tensor):
        return "what is divided is not centred"
    x = argument(centred, "self")
    mean = mean_of(argument(centred, "other"))
    if mean is None or mean[0] is not x or argument(centred, "alpha") != 1:
        return Reject("what is subtracted is not the mean", centred)
    dims = mean[1]
    if not all(isinstance(shape(x)[d], int) for d in dims):
        return "it normalises over a size known at run time only"
    problem = _not_the_variance(scaled.spread, x, centred, dims)
    return Reject(problem, scaled.spread) if problem else (x, dims, scaled.eps)


def _not_the_variance(spread: fx.Node, x: fx.Node, centred: fx.Node, dims: list[int]) -> str:
    """Say why `spread` is not the mean square of `centred`; '' when it is."""
    if is_call(spread, aten.var.correction, aten.var.dim):
        bound = arguments(spread)
        if bound.get("correction", bound.get("unbiased")) != 0:
            return "the variance is the unbiased one, divided by N-1"
        same = bound["self"] in (x, centred) and bound["keepdim"]
        over = sorted(positive_dims(bound["dim"] or list(range(rank(x))), x))
        return "" if same and over == dims else "the variance is of other values"
    mean = mean_of(spread)
    if mean is None or mean[1] != dims:
        return "what stands under the root is no variance over the same dimensions"
    return "" if square_of(mean[0]) is centred else "the variance is of other values"


LAYER_NORM_RULES: list[Rule] = [WrittenLayerNorm(), LayerNormWeight(), LayerNormBias()]
