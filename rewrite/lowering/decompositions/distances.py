"""Distances between rows as norms of differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten


def cdist_forward(x1: Tensor, x2: Tensor, p: float, compute_mode: int | None) -> Tensor:
    """Return ‖x1ᵢ - x2ⱼ‖ₚ for all rows i and j."""
    return _norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p)


def euclidean_dist(x1: Tensor, x2: Tensor) -> Tensor:
    """Return ‖x1ᵢ - x2ⱼ‖₂ for all rows i and j."""
    return _norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), 2.0)


def pdist_forward(self: Tensor, p: float = 2.0) -> Tensor:
    """Return ‖xᵢ - xⱼ‖ₚ for all rows i < j."""
    rows, columns = torch.triu_indices(self.shape[0], self.shape[0], 1, device=self.device)
    return _norm(self[rows] - self[columns], p)


def _norm(difference: Tensor, p: float) -> Tensor:
    size = difference.abs()
    if p == 0.0:
        return (size != 0).to(size.dtype).sum(-1)
    if p == float("inf"):
        return size.amax(-1)
    if p == 1.0:
        return size.sum(-1)
    if p == 2.0:
        return (size * size).sum(-1).sqrt()
    return size.pow(p).sum(-1).pow(1.0 / p)


DISTANCES: dict[Any, Callable[..., Any]] = {
    aten._cdist_forward.default: cdist_forward,
    aten._euclidean_dist.default: euclidean_dist,
    aten._pdist_forward.default: pdist_forward,
}
