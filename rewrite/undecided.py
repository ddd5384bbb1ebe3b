"""Results that rounding decides, even in float64: the place of a maximum among equals, a sign of 0.

An exact rewrite rounds otherwise, and then such a result is another one. It is no fault of the
rewrite where the program itself gives another one as its numbers change in their last digits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from rewrite.draws import Inputs
from rewrite.interpret import Float64Interpreter
from rewrite.program import Program

NUDGES = 16
"""Each takes one of two equal values about as often as the other."""
_NUDGE = 1e-15
"""Relative: some five times what float64 rounds off."""
_TIMES = 10.0
"""A difference that is so many times larger than what a nudge makes is explained by none."""


def settle(
    program: Program,
    inputs: Sequence[Inputs],
    before: Sequence[Sequence[Any]],
    after: Sequence[Sequence[Any]],
) -> tuple[list[list[Any]], int]:
    """Put what a program gave in the place of differences that its own rounding explains.

    Args:
        program: before the rewrite.
        inputs: what both were computed on.
        before: the flat float64 outputs of the program, for all inputs.
        after: those of the rewritten one, of the same shapes.

    Returns:
        The outputs to compare in place of `after`, and how many values were replaced.
    """
    settled, count = [], 0
    for place, given in enumerate(inputs):
        nudged = (_Nudged(program, seed).run_inputs(*given) for seed in range(NUDGES))
        row: list[Any] = []
        for reach, left, right in zip(
            spread(before[place], nudged), before[place], after[place], strict=True
        ):
            if reach is None or not isinstance(right, Tensor):
                row.append(right)
                continue
            kept, replaced = put_back(left, right, reach)
            row.append(kept)
            count += replaced
        settled.append(row)
    return settled, count


def spread(outputs: Sequence[Any], others: Iterable[Sequence[Any]]) -> list[Tensor | None]:
    """Return how far each value is from those of other runs; None where there is no tensor."""
    reach = [_distance(v, v) if isinstance(v, Tensor) else None for v in outputs]
    for run in others:
        for place, (far, value, other) in enumerate(zip(reach, outputs, run, strict=True)):
            if far is not None and value.shape == other.shape:
                reach[place] = torch.maximum(far, _distance(value, other))
    return reach


def put_back(expected: Tensor, actual: Tensor, reach: Tensor) -> tuple[Tensor, int]:
    """Return the actual values, the expected ones where a spread explains what differs.

    Also how many these are.
    """
    gap = _distance(expected, actual)
    explained = (gap > 0) & (gap <= _TIMES * reach)
    return torch.where(explained, expected, actual), int(explained.sum())


def _distance(left: Tensor, right: Tensor) -> Tensor:
    """Return |a - b| of each value, 0 where either is no number."""
    if left.is_complex():
        gap = (left - right).abs()
    else:
        gap = (left.double() - right.double()).abs()
    return torch.where(gap.isfinite(), gap, 0.0)


class _Nudged(Float64Interpreter):
    """Evaluates a program as if every number were rounded in some other way.

    What a call only carries on, and whole numbers, which may be masks, counts and places, stay.
    """

    def __init__(self, program: Program, seed: int) -> None:
        super().__init__(program)
        self._generator = torch.Generator().manual_seed(seed)

    def call(self, overload: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Evaluate one call, and change the last digits of what it computes."""
        read = [_numbers(v) for v in pytree.tree_leaves((args, kwargs)) if _is_float(v)]
        known = torch.cat(read) if read else torch.empty(0, dtype=torch.float64)
        return pytree.tree_map(
            lambda value: self._nudge(value, known) if _is_float(value) else value,
            super().call(overload, args, kwargs),
        )

    def _nudge(self, value: Tensor, known: Tensor) -> Tensor:
        noise = torch.randn(value.shape, generator=self._generator, dtype=torch.float64)
        moved = value * (1 + _NUDGE * noise.to(value.device))
        stays = (value == value.round()) | torch.isin(value, known)
        return torch.where(stays, value, moved)


def _is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _numbers(value: Tensor) -> Tensor:
    return value.double().flatten()
