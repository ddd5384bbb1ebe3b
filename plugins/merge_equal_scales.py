"""Pass `merge-equal-scales`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import fx

from rewrite import Emitter, Match, Op, Program, Reject, Rule, RulePass, argument, arguments
from rewrite.quantization.kinds import is_weight
from rewrite.quantization.markers import DEQUANTIZE


@dataclass(frozen=True)
class MergeEqualScales(RulePass):
    """Store one scale where all channels of a weight or a bias have the same one.

    Some runtimes take weights with one scale only, and know them by its shape.
    """

    name = "merge-equal-scales"
    equivalence = "exact"
    after = ("calibrate",)

    def rules(self) -> list[Rule]:
        """One rule."""
        return [ChannelsAreAlike()]


class ChannelsAreAlike(Rule):
    """(q - [z, …, z]) · [s, …, s] = (q - z) · s, along any axis."""

    pattern = Op(DEQUANTIZE, "dequantize")
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline for activations, and for channels that differ."""
        bound = arguments(match.root)
        if not is_weight(bound["x"]) or bound["axis"] is None:
            return "it has one scale already"
        values = [program.weight(str(bound[n].target)) for n in ("scale", "zero_point")]
        if any(not v.numel() or bool((v != v.reshape(-1)[0]).any()) for v in values):
            return "its channels have scales of their own"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the dequantizer with the first channel's scale and zero point."""
        root = match.root
        first = {name: _first(argument(root, name), emit) for name in ("scale", "zero_point")}
        return emit.call(DEQUANTIZE, like=root, x=argument(root, "x"), **first)


def _first(node: fx.Node, emit: Emitter) -> fx.Node:
    name = str(node.target)

    def value() -> torch.Tensor:
        return emit.program.weight(name).detach().reshape(-1)[0].clone()

    return emit.weight(value(), source=name, recipe=("first",))
