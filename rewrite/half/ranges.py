"""How large the values of a program get, on calibration batches."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from rewrite.device import DeviceInterpreter
from rewrite.inputs import split_inputs
from rewrite.passes import Context
from rewrite.program import Program
from rewrite.quantization.batches import Inputs, check_batch, no_batches
from rewrite.quantization.failing_batch import on_batch


@dataclass
class Ranges:
    """The largest magnitude of every float tensor, and what the first batch gave."""

    largest: dict[fx.Node, float] = field(default_factory=dict)
    """Infinite where a value is infinite or NaN."""
    batches: int = 0
    first: Inputs = ((), {})
    outputs: list[Any] = field(default_factory=list)
    """Of the first batch."""


def measure_ranges(program: Program, context: Context, most: int | None) -> Ranges:
    """Run batches through a program, in constant memory.

    Args:
        program: left as it is.
        context: gives the calibration data, or None for the example inputs, and the device.
        most: batches to look at; None for all.

    Raises:
        UsageError: for an empty calibration, or a batch that does not fit the model.
    """
    found = Ranges()

    def note(node: fx.Node, value: Any) -> None:
        if isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel():
            low, high = torch.aminmax(value.detach().float())
            size = float(torch.maximum(low.abs(), high.abs()))
            size = size if size < float("inf") else float("inf")
            found.largest[node] = max(found.largest.get(node, 0.0), size)

    def intercept(node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        value = interpreter.call(node.target, args, kwargs)
        note(node, value)
        return value

    interpreter = DeviceInterpreter(program, context.device, intercept)
    source = context.calibration
    data = map(split_inputs, source()) if source else [program.example]
    for number, inputs in enumerate(itertools.islice(data, most), start=1):
        check_batch(program, *inputs, f"calibration batch {number}")
        flat = program.signature.flatten_inputs(*inputs)
        for node, value in zip(program.inputs(), flat, strict=True):
            note(node, value)
        with on_batch(program, inputs, number):
            outputs = interpreter.run_inputs(*inputs)
        if number == 1:
            found.first, found.outputs = inputs, outputs
        found.batches = number
        context.progress("measure ranges", number, most if source else None)
    if not found.batches:
        raise no_batches()
    return found
