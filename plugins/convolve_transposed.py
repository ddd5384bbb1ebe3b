"""Pass `convolve-transposed`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rewrite_plugins.convolve_batch_norm import CONVOLUTIONS
from rewrite_plugins.fold_batch_norm import TRANSPOSED
from torch import fx

from rewrite import Emitter, Match, Op, Program, Reject, Rule, RulePass, arguments, option
from rewrite.quantization.kinds import is_weight

aten = torch.ops.aten
_REST = 2**63 - 1
"""The end of a slice that goes as far as there is."""


@dataclass(frozen=True)
class ConvolveTransposed(RulePass):
    """Write a transposed convolution as a convolution and a rearrangement of its channels.

    ONNX Runtime has no int8 kernel for transposed ones, and a slow one for floats.
    """

    name = "convolve-transposed"
    equivalence = "exact"
    after = ("fold-batch-norm", "remove-dead-code", "expand-attention")
    before = ("split-composites", "insert-quantizers")

    most_zeros: float = option(2.0, help="Products for each one needed: zeros fill up kernels.")

    def rules(self) -> list[Rule]:
        """One rule."""
        return [TransposedIsConvolution(self.most_zeros)]


@dataclass(frozen=True)
class _Axis:
    """One spatial axis of a transposed convolution with stride s, kernel k and padding p."""

    size: Any
    kernel: int
    stride: int
    padding: int
    output_padding: int
    dilation: int

    @property
    def taps(self) -> int:
        """Elements of the input that one of the output depends on."""
        return math.ceil(self.kernel / self.stride)

    @property
    def reach(self) -> int:
        """Elements between the first tap and the last."""
        return (self.taps - 1) * self.dilation

    @property
    def border(self) -> int:
        """Zeros on each side of the input."""
        first = self.reach - self.padding // self.stride
        last = (self._extent + self.output_padding - self.padding) // self.stride
        return max(0, first, last)

    @property
    def lead(self) -> int:
        """Elements of the rearranged result in front of the wanted ones."""
        return self.padding - self.stride * (self.reach - self.border)

    @property
    def trail(self) -> int:
        """Elements behind them."""
        wanted = self._extent + self.output_padding + 1 - self.stride
        return self.stride * self.border + self.padding - wanted

    @property
    def _extent(self) -> int:
        return self.dilation * (self.kernel - 1)


class TransposedIsConvolution(Rule):
    """conv_transpose(x, W, stride s, padding p) = rearrange(conv(x, W'))[p : p + size].

    With n + p = s·q + r, 0 ≤ r < s, output n is Σ_j x[q - j]·W[s·j + r]: a convolution of
    J = ⌈k/s⌉ taps for each r. So W'[(o, r), c, t] = W[c, o, s·(J - 1 - t) + r], zero outside of W,
    and output s·q + r of channel o is output q of channel (o, r).
    """

    pattern = Op(TRANSPOSED, "layer")

    def __init__(self, most_zeros: float) -> None:
        self.most_zeros = most_zeros

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline computed weights, groups, and kernels that zeros would have to fill up."""
        bound = arguments(match.root)
        weight, bias = bound["weight"], bound["bias"]
        if not is_weight(weight) or not (bias is None or is_weight(bias)):
            return "its weight or bias is computed at run time"
        if bound["input"].meta["val"].dim() != weight.meta["val"].dim():
            return "its input is one sample without a batch"
        if bound["groups"] != 1:
            return f"it has {bound['groups']} groups"
        axes = _axes(bound)
        if any(a.stride > 1 and a.dilation > 1 for a in axes):
            return "its kernel is dilated, and its stride is not 1"
        share = math.prod(a.taps * a.stride / a.kernel for a in axes)
        if share > self.most_zeros:
            return f"zeros around its kernel would make {share:.1f} products of each"
        if not _is_square(axes) and sum(not isinstance(a.size, int) for a in axes) > 1:
            return "more than one of its sizes is dynamic, and its strides are not those of pixels"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the convolution, the rearrangement, and a slice where that gives too much."""
        root, bound = match.root, arguments(match.root)
        axes = _axes(bound)
        blocks = [a.stride for a in axes]
        recipe = ("convolve-transposed", *((a.stride, a.taps) for a in axes))
        made = emit.call(
            CONVOLUTIONS[len(axes) + 2],
            like=root,
            input=bound["input"],
            weight=emit.weight(
                lambda: _rearranged(emit.tensor(bound["weight"]), axes),
                source=str(bound["weight"].target),
                recipe=recipe,
            ),
            bias=_bias(bound["bias"], math.prod(blocks), recipe, emit),
            padding=[a.border for a in axes],
            dilation=[a.dilation for a in axes],
        )
        result = _spread(made, bound["input"], blocks, root, emit)
        for dim, axis in enumerate(axes, start=2):
            if axis.lead or axis.trail:
                result = emit.call(
                    aten.slice.Tensor,
                    like=root,
                    self=result,
                    dim=dim,
                    start=axis.lead,
                    end=-axis.trail if axis.trail else _REST,
                )
        return result


def _axes(bound: dict[str, Any]) -> list[_Axis]:
    sizes = bound["input"].meta["val"].shape[2:]
    kernel = bound["weight"].meta["val"].shape[2:]
    names = ("stride", "padding", "output_padding", "dilation")
    each = [_per_axis(bound[name], len(kernel)) for name in names]
    return [_Axis(*axis) for axis in zip(sizes, kernel, *each, strict=True)]


def _per_axis(values: Sequence[int], rank: int) -> list[int]:
    return list(values) * (rank if len(values) == 1 else 1)


def _is_square(axes: list[_Axis]) -> bool:
    """Tell whether pixel_shuffle does the rearrangement, or none is needed."""
    strides = {a.stride for a in axes}
    return strides == {1} or (len(axes) == 2 and len(strides) == 1)


def _rearranged(weight: torch.Tensor, axes: list[_Axis]) -> torch.Tensor:
    """Return [O·∏s, C, J…] of a weight [C, O, k…]."""
    rank = len(axes)
    pad = [n for a in reversed(axes) for n in (0, a.taps * a.stride - a.kernel)]
    whole = torch.nn.functional.pad(weight, pad)
    sizes = itertools.chain.from_iterable((a.taps, a.stride) for a in axes)
    apart = whole.reshape(*weight.shape[:2], *sizes)
    taps, phases = [2 + 2 * i for i in range(rank)], [3 + 2 * i for i in range(rank)]
    turned = apart.flip(taps).permute(1, *phases, 0, *taps)
    return turned.reshape(-1, weight.shape[0], *(a.taps for a in axes)).contiguous()


def _bias(bias: fx.Node | None, times: int, recipe: Any, emit: Emitter) -> fx.Node | None:
    """Return a bias in which each element stands for all phases of its channel."""
    if bias is None or times == 1:
        return bias
    return emit.weight(
        lambda: emit.tensor(bias).repeat_interleave(times),
        source=str(bias.target),
        recipe=recipe,
    )


def _spread(made: fx.Node, x: fx.Node, blocks: list[int], root: fx.Node, emit: Emitter) -> fx.Node:
    """Return [N, O, s·L…] of a convolution's [N, O·∏s, L…]; `x` is what it reads, of N samples."""
    if set(blocks) == {1}:
        return made
    if len(blocks) == 2 and len(set(blocks)) == 1:
        return emit.call(aten.pixel_shuffle.default, like=root, self=made, upscale_factor=blocks[0])
    rank, (batch, width, *sizes) = len(blocks), made.meta["val"].shape
    if not isinstance(batch, int):
        batch = emit.call(aten.sym_size.int, like=root, self=x, dim=0)
    outside = [batch, width // math.prod(blocks)]
    sizes = [size if isinstance(size, int) else -1 for size in sizes]
    apart = emit.call(aten.reshape.default, like=root, self=made, shape=[*outside, *blocks, *sizes])
    order = [axis for i in range(rank) for axis in (2 + rank + i, 2 + i)]
    turned = emit.call(aten.permute.default, like=root, self=apart, dims=[0, 1, *order])
    spread = [max(size * block, -1) for size, block in zip(sizes, blocks, strict=True)]
    return emit.call(aten.reshape.default, like=root, self=turned, shape=[*outside, *spread])
