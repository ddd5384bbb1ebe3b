"""Operators that not every version of torch has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def until_removed(name: str, function: Callable[..., Any]) -> dict[Any, Callable[..., Any]]:
    """Return the function by the operator's overload, nothing where torch has it no more."""
    packet = getattr(torch.ops.aten, name, None)
    return {} if packet is None else {packet.default: function}
