"""Chebyshev polynomials of a degree that is a tensor, by their angles."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rewrite.lowering.decompositions.operands import broadcast

aten = torch.ops.aten


def chebyshev_t(x: Any, n: Any) -> Tensor:
    """Tₙ(x) = cos(nθ), x = cos θ; cosh(n·arcosh|x|)·sgn(x)ⁿ outside [-1, 1]."""
    x, n = _pair(x, n)
    inside = torch.cos(n * torch.acos(x.clamp(-1.0, 1.0)))
    outside = _overflown(_cosh, x, n) * _parity(x, n)
    return _from_zero(torch.where(x.abs() <= 1, inside, outside), n)


def chebyshev_u(x: Any, n: Any) -> Tensor:
    """Uₙ(x) = sin((n + 1)θ) / sin θ, (n + 1)·sgn(x)ⁿ where sin θ is 0."""
    x, n = _pair(x, n)
    outside = _overflown(_whole_sinhs, x, n) * _parity(x, n)
    return _from_zero(torch.where(x.abs() < 1, _sines(x, n + 1.0, 1.0), outside), n)


def chebyshev_v(x: Any, n: Any) -> Tensor:
    """Vₙ(x) = cos((n + ½)θ) / cos ½θ, and Vₙ(-x) = (-1)ⁿ·Wₙ(x)."""
    x, n = _pair(x, n)
    angle = torch.acos(x.clamp(-1.0, 1.0))
    inside = torch.cos((n + 0.5) * angle) / torch.cos(0.5 * angle)
    below = _overflown(_half_sinhs, x, n) * _parity(x, n)
    outside = torch.where(x > 0, _overflown(_half_coshs, x, n), below)
    return _from_zero(torch.where(x.abs() < 1, inside, outside), n)


def chebyshev_w(x: Any, n: Any) -> Tensor:
    """Wₙ(x) = sin((n + ½)θ) / sin ½θ, and Wₙ(-x) = (-1)ⁿ·Vₙ(x)."""
    x, n = _pair(x, n)
    below = _overflown(_half_coshs, x, n) * _parity(x, n)
    outside = torch.where(x > 0, _overflown(_half_sinhs, x, n), below)
    return _from_zero(torch.where(x.abs() < 1, _sines(x, n + 0.5, 0.5), outside), n)


def _overflown(polynomial: Callable[[Tensor, Tensor], Tensor], x: Tensor, n: Tensor) -> Tensor:
    """Return the polynomial, NaN where that of two degrees less is infinite.

    There torch's recurrence, 2x·Pₙ₋₁ - Pₙ₋₂, is a difference of infinities.
    """
    lost = (n >= 2) & polynomial(x, n - 2.0).isinf()
    return torch.where(lost, float("nan"), polynomial(x, n))


def _sines(x: Tensor, multiple: Tensor, base: float) -> Tensor:
    angle = torch.acos(torch.where(x.abs() < 1, x, 0.0))
    return torch.sin(multiple * angle) / torch.sin(base * angle)


def _cosh(x: Tensor, n: Tensor) -> Tensor:
    """cosh(nw) = e^(nw - log 2)·(1 + e^-2nw), w = arcosh|x|: infinite only where it is."""
    wide = n * torch.acosh(x.abs().clamp(min=1.0))
    return torch.exp(wide - math.log(2.0)) * (1.0 + torch.exp(-2.0 * wide))


def _sinhs(x: Tensor, multiple: Tensor, base: float) -> Tensor:
    """sinh(mw) / sinh(bw) = e^((m - b)w)·(1 - e^-2mw) / (1 - e^-2bw); m/b where w is 0."""
    wide = torch.acosh(torch.where(x.abs() > 1, x.abs(), 2.0))
    ratio = torch.expm1(-2.0 * multiple * wide) / torch.expm1(-2.0 * base * wide)
    ratio = torch.exp((multiple - base) * wide) * ratio
    return torch.where(x.abs() == 1, multiple / base, ratio)


def _whole_sinhs(x: Tensor, n: Tensor) -> Tensor:
    return _sinhs(x, n + 1.0, 1.0)


def _half_sinhs(x: Tensor, n: Tensor) -> Tensor:
    return _sinhs(x, n + 0.5, 0.5)


def _half_coshs(x: Tensor, n: Tensor) -> Tensor:
    """cosh((n + ½)w) / cosh ½w = e^nw·(1 + e^-(2n + 1)w) / (1 + e^-w)."""
    wide = torch.acosh(x.abs().clamp(min=1.0))
    ratio = (1.0 + torch.exp(-(2.0 * n + 1.0) * wide)) / (1.0 + torch.exp(-wide))
    return torch.exp(n * wide) * ratio


def _pair(x: Any, n: Any) -> tuple[Tensor, Tensor]:
    kind = next(t.dtype for t in (x, n) if isinstance(t, Tensor))
    kind = kind if kind.is_floating_point else torch.get_default_dtype()
    x, n = (t.to(kind) if isinstance(t, Tensor) else torch.full((), t, dtype=kind) for t in (x, n))
    x, n = broadcast(x, n)
    return x, n.trunc()


def _parity(x: Tensor, n: Tensor) -> Tensor:
    """Return sgn(x)ⁿ."""
    odd = n - 2.0 * torch.floor(n * 0.5)
    return torch.where(x < 0, 1.0 - 2.0 * odd, torch.ones_like(n))


def _from_zero(value: Tensor, n: Tensor) -> Tensor:
    return torch.where(n < 0, 0.0, value)


def _shifted(polynomial: Callable[[Any, Any], Tensor]) -> Callable[[Any, Any], Tensor]:
    """Return the polynomial of 2x - 1."""
    return lambda x, n: polynomial(2 * x - 1, n)


def _table() -> dict[Any, Callable[..., Any]]:
    found: dict[Any, Callable[..., Any]] = {}
    letters = {"t": chebyshev_t, "u": chebyshev_u, "v": chebyshev_v, "w": chebyshev_w}
    for letter, function in letters.items():
        for prefix, made in (("", function), ("shifted_", _shifted(function))):
            packet = getattr(aten, f"special_{prefix}chebyshev_polynomial_{letter}")
            for overload in ("default", "x_scalar", "n_scalar"):
                found[getattr(packet, overload)] = made
    return found


POLYNOMIALS = _table()
