"""Pass `quantize-weights`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import fx

from rewrite import (
    Context,
    Emitter,
    Match,
    Op,
    Outcome,
    Program,
    Reject,
    Rule,
    RulePass,
    UsageError,
    Weight,
    option,
)
from rewrite.checks.finite import all_finite
from rewrite.quantization.blocks import quantize_blocks
from rewrite.quantization.layer_patterns import tell_unmatched
from rewrite.quantization.markers import DEQUANTIZE_BLOCKS
from rewrite.quantization.precision import Override, Precision, precision_of

aten = torch.ops.aten

_RULE = "weight-blocks"
"""What a target keeps, of the rules for files, whose kernels read blocks as they are."""


@dataclass(frozen=True)
class QuantizeWeights(RulePass):
    """Store the weights of linear layers as 4- or 8-bit integers with a scale per block.

    Activations stay float: the file shrinks, and reading weights, which is what a decoder of one
    token at a time waits for, takes a fraction of the time. It needs no data.
    """

    name = "quantize-weights"
    equivalence = "lossy"
    after = ("fold-batch-norm", "remove-dead-code", "expand-attention")
    before = ("insert-quantizers",)
    precisions = ("float", "w8", "w4")
    least_opset = 21
    opset_hint = "--target ort-weight-only, whose kernels take block=16 and more"

    bits: Literal[4, 8] = option(4, help="Bits of a weight.")
    block: int = option(
        32, help="Inputs of one output that share a scale; a power of two.", low=16, high=1024
    )
    symmetric: bool = option(False, help="Zero point in the middle instead of one per block.")
    search: bool = option(
        True,
        help="Try ranges down to half of each block's, and keep the one of least square error.",
    )
    skip: tuple[str, ...] = option(
        (), help="Module paths, weight or node names that stay float; * matches anything."
    )
    override: tuple[str, ...] = option(
        (), help="PATTERN=w4, w8 or float for some layers, by name or op:KIND; last one wins."
    )

    def __post_init__(self) -> None:
        """Refuse what no kernel takes as soon as it is asked for."""
        if self.block & (self.block - 1):
            raise UsageError(
                f"quantize-weights: no kernel takes blocks of {self.block}",
                hint="a power of two: block=16, 32, 64, 128 …",
            )

    def run(self, program: Program, context: Context) -> Outcome:
        """Apply the rule, and tell which patterns name nothing."""
        named = [_override(text).pattern for text in self.override]
        unmatched = tell_unmatched(program, {"skip": self.skip, "override": named})
        outcome = super().run(program, context)
        outcome.notes += unmatched
        return outcome

    def rules(self) -> list[Rule]:
        """One rule."""
        return [BlockedWeight(self, [_override(text) for text in self.override], takes_rest=True)]

    def rules_for(self, context: Context) -> list[Rule]:
        """One rule; a target that says nothing of blocks may not take a short last one."""
        takes_rest = context.target is None or _RULE in context.target.rules
        overrides = [_override(text) for text in self.override]
        return [BlockedWeight(self, overrides, takes_rest)]


def _override(text: str) -> Override:
    """Read `PATTERN=w4`, `PATTERN=w8` or `PATTERN=float`."""
    override = Override.parse(text)
    if override.precision not in (None, Precision(4), Precision(8)):
        raise UsageError(f"'{text}': blocks have 4 or 8 bits", hint="PATTERN=w4, w8 or float")
    return override


class BlockedWeight(Rule):
    """linear(x, W, b) = linear(x, s·(q − z), b), s and z per block of each row of W."""

    pattern = Op(aten.linear.default, "linear", weight=Weight("weight"))
    # A layer that was rewritten is a layer whose weight is computed: no miss worth a word.
    report_misses = False

    def __init__(
        self, options: QuantizeWeights, overrides: Sequence[Override], takes_rest: bool
    ) -> None:
        self.options, self.takes_rest = options, takes_rest
        self.overrides = [Override(pattern, None) for pattern in options.skip] + list(overrides)

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline what is no matrix of numbers, or is left out."""
        val = match["weight"].meta["val"]
        if val.dim() != 2 or val.dtype != torch.float32:
            return "its weight is no float32 matrix"
        if self._bits(match.root) is None:
            return "left float on request"
        inputs, block = val.shape[1], self.options.block
        if inputs < block:
            return f"its {inputs} inputs are fewer than a block of {block}"
        if inputs % block and not self.takes_rest:
            return f"its {inputs} inputs do not divide into blocks of {block}, as the target asks"
        if not all_finite(program.weight(str(match["weight"].target))):
            return "its weight holds NaN or infinite values, which no scale represents"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Let the layer read a dequantized weight."""
        options, weight, bits = self.options, match["weight"], self._bits(match.root)
        assert bits is not None
        name = str(weight.target)
        integers, scale, zero_point = quantize_blocks(
            emit.tensor(weight).float(),
            bits,
            options.block,
            symmetric=options.symmetric,
            search=options.search,
        )
        recipe = ("blocks", bits, options.block, options.symmetric, options.search)
        parts = {
            "x": emit.weight(integers, source=f"{name}_int{bits}", recipe=recipe),
            "scale": emit.weight(scale, source=f"{name}_scale", recipe=recipe),
            "zero_point": emit.weight(zero_point, source=f"{name}_zero_point", recipe=recipe),
        }
        dequantized = emit.call(
            DEQUANTIZE_BLOCKS,
            like=match.root,
            axis=1,
            block=options.block,
            bits=bits,
            **parts,
        )
        # In place, so that it has its name in both programs when they are compared.
        emit.set_arguments(match.root, weight=dequantized)
        return match.root

    def _bits(self, node: fx.Node) -> int | None:
        """Return the bits of a layer's weight, None where it stays float."""
        precision = precision_of(node, Precision(self.options.bits), self.overrides)
        return None if precision is None else precision.weight
