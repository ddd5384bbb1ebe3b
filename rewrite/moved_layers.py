"""Layers that a model moves while it runs, most often to where they are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn


@contextlib.contextmanager
def settled_layers() -> Iterator[None]:
    """Let `layer.to(x.dtype)` and the like return a layer that has this type as it is.

    torch replaces its weights by copies even so, which no trace allows.
    """
    with mock.patch.object(nn.Module, "_apply", _applied(nn.Module._apply)):
        yield


def _applied(apply: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    def applied(self: nn.Module, fn: Callable[[Tensor], Tensor], *options: Any) -> nn.Module:
        weights = (*self.parameters(), *self.buffers())
        return self if all(_keeps(fn, weight) for weight in weights) else apply(self, fn, *options)

    return applied


def _keeps(fn: Callable[[Tensor], Tensor], weight: Tensor) -> bool:
    """Tell whether a function returns a tensor of this type and place as it is."""
    with torch.utils._python_dispatch._disable_current_modes():
        alike = torch.empty((0,) * weight.dim(), dtype=weight.dtype, device=weight.device)
        try:
            return fn(alike) is alike
        except Exception:
            return False
