"""Pass `convolve-batch-norm`."""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from rewrite_plugins.fold_batch_norm import affine_of, beside, not_constant
from torch import fx

from rewrite import (
    Context,
    Emitter,
    Match,
    Op,
    Outcome,
    Pass,
    Program,
    Reject,
    Rule,
    Target,
    UsageError,
    Var,
    apply_rules,
    argument,
    arguments,
    is_call,
)
from rewrite.quantization.kinds import is_weight, kind
from rewrite.quantization.placement import find_kernels, plan_quantizers

aten = torch.ops.aten
_LEAST_SQNR = 36.0
"""In dB, of a norm's result. Where all channels are alike, 8 bits in front of it leave 43."""
CONVOLUTIONS = {3: aten.conv1d.default, 4: aten.conv2d.default, 5: aten.conv3d.default}
"""By the rank of what they read."""


@dataclass(frozen=True)
class ConvolveBatchNorm(Pass):
    """Write a batch normalisation between integers as a convolution, which has an int8 kernel.

    It has none itself: what it reads becomes float for it, and what it gives integers again.
    """

    name = "convolve-batch-norm"
    equivalence = "exact"
    after = ("fold-batch-norm", "remove-dead-code", "expand-attention")
    before = ("split-composites", "insert-quantizers")

    def run(self, program: Program, context: Context) -> Outcome:
        """Rewrite the norms whose input and result are integers by the target's rules."""
        if context.target is None:
            raise UsageError("convolve-batch-norm needs a target", hint="--target portable")
        why_not = _why_float(program, context.target)
        if not why_not:
            return Outcome(nothing=f"the program has no {NormOfIntegers.pattern.describe()}")
        return apply_rules(program, [NormOfIntegers(why_not)])


class BatchNormIsConvolution(Rule):
    """norm(x) = s·x + (β − s·μ), s = γ/√(σ² + ε): a convolution of one channel with one weight."""

    pattern = Op(aten.batch_norm.default, "norm", input=Var("x"))
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline a norm in training, of computed statistics, and of rows without space."""
        return _not_a_convolution(match.root) or None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit a convolution of one group for each channel."""
        scale, shift = affine_of(match.root, emit)
        owner = argument(match.root, "running_var")
        return convolve_channels(match.root, match["x"], scale, shift, owner, emit)


class NormOfIntegers(BatchNormIsConvolution):
    """norm(x) = s·x + (β − s·μ), s = γ/√(σ² + ε): a convolution of one channel with one weight."""

    def __init__(self, why_float: Mapping[fx.Node, str]) -> None:
        self.why_float = why_float

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline where the input or the result is float anyway, or better float."""
        return self.why_float[match.root] or None


def convolve_channels(
    root: fx.Node,
    x: fx.Node,
    scale: torch.Tensor,
    shift: torch.Tensor,
    owner: fx.Node,
    emit: Emitter,
) -> fx.Node:
    """Emit s·x + t of each channel, as a convolution of as many groups as channels.

    Its weights are named as those of the layer that `owner` is a weight of.
    """
    rank, dtype = x.meta["val"].dim(), x.meta["val"].dtype
    recipe: tuple[Any, ...] = ("each-channel", root.name)
    weight = scale.reshape(-1, *[1] * (rank - 1))
    return emit.call(
        CONVOLUTIONS[rank],
        like=root,
        input=x,
        weight=emit.weight(
            weight, source=beside(owner, "weight"), recipe=(*recipe, "scale"), dtype=dtype
        ),
        bias=emit.weight(
            shift, source=beside(owner, "bias"), recipe=(*recipe, "shift"), dtype=dtype
        ),
        groups=scale.numel(),
    )


def _why_float(program: Program, target: Target) -> dict[fx.Node, str]:
    """Return for each norm why it is not between integers, '' where it is."""
    norms = [n for n in program.graph.nodes if is_call(n, aten.batch_norm.default)]
    kernels = set(find_kernels(program, target)) if norms else set()
    stored = plan_quantizers(program, target).stored if norms else {}
    reasons = {norm: _not_a_convolution(norm) for norm in norms}
    taken = {norm for norm in norms if not reasons[norm]}

    @functools.cache
    def better_float(norm: fx.Node) -> str:
        if argument(norm, "input") not in stored and (reason := _too_uneven(norm, program)):
            return reason
        return _pooled_from_below(norm, program)

    while True:
        # One that stays float takes the integers from those beside it.
        around = _Integers(program, target, kernels, taken)
        reasons |= {norm: around.why_float(norm) or better_float(norm) for norm in taken}
        left = {norm for norm in taken if reasons[norm]}
        if not left:
            return reasons
        taken -= left


def _not_a_convolution(norm: fx.Node) -> str:
    if argument(norm, "input").meta["val"].dim() not in CONVOLUTIONS:
        return "it has no space: a linear layer in front of it takes it up"
    return not_constant(norm) or ""


class _Integers:
    """Which calls give integers, and whose results an int8 kernel reads, if some norms do."""

    def __init__(
        self,
        program: Program,
        target: Target,
        kernels: Collection[fx.Node],
        norms: Collection[fx.Node],
    ) -> None:
        self.target, self.kernels, self.norms = target, kernels, norms
        nodes = list(program.graph.nodes)
        self.given: dict[fx.Node, bool] = {}
        for node in nodes:
            self.given[node] = self._gives(node)
        self.read: dict[fx.Node, bool] = {}
        for node in reversed(nodes):
            self.read[node] = any(
                u in kernels or (self.read[u] and self._hands_on(u)) for u in node.users
            )

    def why_float(self, norm: fx.Node) -> str:
        if not self.read[norm]:
            return "no int8 kernel reads what it gives"
        return "" if self.given[norm] else "what it reads is float"

    def _gives(self, node: fx.Node) -> bool:
        if node in self.kernels:
            return self.target.ops[kind(node)].output is not None
        sources = [s for s in node.all_input_nodes if not is_weight(s)]
        return self._hands_on(node) and bool(sources) and all(self.given[s] for s in sources)

    def _hands_on(self, node: fx.Node) -> bool:
        """Tell whether a call of integers gives integers: a join, a layout, such a norm."""
        return node in self.norms or self.target.carries(kind(node))


def _too_uneven(norm: fx.Node, program: Program) -> str:
    """Say that integers in front of a norm would lose its small channels, '' if they would not.

    With Δ the step of 8 bits over the widest channel, μ ± 3σ, what the norm gives has the energy
    Σ s²σ², and the rounding in front of it Σ s²·Δ²/12.
    """
    emit, bound = Emitter(program), arguments(norm)
    mean, variance = (emit.tensor(bound[n]).double() for n in ("running_mean", "running_var"))
    scale, _ = affine_of(norm, emit)
    reach = 3 * variance.sqrt()
    step = ((mean + reach).max() - (mean - reach).min()) / 255
    energy, noise = (scale**2 * variance).sum(), (scale**2 * step**2 / 12).sum()
    found = 10 * float((energy / noise).log10())
    if not math.isfinite(found) or found >= _LEAST_SQNR:
        return ""
    return f"its channels are so uneven that integers in front of it would leave {found:.0f} dB"


def _pooled_from_below(norm: fx.Node, program: Program) -> str:
    """Say that a max pool drops what would set the range of the norm's integers, '' if it does not.

    Where s < 0 the widest of a channel are its lowest values, and a pool takes the highest.
    """
    if any(kind(user) != "max-pool" for user in norm.users):
        return ""
    scale, _ = affine_of(norm, Emitter(program))
    negative = int((scale < 0).sum())
    if not negative:
        return ""
    share = f"{negative} of {scale.numel()}"
    return (
        "a max pool reads it, and drops what widens its range: "
        f"{share} channels have a negative scale"
    )
