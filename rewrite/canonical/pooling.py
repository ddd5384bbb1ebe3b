"""Pooling that covers everything is a mean."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from rewrite.canonical.values import shape
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
        spatial = _SPATIAL[match.root.target]
        source = argument(match.root, "self")
        rank = len(shape(source))
        return emit.call(
            aten.mean.dim,
            like=match.root,
            val=match.root.meta["val"],
            self=source,
            dim=list(range(rank - spatial, rank)),
            keepdim=True,
        )


def _per_dim(values: Any, spatial: int) -> list[int]:
    return list(values) * (spatial if len(values) == 1 else 1)
