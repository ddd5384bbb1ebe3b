"""An example of larger sizes, for torch.export: what comes to 1 inside of a model it takes as 1."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from rewrite.dynamic_shapes import affine, inputs_by_name, is_derived, key, walk

_TIMES = 3
"""Half of a half of 8 is 2, of 24 it is 6: windows and strides have room."""


def enlarge(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], shapes: Any
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Return an example whose dynamic sizes are three times as large, its values repeated.

    Less where the range of a dimension ends before.

    Returns:
        None where no range has room for twice the size, or one follows from another and more.
    """
    axes: dict[int, set[int]] = {}
    room: list[int] = []

    def note(value: Tensor, axis: int, dim: Any, path: str) -> Any:
        if key(dim, path, axis):
            axes.setdefault(id(value), set()).add(axis)
            room.append(_room(dim, int(value.shape[axis])))
        return dim

    walk(inputs_by_name(model, args, kwargs, shapes), shapes, note)
    times = min(room, default=0)
    if times < 2:
        return None

    def repeated(value: Any) -> Any:
        if not isinstance(value, Tensor) or id(value) not in axes:
            return value
        return value.repeat([times if a in axes[id(value)] else 1 for a in range(value.dim())])

    larger: tuple[tuple[Any, ...], dict[str, Any]] = pytree.tree_map(repeated, (args, kwargs))
    return larger


def _room(dim: Any, size: int) -> int:
    """Return how many times as large a size may be."""
    if is_derived(dim):
        scale, offset = affine(dim)
        return _room(dim.root, size // scale) if offset == 0 else 0
    high = getattr(dim, "max", None)
    known = isinstance(high, (int, torch.SymInt)) and size > 0
    return min(_TIMES, int(high) // size) if known and high is not None else _TIMES
