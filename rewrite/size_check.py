"""A program beside its model at sizes for which torch.export did not prove it right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from rewrite.draws import redraw
from rewrite.eager_check import disagreement
from rewrite.export import SizesError
from rewrite.guards import Assumption, Sizes, assumptions
from rewrite.inputs import run_eager
from rewrite.program import DynamicDim, Program

_SMALLEST = 12
"""So many of the smallest sizes are tried: what repeats with a size, repeats within these."""
_LARGEST = 64
"""A size to try where the range has no end, or ends beyond it."""
_MOST_RUNS = 24


def check_sizes(model: nn.Module, program: Program, unproved: SizesError | None) -> None:
    """Run a program beside its model at sizes for which what torch.export assumed does not hold.

    Most of what it assumes says how a tensor lies in memory, and nothing about what is computed.
    What does, as a branch on a size, computes something else there. Of a size that is `Dim.AUTO`
    torch.export keeps a range and forgets the rest, such as that it must be even.

    Args:
        model: the eager model.
        program: captured from it.
        unproved: what torch.export says of assumptions that it was asked to leave to us; None where
            it has nothing to say.

    Raises:
        SizesError: naming the line of an assumption and sizes; where the model itself fails,
            `unproved` if there is one.
    """
    dims = {symbol: dim for symbol, (dim, _, _) in program.sizes().items()}
    ranges = {symbol: _tried(dim) for symbol, dim in dims.items()}
    env: Any = program.fake_mode.shape_env
    example = {symbol: size for symbol, (_, size, _) in program.sizes().items()}
    for sizes, assumption in _points(assumptions(env), ranges, example):
        inputs = redraw(program, sizes)
        try:
            expected = run_eager(model, *inputs)
        except Exception:
            if unproved is None:
                continue  # what the model does not take, nobody asks of its file
            where = assumption.line or unproved.where
            raise SizesError(unproved.what, where=where, hint=unproved.hint) from unproved
        different = _different(program, expected, inputs)
        if different is not None:
            at = ", ".join(f"{dims[symbol].name} = {size}" for symbol, size in sizes.items())
            raise SizesError(
                "the dynamic shapes do not hold for this model: what it computes depends on a "
                f"size; at {at} {different}",
                where=assumption.line or (unproved.where if unproved else None),
                hint="narrow the dynamic size to one side (min, max), or compile a file for each",
            ) from unproved


def _points(
    assumed: list[Assumption], ranges: Mapping[Any, list[int]], example: Sizes
) -> list[tuple[Sizes, Assumption]]:
    """Return sizes at which each assumption fails: the smallest, one between, the largest."""
    found: dict[tuple[int, ...], tuple[Sizes, Assumption]] = {}
    for each in assumed:
        failing = each.failing(ranges)
        for place in {0, len(failing) // 2, len(failing) - 1} if failing else ():
            sizes = {**example, **failing[place]}
            found.setdefault(tuple(sizes.values()), (sizes, each))
    return list(found.values())[:_MOST_RUNS]


def _different(program: Program, expected: Any, inputs: Any) -> str | None:
    args, kwargs = inputs
    try:
        return disagreement(program, expected, program(*args, **kwargs))
    except Exception as error:
        return f"the program fails: {type(error).__name__}"


def _tried(dim: DynamicDim) -> list[int]:
    """Return sizes of a dimension to try: the smallest ones, a few more, and the largest."""
    low = max(dim.low, 1)
    high = min(dim.high or _LARGEST, max(_LARGEST, low))
    middle = range(low + _SMALLEST, high, max((high - low) // _SMALLEST, 1))
    return sorted({*range(low, min(low + _SMALLEST, high + 1)), *middle, high})
