"""Scatters that reduce: means, and those that leave the old value out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten
_REDUCTIONS = {"add": "sum", "multiply": "prod"}


def scatter_reduce(
    self: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Any:
    """Σ / n for means; where the old value is left out it is the neutral one first."""
    if self.dim() == 0:
        one = scatter_reduce_rows(
            self.reshape(1), 0, index.reshape(1), src.reshape(-1)[:1], reduce, include_self
        )
        return one.reshape(())
    if reduce != "mean" and include_self:
        return NotImplemented
    return scatter_reduce_rows(self, dim, index, src, reduce, include_self)


def scatter_reduce_rows(
    x: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, include_self: bool
) -> Tensor:
    """Reduce into a tensor that has dimensions."""
    # More may be given than is read.
    src = src[tuple(slice(0, size) for size in index.shape)]
    operator = "sum" if reduce == "mean" else reduce
    base = x
    if not include_self:
        hit = _scatter(torch.zeros_like(x), dim, index, torch.ones_like(src), "sum") > 0
        base = torch.where(hit, _neutral(operator, x.dtype), x).to(x.dtype)
    total = _scatter(base, dim, index, src, operator)
    if reduce != "mean":
        return total
    first = torch.ones_like(x) if include_self else torch.zeros_like(x)
    count = _scatter(first, dim, index, torch.ones_like(src), "sum").clamp(min=1)
    if x.is_floating_point():
        return total / count
    return torch.div(total, count, rounding_mode="floor")


def scatter_method(self: Tensor, dim: int, index: Tensor, src: Tensor, *, reduce: str) -> Tensor:
    """scatter(…, reduce) = scatter_reduce(…, reduce, with the old value)."""
    return _scatter(self, dim, index, src, _REDUCTIONS[reduce])


def scatter_value(self: Tensor, dim: int, index: Tensor, value: Any, *, reduce: str) -> Tensor:
    """scatter(value, reduce) = scatter_reduce(a tensor of the value)."""
    source = torch.full(index.shape, value, dtype=self.dtype, device=self.device)
    return _scatter(self, dim, index, source, _REDUCTIONS[reduce])


def index_reduce(
    self: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """index_reduce = scatter_reduce, its index the same across the other dimensions."""
    if self.dim() == 0:
        return scatter_reduce_rows(
            self.reshape(1), 0, index.reshape(1), source.reshape(1), reduce, include_self
        ).reshape(())
    dim %= self.dim()
    shape = [1] * self.dim()
    shape[dim] = -1
    wide = index.to(torch.int64).reshape(shape).expand(source.shape)
    return scatter_reduce_rows(self, dim, wide, source, reduce, include_self)


def put(self: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """Return x with its i-th elements, counted flat, replaced by s."""
    flat = self.reshape(-1)
    places = torch.where(index < 0, index + flat.shape[0], index).reshape(-1)
    values = source.reshape(-1)
    if accumulate:
        return flat.scatter_add(0, places, values).reshape(self.shape)
    return flat.scatter(0, places, values).reshape(self.shape)


def as_strided_scatter(
    self: Tensor,
    src: Tensor,
    size: Sequence[Any],
    stride: Sequence[Any],
    storage_offset: Any = None,
) -> Any:
    """Return x with its elements Σ iₖ·strideₖ + offset, counted flat, replaced by s."""
    if storage_offset is None or not self.is_contiguous():
        return NotImplemented
    places = torch.full((1,) * len(size), storage_offset, dtype=torch.int64, device=self.device)
    for axis, (count, step) in enumerate(zip(size, stride, strict=True)):
        shape = [1] * len(size)
        shape[axis] = -1
        places = places + (torch.arange(count, device=self.device) * step).reshape(shape)
    places = places.expand(tuple(size)).reshape(-1)
    return self.reshape(-1).scatter(0, places, src.reshape(-1)).reshape(self.shape)


def diagonal_scatter(
    self: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """Return x with a diagonal replaced by s."""
    x = self.movedim((dim1, dim2), (-2, -1))
    rows, columns = (torch.arange(x.shape[d], device=x.device) for d in (-2, -1))
    on_diagonal = columns.unsqueeze(0) == rows.unsqueeze(1) + offset
    # The place on a diagonal is its row, below the main one its column.
    place = (rows if offset >= 0 else columns).clamp(max=src.shape[-1] - 1)
    values = src.index_select(-1, place).unsqueeze(-1 if offset >= 0 else -2)
    return torch.where(on_diagonal, values, x).movedim((-2, -1), (dim1, dim2))


def _scatter(x: Tensor, dim: int, index: Tensor, src: Tensor, operator: str) -> Tensor:
    if operator == "sum":
        return x.scatter_add(dim, index, src)
    reduced: Tensor = aten.scatter_reduce.two(x, dim, index, src, operator)
    return reduced


def _neutral(operator: str, dtype: torch.dtype) -> Any:
    if operator in ("sum", "prod"):
        return 0 if operator == "sum" else 1
    if dtype.is_floating_point:
        return float("-inf") if operator == "amax" else float("inf")
    limits = torch.iinfo(dtype)
    return limits.min if operator == "amax" else limits.max


SCATTERS: dict[Any, Callable[..., Any]] = {
    aten.scatter_reduce.two: scatter_reduce,
    aten.scatter.reduce: scatter_method,
    aten.scatter.value_reduce: scatter_value,
    aten.index_reduce.default: index_reduce,
    aten.put.default: put,
    aten.as_strided_scatter.default: as_strided_scatter,
    aten.diagonal_scatter.default: diagonal_scatter,
}
