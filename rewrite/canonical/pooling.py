"""Pooling that covers everything is a mean."""

from __future__ import annotations

import math
import operator
from typing import Any

import torch
from torch import fx

from rewrite.canonical.values import positive_dims, same_shape, shape
from rewrite.emitter import Emitter
from rewrite.pattern import Match, Op
from rewrite.program import Program
from rewrite.rules import Rule
from rewrite.schema import argument, arguments

aten = torch.ops.aten
_SPATIAL: dict[Any, int] = {
    aten.avg_pool1d.default: 1,
    aten.avg_pool2d.default: 2,
    aten.avg_pool3d.default: 3,
}
_ADAPTIVE: dict[Any, Any] = {
    aten.adaptive_avg_pool1d.default: aten.avg_pool1d.default,
    aten.adaptive_avg_pool2d.default: aten.avg_pool2d.default,
    aten._adaptive_avg_pool2d.default: aten.avg_pool2d.default,
    aten.adaptive_avg_pool3d.default: aten.avg_pool3d.default,
    aten._adaptive_avg_pool3d.default: aten.avg_pool3d.default,
}
_ADAPTIVE_MAX: dict[Any, Any] = {
    aten.adaptive_max_pool1d.default: aten.max_pool1d.default,
    aten.adaptive_max_pool2d.default: aten.max_pool2d.default,
    aten.adaptive_max_pool3d.default: aten.max_pool3d.default,
}


class PoolOfOne(Rule):
    """avg_pool(x, 1, stride 1) = x."""

    pattern = Op(tuple(_SPATIAL), "pool")
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline windows of more than one element, and those that skip some."""
        bound = arguments(match.root)
        once = {*bound["kernel_size"], *(bound["stride"] or bound["kernel_size"])} == {1}
        whole = once and not any(bound["padding"]) and bound.get("divisor_override") is None
        return None if whole else "its windows cover or skip something"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Return the input."""
        source: fx.Node = argument(match.root, "self")
        return source


class WholePool(Rule):
    """avg_pool(x, k) = mean(x over space), k at least the size of x and padding 0."""

    pattern = Op(tuple(_SPATIAL), "pool")
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline windows that leave something out, and padding or a divisor that counts more."""
        bound = arguments(match.root)
        spatial = _SPATIAL[match.root.target]
        sizes = shape(bound["self"])[-spatial:]
        if any(bound["padding"]) or bound.get("divisor_override") is not None:
            return "it counts more than it covers"
        windows = _per_dim(bound["kernel_size"], spatial)
        covered = all(isinstance(s, int) and s <= w for s, w in zip(sizes, windows, strict=True))
        ones = all(s == 1 for s in shape(match.root)[-spatial:])
        return None if covered and ones else "its window is smaller than its input"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the mean."""
        return _mean(match.root, _SPATIAL[match.root.target], emit)


class DividedPool(Rule):
    """avg_pool(x, k, divisor d) = avg_pool(x, k) · (∏k / d), padding counted."""

    pattern = Op((aten.avg_pool2d.default, aten.avg_pool3d.default), "pool")
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline pooling without a divisor, and windows that reach past the padding."""
        bound = arguments(match.root)
        if bound["divisor_override"] is None:
            return "it divides by the size of its windows"
        return "its last windows count less" if bound["ceil_mode"] else None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the pooling and the factor."""
        bound = arguments(match.root)
        count = math.prod(_per_dim(bound["kernel_size"], _SPATIAL[match.root.target]))
        plain = {"count_include_pad": True, "divisor_override": None}
        pooled = emit.call(match.root.target, like=match.root, **{**bound, **plain})
        return emit.call(
            aten.mul.Tensor,
            like=match.root,
            val=match.root.meta["val"],
            self=pooled,
            other=count / bound["divisor_override"],
        )


class AdaptiveMean(Rule):
    """adaptive_avg_pool(x, (1, …)) = mean(x over space), whatever the size of x."""

    pattern = Op(tuple(_ADAPTIVE), "pool")
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline any other size."""
        ones = all(s == 1 for s in argument(match.root, "output_size"))
        return None if ones else "its result has more than one element per channel"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the mean."""
        return _mean(match.root, len(argument(match.root, "output_size")), emit)


class AdaptiveWindows(Rule):
    """adaptive_avg_pool(x, n) = avg_pool(x, s/n), s the size of x and a multiple of n."""

    pattern = Op(tuple(_ADAPTIVE), "pool")
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline windows of several sizes, and sizes known at run time only."""
        sizes = _spatial_sizes(match.root)
        even = all(isinstance(s, int) and s % n == 0 for s, n in sizes)
        return None if even else "its windows are of several sizes"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the pooling with its windows."""
        windows = [s // n for s, n in _spatial_sizes(match.root)]
        return emit.call(
            _ADAPTIVE[match.root.target],
            like=match.root,
            val=match.root.meta["val"],
            self=argument(match.root, "self"),
            kernel_size=windows,
            stride=windows,
        )


class AdaptiveMaximum(Rule):
    """adaptive_max_pool(x, n)[0] = max_pool(x, s/n), s the size of x; amax(x) where n is 1."""

    pattern = Op(operator.getitem, self=Op(tuple(_ADAPTIVE_MAX), "pool"), index=0)
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline windows of several sizes, and sizes known at run time only."""
        sizes = _spatial_sizes(match["pool"])
        if all(n == 1 for _, n in sizes):
            return None
        even = all(isinstance(s, int) and s % n == 0 for s, n in sizes)
        return None if even else "its windows are of several sizes"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the largest of everything, or the pooling with its windows."""
        pool, val = match["pool"], match.root.meta["val"]
        source, sizes = argument(pool, "self"), _spatial_sizes(pool)
        if all(n == 1 for _, n in sizes):
            rank = len(shape(source))
            dims = list(range(rank - len(sizes), rank))
            return emit.call(
                aten.amax.default, like=match.root, val=val, self=source, dim=dims, keepdim=True
            )
        windows = [s // n for s, n in sizes]
        return emit.call(
            _ADAPTIVE_MAX[pool.target],
            like=match.root,
            val=val,
            self=source,
            kernel_size=windows,
            stride=windows,
        )


class FlattenedMean(Rule):
    """view(mean(x over d, keepdim)) = mean(x over d), where the view drops the dimensions kept."""

    pattern = Op((aten.reshape.default, aten.squeeze), "view", self=Op(aten.mean.dim, "mean"))
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline a mean that others read as it is, and views that do more."""
        bound = arguments(match["mean"])
        if not bound["keepdim"] or not bound["dim"]:
            return "it keeps no dimensions"
        if len(match["mean"].users) > 1:
            return "others read the dimensions it keeps"
        gone = positive_dims(bound["dim"], bound["self"])
        left = [size for i, size in enumerate(shape(bound["self"])) if i not in gone]
        return None if same_shape(shape(match.root), left) else "the view does more"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the mean that keeps nothing."""
        bound = {**arguments(match["mean"]), "keepdim": False}
        return emit.call(aten.mean.dim, like=match.root, val=match.root.meta["val"], **bound)


def _mean(pool: fx.Node, spatial: int, emit: Emitter) -> fx.Node:
    source = argument(pool, "self")
    rank = len(shape(source))
    return emit.call(
        aten.mean.dim,
        like=pool,
        val=pool.meta["val"],
        self=source,
        dim=list(range(rank - spatial, rank)),
        keepdim=True,
    )


def _spatial_sizes(pool: fx.Node) -> list[tuple[Any, int]]:
    """Return (size of the input, size of the result) of each pooled dimension."""
    wanted = argument(pool, "output_size")
    return list(zip(shape(argument(pool, "self"))[-len(wanted) :], wanted, strict=True))


def _per_dim(values: Any, spatial: int) -> list[int]:
    return list(values) * (spatial if len(values) == 1 else 1)


POOLING_RULES: list[Rule] = [
    AdaptiveMaximum(),
    AdaptiveMean(),
    AdaptiveWindows(),
    DividedPool(),
    FlattenedMean(),
    PoolOfOne(),
    WholePool(),
]
