"""Pass `space-to-depth`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
    option,
)
from rewrite.quantization.kinds import is_weight
from rewrite.quantization.markers import DEQUANTIZE, QUANTIZE

aten = torch.ops.aten
_EIGHT_BIT = (torch.uint8, torch.int8)


@dataclass(frozen=True)
class SpaceToDepth(RulePass):
    """Let the first convolution read blocks of pixels as channels instead of striding over them.

    Int8 kernels gather the window of an output pixel by pixel: three bytes at a time for an image.
    """

    name = "space-to-depth"
    equivalence = "exact"
    after = ("calibrate",)

    most_channels: int = option(4, help="Convolutions that read more channels are left alone.")
    most_stride: int = option(4, help="So are those of a wider stride.")

    def rules(self) -> list[Rule]:
        """One rule."""
        return [StrideIsDepth(self.most_channels, self.most_stride)]


@dataclass(frozen=True)
class _Axis:
    """One spatial axis of a convolution with stride b, kernel k and padding p."""

    size: int
    kernel: int
    padding: int
    stride: int

    @property
    def lead(self) -> int:
        """Zero taps in front of the kernel, so that it begins with a block."""
        return -self.padding % self.stride

    @property
    def taps(self) -> int:
        """Blocks that the kernel spans."""
        return math.ceil((self.lead + self.kernel) / self.stride)

    @property
    def before(self) -> int:
        """Blocks of zeros in front."""
        return (self.padding + self.lead) // self.stride

    @property
    def behind(self) -> int:
        """Blocks of zeros behind: the last window reaches the last block, or beyond."""
        outputs = (self.size + 2 * self.padding - self.kernel) // self.stride + 1
        return outputs + self.taps - 1 - self.before - self.size // self.stride


class StrideIsDepth(Rule):
    """conv(x, W, stride b, padding p) = conv(x', W', stride 1, padding q).

    x'[(r, s, c), i, j] = x[c, b·i + r, b·j + s] and W'[o, (r, s, c), i, j] = W[o, c, b·i + r - l,
    b·j + s - l], zero outside of W, with l = -p mod b and q = (p + l) / b.
    """

    pattern = Op(aten.conv2d.default, "conv", groups=1)

    def __init__(self, most_channels: int, most_stride: int) -> None:
        self.most_channels = most_channels
        self.most_stride = most_stride

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline what kernels read fast as it is, and sizes that are no whole blocks."""
        bound = arguments(match.root)
        reason = _not_integers(bound)
        if reason:
            return reason
        if program.weight(argument(bound["weight"], "zero_point").target).any():
            return "its weight has a zero point, so that zero taps are not integer zeros"
        if bound["input"].meta["val"].dim() != 4:
            return "its input is one image without a batch"
        channels = bound["weight"].meta["val"].shape[1]
        strides = set(_pair(bound["stride"]))
        if channels > self.most_channels:
            return f"it reads {channels} channels"
        if len(strides) > 1 or not 1 < max(strides) <= self.most_stride:
            return f"its stride is {_pair(bound['stride'])}"
        if set(_pair(bound["dilation"])) != {1}:
            return "its kernel is dilated"
        sizes = bound["input"].meta["val"].shape[2:]
        if any(not isinstance(size, int) or size % max(strides) for size in sizes):
            return f"its input of {tuple(sizes)} is not known to be whole blocks"
        if any(axis.kernel < axis.stride for axis in _axes(bound)):
            return "its stride skips pixels"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the rearranged integers, their zeros around, and the convolution over both."""
        root, bound = match.root, arguments(match.root)
        axes = _axes(bound)
        read = arguments(bound["input"])
        blocks = _blocks(read["x"], axes[0].stride, root, emit)
        x = emit.call(DEQUANTIZE, like=root, **{**read, "x": blocks})
        before, behind = [a.before for a in axes], [a.behind for a in axes]
        if before != behind:
            pad = [n for a in reversed(axes) for n in (a.before, a.behind)]
            x = emit.call(aten.constant_pad_nd.default, like=root, self=x, pad=pad)
        changed = {
            "input": x,
            "weight": _weight(bound["weight"], axes, root, emit),
            "stride": [1, 1],
            "padding": before if before == behind else [0, 0],
        }
        return emit.call(root.target, like=root, val=root.meta["val"], **{**bound, **changed})


def _not_integers(bound: dict[str, Any]) -> str:
    """Say why a convolution does not read 8-bit integers of a known scale, or nothing."""
    x, weight = bound["input"], bound["weight"]
    if not is_call(x, DEQUANTIZE) or not is_call(argument(x, "x"), QUANTIZE):
        return "its input is float"
    if argument(x, "x").meta["val"].dtype not in _EIGHT_BIT or argument(x, "axis") is not None:
        return "its input is no 8-bit tensor with one scale"
    if not is_call(weight, DEQUANTIZE) or not is_weight(argument(weight, "x")):
        return "its weight is float, or computed at run time"
    if argument(weight, "axis") not in (None, 0):
        return "the scales of its weight run along its inputs"
    return ""


def _axes(bound: dict[str, Any]) -> list[_Axis]:
    sizes = bound["input"].meta["val"].shape[2:]
    kernel = bound["weight"].meta["val"].shape[2:]
    padding, stride = _pair(bound["padding"]), _pair(bound["stride"])
    return [_Axis(*each) for each in zip(sizes, kernel, padding, stride, strict=True)]


def _pair(values: Sequence[int]) -> tuple[int, int]:
    return (values[0], values[-1])


def _blocks(x: fx.Node, block: int, root: fx.Node, emit: Emitter) -> fx.Node:
    """Return [N, b·b·C, H/b, W/b] of an integer tensor [N, C, H, W], a block's rows first."""
    _, channels, height, width = x.meta["val"].shape
    rows, columns = height // block, width // block
    apart = emit.call(
        aten.reshape.default,
        like=root,
        self=x,
        shape=[-1, channels, rows, block, columns, block],
    )
    turned = emit.call(aten.permute.default, like=root, self=apart, dims=[0, 3, 5, 1, 2, 4])
    shape = [-1, block * block * channels, rows, columns]
    return emit.call(aten.reshape.default, like=root, self=turned, shape=shape)


def _weight(weight: fx.Node, axes: list[_Axis], root: fx.Node, emit: Emitter) -> fx.Node:
    bound = arguments(weight)
    integers = bound["x"]
    recipe = ("space-to-depth", *((a.stride, a.lead, a.taps) for a in axes))
    stored = emit.weight(
        lambda: _rearranged(emit.tensor(integers), axes),
        source=str(integers.target),
        recipe=recipe,
    )
    return emit.call(DEQUANTIZE, like=root, **{**bound, "x": stored})


def _rearranged(weight: torch.Tensor, axes: list[_Axis]) -> torch.Tensor:
    """Return [O, b·b·C, taps, taps] of a symmetric integer weight [O, C, k, k]."""
    outside, channels = weight.shape[:2]
    rows, columns = axes
    block = rows.stride
    whole = weight.new_zeros(outside, channels, rows.taps * block, columns.taps * block)
    whole[
        :,
        :,
        rows.lead : rows.lead + rows.kernel,
        columns.lead : columns.lead + columns.kernel,
    ] = weight
    apart = whole.reshape(outside, channels, rows.taps, block, columns.taps, block)
    turned = apart.permute(0, 3, 5, 1, 2, 4)
    return turned.reshape(outside, -1, rows.taps, columns.taps).contiguous()
