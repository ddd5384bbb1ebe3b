"""Sizes left to torch.export that it narrowed, because the model takes another path beyond them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from rewrite.dynamic_shapes import inputs_by_name, walk
from rewrite.program import Program

_UNTOLD_LOW = 2
"""torch.export assumes that a dynamic size is 2 or more; mostly what it captures holds for 1."""


def narrowed_sizes(program: Program, model: nn.Module, shapes: Any) -> list[str]:
    """Return a warning for each size that is `Dim.AUTO` and has limits nobody asked for."""
    args, kwargs = program.example
    places: dict[tuple[int, int], str] = {}

    def note(value: torch.Tensor, axis: int, dim: Any, path: str) -> Any:
        if dim == torch.export.Dim.AUTO:
            places[id(value), axis] = f"dimension {axis} of '{path}'"
        return dim

    walk(inputs_by_name(model, args, kwargs, shapes), shapes, note)
    flat = program.signature.flatten_inputs(*program.example)
    sizes = program.sizes() if places else {}
    warned: dict[str, None] = {}
    for value, node in zip(flat, program.inputs(), strict=True):
        for (owner, axis), place in places.items():
            if owner == id(value):
                size = node.meta["val"].shape[axis]
                warned.update(dict.fromkeys(_warnings(program, size, place, sizes)))
    return list(warned)


def _warnings(program: Program, size: Any, place: str, sizes: dict[Any, Any]) -> Iterator[str]:
    symbol = getattr(getattr(size, "node", None), "expr", size)
    if symbol not in sizes:
        yield f"{place} is Dim.AUTO, and the model fixes it: the file takes {size} alone"
        return
    dim = sizes[symbol][0]
    if dim.low <= _UNTOLD_LOW and dim.high is None:
        return
    limits = f"{dim.low} or more" if dim.high is None else f"{dim.low} to {dim.high}"
    env: Any = program.fake_mode.shape_env
    found = env.var_to_range_sloc.get(symbol)
    bound = (found.lower if dim.high is None else found.upper) if found else None
    line = f", because of {bound.maybe_user_loc}" if bound and bound.maybe_user_loc else ""
    yield (
        f"{place} is Dim.AUTO, and the file takes {limits} alone{line}; the model computes "
        "something else beyond. To be told early, give a Dim with the limits you need"
    )
