"""Resizing by the factor that torch uses, and to the nearest as torch rounds.

With a factor torch reads at (i + ½) / factor - ½, not at the quotient of the two sizes; at sizes
that the factor does not divide, these differ. Where runtimes round the place of the nearest
otherwise than torch, the places are computed and gathered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from onnxscript import opset18 as op
from rewrite_plugins.lowerings.values import axis_size, result_size, size_of

from rewrite import Lowering

_LARGEST = 1 << 14
"""Sizes up to which the two roundings of a size must be the same one."""


def nearest(
    x: Any, sizes: Sequence[Any] | None, factors: Sequence[float | None], *, offset: float
) -> Any:
    """Translate to the nearest: x[⌊(i + offset)·scale⌋], the scale in float32."""
    first = len(x.shape) - len(factors)
    if all(factor is not None and float(factor).is_integer() for factor in factors):
        mode = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return op.Resize(x, None, _scales(first, factors), mode="nearest", **mode)
    result = x
    for index, factor in enumerate(factors):
        axis = first + index
        size = axis_size(x, axis)
        count = result_size(x, axis, sizes[index] if sizes else None, factor)
        zero, one = op.Constant(value_int=0), op.Constant(value_int=1)
        steps = op.Cast(op.Range(zero, count, one), to=ir.DataType.FLOAT)
        if offset:
            steps = op.Add(steps, op.Constant(value_float=offset))
        if factor is not None:
            scale = op.Constant(value_float=float(np.float32(1.0 / factor)))
        else:
            floats = [op.Cast(value, to=ir.DataType.FLOAT) for value in (size, count)]
            scale = op.Div(*floats)
        places = op.Cast(op.Floor(op.Mul(steps, scale)), to=ir.DataType.INT64)
        result = op.Gather(result, op.Min(places, op.Sub(size, one)), axis=axis)
    return result


def interpolated(
    x: Any,
    sizes: Sequence[Any] | None,
    factors: Sequence[float | None],
    *,
    mode: str,
    align_corners: bool,
) -> Any:
    """Translate a linear or cubic resize, by the factors where there are any."""
    first = len(x.shape) - len(factors)
    options: dict[str, Any] = {
        "mode": mode,
        "coordinate_transformation_mode": "align_corners" if align_corners else "half_pixel",
    }
    if mode == "cubic":
        options["cubic_coeff_a"] = -0.75
    if all(f is not None for f in factors) and not align_corners:
        _require_same_sizes(x, first, factors)
        return op.Resize(x, None, _scales(first, factors), **options)
    counts = [
        op.Unsqueeze(result_size(x, first + i, sizes[i] if sizes else None, f), _first())
        for i, f in enumerate(factors)
    ]
    leading = op.Shape(x, start=0, end=first)
    return op.Resize(x, None, None, op.Concat(leading, *counts, axis=0), **options)


def _require_same_sizes(x: Any, first: int, factors: Sequence[float | None]) -> None:
    """Raise where ⌊s·factor⌋ is another size in float32, which runtimes use, than in torch."""
    for axis, factor in enumerate(factors, start=first):
        size = size_of(x, axis)
        tried = np.arange(1, _LARGEST) if size is None else np.array([size])
        narrow = np.floor(tried.astype(np.float32) * np.float32(factor))
        differ = tried[narrow != np.floor(tried * float(factor or 1))]
        if differ.size:
            raise ValueError(f"a size of {differ[0]} times {factor} is another one in float32")


def _scales(first: int, factors: Sequence[float | None]) -> Any:
    return op.Constant(value_floats=[1.0] * first + [float(f or 1) for f in factors])


def _first() -> Any:
    return op.Constant(value_ints=[0])


def _vec(translate: Callable[..., Any], spatial: int, aligned: bool) -> Callable[..., Any]:
    """Return a translation of `f.vec(input, output_size, [align_corners,] scale_factors)`."""

    def with_corners(
        input: Any, output_size: Any, align_corners: bool, scale_factors: Any = None
    ) -> Any:
        factors = scale_factors or [None] * spatial
        return translate(input, output_size, factors, align_corners=align_corners)

    def without(input: Any, output_size: Any, scale_factors: Any = None) -> Any:
        return translate(input, output_size, scale_factors or [None] * spatial)

    return with_corners if aligned else without


def _default(translate: Callable[..., Any], spatial: int, aligned: bool) -> Callable[..., Any]:
    """Return a translation of `f(self, output_size, [align_corners,] scales…)`."""

    def with_corners(self: Any, output_size: Any, align_corners: bool, *scales: Any) -> Any:
        return translate(self, output_size, _all(scales, spatial), align_corners=align_corners)

    def without(self: Any, output_size: Any, *scales: Any) -> Any:
        return translate(self, output_size, _all(scales, spatial))

    return with_corners if aligned else without


def _all(scales: Sequence[Any], spatial: int) -> list[Any]:
    given = list(scales)
    return given if len(given) == spatial and None not in given else [None] * spatial


def _lowerings() -> list[Lowering]:
    aten = torch.ops.aten
    linear, cubic = partial(interpolated, mode="linear"), partial(interpolated, mode="cubic")
    entries: list[tuple[Any, Callable[..., Any], int, bool]] = [
        (aten.upsample_linear1d, linear, 1, True),
        (aten.upsample_bilinear2d, linear, 2, True),
        (aten.upsample_trilinear3d, linear, 3, True),
        (aten.upsample_bicubic2d, cubic, 2, True),
    ]
    for spatial in (1, 2, 3):
        plain = getattr(aten, f"upsample_nearest{spatial}d")
        exact = getattr(aten, f"_upsample_nearest_exact{spatial}d")
        entries.append((plain, partial(nearest, offset=0.0), spatial, False))
        entries.append((exact, partial(nearest, offset=0.5), spatial, False))
    found = []
    for packet, translate, spatial, aligned in entries:
        found.append(Lowering(packet.vec, _vec(translate, spatial, aligned)))
        found.append(Lowering(packet.default, _default(translate, spatial, aligned)))
    return found


LOWERINGS = tuple(_lowerings())
