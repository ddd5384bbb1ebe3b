"""Medians and other ranks by sorting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten


def kthvalue(self: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """Return the k-th smallest value and its place."""
    if self.dim() == 0:
        return self.clone(), torch.zeros_like(self, dtype=torch.int64)
    values, places = torch.sort(self, dim=dim, stable=True)
    chosen = (t.narrow(dim, k - 1, 1) for t in (values, places))
    kept = [t if keepdim else t.squeeze(dim) for t in chosen]
    return kept[0], kept[1]


def median_dim(self: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """Return the lower median and its place; NaN, and where it is, if there is one."""
    if self.dim() == 0:
        return self.clone(), torch.zeros_like(self, dtype=torch.int64)
    values, places = kthvalue(self, (self.shape[dim] - 1) // 2 + 1, dim, True)
    if self.is_floating_point():
        unknown = self.isnan()
        first = unknown.to(torch.int64).argmax(dim, keepdim=True)
        has = unknown.any(dim, keepdim=True)
        values = torch.where(has, float("nan"), values)
        places = torch.where(has, first, places)
    return (values, places) if keepdim else (values.squeeze(dim), places.squeeze(dim))


def median(self: Tensor) -> Tensor:
    """Return the lower median of everything."""
    return median_dim(self.reshape(-1), 0)[0]


def nanmedian_dim(self: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """Return the lower median of what is a number, and its place."""
    if self.dim() == 0:
        return self.clone(), torch.zeros_like(self, dtype=torch.int64)
    if not self.is_floating_point():
        return median_dim(self, dim, keepdim)
    unknown = self.isnan()
    known = (~unknown).to(torch.int64).sum(dim, keepdim=True)
    values, places = torch.sort(torch.where(unknown, float("inf"), self), dim=dim, stable=True)
    middle = ((known - 1) // 2).clamp(min=0)
    value = torch.where(known > 0, values.gather(dim, middle), float("nan"))
    place = places.gather(dim, middle)
    return (value, place) if keepdim else (value.squeeze(dim), place.squeeze(dim))


def nanmedian(self: Tensor) -> Tensor:
    """Return the lower median of everything that is a number."""
    return nanmedian_dim(self.reshape(-1), 0)[0]


def mode(self: Tensor, dim: int = -1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """Return the smallest of the most frequent values, and where it is last."""
    if self.dim() == 0:
        return self.clone(), torch.zeros_like(self, dtype=torch.int64)
    rows = torch.sort(self, dim=dim).values.movedim(dim, -1)
    counts = (rows.unsqueeze(-1) == rows.unsqueeze(-2)).to(torch.int64).sum(-1)
    values = rows.gather(-1, counts.argmax(-1, keepdim=True))
    steps = torch.arange(self.shape[dim], device=self.device)
    places = torch.where(self.movedim(dim, -1) == values, steps, -1).amax(-1, keepdim=True)
    values, places = values.movedim(-1, dim), places.movedim(-1, dim)
    return (values, places) if keepdim else (values.squeeze(dim), places.squeeze(dim))


RANKS: dict[Any, Callable[..., Any]] = {
    aten.kthvalue.default: kthvalue,
    aten.median.default: median,
    aten.median.dim: median_dim,
    aten.mode.default: mode,
    aten.nanmedian.default: nanmedian,
    aten.nanmedian.dim: nanmedian_dim,
}
