"""Holding a pass to what it declares: exact, approximate within a bound, or lossy and measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rewrite.checks.finite import all_finite
from rewrite.checks.judge import Judge
from rewrite.draws import Inputs
from rewrite.energies import Energies, candidates, worst_of
from rewrite.errors import CheckError
from rewrite.interpret import run_float64
from rewrite.passes import Pass
from rewrite.program import Program

EXACT_RELATIVE_ERROR = 1e-10
"""Float64 leaves ~1e-16 after honest algebra; anything near this bound is a different function."""


class TooFar(CheckError):
    """A program computes something else than before."""


@dataclass(frozen=True)
class Integers:
    """The output of integers or truth values that agrees least."""

    output: str
    equal: float
    """Share of its values that are equal, 0 to 1."""

    def as_json(self) -> dict[str, Any]:
        """Return an entry for the command line's JSON."""
        return {"output": self.output or None, "equal_percent": 100 * self.equal}


@dataclass(frozen=True)
class Difference:
    """How far two results are apart."""

    max_abs: float
    relative: float
    """Largest difference over the largest reference value, worst output, integers too."""
    sqnr_db: float
    """Of the worst output of floats; of integers where there are no floats."""
    cosine: float
    """The smallest of those outputs."""
    output: str = ""
    """The one with that SQNR, where there are several and it is finite."""
    integers: Integers | None = None
    """None where no output holds integers or truth values."""

    def as_json(self) -> dict[str, Any]:
        """Return an entry for the command line's JSON; null for what is infinite.

        Equal results have no finite SQNR; where infinities or NaN differ, neither has `max_abs`.
        """
        return {
            "max_abs": finite(self.max_abs),
            "sqnr_db": finite(self.sqnr_db),
            "cosine": self.cosine,
            "output": self.output or None,
            "integers": self.integers.as_json() if self.integers else None,
        }


def reference(program: Program, inputs: Iterable[Inputs]) -> list[list[Any]]:
    """Compute the float64 outputs of a program, to compare a rewritten one against."""
    return [run_float64(program, *each) for each in inputs]


def check(pass_: Pass, before: list[list[Any]], after: list[list[Any]]) -> Difference:
    """Compare float64 outputs and hold the pass to its equivalence class.

    Raises:
        TooFar: when an exact pass is off by more than 1e-10, or an approximate one by more than
            its bound.
        CheckError: when any pass produces NaN where there was none, or changes a shape.
    """
    for b, a in zip(before, after, strict=True):
        _require_same_shapes(pass_, b, a)
    compared = pairs(before, after)
    if any(bool((a.isnan() & ~b.isnan()).any()) for b, a in compared):
        raise CheckError(
            f"after pass '{pass_.name}' an output holds NaN where there was none",
            hint="this is a bug of the pass: leave it out, and report the model",
        )
    worst = difference(compared)
    if pass_.equivalence == "exact" and not worst.relative <= EXACT_RELATIVE_ERROR:
        raise TooFar(
            f"pass '{pass_.name}' claims to be exact, but its relative error in float64 is "
            f"{worst.relative:.2e} (allowed: {EXACT_RELATIVE_ERROR:.0e})",
            hint="this is a bug of the pass: leave it out, and report the model",
        )
    if pass_.equivalence == "approximate" and not worst.relative <= pass_.bound:
        raise TooFar(
            f"pass '{pass_.name}' promises a relative error under {pass_.bound:g}, "
            f"but it is {worst.relative:.2e}",
            hint="leave the pass out for this model",
        )
    return worst


def pairs(
    before: list[list[Any]], after: list[list[Any]]
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Pair the tensors among the outputs of two programs, for every draw of the inputs."""
    draws = zip(before, after, strict=True)
    outputs = (pair for b, a in draws for pair in zip(b, a, strict=True))
    return [(b, a) for b, a in outputs if isinstance(b, torch.Tensor)]


def loss(
    judge: Judge, inputs: Sequence[Sequence[Any]], before: list[list[Any]], after: list[list[Any]]
) -> Difference:
    """Compare all outputs of two programs, their worst part first.

    Args:
        judge: of the program; says what is compared on its own.
        inputs: the flat inputs of every draw.
        before: the outputs for every draw.
        after: those of the other program.
    """
    judged = []
    for flat, left, right in zip(inputs, before, after, strict=True):
        named = zip(judge.names, zip(left, right, strict=True), strict=True)
        outputs = {n: (b, a) for n, (b, a) in named if isinstance(b, torch.Tensor)}
        judged += judge.take_apart(outputs, flat).pairs
    return difference([(b, a) for _, b, a in judged], [name for name, _, _ in judged])


def difference(
    compared: Iterable[tuple[torch.Tensor, torch.Tensor]], names: Sequence[str] = ()
) -> Difference:
    """Measure (reference, result) pairs; infinities must sit in the same places.

    Args:
        compared: tensors of the same shape; of complex numbers both parts count.
        names: of the outputs that the pairs are of; pairs of the same name are measured together.
            Without names each pair is an output of its own.
    """
    compared = list(compared)
    keys = list(names) or [str(place) for place in range(len(compared))]
    max_abs = relative = 0.0
    floats: dict[str, Energies] = {}
    others: dict[str, Energies] = {}
    equal: dict[str, tuple[int, int]] = {}
    for key, (expected, actual) in zip(keys, compared, strict=True):
        is_whole = not (expected.is_floating_point() or expected.is_complex())
        left, right = _doubles(expected), _doubles(actual)
        if not (all_finite(left) and all_finite(right)):
            number, same = left.isfinite(), (left == right) | (left.isnan() & right.isnan())
            if not bool((same | (number & right.isfinite())).all()):
                name = key if len(set(names)) > 1 else ""
                return Difference(float("inf"), float("inf"), float("-inf"), 0.0, name)
            left, right = left[number], right[number]
        if is_whole and left.numel():
            hits, count = equal.get(key, (0, 0))
            equal[key] = hits + int((left == right).sum()), count + left.numel()
        if left.numel() == 0:
            continue
        error, scale = float((left - right).abs().max()), float(left.abs().max())
        max_abs = max(max_abs, error)
        relative = max(relative, error / scale if scale > 0 else error)
        (others if is_whole else floats).setdefault(key, Energies()).add(left, right)
    name, worst, cosine = worst_of(candidates(floats, others))
    integers = _least_equal(equal, bool(names))
    return Difference(max_abs, relative, worst, cosine, name if names else "", integers)


def _doubles(values: torch.Tensor) -> torch.Tensor:
    values = values.detach().cpu()
    return (torch.view_as_real(values.resolve_conj()) if values.is_complex() else values).double()


def finite(value: float) -> float | None:
    """Return a number, None for an infinite one."""
    return value if math.isfinite(value) else None


def _least_equal(found: dict[str, tuple[int, int]], is_named: bool) -> Integers | None:
    shares = {key: hits / count for key, (hits, count) in found.items()}
    if not shares:
        return None
    worst = min(shares, key=shares.__getitem__)
    return Integers(worst if is_named else "", shares[worst])


def _require_same_shapes(pass_: Pass, before: list[Any], after: list[Any]) -> None:
    for b, a in zip(before, after, strict=True):
        if not isinstance(b, torch.Tensor):
            continue
        if not isinstance(a, torch.Tensor) or b.shape != a.shape:
            found = tuple(a.shape) if isinstance(a, torch.Tensor) else type(a).__name__
            raise CheckError(
                f"pass '{pass_.name}' changed the shape of an output: {tuple(b.shape)} → {found}",
                hint="this is a bug of the pass: leave it out, and report the model",
            )
