"""Weights: the axis that their scales run along, and the scales."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import fx

from rewrite.quantization.kinds import kind
from rewrite.quantization.spec import QuantSpec
from rewrite.schema import arguments


def channel_axis(readers: Iterable[fx.Node]) -> int | None:
    """Return the axis of a weight along the outputs of all that read it, None where there is none.

    A transposed convolution stores [in, out/groups, …]. With groups, each element of axis 1 belongs
    to as many outputs, of which one scale would have to serve them all: it gets one as a whole.

    Args:
        readers: the layers that share the weight.
    """
    axes = {_axis(layer) for layer in readers}
    return axes.pop() if len(axes) == 1 else None


def _axis(layer: fx.Node) -> int | None:
    if kind(layer) != "conv-transpose":
        return 0
    return 1 if arguments(layer)["groups"] == 1 else None


@dataclass(frozen=True)
class Channels:
    """How many channels a layer has."""

    inside: int
    """Of one group."""
    outside: int
    groups: int


def channels(layer: fx.Node) -> Channels | None:
    """Return the channels of a convolution or a linear layer, None for what has no such weight.

    Weights are [out, in/groups, …]; those of a transposed convolution [in, out/groups, …].
    """
    bound = arguments(layer)
    weight = bound.get("weight")
    if not isinstance(weight, fx.Node) or weight.meta["val"].dim() < 2:
        return None
    first, second = weight.meta["val"].shape[:2]
    groups = bound.get("groups", 1)
    if kind(layer) == "conv-transpose":
        return Channels(first // groups, second * groups, groups)
    return Channels(second, first, groups)


def weight_parameters(
    weight: torch.Tensor, spec: QuantSpec, axis: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (scale, zero_point) of a weight, one for each channel or of no dimension.

    Args:
        weight: float, any shape.
        spec: how it is quantized.
        axis: of the channels; None for one scale.
    """
    if axis is None:
        return spec.parameters(weight.amin(), weight.amax())
    flat = weight.movedim(axis, 0).reshape(weight.shape[axis], -1)
    return spec.parameters(flat.amin(1), flat.amax(1))
