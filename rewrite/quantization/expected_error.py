"""The squared error of quantizing values that are spread evenly over intervals, in closed form."""

from __future__ import annotations

import torch

from rewrite.quantization.spec import QuantSpec


def expected_error(
    left: torch.Tensor, right: torch.Tensor, low: torch.Tensor, high: torch.Tensor, spec: QuantSpec
) -> torch.Tensor:
    """Return E[(x - Q(x))²] for x uniform over [left, right], for each range [low, high].

    Q rounds to the nearest of the levels s·(q - z) and saturates. With c = clamp(x, s·(qmin - z),
    s·(qmax - z)), k = round(c/s) and r = c - k·s, an antiderivative of (x - Q(x))² is

        F(x) = k·s³/12 + r³/3 + (x - c)³/3:

    a whole step costs ∫r² = s³/12, the rest of one r³/3, and clipping (x - c)³/3.

    Args:
        left: left ends, float64, shape [N]; where left = right, the error at that point.
        right: right ends, same shape.
        low: lower ends of the ranges, float64, shape [C].
        high: upper ends, same shape.
        spec: gives scale and zero point of a range, exactly as they will be used.

    Returns:
        Errors, float64, shape [C, N].
    """
    scale, zero_point = spec.parameters(low, high)
    step = scale.double().unsqueeze(1)
    zero = zero_point.double().unsqueeze(1)
    bottom, top = step * (spec.qmin - zero), step * (spec.qmax - zero)
    width = right - left
    inside = _antiderivative(right, step, bottom, top) - _antiderivative(left, step, bottom, top)
    clipped = left.clamp(bottom, top)
    at_point = (left - (clipped / step).round() * step) ** 2
    spread = (inside / torch.where(width > 0, width, torch.ones_like(width))).clamp(min=0)
    return torch.where(width > 0, spread, at_point)


def _antiderivative(
    x: torch.Tensor, step: torch.Tensor, bottom: torch.Tensor, top: torch.Tensor
) -> torch.Tensor:
    clipped = torch.maximum(torch.minimum(x.unsqueeze(0), top), bottom)
    count = (clipped / step).round()
    rest = clipped - count * step
    return count * step**3 / 12 + rest**3 / 3 + (x - clipped) ** 3 / 3
