"""Whether calibration data are prepared as the example is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from rewrite.draws import Inputs
from rewrite.program import Program

_UNLIKE = 10.0
"""By how much an input may differ between the example and calibration data."""


def unlike_example(program: Program, batches: Sequence[Inputs]) -> list[str]:
    """Say of which inputs the example is far larger or smaller than calibration data.

    One of them was not divided by 255, then, or not normalized.

    Args:
        program: names the inputs.
        batches: the example inputs and the first calibration batches.
    """
    flat = [program.signature.flatten_inputs(*batch) for batch in batches]
    found = []
    for place, name in enumerate(program.signature.input_names):
        example, *given = [_root_mean_square(values[place]) for values in flat]
        usual = sum(given) / max(len(given), 1)
        if not (example and usual):
            continue
        times, side = example / usual, "larger"
        if times < 1:
            times, side = 1 / times, "smaller"
        if times > _UNLIKE:
            found.append(
                f"the example's '{name}' is {times:.0f} times {side} than that of calibration data "
                f"(root mean squares {example:.2g} and {usual:.2g}): inputs() and calibration() "
                "are to prepare it alike"
            )
    return found


def _root_mean_square(value: Any) -> float:
    """Return that of the finite floats of an input; 0 for anything else."""
    if not isinstance(value, torch.Tensor) or not value.is_floating_point():
        return 0.0
    finite = value[value.isfinite()].double()
    return float(finite.square().mean().sqrt()) if finite.numel() else 0.0
