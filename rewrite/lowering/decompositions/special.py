"""Special functions: series where they converge, and their limits elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from rewrite.lowering.decompositions.operands import as_float

aten, prims = torch.ops.aten, torch.ops.prims
_SHIFT = 8
"""Steps of the recurrence after which the asymptotic series hold to rounding."""
_DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)
_TRIGAMMA = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730)
_LGAMMA = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)
"""B₂ⱼ / 2j, B₂ⱼ and B₂ⱼ / (2j(2j - 1)), B the Bernoulli numbers."""
_ERFINV_A = (-0.140543331, 0.914624893, -1.645349621, 0.886226899)
_ERFINV_B = (0.012229801, -0.329097515, 1.442710462, -2.118377725, 1.0)
_ERFINV_C = (1.641345311, 3.429567803, -1.62490649, -1.970840454)
_ERFINV_D = (1.637067800, 3.543889200, 1.0)
"""Giles' first approximation, as torch has it; two steps of Newton follow."""
_ERFCX = (
    (
        2.46196981473530512524e-10,
        5.64189564831068821977e-1,
        7.46321056442269912687,
        4.86371970985681366614e1,
        1.96520832956077098242e2,
        5.26445194995477358631e2,
        9.34528527171957607540e2,
        1.02755188689515710272e3,
        5.57535335369399327526e2,
    ),
    (
        1.0,
        1.32281951154744992508e1,
        8.67072140885989742329e1,
        3.54937778887819891062e2,
        9.75708501743205489753e2,
        1.82390916687909736289e3,
        2.24633760818710981792e3,
        1.65666309194161350182e3,
        5.57535340817727675546e2,
    ),
)
"""Cody's quotient for erfc(x)·exp(x²) in [1, 8], from Cephes."""


def digamma(self: Tensor) -> Tensor:
    """ψ(x) = ψ(x + 8) - Σₖ 1/(x + k), the reflection ψ(1 - x) - π/tan(πx) below zero."""
    x = as_float(self)
    below = x < 0
    whole = x == torch.trunc(x)
    turned = torch.where(below, 1.0 - x, x)
    shifted = turned + float(_SHIFT)
    square = 1.0 / (shifted * shifted)
    value = torch.log(shifted) - 0.5 / shifted - square * _polynomial(_DIGAMMA[::-1], square)
    # One sum, for OpenVINO 2026.4 runs out of registers in a chain of eight quotients.
    steps = torch.arange(_SHIFT, dtype=x.dtype, device=x.device)
    value = value - (1.0 / (turned.unsqueeze(-1) + steps)).sum(-1)
    fraction = x - torch.trunc(x)
    reflected = value - math.pi / torch.tan(math.pi * torch.where(whole, 0.25, fraction))
    result = torch.where(below, torch.where(whole, float("nan"), reflected), value)
    # The pole at zero has the other sign on the other side.
    result = torch.where(x == 0, -(torch.ones_like(x) / x), result)
    result = torch.where(x == float("inf"), x, result)
    return torch.where(x == float("-inf"), float("nan"), result)


def trigamma(self: Tensor) -> Tensor:
    """ψ′(x) = Σₖ 1/(x + k)² + ψ′(x + 8), the reflection π²/sin²(πx) - ψ′(1 - x) below one half."""
    x = as_float(self)
    below = x < 0.5
    turned = torch.where(below, 1.0 - x, x)
    shifted = turned + float(_SHIFT)
    steps = torch.arange(_SHIFT, dtype=x.dtype, device=x.device)
    ahead = turned.unsqueeze(-1) + steps
    inverse = 1.0 / shifted
    series = _polynomial(_TRIGAMMA[::-1], inverse * inverse) * inverse * inverse * inverse
    value = (1.0 / (ahead * ahead)).sum(-1) + inverse + 0.5 * inverse * inverse + series
    # As torch rounds it: its poles below zero are finite.
    sine = torch.sin(math.pi * x)
    return torch.where(below, math.pi * math.pi / (sine * sine) - value, value)


def polygamma(n: int, self: Tensor) -> Tensor:
    """ψ⁽ⁿ⁾(x) for n of 0 and 1; others are declined."""
    return digamma(self) if n == 0 else trigamma(self) if n == 1 else NotImplemented


def lgamma(self: Tensor) -> Tensor:
    """Log |Γ(x)| by Stirling's series at x + 8, the reflection log |π/sin πx| below one half."""
    x = as_float(self)
    below = x < 0.5
    turned = torch.where(below, 1.0 - x, x)
    # A larger argument needs no shift, and its product would overflow.
    steps = (turned < float(_SHIFT)).to(x.dtype)
    shifted = turned + float(_SHIFT) * steps
    product = torch.ones_like(turned)
    for step in range(_SHIFT):
        product = product * torch.where(steps > 0, turned + float(step), 1.0)
    inverse = 1.0 / shifted
    series = inverse * _polynomial(_LGAMMA[::-1], inverse * inverse)
    value = (shifted - 0.5) * (torch.log(shifted) - 1.0) + (0.5 * math.log(2 * math.pi) - 0.5)
    value = value + series - torch.log(product)
    fraction = (x - torch.trunc(x)).abs()
    reflected = math.log(math.pi) - torch.log(torch.sin(math.pi * fraction).abs()) - value
    whole = (x <= 0) & (fraction == 0)
    result = torch.where(below, torch.where(whole, float("inf"), reflected), value)
    return torch.where(x.isinf(), float("inf"), result)


def erfinv(self: Tensor) -> Tensor:
    """Return the inverse of erf, infinite at ±1."""
    y = as_float(self)
    size = y.abs()
    square = y * y
    central = y * _polynomial(_ERFINV_A, square) / _polynomial(_ERFINV_B, square)
    inner = torch.where(size < 1, size, 0.5)
    root = torch.sqrt(-torch.log((1.0 - inner) * 0.5))
    tail = torch.sign(y) * _polynomial(_ERFINV_C, root) / _polynomial(_ERFINV_D, root)
    x = torch.where(size <= 0.7, central, tail)
    for _ in range(2):
        x = x - (torch.erf(x) - y) / (2.0 / math.sqrt(math.pi) * torch.exp(-x * x))
    edge = torch.where(size == 1, torch.sign(y) * float("inf"), float("nan"))
    return torch.where(size < 1, x, edge)


def erfc(self: Tensor) -> Tensor:
    """1 - erf(x) up to 1, exp(-x²)·erfcx(x) above, where the difference has no digits left."""
    x = as_float(self)
    far = torch.where(x > 1, x, 1.0)
    return torch.where(x > 1, torch.exp(-far * far) * erfcx(far), 1.0 - torch.erf(x))


def erfcx(self: Tensor) -> Tensor:
    """exp(x²)·erfc(x), without the product where its factors over- and underflow."""
    x = as_float(self)
    near = torch.where(x.abs() < 1, x, 0.0)
    middle = torch.exp(near * near) * (1.0 - torch.erf(near))
    size = x.abs().clamp(min=1.0)
    inner = size.clamp(max=8.0)
    quotient = _polynomial(_ERFCX[0], inner) / _polynomial(_ERFCX[1], inner)
    inverse = 1.0 / (size * size)
    # 1 - 1/2x² + 3/4x⁴ - 15/8x⁶ + …, whose terms fall until rounding from 8 on.
    series = _polynomial((-29.53125, 6.5625, -1.875, 0.75, -0.5, 1.0), inverse)
    far = torch.where(size <= 8, quotient, series / (size * math.sqrt(math.pi)))
    reflected = 2.0 * torch.exp(x * x) - far
    return torch.where(x.abs() < 1, middle, torch.where(x < 0, reflected, far))


def log_ndtr(self: Tensor) -> Tensor:
    """Log Φ(x) = log(erfcx(-x/√2)/2) - x²/2 below -1, log(1 - erfc(x/√2)/2) above."""
    x = as_float(self)
    scaled = x * math.sqrt(0.5)
    low = torch.where(x < -1.0, scaled, -1.0)
    below = torch.log(erfcx(-low) * 0.5) - low * low
    above = torch.log1p(-0.5 * torch.erfc(torch.where(x < -1.0, 0.0, scaled)))
    return torch.where(x < -1.0, below, above)


def spherical_bessel_j0(self: Tensor) -> Tensor:
    """Sin(x)/x, 1 at zero and 0 at infinity."""
    x = as_float(self)
    plain = torch.where((x == 0) | x.isinf(), 1.0, x)
    value = torch.where(x == 0, 1.0, torch.sin(plain) / plain)
    return torch.where(x.isinf(), 0.0, value)


def _polynomial(coefficients: Sequence[float], x: Tensor) -> Tensor:
    """Return the polynomial by Horner's rule, the highest coefficient first."""
    value = torch.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value


SPECIAL: dict[Any, Callable[..., Any]] = {
    aten.digamma.default: digamma,
    aten.polygamma.default: polygamma,
    aten.special_polygamma.default: polygamma,
    aten.erfc.default: erfc,
    aten.special_erfc.default: erfc,
    aten.lgamma.default: lgamma,
    aten.erfinv.default: erfinv,
    aten.special_erfcx.default: erfcx,
    aten.special_log_ndtr.default: log_ndtr,
    aten.special_spherical_bessel_j0.default: spherical_bessel_j0,
    prims.digamma.default: digamma,
    prims.lgamma.default: lgamma,
    prims.erf_inv.default: erfinv,
    prims.erfcx.default: erfcx,
    prims.spherical_bessel_j0.default: spherical_bessel_j0,
}
