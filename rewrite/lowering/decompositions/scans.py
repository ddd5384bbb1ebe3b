"""Running extremes and products: each place reduces over all that come before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten


def cummax(self: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return the largest so far, and where it was last."""
    return _extreme(self, dim, _lowest(self.dtype), torch.amax)


def cummin(self: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return the smallest so far, and where it was last."""
    return _extreme(self, dim, _highest(self.dtype), torch.amin)


def cumprod(self: Tensor, dim: int, *, dtype: torch.dtype | None = None) -> Tensor:
    """Return the product so far."""
    kind = dtype or (self.dtype if self.is_floating_point() else torch.int64)
    x = self.to(kind)
    if x.dim() == 0:
        return x.clone()
    rows = x.movedim(dim, -1)
    terms = torch.where(_seen(rows), rows.unsqueeze(-2), 1)
    return torch.prod(terms.to(kind), -1).movedim(-1, dim)


def _extreme(
    x: Tensor, dim: int, neutral: float, reduce: Callable[..., Tensor]
) -> tuple[Tensor, Tensor]:
    if x.dim() == 0:
        return x.clone(), torch.zeros_like(x, dtype=torch.int64)
    rows = x.movedim(dim, -1)
    seen, each = _seen(rows), rows.unsqueeze(-2)
    values = reduce(torch.where(seen, each, neutral).to(x.dtype), (-1,))
    place = torch.arange(rows.shape[-1], device=x.device)
    at = torch.where(seen & (each == values.unsqueeze(-1)), place, -1)
    return values.movedim(-1, dim), torch.amax(at, (-1,)).movedim(-1, dim)


def _seen(rows: Tensor) -> Tensor:
    """Return which places j each place i has behind it: j ≤ i."""
    place = torch.arange(rows.shape[-1], device=rows.device)
    return place.unsqueeze(0) <= place.unsqueeze(1)


def _lowest(dtype: torch.dtype) -> Any:
    return float("-inf") if dtype.is_floating_point else torch.iinfo(dtype).min


def _highest(dtype: torch.dtype) -> Any:
    return float("inf") if dtype.is_floating_point else torch.iinfo(dtype).max


SCANS: dict[Any, Callable[..., Any]] = {
    aten.cummax.default: cummax,
    aten.cummin.default: cummin,
    aten.cumprod.default: cumprod,
}
