"""Holding a pass to what it declares: exact, approximate within a bound, or lossy and measured."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as pytree

from rewrite.errors import CheckError
from rewrite.interpret import run_float64
from rewrite.passes import Pass
from rewrite.program import DynamicDim, Program

EXACT_RELATIVE_ERROR = 1e-10
"""Float64 leaves ~1e-16 after honest algebra; anything near this bound is a different function."""

_ROWS, _TOKENS = 2, 16
"""Sizes of dynamic dimensions in checks: the first dimension, and the others."""

Inputs = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Difference:
    """How far two results are apart."""

    max_abs: float
    relative: float
    """Largest difference over the largest reference value, worst output."""
    sqnr_db: float
    cosine: float

    def as_json(self) -> dict[str, float | None]:
        """Return an entry for the command line's JSON; null for what is infinite.

        Equal results have no finite SQNR; where infinities or NaN differ, neither has `max_abs`.
        """
        return {
            "max_abs": finite(self.max_abs),
            "sqnr_db": finite(self.sqnr_db),
            "cosine": self.cosine,
        }


def check_inputs(program: Program) -> list[Inputs]:
    """Return two draws of the example inputs: cut down, and of other sizes.

    Along dynamic dimensions a few rows and tokens of the example say as much about a rewrite as
    all of them, and double precision is slow; without any, the example is used whole.
    """
    dims = _dynamic_sizes(program)
    if not dims:
        return [program.example]
    few = {symbol: _few(size, dim, index) for symbol, (size, dim, index) in dims.items()}
    other = {symbol: _other_size(few[symbol], dim) for symbol, (_, dim, _) in dims.items()}
    return [_redraw(program, few), _redraw(program, other)]


def _dynamic_sizes(program: Program) -> dict[Any, tuple[int, DynamicDim, int]]:
    """Return (size in the example, limits, position in its shape) of each symbolic size."""
    signature = program.signature
    flat = signature.flatten_inputs(*program.example)
    found: dict[Any, tuple[int, DynamicDim, int]] = {}
    for name, value, node in zip(signature.input_names, flat, program.inputs(), strict=True):
        for index, dim in signature.dynamic.get(name, {}).items():
            symbol = node.meta["val"].shape[index].node.expr
            found.setdefault(symbol, (value.shape[index], dim, index))
    return found


def _redraw(program: Program, sizes: dict[Any, int]) -> Inputs:
    """Resize the example inputs along their dynamic dimensions, so that baked-in sizes show.

    Values are taken from the example: ids stay valid ids, masks stay masks.
    """
    signature = program.signature
    flat = signature.flatten_inputs(*program.example)
    announced: list[Any] = [node.meta.get("val") for node in program.inputs()]
    resized = [_resize(v, _new_sizes(val, sizes)) for v, val in zip(flat, announced, strict=True)]
    args, kwargs = pytree.tree_unflatten(resized, signature.in_spec)
    return args, kwargs


def _few(size: int, dim: DynamicDim, index: int) -> int:
    wanted = _ROWS if index == 0 else _TOKENS
    return size if size <= max(wanted, dim.low) else max(wanted, dim.low)


def _new_sizes(val: Any, sizes: dict[Any, int]) -> dict[int, int]:
    """Evaluate the sizes of one input, those that depend on another dimension (2·n) too."""
    if not isinstance(val, torch.Tensor):
        return {}
    expressions = {i: s.node.expr for i, s in enumerate(val.shape) if hasattr(s, "node")}
    bound = {i: e.subs(sizes) for i, e in expressions.items()}
    return {i: int(size) for i, size in bound.items() if size.is_number}


def reference(program: Program, inputs: Iterable[Inputs]) -> list[list[Any]]:
    """Compute the float64 outputs of a program, to compare a rewritten one against."""
    return [run_float64(program, *each) for each in inputs]


def check(pass_: Pass, before: list[list[Any]], after: list[list[Any]]) -> Difference:
    """Compare float64 outputs and hold the pass to its equivalence class.

    Raises:
        CheckError: when an exact pass is off by more than 1e-10, an approximate one by more than
            its bound, or any pass produces NaN where there was none.
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
        raise CheckError(
            f"pass '{pass_.name}' claims to be exact, but its relative error in float64 is "
            f"{worst.relative:.2e} (allowed: {EXACT_RELATIVE_ERROR:.0e})",
            hint="this is a bug of the pass: leave it out, and report the model",
        )
    if pass_.equivalence == "approximate" and not worst.relative <= pass_.bound:
        raise CheckError(
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


def difference(pairs: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> Difference:
    """Measure (reference, result) pairs together; infinities must sit in the same places."""
    max_abs = relative = noise = signal = dot = left = right = 0.0
    for expected, actual in pairs:
        expected, actual = expected.detach().double().cpu(), actual.detach().double().cpu()
        if expected.numel() == 0:
            continue
        finite = torch.isfinite(expected)
        same = (expected == actual) | (expected.isnan() & actual.isnan())
        if not bool((same | (finite & torch.isfinite(actual))).all()):
            return Difference(float("inf"), float("inf"), float("-inf"), 0.0)
        expected, actual = expected[finite], actual[finite]
        if expected.numel() == 0:
            continue
        error = float((expected - actual).abs().max())
        scale = float(expected.abs().max())
        max_abs = max(max_abs, error)
        relative = max(relative, error / scale if scale > 0 else error)
        noise += float(((expected - actual) ** 2).sum())
        signal += float((expected**2).sum())
        dot += float((expected * actual).sum())
        left += float((expected**2).sum())
        right += float((actual**2).sum())
    return Difference(max_abs, relative, decibel(signal, noise), _cosine(dot, left, right))


def finite(value: float) -> float | None:
    """Return a number, None for an infinite one."""
    return value if math.isfinite(value) else None


def decibel(signal: float, noise: float) -> float:
    """Return 10·log10(signal/noise), infinite without noise."""
    if noise == 0:
        return float("inf")
    return float(10 * torch.log10(torch.tensor(max(signal, 1e-300) / noise, dtype=torch.float64)))


def _cosine(dot: float, left: float, right: float) -> float:
    return 1.0 if left == right == 0 else dot / max((left * right) ** 0.5, 1e-300)


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


def _other_size(size: int, dim: DynamicDim) -> int:
    for candidate in (size + 1, size + 3, size - 1, size * 2):
        if candidate >= max(dim.low, 2) and (dim.high is None or candidate <= dim.high):
            return candidate
    return size


def _resize(value: Any, sizes: dict[int, int]) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    for index, size in sizes.items():
        positions = (torch.arange(size, device=value.device) + 1) % value.shape[index]
        if size <= value.shape[index]:
            positions = torch.arange(size, device=value.device)
        value = value.index_select(index, positions)
    return value
