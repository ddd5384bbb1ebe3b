"""What a file is run on: the example, calibration data, other sizes; and what the model says."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.utils import _pytree as pytree

from rewrite.checks.unlike_example import unlike_example
from rewrite.descriptors import Model
from rewrite.draws import Inputs, other_sizes
from rewrite.errors import first_line
from rewrite.fixed_sizes import OtherSize
from rewrite.inputs import run_eager, split_inputs
from rewrite.program import Program
from rewrite.quantization.batches import check_batch
from rewrite.quantization.failing_batch import on_batch

_BATCHES_COMPARED = 2
"""Calibration batches that a file is run on beside the example inputs."""
EXAMPLE = "the example inputs"


@dataclass(frozen=True)
class Sample:
    """Inputs to run a file on."""

    label: str
    """What they are: `the example inputs`, `calibration batch 2`, `batch=3, tokens=17`."""
    inputs: Inputs
    expected: list[Any]
    """What the eager model makes of them, flat."""
    is_resized: bool = False
    """Whether they were drawn at other sizes than the example's."""


def take_samples(
    description: Model, program: Program, model: nn.Module
) -> tuple[list[Sample], list[str]]:
    """Run a model on its example, on calibration batches, and on inputs of other sizes.

    Args:
        description: gives the calibration data.
        program: captured from the model; its inputs are redrawn.
        model: the eager model, whose results a file has to give.

    Returns:
        The samples, and in sentences what is odd of them: which sizes could not be tried, and
        calibration data that are unlike the example.
    """
    samples, warnings = [], []
    batches = check_batches(description, program)
    unlike = unlike_example(program, batches)
    for place, inputs in enumerate(batches):
        label = f"calibration batch {place}" if place else EXAMPLE
        with on_batch(program, inputs, place):
            samples.append(Sample(label, inputs, run_model(model, inputs)))
    wanted, seen = list(other_sizes(program)), set()
    while wanted:
        draw = wanted.pop(0)
        if draw.label in seen:
            continue
        seen.add(draw.label)
        try:
            expected = run_model(model, draw.inputs)
        except Exception as error:
            warnings.append(
                f"the model breaks on inputs drawn at {draw.label} ({type(error).__name__}: "
                f"{first_line(error)}), so the file was not run at these sizes"
            )
            wanted += [draw.instead] if draw.instead else []
            continue
        samples.append(Sample(draw.label, draw.inputs, expected, is_resized=True))
    return samples, [*unlike, *warnings[:1]]


def check_batches(
    description: Model, program: Program, limit: int = _BATCHES_COMPARED
) -> list[Inputs]:
    """Return the example inputs and the first calibration batches, to compare runtimes on."""
    inputs = [program.example]
    if description.calibration is not None:
        batches = enumerate(itertools.islice(description.calibration(), limit), start=1)
        # Batches too small for sizes that were fixed: a pass that needs them says so itself.
        with contextlib.suppress(OtherSize):
            for number, batch in batches:
                args, kwargs = split_inputs(batch)
                check_batch(program, args, kwargs, f"calibration batch {number}")
                inputs.append((args, kwargs))
    return inputs


def run_model(model: nn.Module, inputs: Inputs) -> list[Any]:
    """Return the flat results of an eager model."""
    return pytree.tree_leaves(run_eager(model, *inputs))
