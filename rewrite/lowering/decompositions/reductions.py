"""Reductions over several axes, and those that skip what is not a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

aten, prims = torch.ops.aten, torch.ops.prims


def aminmax(self: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the smallest and the largest."""
    if self.dim() == 0:
        return self.clone(), self.clone()
    dims = _all(self) if dim is None else [dim]
    return aten.amin.default(self, dims, keepdim), aten.amax.default(self, dims, keepdim)


def prod(inp: Tensor, dims: Sequence[int] | None, *, output_dtype: Any = None) -> Tensor:
    """Return the product over several axes, one after the other."""
    result = inp if output_dtype is None else inp.to(output_dtype)
    for dim in sorted(d % max(1, inp.dim()) for d in _all(inp) if dims is None or d in dims)[::-1]:
        result = torch.prod(result, dim)
    return result


def prims_amax(inp: Tensor, dims: Sequence[int] | None, *, output_dtype: Any = None) -> Tensor:
    """Return the largest over some axes."""
    return torch.amax(inp, _all(inp) if dims is None else list(dims))


def prims_amin(inp: Tensor, dims: Sequence[int] | None, *, output_dtype: Any = None) -> Tensor:
    """Return the smallest over some axes."""
    return torch.amin(inp, _all(inp) if dims is None else list(dims))


def fmax(self: Tensor, other: Tensor) -> Tensor:
    """Return the larger one, or the one that is a number."""
    return _number_of(self, other, torch.maximum)


def fmin(self: Tensor, other: Tensor) -> Tensor:
    """Return the smaller one, or the one that is a number."""
    return _number_of(self, other, torch.minimum)


def _number_of(a: Tensor, b: Tensor, choose: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    wide = torch.promote_types(a.dtype, b.dtype)
    a, b = a.to(wide), b.to(wide)
    if not wide.is_floating_point:
        return choose(a, b)
    return choose(torch.where(a.isnan(), b, a), torch.where(b.isnan(), a, b))


def hypot(self: Tensor, other: Tensor) -> Tensor:
    """√(a² + b²) = m·√((a/m)² + (b/m)²), m the larger of |a| and |b|."""
    a, b = self.abs(), other.abs()
    largest = torch.maximum(a, b)
    smallest = torch.minimum(a, b)
    scale = torch.where((largest == 0) | largest.isinf(), 1.0, largest)
    share = smallest / scale
    root = scale * torch.sqrt((largest / scale) ** 2 + share * share)
    return torch.where(a.isinf() | b.isinf(), float("inf"), root)


def _all(value: Tensor) -> list[int]:
    return list(range(value.dim()))


REDUCTIONS: dict[Any, Callable[..., Any]] = {
    aten.aminmax.default: aminmax,
    aten.fmax.default: fmax,
    aten.fmin.default: fmin,
    aten.hypot.default: hypot,
    prims.amax.default: prims_amax,
    prims.amin.default: prims_amin,
    prims.prod.default: prod,
}
