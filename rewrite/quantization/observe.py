"""Streaming observation: run batches through a marked program, keep one estimator per tensor."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from rewrite.descriptors import Calibrator
from rewrite.errors import CheckError, UsageError
from rewrite.interpret import NOT_HANDLED, Interpreter
from rewrite.passes import Context
from rewrite.program import Program
from rewrite.quantization.kinds import is_weight
from rewrite.quantization.markers import OBSERVE
from rewrite.schema import arguments
from rewrite.target import Target


@dataclass
class Observed:
    """The (low, high) range of every group of tensors."""

    bounds: dict[str, tuple[float, float]]
    batches: int
    notes: list[str] = field(default_factory=list)


def observe(
    program: Program,
    context: Context,
    make: Callable[[], Calibrator],
    batches: int | None = None,
) -> Observed:
    """Estimate the range of every marked activation.

    Args:
        program: with `observe` marks.
        context: gives the calibration data, or None for the example inputs, and the target.
        make: makes the estimator of one tensor.
        batches: stop after so many.

    Raises:
        UsageError: for an empty calibration or a batch that does not fit the model.
        CheckError: for a batch in which a tensor is NaN or infinite.
    """
    if context.target is None:
        raise UsageError("calibration needs a target")
    owners = _owners(program, context.target)
    estimators = {group: make() for group in owners.values()}
    batch_number = 0

    def intercept(node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if node.target is not OBSERVE:
            return NOT_HANDLED
        if node in owners:
            _feed(estimators[owners[node]], args[0], owners[node], batch_number)
        return args[0]

    source = context.calibration
    notes = [] if source else ["no calibration(): the example inputs were used instead"]
    data = _batches(source() if source else [_as_given(program)], batches)
    total = _length(source, batches)
    for inputs in data:
        batch_number += 1
        args, kwargs = split(inputs)
        check_batch(program, args, kwargs, f"calibration batch {batch_number}")
        Interpreter(program, intercept).run_inputs(args, kwargs)
        context.progress("calibrate", batch_number, total)
    if not batch_number:
        raise UsageError(
            "calibration() gave no inputs",
            hint="yield a few batches of representative inputs, each as inputs() returns them",
        )
    bounds = {group: estimator.bounds() for group, estimator in estimators.items()}
    return Observed(bounds, batch_number, notes)


def split(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return (args, kwargs) of one batch as a model file gives it."""
    from rewrite.capture import split_inputs

    return split_inputs(inputs)


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
        dynamic = signature.dynamic.get(name, {})
        wanted = [dynamic[i].name if i in dynamic else int(s) for i, s in enumerate(expected.shape)]
        fits = value.dim() == len(wanted) and all(
            isinstance(w, str) or w == s for w, s in zip(wanted, value.shape, strict=True)
        )
        if not fits:
            raise UsageError(
                f"{what}: '{name}' has shape {list(value.shape)}, expected {wanted}", hint=hint
            )


def _owners(program: Program, target: Target) -> dict[fx.Node, str]:
    """Return the first mark of each group of activations that needs a range."""
    owners: dict[fx.Node, str] = {}
    seen: set[str] = set()
    for node in program.graph.nodes:
        if node.target is not OBSERVE:
            continue
        bound = arguments(node)
        spec = target.spec(bound["spec"])
        if spec.per_channel and is_weight(bound["x"]):
            continue
        if not spec.is_fixed and bound["group"] not in seen:
            seen.add(bound["group"])
            owners[node] = bound["group"]
    return owners


def _feed(estimator: Calibrator, value: torch.Tensor, group: str, batch: int) -> None:
    if value.numel() == 0:
        return
    if not bool(torch.isfinite(value).all()):
        raise CheckError(
            f"calibration batch {batch}: tensor '{group}' holds NaN or infinite values",
            hint="look at the batch; a NaN input or an overflow cannot be given a scale",
        )
    estimator.observe(value.detach())


def _batches(data: Iterable[Any], limit: int | None) -> Iterable[Any]:
    return itertools.islice(data, limit)


def _as_given(program: Program) -> Any:
    args, kwargs = program.example
    return kwargs or args


def _length(source: Callable[[], Any] | None, limit: int | None) -> int | None:
    return limit if source is None or limit is not None else None
