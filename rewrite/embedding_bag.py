"""Bags of one length, as rows that are looked up and reduced."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def whole_bags(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:
    """Return F.embedding_bag of ids [bags, length]: the sum, mean or largest of each bag's rows.

    Rows at `padding_idx` do not count; a bag of nothing else is zero. NotImplemented for ids in one
    row with offsets, and for weights that are renormalized in place.
    """
    plain = offsets is None and max_norm is None and mode in ("sum", "mean", "max")
    if not plain or input.dim() != 2 or input.is_floating_point() or input.is_nested:
        return NotImplemented
    rows = functional.embedding(input, weight)
    if per_sample_weights is not None:
        if mode != "sum":
            return NotImplemented
        rows = rows * per_sample_weights.unsqueeze(-1)
    if padding_idx is None:
        return rows.amax(1) if mode == "max" else getattr(rows, mode)(1)
    if padding_idx < 0:
        padding_idx = weight.shape[0] + padding_idx
    counts = (input != padding_idx).unsqueeze(-1)
    if mode == "max":
        largest = torch.where(counts, rows, float("-inf")).amax(1)
        return torch.where(counts.any(1), largest, 0.0)
    total = torch.where(counts, rows, 0.0).sum(1)
    return total if mode == "sum" else total / counts.sum(1).clamp(min=1)
