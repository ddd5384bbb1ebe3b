"""Inputs to check on: those of the example, drawn again at other sizes of dynamic dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as pytree

from rewrite.errors import first_line
from rewrite.program import Program

_ROWS, _TOKENS = 2, 16
"""Sizes of dynamic dimensions in checks: the first dimension, and the others."""
_AFFORDABLE = 4.0
"""The end of a range is run when its inputs hold no more than so many times the example's."""
_LEAST = 0.7
"""By this or a larger factor a value is smaller when it is taken once more; whole numbers stay."""

Inputs = tuple[tuple[Any, ...], dict[str, Any]]
Sizes = dict[Any, int]
"""The size that each symbol stands for."""


@dataclass(frozen=True)
class Draw:
    """Inputs of other sizes than the example's."""

    label: str
    """The sizes in words: `batch=3, tokens=17`."""
    inputs: Inputs
    instead: Draw | None = None
    """Larger ones, for a model that breaks on these."""


@dataclass(frozen=True)
class _Symbol:
    """A size that is known only at run time."""

    size: int
    """In the example."""
    low: int
    high: int | None
    is_first: bool
    """Whether it counts rows: it is the first dimension of an input."""
    name: str


def check_inputs(program: Program) -> list[Inputs]:
    """Return two draws of the example inputs: cut down, and of other sizes.

    Along dynamic dimensions a few rows and tokens of the example say as much about a rewrite as
    all of them, and double precision is slow; without any, the example is used whole.
    """
    symbols = _symbols(program)
    if not symbols:
        return [program.example]
    few = _cut_down(symbols)
    return [redraw(program, few), redraw(program, _others(symbols, few))]


def runnable_inputs(
    program: Program, run: Callable[[Inputs], Any]
) -> tuple[list[Inputs], list[Any], str]:
    """Return the draws of `check_inputs` that a program runs on, and what it returns there.

    Inputs that index one another break when one of them is cut: then they are drawn no smaller
    than the example's, and where that breaks too the example stands alone.

    Args:
        program: whose inputs are drawn.
        run: computes on inputs; may raise.

    Returns:
        The inputs, the results, and in words what no draw of other sizes could be had for.
    """
    symbols = _symbols(program)
    if not symbols:
        return [program.example], [run(program.example)], ""
    few = _cut_down(symbols)
    whole = {symbol: each.size for symbol, each in symbols.items()}
    try:
        draws = [redraw(program, few), redraw(program, _others(symbols, few))]
        return draws, [run(each) for each in draws], ""
    except Exception:
        draws = [program.example]
        results = [run(program.example)]
    try:
        larger = redraw(program, _others(symbols, whole))
        return [*draws, larger], [*results, run(larger)], ""
    except Exception as error:
        return draws, results, f"{type(error).__name__}: {first_line(error)}"


def other_sizes(program: Program) -> Iterator[Draw]:
    """Yield draws of other sizes than the example's, to run a file on.

    In the first two each size is once larger than the example's and once a few: in turns, which
    takes a part of the time of all being larger, and tells them apart. Then come both ends of the
    declared ranges. Where inputs of the upper one are much larger than the example's, a few rows
    are drawn as far towards it as is affordable: a sum over tokens grows with them, and leaves
    ranges that were calibrated on fewer.
    """
    symbols = _symbols(program)
    if not symbols:
        return
    whole = {symbol: each.size for symbol, each in symbols.items()}
    low = {symbol: max(each.low, 1) for symbol, each in symbols.items()}
    few, more = _others(symbols, _cut_down(symbols)), _others(symbols, whole)
    larger = Draw(_label(symbols, more), redraw(program, more))
    turns = [_in_turns(few, more), _in_turns(more, few)]
    wanted = [*turns, low]
    far = _far(program, symbols, rows=_cut_down(symbols))
    all_far = _far(program, symbols, rows=whole)
    wanted.append(far)
    seen: list[Sizes] = [whole]
    for sizes in wanted:
        if sizes in seen:
            continue
        seen.append(sizes)
        instead = None
        if sizes in turns and sizes != more:
            instead = larger
        elif sizes == far and far != all_far:
            instead = Draw(_label(symbols, all_far), redraw(program, all_far))
        yield Draw(_label(symbols, sizes), redraw(program, sizes), instead)


def _far(program: Program, symbols: dict[Any, _Symbol], *, rows: Sizes) -> Sizes:
    """Return the upper ends of the ranges if affordable, else what is on the way to them.

    Args:
        program: whose inputs are drawn.
        symbols: its sizes.
        rows: how many rows are taken on the way.
    """
    whole = {symbol: each.size for symbol, each in symbols.items()}
    budget = _AFFORDABLE * _elements(program, whole)
    if all(each.high is not None for each in symbols.values()):
        high = {symbol: int(each.high or 0) for symbol, each in symbols.items()}
        if _elements(program, high) <= budget:
            return high
    far = whole
    for times in range(2, int(_AFFORDABLE) + 1):
        sizes = {
            s: rows[s] if each.is_first else _times(times, each) for s, each in symbols.items()
        }
        is_larger = any(sizes[symbol] > size for symbol, size in whole.items())
        if not is_larger or _elements(program, sizes) > budget:
            break
        far = sizes
    return far


def _times(times: int, each: _Symbol) -> int:
    return times * each.size if each.high is None else min(times * each.size, each.high)


def _in_turns(first: Sizes, second: Sizes) -> Sizes:
    """Take every other size from one of two."""
    return {symbol: (second if place % 2 else first)[symbol] for place, symbol in enumerate(first)}


def _label(symbols: dict[Any, _Symbol], sizes: Sizes) -> str:
    return ", ".join(f"{each.name}={sizes[symbol]}" for symbol, each in symbols.items())


def _symbols(program: Program) -> dict[Any, _Symbol]:
    """Return the sizes known only at run time; of 8·h that is h."""
    return {
        symbol: _Symbol(size, dim.low, dim.high, axis == 0, dim.name)
        for symbol, (dim, size, axis) in program.sizes().items()
    }


def redraw(program: Program, sizes: Sizes) -> Inputs:
    """Resize the example inputs along their dynamic dimensions, so that baked-in sizes show.

    Values are taken from the example: ids stay valid ids, masks stay masks. Rows that are taken
    once more are nearer to 0, each by a factor of its own: equal ones would leave the order of a
    sort open, and the means of two halves equal. Shares stay below 1 by it, places inside an image
    and the corners of a box in order.
    """
    signature = program.signature
    flat = signature.flatten_inputs(*program.example)
    announced: list[Any] = [node.meta.get("val") for node in program.inputs()]
    resized = [_resize(v, _new_sizes(val, sizes)) for v, val in zip(flat, announced, strict=True)]
    args, kwargs = pytree.tree_unflatten(resized, signature.in_spec)
    return args, kwargs


def stretch(program: Program, place: int, axis: int) -> Inputs:
    """Return the example inputs with one dimension of one input a step longer.

    Args:
        program: whose example it is.
        place: of the input, among the flat ones.
        axis: the dimension.
    """
    signature = program.signature
    flat = list(signature.flatten_inputs(*program.example))
    flat[place] = _resize(flat[place], {axis: flat[place].shape[axis] + 1})
    args, kwargs = pytree.tree_unflatten(flat, signature.in_spec)
    return args, kwargs


def _elements(program: Program, sizes: Sizes) -> int:
    """Return how many numbers the inputs of these sizes hold."""
    count = 0
    flat = program.signature.flatten_inputs(*program.example)
    for value, node in zip(flat, program.inputs(), strict=True):
        if isinstance(value, torch.Tensor):
            new = _new_sizes(node.meta.get("val"), sizes)
            count += math.prod(new.get(i, size) for i, size in enumerate(value.shape))
    return count


def _cut_down(symbols: dict[Any, _Symbol]) -> Sizes:
    def few(each: _Symbol) -> int:
        wanted = max(_ROWS if each.is_first else _TOKENS, each.low)
        return min(each.size, wanted)

    return {symbol: few(each) for symbol, each in symbols.items()}


def _others(symbols: dict[Any, _Symbol], before: Sizes) -> Sizes:
    return {symbol: _other_size(before[symbol], each) for symbol, each in symbols.items()}


def _new_sizes(val: Any, sizes: Sizes) -> dict[int, int]:
    """Evaluate the sizes of one input, those that depend on another dimension (2·n) too."""
    if not isinstance(val, torch.Tensor):
        return {}
    expressions = {i: s.node.expr for i, s in enumerate(val.shape) if hasattr(s, "node")}
    bound = {i: e.subs(sizes) for i, e in expressions.items()}
    return {i: int(size) for i, size in bound.items() if size.is_number}


def _other_size(size: int, each: _Symbol) -> int:
    for candidate in (size + 1, size + 3, size - 1, size * 2):
        if candidate >= max(each.low, 2) and (each.high is None or candidate <= each.high):
            return candidate
    return size


def _resize(value: Any, sizes: dict[int, int]) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    for index, size in sizes.items():
        places, count = torch.arange(size, device=value.device), value.shape[index]
        if size <= count:
            value = value.index_select(index, places)
            continue
        value = value.index_select(index, (places + 1) % count)
        if value.is_floating_point():
            drawn = torch.rand(size, generator=torch.Generator().manual_seed(size))
            factors = torch.where(places.cpu() < count, 1.0, _LEAST + (1 - _LEAST) * drawn)
            shape = (-1, *[1] * (value.dim() - index - 1))
            scaled = value * factors.to(value.device, value.dtype).reshape(shape)
            value = torch.where(value == value.round(), value, scaled)
    return value
