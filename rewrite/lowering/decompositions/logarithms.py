"""Logarithms and exponentials that neither overflow nor cancel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rewrite.lowering.decompositions.operands import as_float, broadcast

aten = torch.ops.aten
_SMALL = 0.5
"""Below this 1 + x loses what x has; above it, it loses nothing that counts."""


def log1p(self: Tensor) -> Tensor:
    """log(1 + x) = 2·artanh(x / (2 + x)), which keeps small x."""
    x = as_float(self)
    small = torch.where(x.abs() < _SMALL, x, 0.0)
    return torch.where(
        x.abs() < _SMALL, 2.0 * torch.atanh(small / (small + 2.0)), torch.log(x + 1.0)
    )


def expm1(self: Tensor) -> Tensor:
    """e^x - 1 = tanh(x/2)·(e^x + 1), which keeps small x."""
    x = as_float(self)
    return torch.tanh(x * 0.5) * (torch.exp(x) + 1.0)


def log_sigmoid(self: Tensor) -> Tensor:
    """Log σ(x) = min(x, 0) - log(1 + e^-|x|)."""
    return self.clamp(max=0.0) - log1p(torch.exp(-self.abs()))


def log_sigmoid_forward(self: Tensor) -> tuple[Tensor, Tensor]:
    """Return log σ(x), and the empty buffer that goes with it on CPU."""
    return log_sigmoid(self), self.new_zeros(0)


def logaddexp(self: Tensor, other: Tensor) -> Tensor:
    """log(e^a + e^b) = max(a, b) + log(1 + e^-|a - b|)."""
    return _log_of_sum(self, other, 1.0)


def logaddexp2(self: Tensor, other: Tensor) -> Tensor:
    """log₂(2^a + 2^b) = max(a, b) + log₂(1 + 2^-|a - b|)."""
    return _log_of_sum(self, other, 0.6931471805599453)


def _log_of_sum(a: Tensor, b: Tensor, unit: float) -> Tensor:
    a, b = broadcast(as_float(a), as_float(b))
    # Equal infinities differ by NaN, and their sum is the same infinity.
    away = torch.where(a == b, 0.0, (a - b).abs())
    return torch.maximum(a, b) + log1p(torch.exp(-away * unit)) / unit


def logcumsumexp(self: Tensor, dim: int) -> Tensor:
    """Log Σⱼ≤ᵢ e^xⱼ, every sum scaled by its own largest term."""
    if self.dim() == 0:
        return self.clone()
    rows = self.movedim(dim, -1)
    size = rows.shape[-1]
    place = torch.arange(size, device=self.device)
    seen = place.unsqueeze(0) <= place.unsqueeze(1)
    terms = torch.where(seen, rows.unsqueeze(-2), float("-inf"))
    largest = terms.amax(-1, keepdim=True)
    shift = torch.where(largest.isinf(), 0.0, largest)
    total = torch.exp(terms - shift).sum(-1).log() + shift.squeeze(-1)
    return total.movedim(-1, dim)


LOGARITHMS: dict[Any, Callable[..., Any]] = {
    aten.log1p.default: log1p,
    aten.special_log1p.default: log1p,
    aten.expm1.default: expm1,
    aten.special_expm1.default: expm1,
    aten.log_sigmoid.default: log_sigmoid,
    aten.log_sigmoid_forward.default: log_sigmoid_forward,
    aten.logaddexp.default: logaddexp,
    aten.logaddexp2.default: logaddexp2,
    aten.logcumsumexp.default: logcumsumexp,
}
