"""Pass `fold-batch-norm`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

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

aten = torch.ops.aten

CONV = (aten.conv1d.default, aten.conv2d.default, aten.conv3d.default)
TRANSPOSED = (
    aten.conv_transpose1d.default,
    aten.conv_transpose2d.input,
    aten.conv_transpose3d.input,
)
_LINEAR = (aten.linear.default,)
_OF_THE_BATCH = (
    "it normalises with the statistics of the batch: it is in training mode, "
    "or keeps no running ones"
)
_NORM = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class FoldBatchNorm(RulePass):
    """Fold batch normalisation into the convolution or linear layer beside it."""

    name = "fold-batch-norm"
    equivalence = "exact"

    def rules(self) -> list[Rule]:
        """Fold into the producer first: it is always border-exact."""
        return [FoldIntoProducer(), FoldIntoConsumer()]


class FoldIntoProducer(Rule):
    """norm(W∗x + b) = (s·W)∗x + (s·(b − μ) + β), s = γ/√(σ² + ε) on the output channels."""

    pattern = Op(
        aten.batch_norm.default,
        "norm",
        input=Op((*CONV, *TRANSPOSED, *_LINEAR), "layer"),
    )
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline where the statistics are not constant or the layer has other readers."""
        layer: fx.Node = match["layer"]
        if len(layer.users) > 1:
            others = [u for u in layer.users if u is not match.root]
            return Reject(f"the layer's output is also read by '{others[0].name}'", match.root)
        return not_constant(match["norm"]) or _not_a_layer(layer)

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the layer with new weights."""
        layer, norm = match["layer"], match["norm"]
        bound = arguments(layer)
        scale, shift = affine_of(norm, emit)
        weight: fx.Node = bound["weight"]
        # A transposed convolution with the same weight has its output channels elsewhere.
        layout = (is_call(layer, *TRANSPOSED), bound.get("groups", 1))
        recipe = ("fold-batch-norm", *layout, *_statistics(norm))
        new_weight = emit.weight(
            lambda: scale_outputs(emit.tensor(weight), scale, layer),
            source=str(weight.target),
            recipe=recipe,
        )
        bias: fx.Node | None = bound["bias"]
        old = emit.tensor(bias) if bias is not None else torch.zeros_like(scale)
        source = str(bias.target) if bias is not None else beside(weight, "bias")
        new_bias = emit.weight(
            lambda: old * scale + shift,
            source=source,
            recipe=(*recipe, getattr(bias, "target", None)),
            dtype=_dtype(bias or weight, emit),
        )
        return emit.call(
            layer.target,
            like=match.root,
            val=match.root.meta["val"],
            **{**bound, "weight": new_weight, "bias": new_bias},
        )


class FoldIntoConsumer(Rule):
    """W∗norm(x) + b = (W·s)∗x + (b + ΣW·t), s = γ/√(σ² + ε), t = β − s·μ on the input channels.

    Exact only where every output sees W·t whole: without zero padding, or with t = 0.
    """

    pattern = Op(aten.batch_norm.default, "norm")

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline unless every reader is a layer that absorbs the affine map exactly."""
        norm: fx.Node = match["norm"]
        reason = not_constant(norm)
        if reason:
            return reason
        if not norm.users:
            return "nothing reads it"
        shifted = bool((affine_of(norm, Emitter(program))[1] != 0).any())
        for user in norm.users:
            obstacle = _cannot_absorb(norm, user, shifted)
            if obstacle:
                return Reject(obstacle, norm)
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Give each reader new weights and let it read what the norm read."""
        norm: fx.Node = match["norm"]
        source: fx.Node = argument(norm, "input")
        scale, shift = affine_of(norm, emit)
        for layer in list(norm.users):
            _absorb(layer, norm, source, scale, shift, emit)
        return source


def _absorb(
    layer: fx.Node, norm: fx.Node, source: fx.Node, scale: Tensor, shift: Tensor, emit: Emitter
) -> None:
    bound = arguments(layer)
    weight: fx.Node = bound["weight"]
    bias: fx.Node | None = bound["bias"]
    values = emit.tensor(weight)
    groups = bound.get("groups", 1)
    recipe = ("absorb-batch-norm", groups, *_statistics(norm))
    new_weight = emit.weight(
        lambda: values * _per_input(scale, values, groups),
        source=str(weight.target),
        recipe=recipe,
    )
    constant = (values * _per_input(shift, values, groups)).flatten(1).sum(1)
    old = emit.tensor(bias) if bias is not None else torch.zeros_like(constant)
    new_bias = emit.weight(
        old + constant,
        source=str(bias.target) if bias is not None else beside(weight, "bias"),
        recipe=(*recipe, getattr(bias, "target", None), weight.target),
        dtype=_dtype(bias or weight, emit),
    )
    emit.set_arguments(layer, input=source, weight=new_weight, bias=new_bias)


def _per_input(vector: Tensor, weight: Tensor, groups: int) -> Tensor:
    """Lay a vector over input channels [groups·C_in/g] along a weight [C_out, C_in/g, …]."""
    per_group = vector.reshape(groups, 1, -1)
    spread = per_group.expand(groups, weight.shape[0] // groups, weight.shape[1])
    return spread.reshape(weight.shape[0], weight.shape[1], *[1] * (weight.dim() - 2))


def scale_outputs(weight: Tensor, scale: Tensor, layer: fx.Node) -> Tensor:
    """Multiply what a layer's weight gives, by one factor for each output channel."""
    if not is_call(layer, *TRANSPOSED):
        return weight * scale.reshape(-1, *[1] * (weight.dim() - 1))
    groups = argument(layer, "groups")
    grouped = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
    along = scale.reshape(groups, 1, weight.shape[1], *[1] * (weight.dim() - 2))
    return (grouped * along).reshape(weight.shape)


def affine_of(norm: fx.Node, emit: Emitter) -> tuple[Tensor, Tensor]:
    """Return (s, t) with norm(x) = s·x + t, float64, one per channel."""
    bound = arguments(norm)
    mean, variance = emit.tensor(bound["running_mean"]), emit.tensor(bound["running_var"])
    scale = torch.rsqrt(variance + bound["eps"])
    if bound["weight"] is not None:
        scale = scale * emit.tensor(bound["weight"])
    shift = -mean * scale
    if bound["bias"] is not None:
        shift = shift + emit.tensor(bound["bias"])
    return scale, shift


def _statistics(norm: fx.Node) -> tuple[Any, ...]:
    bound = arguments(norm)
    return (*(getattr(bound[name], "target", None) for name in _NORM), bound["eps"])


def not_constant(norm: fx.Node) -> str | None:
    """Say why what a norm multiplies with and adds is not known, None where it is."""
    bound = arguments(norm)
    if bound["training"] or bound["running_mean"] is None or bound["running_var"] is None:
        return _OF_THE_BATCH
    for name in _NORM:
        value = bound[name]
        if value is not None and not (isinstance(value, fx.Node) and value.op == "get_attr"):
            return f"its {name} is computed at run time"
    return None


def _not_a_layer(layer: fx.Node) -> str | None:
    bound = arguments(layer)
    for name in ("weight", "bias"):
        value = bound[name]
        if value is not None and value.op != "get_attr":
            return f"the layer's {name} is computed at run time"
    if is_call(layer, *_LINEAR) and layer.meta["val"].dim() != 2:
        return "the linear layer's channels are its last dimension, the norm's are dimension 1"
    if layer.meta["val"].dim() != bound["weight"].meta["val"].dim():
        return "the layer's input has no batch dimension, so its channels are not the norm's"
    return None


def _cannot_absorb(norm: fx.Node, user: fx.Node, shifted: bool) -> str | None:
    if not is_call(user, *CONV, *_LINEAR) or argument(user, "input") is not norm:
        return f"it is read by '{user.name}', which is no convolution or linear layer"
    if not (isinstance(argument(user, "weight"), fx.Node) and _not_a_layer(user) is None):
        return _not_a_layer(user)
    if is_call(user, *CONV) and shifted and any(p != 0 for p in argument(user, "padding")):
        return (
            f"'{user.name}' pads with zeros, which are not normalised: folding would change "
            "the border"
        )
    return None


def _dtype(source: fx.Node, emit: Emitter) -> torch.dtype:
    return emit.program.weight(str(source.target)).dtype


def beside(weight: fx.Node, leaf: str) -> str:
    """Return the name of another weight of the layer that a weight belongs to."""
    folder = str(weight.target).rpartition(".")[0]
    return f"{folder}.{leaf}" if folder else leaf
