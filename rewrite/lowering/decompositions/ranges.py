"""Ranges between values that are tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten


def linspace(
    start: Any, end: Any, steps: int, *, dtype: torch.dtype | None = None, **options: Any
) -> Any:
    """A + (b - a)·i / (n - 1), i = 0 … n - 1; a where there is one."""
    kind = dtype or torch.get_default_dtype()
    if not kind.is_floating_point:
        return NotImplemented
    first, last = (v.to(kind) if isinstance(v, Tensor) else v for v in (start, end))
    places = torch.arange(steps, dtype=kind, device=options.get("device"))
    values: Tensor = first + (last - first) * (places / max(steps - 1, 1))
    return values


def logspace(start: Any, end: Any, steps: int, base: float = 10.0, **options: Any) -> Any:
    """Return base^linspace(a, b, n)."""
    places = linspace(start, end, steps, **options)
    return places if places is NotImplemented else torch.pow(base, places)


RANGES: dict[Any, Callable[..., Any]] = {
    **{
        getattr(aten.linspace, kind): linspace
        for kind in ("Tensor_Tensor", "Tensor_Scalar", "Scalar_Tensor")
    },
    **{
        getattr(aten.logspace, kind): logspace
        for kind in ("Tensor_Tensor", "Tensor_Scalar", "Scalar_Tensor")
    },
}
