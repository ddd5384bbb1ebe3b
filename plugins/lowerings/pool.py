"""Pools with the windows that torch has, at sizes known now or at run time.

With `ceil_mode` torch rounds the number of windows up, and leaves out the last where it would begin
beyond the input (ATen, native/Pool.h). OpenVINO 2026.4 keeps that one, and runtimes divide averages
over the end in several ways. So `ceil_mode` is written as padding at the end.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from onnxscript import opset18 as op
from rewrite_plugins.lowerings.values import axis_size, integers, like, size_of

from rewrite import Lowering


@dataclass(frozen=True)
class _Axis:
    """How windows lie along one axis of a tensor."""

    place: int
    size: int | None
    """None where it is known at run time only."""
    kernel: int
    stride: int
    padding: int
    dilation: int
    ceil_mode: bool

    @property
    def reach(self) -> int:
        """How many elements there are from the first of a window to its last."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def end(self) -> int:
        """The padding at the end with which there are as many windows as torch has.

        Where the size is known at run time only, there is one for each place inside the input.
        """
        if not self.ceil_mode:
            return self.padding
        if self.size is None:
            return max(self.reach - 1, self.padding)
        spare = self.size + 2 * self.padding - self.reach
        last = min(-(-spare // self.stride), (self.size + self.padding - 1) // self.stride)
        return max(last * self.stride + self.reach - self.size - self.padding, self.padding)

    @property
    def is_loose(self) -> bool:
        """Whether the number of windows is rounded up at run time."""
        return self.ceil_mode and self.size is None


def _max_pool(spatial: int, with_indices: bool) -> Callable[..., Any]:
    """Return the translation of max_pool{1,2,3}d, or of the one with indices."""

    def max_pool(
        self: Any,
        kernel_size: Sequence[int],
        stride: Sequence[int] = (),
        padding: Sequence[int] = (0,),
        dilation: Sequence[int] = (1,),
        ceil_mode: bool = False,
    ) -> Any:
        axes = _axes(self, spatial, kernel_size, stride, padding, dilation, ceil_mode)
        source, front, ends = self, [axis.padding for axis in axes], [axis.end for axis in axes]
        rounds = _rounds_up(axes)
        if rounds:
            ends = front
        # ONNX has no padding of a kernel or more; the last window of a dilated one may need it.
        moved = any(end >= axis.kernel for end, axis in zip(ends, axes, strict=True))
        if moved:
            source = _padded(self, front, ends, _lowest(self))
        values, places = op.MaxPool(
            _batched(source, self, spatial),
            ceil_mode=int(rounds),
            dilations=[axis.dilation for axis in axes],
            kernel_shape=[axis.kernel for axis in axes],
            pads=[0] * (2 * spatial) if moved else [*front, *ends],
            strides=[axis.stride for axis in axes],
        )
        values = _trimmed(_unbatched(values, self, spatial), self, axes, rounds)
        if not with_indices:
            return values
        places = _trimmed(_unbatched(places, self, spatial), self, axes, rounds)
        if moved:
            return values, _places_before_padding(places, self, axes, ends)
        sizes = [axis_size(self, axis.place) for axis in axes]
        return values, op.Mod(places, functools.reduce(op.Mul, sizes))

    return max_pool


def _avg_pool(spatial: int) -> Callable[..., Any]:
    """Return the translation of avg_pool{1,2,3}d."""

    def avg_pool(
        self: Any,
        kernel_size: Sequence[int],
        stride: Sequence[int] = (),
        padding: Sequence[int] = (0,),
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Any:
        axes = _axes(self, spatial, kernel_size, stride, padding, (1,), ceil_mode)
        source, front, ends = self, [axis.padding for axis in axes], [axis.end for axis in axes]
        counted, rounds = count_include_pad, False
        if divisor_override is not None:
            counted = True
        elif front != ends:
            if counted and any(front):
                # Torch counts its padding, but not what windows have behind it.
                source = _padded(self, front, front, 0.0)
                ends = [end - each for end, each in zip(ends, front, strict=True)]
                front = [0] * spatial
            counted, rounds = False, _rounds_up(axes)
        pooled = op.AveragePool(
            _batched(source, self, spatial),
            ceil_mode=int(rounds),
            count_include_pad=int(counted),
            kernel_shape=[axis.kernel for axis in axes],
            pads=[*front, *(front if rounds else ends)],
            strides=[axis.stride for axis in axes],
        )
        if divisor_override is not None:
            size = math.prod(axis.kernel for axis in axes)
            pooled = op.Mul(pooled, like(size / divisor_override, self))
        return _trimmed(_unbatched(pooled, self, spatial), self, axes, rounds)

    return avg_pool


def _axes(
    x: Any,
    spatial: int,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool,
) -> list[_Axis]:
    """Return the last axes of x; one number of an option may stand for all of them."""
    options = (kernel_size, stride or kernel_size, padding, dilation)
    numbers = [list(option) * (spatial if len(option) == 1 else 1) for option in options]
    first = len(x.shape) - spatial
    return [
        _Axis(first + i, size_of(x, first + i), *each, ceil_mode)
        for i, each in enumerate(zip(*numbers, strict=True))
    ]


def _rounds_up(axes: Sequence[_Axis]) -> bool:
    """Tell whether all runtimes round up at run time as torch does: no window begins outside."""
    return any(axis.is_loose for axis in axes) and all(
        axis.stride <= axis.reach - axis.padding for axis in axes
    )


def _trimmed(value: Any, x: Any, axes: Sequence[_Axis], rounds: bool) -> Any:
    """Return the first ⌈(s + 2p - reach) / stride⌉ + 1 windows along each loose axis."""
    for axis in axes:
        if rounds or not axis.is_loose:
            continue
        size = op.Shape(x, start=axis.place, end=axis.place + 1)
        spare = op.Add(size, integers([2 * axis.padding - axis.reach + axis.stride - 1]))
        count = op.Add(op.Div(spare, integers([axis.stride])), integers([1]))
        value = op.Slice(value, integers([0]), count, integers([axis.place]))
    return value


def _places_before_padding(places: Any, x: Any, axes: Sequence[_Axis], ends: Sequence[int]) -> Any:
    """Return the places in a channel of x of places in the padded one."""
    found, inner = integers(0), integers(1)
    for axis, end in reversed(list(zip(axes, ends, strict=True))):
        size = axis_size(x, axis.place)
        wide = op.Add(size, integers(axis.padding + end))
        place = op.Sub(op.Mod(places, wide), integers(axis.padding))
        found = op.Add(op.Mul(place, inner), found)
        places, inner = op.Div(places, wide), op.Mul(inner, size)
    return found


def _padded(x: Any, front: Sequence[int], ends: Sequence[int], value: float) -> Any:
    leading = [0] * (len(x.shape) - len(front))
    return op.Pad(x, integers([*leading, *front, *leading, *ends]), like(value, x))


def _lowest(x: Any) -> float:
    return -math.inf if x.dtype.is_floating_point() else float(np.iinfo(x.dtype.numpy()).min)


def _batched(value: Any, x: Any, spatial: int) -> Any:
    """Return a value with a batch dimension, which ONNX wants and x may lack."""
    return op.Unsqueeze(value, integers([0])) if len(x.shape) == spatial + 1 else value


def _unbatched(value: Any, x: Any, spatial: int) -> Any:
    return op.Squeeze(value, integers([0])) if len(x.shape) == spatial + 1 else value


def _lowerings() -> list[Lowering]:
    aten, found = torch.ops.aten, []
    for spatial in (1, 2, 3):
        for name, translate in (
            ("avg_pool{}d", _avg_pool(spatial)),
            ("max_pool{}d", _max_pool(spatial, with_indices=False)),
            ("max_pool{}d_with_indices", _max_pool(spatial, with_indices=True)),
        ):
            found.append(Lowering(getattr(aten, name.format(spatial)).default, translate))
    return found


LOWERINGS = tuple(_lowerings())
