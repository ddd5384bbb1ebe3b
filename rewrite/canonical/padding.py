"""Padding with zeros belongs to the convolution behind it, in numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from rewrite.canonical.values import rank, shape
from rewrite.emitter import Emitter
from rewrite.pattern import Match, Op
from rewrite.program import Program
from rewrite.rules import Rule
from rewrite.schema import argument, arguments

aten = torch.ops.aten
_CONVOLUTIONS = (aten.conv1d.default, aten.conv2d.default, aten.conv3d.default)
_NAMED: dict[Any, Any] = {
    aten.conv1d.padding: aten.conv1d.default,
    aten.conv2d.padding: aten.conv2d.default,
    aten.conv3d.padding: aten.conv3d.default,
}
_PADS = (aten.pad.default, aten.constant_pad_nd.default)


class NamedPadding(Rule):
    """conv(x, "valid") = conv(x, 0); conv(x, "same") = conv(pad(x, d·(k-1) in all), 0)."""

    pattern = Op(tuple(_NAMED), "conv")
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline a kernel whose size is not constant."""
        sizes = shape(arguments(match.root)["weight"])[2:]
        return None if all(isinstance(s, int) for s in sizes) else "its kernel has no fixed size"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the convolution with padding in numbers, behind a pad where that is uneven."""
        bound = arguments(match.root)
        kernel = shape(bound["weight"])[2:]
        spatial = len(kernel)
        total = [0] * spatial
        if bound["padding"] == "same":
            dilation = list(bound["dilation"]) * (spatial if len(bound["dilation"]) == 1 else 1)
            total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        padding = [t // 2 for t in total]
        if any(t % 2 for t in total):
            amounts = [a for t in reversed(total) for a in (t // 2, t - t // 2)]
            bound["input"] = emit.call(
                aten.constant_pad_nd.default, like=match.root, self=bound["input"], pad=amounts
            )
            padding = [0] * spatial
        return emit.call(
            _NAMED[match.root.target],
            like=match.root,
            val=match.root.meta["val"],
            **{**bound, "padding": padding},
        )


class PaddedConv(Rule):
    """conv(pad(x, (a, a, b, b)), p) = conv(x, p + (b, a))."""

    pattern = Op(_CONVOLUTIONS, "conv", input=Op(_PADS, "pad"))
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline values other than zero, uneven sides, and padded channels."""
        return None if _even_zeros(match["pad"]) is not None else "it pads unevenly, or not zeros"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the convolution with the padding added to its own."""
        added = _even_zeros(match["pad"]) or []
        bound = arguments(match["conv"])
        spatial = rank(bound["input"]) - 2
        own = list(bound["padding"]) * (spatial if len(bound["padding"]) == 1 else 1)
        added = added + [0] * (spatial - len(added))
        padding = [a + b for a, b in zip(own, reversed(added), strict=True)]
        return emit.call(
            match.root.target,
            like=match.root,
            val=match.root.meta["val"],
            **{**bound, "input": argument(match["pad"], "self"), "padding": padding},
        )


def _even_zeros(pad: fx.Node) -> list[int] | None:
    """Return what is padded on both sides, last dimension first; None if it is not so simple."""
    bound = arguments(pad)
    amounts: list[Any] = list(bound["pad"])
    zeros = bound["value"] in (None, 0, 0.0) and bound.get("mode", "constant") == "constant"
    sides = list(zip(amounts[::2], amounts[1::2], strict=True))
    known = all(isinstance(a, int) and a >= 0 for a in amounts)
    if not zeros or not known or len(sides) > rank(bound["self"]) - 2:
        return None
    return [low for low, _ in sides] if all(low == high for low, high in sides) else None
