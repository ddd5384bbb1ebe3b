"""Orders of equal values: torch promises none, so a reference is run once more with ties broken."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_ORDERS = frozenset(
    {
        "aten::argmax",
        "aten::argmin",
        "aten::argsort",
        "aten::cummax",
        "aten::cummin",
        "aten::kthvalue",
        "aten::max.dim",
        "aten::max_pool2d_with_indices",
        "aten::max_pool3d_with_indices",
        "aten::median.dim",
        "aten::min.dim",
        "aten::sort",
        "aten::topk",
    }
)
_STEP = 1e-7
"""Of the largest value: what noise in float32 is."""


class BreakTies(TorchDispatchMode):
    """Adds noise to whatever is put in order."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        if name in _ORDERS or f"{name}.{func._overloadname}" in _ORDERS:
            args = (self._noisy(args[0]), *args[1:])
        return func(*args, **(kwargs or {}))

    def _noisy(self, values: Tensor) -> Tensor:
        if not values.is_floating_point() or values.numel() == 0:
            return values
        noise = torch.randn(values.shape, generator=self._generator, dtype=values.dtype)
        return values + _STEP * values.abs().max() * noise + torch.finfo(values.dtype).tiny * noise
