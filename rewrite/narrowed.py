"""Sizes left to torch.export that it narrowed, because the model takes another path beyond them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from rewrite.draws import stretch
from rewrite.dynamic_shapes import inputs_by_name, walk
from rewrite.inputs import run_eager
from rewrite.program import Program

_HINT: Any = type(torch.export.Dim.AUTO)
"""What `Dim.AUTO`, `Dim.DYNAMIC` and, with limits, `Dim.AUTO(max=9)` are."""
_UNTOLD_LOW = 2
"""torch.export assumes that a dynamic size is 2 or more; mostly what it captures holds for 1."""


@dataclass(frozen=True)
class _Auto:
    """A dimension of an input that is `Dim.AUTO` or `Dim.DYNAMIC`."""

    place: int
    """Of the input, among the flat ones."""
    axis: int
    name: str
    """As the user knows it."""
    size: Any
    """What torch.export makes of it: an expression of symbols, or a number."""
    hint: Any
    """As it was given."""

    @property
    def stands(self) -> str:
        """It and what it is, to begin a sentence with."""
        return f"{self.name} is Dim.{self.hint.type.name}"


def narrowed_sizes(program: Program, model: nn.Module, shapes: Any) -> list[str]:
    """Return a warning for each size that is left to torch.export and has limits nobody gave."""
    found = list(_auto(program, model, shapes))
    sizes = program.sizes() if found else {}
    warned: dict[str, None] = {}
    for each in found:
        warned.update(dict.fromkeys(_warnings(program, each, sizes)))
    for first, second in _equal(found):
        warned.update(dict.fromkeys(_tied(program, model, first, second)))
    return list(warned)


def _auto(program: Program, model: nn.Module, shapes: Any) -> Iterator[_Auto]:
    args, kwargs = program.example
    hints: dict[tuple[int, int], tuple[str, Any]] = {}

    def note(value: torch.Tensor, axis: int, dim: Any, path: str) -> Any:
        if isinstance(dim, _HINT) and dim.type.name != "STATIC":
            hints[id(value), axis] = f"dimension {axis} of '{path}'", dim
        return dim

    walk(inputs_by_name(model, args, kwargs, shapes), shapes, note)
    flat = program.signature.flatten_inputs(*program.example)
    for place, (value, node) in enumerate(zip(flat, program.inputs(), strict=True)):
        for (owner, axis), (name, hint) in hints.items():
            if owner == id(value):
                size = node.meta["val"].shape[axis]
                expression = getattr(getattr(size, "node", None), "expr", size)
                yield _Auto(place, axis, name, expression, hint)


def _equal(found: list[_Auto]) -> Iterator[tuple[_Auto, _Auto]]:
    """Yield dimensions that have become one size, each with the first of them."""
    first: dict[Any, _Auto] = {}
    for each in found:
        if not isinstance(each.size, int) and first.setdefault(each.size, each) is not each:
            yield first[each.size], each


def _tied(program: Program, model: nn.Module, first: _Auto, second: _Auto) -> Iterator[str]:
    """Tell of a model that takes unequal sizes, and whose file does not.

    Most, such as that of ids and of their mask, are equal by what the model computes.
    """
    args, kwargs = stretch(program, second.place, second.axis)
    try:
        run_eager(model, args, kwargs)
    except Exception:
        return
    env: Any = program.fake_mode.shape_env
    replaced = [old for old, new in env.replacements.items() if new == second.size]
    slocs = (env.replacements_slocs.get(symbol) for symbol in replaced)
    line = next((each.maybe_user_loc for each in slocs if each and each.maybe_user_loc), "")
    yield (
        f"{second.stands}, and the file takes it as equal to {first.name}"
        f"{f', because of {line}' if line else ''}; the model takes unequal ones too. To be told "
        "early, give each a Dim of its own"
    )


def _warnings(program: Program, auto: _Auto, sizes: dict[Any, Any]) -> Iterator[str]:
    if auto.size not in sizes:
        yield f"{auto.stands}, and the model fixes it: the file takes {auto.size} alone"
        return
    dim = sizes[auto.size][0]
    is_low = dim.low <= max(_UNTOLD_LOW, auto.hint.min or 0)
    if is_low and (dim.high is None or (auto.hint.max or math.inf) <= dim.high):
        return
    limits = f"{dim.low} or more" if dim.high is None else f"{dim.low} to {dim.high}"
    env: Any = program.fake_mode.shape_env
    found = env.var_to_range_sloc.get(auto.size)
    bound = (found.lower if dim.high is None else found.upper) if found else None
    line = f", because of {bound.maybe_user_loc}" if bound and bound.maybe_user_loc else ""
    yield (
        f"{auto.stands}, and the file takes {limits} alone{line}; the model computes "
        "something else beyond. To be told early, give a Dim with the limits you need"
    )
