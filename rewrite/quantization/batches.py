"""Batches of calibration data: how they are taken apart, and whether they fit the model."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch.utils import _pytree as pytree

from rewrite.errors import UsageError
from rewrite.program import Program

Inputs = tuple[tuple[Any, ...], dict[str, Any]]


def as_given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return one batch as a model file gives it."""
    return kwargs or args


def no_batches() -> UsageError:
    """Return the error of calibration data that hold nothing."""
    return UsageError(
        "calibration() gave no inputs",
        hint="yield a few batches of representative inputs, as inputs() gives them, anew at each "
        "call",
    )


def check_batch(program: Program, args: tuple[Any, ...], kwargs: dict[str, Any], what: str) -> None:
    """Compare a batch with the inputs the program was captured with.

    Raises:
        UsageError: naming the input and both shapes or dtypes.
    """
    signature = program.signature
    hint = "every batch must look like what inputs() returns"
    try:
        flat = signature.flatten_inputs(args, kwargs)
    except ValueError as error:
        raise UsageError(f"{what} does not fit the model: {error}", hint=hint) from None
    for name, value, node in zip(signature.input_names, flat, program.inputs(), strict=True):
        expected = node.meta.get("val")
        if not isinstance(expected, torch.Tensor):
            continue
        if not isinstance(value, torch.Tensor):
            raise UsageError(f"{what}: '{name}' is {type(value).__name__}, not a tensor", hint=hint)
        if value.dtype != expected.dtype:
            raise UsageError(
                f"{what}: '{name}' is {value.dtype}, expected {expected.dtype}", hint=hint
            )
        wanted = wanted_shape(program, name, expected)
        if not fits(tuple(value.shape), wanted):
            raise UsageError(
                f"{what}: '{name}' has shape {list(value.shape)}, expected {wanted}", hint=hint
            )


def wanted_shape(program: Program, name: str, expected: torch.Tensor) -> list[str | int]:
    """Return the sizes of an input; a dynamic one by its name."""
    dynamic = program.signature.dynamic.get(name, {})
    return [dynamic[i].name if i in dynamic else int(s) for i, s in enumerate(expected.shape)]


def fits(shape: tuple[int, ...], wanted: list[str | int]) -> bool:
    """Tell whether a shape is one of those wanted."""
    return len(shape) == len(wanted) and all(
        isinstance(w, str) or w == s for w, s in zip(wanted, shape, strict=True)
    )


def pieces(program: Program, inputs: Inputs, count: int) -> list[Inputs]:
    """Return a batch in so many pieces or fewer, whole where the batch dimension is fixed."""
    signature = program.signature
    flat = signature.flatten_inputs(*inputs)
    dims = [signature.dynamic.get(name, {}).get(0) for name in signature.input_names]
    first = dims[0] if dims else None
    if first is None or any(dim is None or dim.name != first.name for dim in dims):
        return [inputs]
    rows = len(flat[0])
    count = min(count, rows // max(first.low, 2))  # one row may have another path through the model
    if count < 2:
        return [inputs]
    ends = [rows * part // count for part in range(count + 1)]
    cut = ([v[low:high] for v in flat] for low, high in itertools.pairwise(ends))
    return [pytree.tree_unflatten(part, signature.in_spec) for part in cut]
