"""Pass `hoist-activations`."""

from __future__ import annotations

from dataclasses import dataclass

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
    argument,
    arguments,
    is_call,
)
from rewrite.elementwise import ACTIVATIONS
from rewrite.quantization.costs import elements
from rewrite.quantization.kinds import kind

aten = torch.ops.aten
_REARRANGEMENTS = (
    aten.pixel_shuffle.default,
    aten.reshape.default,
    aten.permute.default,
    aten.transpose.int,
    aten.squeeze.dim,
    aten.squeeze.dims,
    aten.unsqueeze.default,
    aten.slice.Tensor,
    aten.expand.default,
)
_LAYERS = ("conv", "conv-transpose", "linear")
_MOST_DROPPED = 1.5
"""Times as many elements computed as are used."""


@dataclass(frozen=True)
class HoistActivations(RulePass):
    """Move activations in front of rearrangements of a layer's result, into the layer's kernel.

    Behind a rearrangement, as of sub-pixel convolutions, an activation is a kernel of its own, and
    the range of the integers in front of it holds what it drops.
    """

    name = "hoist-activations"
    equivalence = "exact"
    after = ("convolve-transposed", "expand-attention")
    before = ("convolve-batch-norm", "split-activations", "split-composites", "insert-quantizers")

    def rules(self) -> list[Rule]:
        """One rule."""
        return [ActivationOfRearranged()]


class ActivationOfRearranged(Rule):
    """f(rearrange(layer(x))) = rearrange(f(layer(x))) for f that works on each element alone."""

    pattern = Op(ACTIVATIONS, "call", self=Op(_REARRANGEMENTS))
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline unless nothing else reads the layer's result, or a part of the way to it."""
        layer, way = _way_to_layer(match.root)
        if kind(layer) not in _LAYERS:
            return "no layer gives what is rearranged in front of it"
        if any(len(node.users) > 1 for node in (layer, *way)):
            return "something else reads what it would be moved in front of"
        computed, used = elements(layer), elements(match.root)
        if computed is None or used is None or computed > _MOST_DROPPED * used:
            return "much of what it would compute is dropped behind it"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the activation on the layer's result, and the way once more behind it."""
        layer, way = _way_to_layer(match.root)
        bound = arguments(match.root)
        result = emit.call(match.root.target, like=match.root, **{**bound, "self": layer})
        for node in way:
            result = emit.call(
                node.target, like=node, after=result, **{**arguments(node), "self": result}
            )
        return result


def _way_to_layer(activation: fx.Node) -> tuple[fx.Node, list[fx.Node]]:
    """Return what a chain of rearrangements begins with, and the chain in order of the program."""
    node: fx.Node = argument(activation, "self")
    way: list[fx.Node] = []
    while is_call(node, *_REARRANGEMENTS):
        way.append(node)
        node = argument(node, "self")
    return node, way[::-1]
