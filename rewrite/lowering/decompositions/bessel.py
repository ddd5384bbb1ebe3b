"""Modified Bessel functions of the first kind: power series up to 16, asymptotic ones beyond."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rewrite.lowering.decompositions.operands import as_float

aten, prims = torch.ops.aten, torch.ops.prims
_FAR = 16.0
"""From here on the asymptotic series hold to rounding; the power series lose no digits anywhere."""
_STEPS = 40
"""Of the power series: (x/2)²ᵏ / k!² of 16 is below rounding then."""
_TERMS = 14


def i0(self: Tensor) -> Tensor:
    """I₀(x)."""
    x = as_float(self)
    return _grown(x, _scaled(x.abs(), 0), 1.0)


def i0e(self: Tensor) -> Tensor:
    """exp(-|x|)·I₀(x)."""
    return _scaled(as_float(self).abs(), 0)


def i1(self: Tensor) -> Tensor:
    """I₁(x), an odd function."""
    x = as_float(self)
    return _grown(x, _scaled(x.abs(), 1), torch.sign(x))


def i1e(self: Tensor) -> Tensor:
    """exp(-|x|)·I₁(x)."""
    x = as_float(self)
    return torch.sign(x) * _scaled(x.abs(), 1)


def _grown(x: Tensor, scaled: Tensor, sign: Tensor | float) -> Tensor:
    """Return the function of its scaled values, NaN at infinity as torch has it."""
    return torch.exp(x.abs()) * scaled * sign


def _scaled(size: Tensor, order: int) -> Tensor:
    """Return exp(-x)·Iᵥ(x) for x ≥ 0 and ν of 0 or 1.

    (x/2)ᵛ·Σ (x²/4)ᵏ / (k!·(k + ν)!) for small x,
    Σ (-1)ᵏ·(4ν² - 1²)·…·(4ν² - (2k - 1)²) / (k!·(8x)ᵏ) / √(2πx) for large.
    """
    is_far = size > _FAR
    near = torch.where(is_far, 0.0, size)
    square = near * near * 0.25
    series = torch.ones_like(square)
    for k in range(_STEPS, 0, -1):
        series = 1.0 + series * square * (1.0 / (k * (k + order)))
    series = torch.exp(-near) * series
    if order:
        series = series * near * 0.5
    inverse = 1.0 / torch.where(is_far, size, _FAR)
    tail = torch.ones_like(inverse)
    for k in range(_TERMS, 0, -1):
        tail = 1.0 - tail * inverse * ((4.0 * order - (2.0 * k - 1.0) ** 2) / (8.0 * k))
    return torch.where(is_far, tail * torch.sqrt(inverse * (0.5 / math.pi)), series)


BESSEL: dict[Any, Callable[..., Any]] = {
    aten.i0.default: i0,
    aten.special_i0.default: i0,
    aten.special_i0e.default: i0e,
    aten.special_i1.default: i1,
    aten.special_i1e.default: i1e,
    aten.special_modified_bessel_i0.default: i0,
    aten.special_modified_bessel_i1.default: i1,
    prims.bessel_i0.default: i0,
    prims.bessel_i0e.default: i0e,
    prims.bessel_i1.default: i1,
    prims.bessel_i1e.default: i1e,
}
