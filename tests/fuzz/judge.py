"""Whether what a file computes is what eager torch computes, in so far as that is defined at all.

Two results that differ are held against what a change of the inputs in their last digits does to
the eager model. Where it does as much, nothing can be said: a sort, a floor or a sum that cancels
has no right answer in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from .noise import BreakTies, RoundResults

FLOAT_FLOOR = 60.0
"""In dB, of a float file against eager torch."""
QUANTIZED_FLOOR = 10.0
"""In dB, of an int8 file against the simulated program, where that itself is stable."""
MARGIN = 10.0
"""In dB: a result this much worse than what noise makes is wrong."""
NOTHING = 3e-5
"""Differences below it are none beside values that are hardly larger: what a norm of equal values
leaves is its rounding over the root of its epsilon."""
EQUAL = 0.99
"""Share of integers that are to be equal."""
_NAN, _INFINITE = "NaN in other places", "infinite in other places"
_CHAOS = 0.3
"""Of a value: where a nudge changes it as much, as a remainder of 1e16, it has no digits."""
_NUDGES = 6
_NUDGE = 1e-6
_LEAST = 1e-8
_ZERO = 1e-6
"""In float64, where the epsilon of a norm makes a difference of 1e-9 as large."""
_REST = 1e-3
"""Of equal values behind a norm: the rounding of a sum of hundreds, over the root of 1e-5."""

Run = Callable[[Any], list[Tensor]]


@dataclass(frozen=True)
class Verdict:
    """The worst that was found in one output."""

    output: int
    what: str
    db: float = math.nan
    error: float = math.inf
    """The largest, of finite values."""
    actual: Tensor | None = field(default=None, repr=False, compare=False)


def sqnr(expected: Tensor, actual: Tensor) -> float:
    """Return signal over error in dB, of what is finite; infinite if nothing differs."""
    left, right = expected.double(), actual.double()
    kept = left.isfinite() & right.isfinite()
    left, right = left[kept], right[kept]
    error, signal = float(((left - right) ** 2).sum()), float((left**2).sum())
    if error == 0:
        return math.inf
    return 10 * math.log10(signal / error) if signal > 0 else -math.inf


def compare(expected: list[Tensor], actual: list[Tensor], floor: float) -> list[Verdict]:
    """Return what differs between two lists of outputs, before noise is asked for."""
    if len(expected) != len(actual):
        return [Verdict(-1, f"{len(actual)} outputs, not {len(expected)}")]
    found = []
    for place, (left, right) in enumerate(zip(expected, actual, strict=True)):
        verdict = _compare(place, left, right, floor)
        if verdict is not None:
            found.append(verdict)
    return found


def _compare(place: int, left: Tensor, right: Tensor, floor: float) -> Verdict | None:
    if left.shape != right.shape:
        return Verdict(place, f"shape {list(right.shape)}, not {list(left.shape)}")
    if left.dtype != right.dtype:
        return Verdict(place, f"{right.dtype}, not {left.dtype}")
    if not left.is_floating_point():
        share = float((left == right).double().mean()) if left.numel() else 1.0
        told = f"{share:.3f} of the integers"
        return None if share == 1 else Verdict(place, told, share, actual=right)
    if bool((left.isnan() != right.isnan()).any()):
        return Verdict(place, _NAN, -math.inf, actual=right)
    infinite = left.isinf() | right.isinf()
    if bool((left[infinite] != right[infinite]).any()):
        return Verdict(place, _INFINITE, -math.inf, actual=right)
    if left.numel() == 0 or _is_nothing(left, right):
        return None
    found = sqnr(left, right)
    error = float((left - right).nan_to_num().abs().max())
    return Verdict(place, f"{found:.1f} dB", found, error, right) if found < floor else None


def _is_nothing(left: Tensor, right: Tensor) -> bool:
    finite = left.isfinite() & right.isfinite()
    error = (left - right)[finite].abs()
    largest = left[finite].abs()
    if error.numel() == 0:
        return True
    return float(largest.max()) < 30 * NOTHING and float(error.max()) <= NOTHING


def beyond_noise(
    found: list[Verdict],
    expected: list[Tensor],
    run: Run,
    inputs: Any,
    floor: float,
    precise: Run | None = None,
) -> list[Verdict]:
    """Return the verdicts that a change of the inputs in their last digits does not explain.

    Nor may the reference be as far from what it is in float64: a norm of equal values gives what
    rounding left of them, many times over.

    Args:
        found: what differs.
        expected: what the reference gives for the inputs.
        run: the reference.
        inputs: what it was run on.
        floor: in dB, as given to `compare`.
        precise: the reference in float64.
    """
    runs: list[list[Tensor]] = []
    for seed in range(_NUDGES):
        if not found:
            break
        with BreakTies(seed), RoundResults(seed):
            # Equal values stay equal in every second run: only there are ties to break.
            nudged = run(nudge(inputs, seed) if seed % 2 else inputs)
        runs.append(nudged)
        found = [v for v in found if not _explained(v, expected, nudged, floor)]
    if found:
        with _without_denormals():
            runs.append(run(inputs))
    if found and precise is not None:
        exact = [e.to(own.dtype) for e, own in zip(precise(inputs), expected, strict=True)]
        runs.append(exact)
        found = [v for v in found if v.output < 0 or not _is_zero(v, exact[v.output])]
    for other in runs[_NUDGES:]:
        found = [v for v in found if not _explained(v, expected, other, floor)]
    return [v for v in found if not _is_chaos(v, expected, runs, floor)]


def _is_zero(verdict: Verdict, exact: Tensor) -> bool:
    """Tell whether an output is 0 but for what rounding leaves of it behind a norm."""
    zero = exact.is_floating_point() and not bool((exact.abs() > _ZERO).any())
    return zero and verdict.error <= _REST


@contextmanager
def _without_denormals() -> Iterator[None]:
    """Compute as runtimes may, which take the smallest numbers for 0."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _explained(
    verdict: Verdict, expected: list[Tensor], nudged: list[Tensor], floor: float
) -> bool:
    if verdict.output < 0 or math.isnan(verdict.db):
        return False
    left, right = expected[verdict.output], nudged[verdict.output]
    if left.shape != right.shape:
        return True
    other = _compare(verdict.output, left, right, math.inf)
    if not left.is_floating_point():
        if other is None:
            return verdict.db >= EQUAL
        return 1 - verdict.db <= max(1 - EQUAL, 4 * (1 - other.db))
    if other is None:
        return False
    if math.isinf(other.db):
        # Which values are lost is another question.
        return other.what not in (_NAN, _INFINITE)
    return verdict.db >= min(floor, other.db - MARGIN)


def _is_chaos(
    verdict: Verdict, expected: list[Tensor], runs: list[list[Tensor]], floor: float
) -> bool:
    """Tell whether what differs is only where noise leaves no digit."""
    if verdict.actual is None:
        return False
    left, lost = expected[verdict.output], torch.zeros_like(verdict.actual, dtype=torch.bool)
    for other in (run[verdict.output] for run in runs):
        if other.shape == left.shape:
            lost |= _has_no_digit(left, other)
    kept = left[~lost], verdict.actual[~lost]
    return bool(lost.any()) and _compare(verdict.output, *kept, floor) is None


def _has_no_digit(left: Tensor, other: Tensor) -> Tensor:
    """Tell where noise changes a value as a whole."""
    same = (left == other) | (left.isnan() & other.isnan())
    if not left.is_floating_point():
        return ~same
    near = (left - other).abs() <= _CHAOS * left.abs()
    return ~(same | near)


def nudge(inputs: Any, seed: int) -> Any:
    """Return inputs that differ in the last digits of their floats."""
    generator = torch.Generator().manual_seed(seed)

    def change(value: Any) -> Any:
        if not isinstance(value, Tensor) or not value.is_floating_point():
            return value.clone() if isinstance(value, Tensor) else value
        noise = torch.randn(value.shape, generator=generator, dtype=value.dtype)
        # Zeros have no last digits of their own, but what is computed of them is rounded too.
        least = _NUDGE**2 if bool(value.any()) else _LEAST
        return value * (1 + _NUDGE * noise) + least * noise

    return pytree.tree_map(change, inputs)
