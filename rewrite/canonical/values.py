"""What rules ask about values: sizes that may be symbols, and literals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

SAME_NUMBER = 5e-8
"""Two literals nearer than half a unit in the last place of float32 are one number there."""


def shape(value: Any) -> tuple[Any, ...]:
    """Return the shape of a tensor-valued node, () for anything else."""
    fake = value.meta.get("val") if isinstance(value, fx.Node) else None
    return tuple(fake.shape) if isinstance(fake, torch.Tensor) else ()


def rank(value: Any) -> int:
    """Return the number of dimensions of a tensor-valued node."""
    return len(shape(value))


def dtype(value: Any) -> torch.dtype | None:
    """Return the dtype of a tensor-valued node, None for anything else."""
    fake = value.meta.get("val") if isinstance(value, fx.Node) else None
    return fake.dtype if isinstance(fake, torch.Tensor) else None


def device(value: Any) -> torch.device | None:
    """Return the device of a tensor-valued node, None for anything else."""
    fake = value.meta.get("val") if isinstance(value, fx.Node) else None
    return fake.device if isinstance(fake, torch.Tensor) else None


def same_size(left: Any, right: Any) -> bool:
    """Tell whether two sizes are surely equal; symbols compare by their expression."""
    if isinstance(left, int) and isinstance(right, int):
        return left == right
    return str(left) == str(right)


def same_shape(left: Sequence[Any], right: Sequence[Any]) -> bool:
    """Tell whether two shapes are surely equal."""
    return len(left) == len(right) and all(map(same_size, left, right))


def is_weight(value: Any) -> bool:
    """Tell whether a value is a weight of the program."""
    return isinstance(value, fx.Node) and value.op == "get_attr"


def number(value: Any) -> float | None:
    """Return a literal number, None for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    return None


def near(left: float, right: float) -> bool:
    """Tell whether two literals are one number in float32."""
    return abs(left - right) <= SAME_NUMBER * max(abs(left), abs(right))


def positive_dim(dim: int, of: Any) -> int:
    """Return a dimension index counted from the front."""
    return dim % rank(of) if rank(of) else 0


def positive_dims(dims: Any, of: Any) -> list[int]:
    """Return dimension indices counted from the front."""
    listed = dims if isinstance(dims, (list, tuple)) else [dims]
    return [positive_dim(d, of) for d in listed]
