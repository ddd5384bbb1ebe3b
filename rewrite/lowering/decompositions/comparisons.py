"""Searches as counts of comparisons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten


def searchsorted(
    sorted_sequence: Tensor,
    self: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Return how many of the sequence are below each value, or not above it."""
    values = (
        self if isinstance(self, Tensor) else torch.full((), self, device=sorted_sequence.device)
    )
    if sorter is not None:
        sorted_sequence = torch.gather(sorted_sequence, -1, sorter)
    return _count_below(sorted_sequence, values, right or side == "right", out_int32)


def bucketize(
    self: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """Return how many boundaries are below each value, or not above it."""
    values = self if isinstance(self, Tensor) else torch.full((), self, device=boundaries.device)
    return _count_below(boundaries, values, right, out_int32)


def _count_below(sequence: Tensor, values: Tensor, right: bool, out_int32: bool) -> Tensor:
    scalar = values.dim() == 0
    wide = torch.promote_types(sequence.dtype, values.dtype)
    rows, wanted = sequence.to(wide), values.reshape(1) if scalar else values
    rows = rows.unsqueeze(-2) if sequence.dim() > 1 else rows
    each = wanted.to(wide).unsqueeze(-1)
    below = rows <= each if right else rows < each
    found = below.to(torch.int64).sum(-1)
    found = found.reshape(values.shape)
    return found.to(torch.int32) if out_int32 else found


def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Return whether each element equals any of the others."""
    one = elements if isinstance(elements, Tensor) else torch.tensor(elements)
    others = test_elements if isinstance(test_elements, Tensor) else torch.tensor(test_elements)
    found = (one.unsqueeze(-1) == others.reshape(-1)).any(-1)
    return ~found if invert else found


COMPARISONS: dict[Any, Callable[..., Any]] = {
    aten.searchsorted.Tensor: searchsorted,
    aten.searchsorted.Scalar: searchsorted,
    aten.bucketize.Tensor: bucketize,
    aten.bucketize.Scalar: bucketize,
    aten.isin.Tensor_Tensor: isin,
    aten.isin.Tensor_Scalar: isin,
    aten.isin.Scalar_Tensor: isin,
}
