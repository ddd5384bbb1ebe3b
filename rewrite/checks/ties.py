"""Orders of equal values: torch promises none, and every runtime chooses one of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rewrite.draws import Inputs
from rewrite.inputs import copied
from rewrite.interpret import Interpreter
from rewrite.program import Program
from rewrite.undecided import NUDGES, put_back, spread

aten = torch.ops.aten
_ORDERS = frozenset(
    {
        aten.argmax.default,
        aten.argmin.default,
        aten.argsort.default,
        aten.argsort.stable,
        aten.cummax.default,
        aten.cummin.default,
        aten.kthvalue.default,
        aten.max.dim,
        aten.max_pool1d_with_indices.default,
        aten.max_pool2d_with_indices.default,
        aten.max_pool3d_with_indices.default,
        aten.median.dim,
        aten.min.dim,
        aten.nanmedian.dim,
        aten.sort.default,
        aten.sort.stable,
        aten.topk.default,
    }
)
"""Operators that say where a value is; among equal ones it is any of them."""
_STEP = 4e-7
"""Of the largest value: what rounds off in float32, a few times."""

Pair = tuple[Tensor, Tensor]


class Ties:
    """What a program gives where its ties are broken in other ways."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.are_possible = any(node.target in _ORDERS for node in program.graph.nodes)

    def settle(
        self,
        inputs: Inputs,
        outputs: Mapping[str, Pair],
        simulated: Sequence[Any] | None = None,
    ) -> tuple[dict[str, Pair], int]:
        """Put what was expected in the place of differences that the order of equals explains.

        Args:
            inputs: what all was computed on.
            outputs: (expected, actual) by name, expected of the program or of the model.
            simulated: the flat outputs of the program, computed if they are not given.

        Returns:
            The outputs to compare instead, and how many values were replaced.
        """
        if not self.are_possible:
            return dict(outputs), 0
        if simulated is None:
            simulated = Interpreter(self._program).run_inputs(*copied(inputs))
        ways: tuple[str | int, ...] = ("first", "last", *range(NUDGES))
        runs = [_TiesBroken(self._program, way).run_inputs(*copied(inputs)) for way in ways]
        by_name = dict(
            zip(
                self._program.signature.output_names,
                zip(simulated, *runs, strict=True),
                strict=True,
            )
        )
        settled, count = {}, 0
        for name, (expected, actual) in outputs.items():
            kept, replaced = _settled(expected, actual, by_name[name])
            settled[name], count = (expected, kept), count + replaced
        return settled, count


def _settled(expected: Tensor, actual: Tensor, given: Sequence[Any]) -> tuple[Tensor, int]:
    """Return one output, and how many of its values were put back.

    Args:
        expected: what it should be.
        actual: what it is.
        given: what the program gives for it, first as it is.
    """
    (reach,) = spread(given[:1], ([other] for other in given[1:]))
    if reach is None or reach.shape != actual.shape:
        return actual, 0
    if expected.is_floating_point():
        return put_back(expected, actual, reach)
    # A place is that of one of the equal values, each of which stands in its row in some run.
    open_ = reach > 0
    runs = torch.stack([run.long() for run in given if run.shape == reach.shape])
    explained = open_ & (actual != expected) & _stands_in_row(actual.long(), runs, open_)
    return torch.where(explained, expected, actual), int(explained.sum())


def _stands_in_row(actual: Tensor, runs: Tensor, open_: Tensor) -> Tensor:
    """Tell of each value whether some run has it in an open place of a row through it.

    Args:
        actual: int64, any shape.
        runs: [runs, *shape].
        open_: bool, the shape of `actual`: where runs differ.

    Returns:
        bool, the shape of `actual`. A row goes along a dimension in which all runs have the same
        values in another order, as what was sorted; along any where there is none.
    """
    seen = torch.where(open_, runs, torch.iinfo(torch.int64).min)
    found = (seen == actual).any(0)
    dims = range(actual.dim())
    for dim in [dim for dim in dims if _is_reordered(seen, dim + 1)] or dims:
        rows = seen.movedim(dim + 1, -1).movedim(0, -2).flatten(-2).sort(-1).values.contiguous()
        wanted = actual.movedim(dim, -1).contiguous()
        at = torch.searchsorted(rows, wanted).clamp(max=rows.shape[-1] - 1)
        found |= (rows.gather(-1, at) == wanted).movedim(-1, dim)
    return found


def _is_reordered(runs: Tensor, dim: int) -> bool:
    """Tell whether runs differ in the order of values along a dimension alone."""
    ordered = runs.sort(dim).values
    return bool((ordered == ordered[:1]).all())


class _TiesBroken(Interpreter):
    """Evaluates a program with noise in what is put in order, too small to move what differs."""

    def __init__(self, program: Program, way: str | int) -> None:
        super().__init__(program)
        self._ramp = {"first": -1.0, "last": 1.0}.get(str(way))
        self._generator = torch.Generator().manual_seed(0 if isinstance(way, str) else way)

    def call(self, overload: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Evaluate one call; what it orders are floats that are no longer equal."""
        if overload in _ORDERS:
            args = tuple(map(self._unequal, args[:1])) + args[1:]
            kwargs = {k: self._unequal(v) if k == "self" else v for k, v in kwargs.items()}
        return super().call(overload, args, kwargs)

    def _unequal(self, values: Tensor) -> Tensor:
        if not values.is_floating_point() or values.numel() == 0:
            return values
        known = torch.where(values.isfinite(), values.abs(), 0.0)
        step = _STEP * known.max() + torch.finfo(values.dtype).tiny
        return values + step * self._noise(values)

    def _noise(self, values: Tensor) -> Tensor:
        """Return a draw, or a ramp: then the first or the last of equal values is the largest."""
        if self._ramp is None:
            drawn = torch.randn(values.shape, generator=self._generator, dtype=values.dtype)
            return drawn.to(values.device)
        count = values.numel()
        ramp = torch.linspace(0, self._ramp, count, dtype=values.dtype, device=values.device)
        return ramp.reshape(values.shape)
