"""Noise that any right result may have: ties broken in another way, each operator rounded.

A reference is run once more under it: what changes as much then has no right answer in float32.
"""

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
_SORTED = frozenset({"aten::sort", "aten::topk"})
_BOUNDED = frozenset(
    {
        "aten::_softmax",
        "aten::erf",
        "aten::gelu",
        "aten::sigmoid",
        "aten::silu",
        "aten::tanh",
    }
)
"""Kernels of these are as exact as 1 is, and no more: sigmoid(-20) is 0 on ONNX Runtime."""
_EPSILON = {torch.float32: 2.0**-23, torch.float64: 2.0**-52}
_WAYS = (0, 0, 1, -1)
"""Each value its own way, all away from 0, all towards it."""
_STEP = 1e-7
"""Of the largest value: what noise in float32 is."""


class BreakTies(TorchDispatchMode):
    """Adds noise to whatever is put in order."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        if name not in _ORDERS and f"{name}.{func._overloadname}" not in _ORDERS:
            return func(*args, **(kwargs or {}))
        result = func(self._noisy(args[0]), *args[1:], **(kwargs or {}))
        if name not in _SORTED:
            return result
        # What is equal stays equal, and has another order in what reads it.
        ordered = torch.gather(args[0], _dim(func, args, kwargs or {}), result[1])
        return ordered, result[1]

    def _noisy(self, values: Tensor) -> Tensor:
        if not values.is_floating_point() or values.numel() == 0:
            return values
        noise = torch.randn(values.shape, generator=self._generator, dtype=values.dtype)
        return values + _STEP * values.abs().max() * noise + torch.finfo(values.dtype).tiny * noise


def _dim(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    for place, argument in enumerate(func._schema.arguments):
        if argument.name == "dim":
            given = args[place] if place < len(args) else kwargs.get("dim", argument.default_value)
            return int(given)
    raise AssertionError(f"{func} has no dim")


class RoundResults(TorchDispatchMode):
    """Rounds what each operator computes in another way, as another right library may.

    Each value by itself, all away from 0 or all towards it: equal values of a library are equal in
    another one, so that those halfway between two steps of a quantizer go the same way.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)
        self._way = _WAYS[seed % len(_WAYS)]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        # What shares memory is a view, or written in place: nothing is computed, or elsewhere too.
        alone = all(each.alias_info is None for each in func._schema.returns)
        if not alone or not isinstance(result, Tensor):
            return result
        return self._rounded(result, 1.0 if func._schema.name in _BOUNDED else 0.0)

    def _rounded(self, values: Tensor, least: float) -> Tensor:
        """Add noise relative to the values, or to `least` if that is more."""
        if values.dtype not in _EPSILON or values.numel() == 0:
            return values
        noise = torch.randn(values.shape, generator=self._generator, dtype=values.dtype)
        if self._way:
            noise = self._way * (1 + noise.abs()) * values.sign()
        return values + _EPSILON[values.dtype] * noise * values.abs().clamp(min=least)
