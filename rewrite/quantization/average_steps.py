"""The finest steps of an average: those of what it is taken over, divided by how many there are."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import fx

from rewrite.program import Program
from rewrite.quantization.costs import size
from rewrite.quantization.kinds import kind
from rewrite.quantization.markers import OBSERVE
from rewrite.quantization.spec import QuantSpec
from rewrite.schema import argument
from rewrite.target import Target


def least_ranges(
    program: Program, target: Target, bounds: Mapping[str, tuple[float, float]]
) -> dict[str, float]:
    """Return the range below which an average would be finer than what it is taken over.

    The mean of N integers at scale s is a multiple of s/N: a finer scale keeps nothing more, and
    one far below it (the mean of what a norm has centred, rounding alone) has a quotient of scales
    that integer kernels refuse.

    Args:
        program: with `observe` marks.
        target: gives the specs.
        bounds: (low, high) of each group of activations.

    Returns:
        By group, where nothing but means of marked tensors over space shares the scale: others may
        need finer steps.
    """
    found: dict[str, float] = {}
    shared: set[str] = set()
    for mark in program.graph.nodes:
        if mark.target is not OBSERVE:
            continue
        spec, group = target.spec(argument(mark, "spec")), argument(mark, "group")
        step = _finest(argument(mark, "x"), target, bounds)
        if step is None or spec.is_fixed:
            shared.add(group)
            continue
        steps = (spec.qmax - spec.qmin) / (2 if spec.symmetric else 1)
        found[group] = max(found.get(group, 0.0), step * steps)
    return {group: least for group, least in found.items() if group not in shared}


def _finest(
    mean: fx.Node, target: Target, bounds: Mapping[str, tuple[float, float]]
) -> float | None:
    """Return s/N for a mean of N values at scale s, None for anything else."""
    if kind(mean) != "global-average-pool":
        return None
    marked = argument(mean, "self")
    if marked.target is not OBSERVE:
        return None
    count = _count(marked.meta["val"])
    step = _step(target.spec(argument(marked, "spec")), argument(marked, "group"), bounds)
    return step / count if step and count else None


def _count(whole: torch.Tensor) -> int:
    """Return how many values one mean over space is taken over, on the example inputs."""
    return math.prod(size(each) or 0 for each in whole.shape[2:])


def _step(spec: QuantSpec, group: str, bounds: Mapping[str, tuple[float, float]]) -> float | None:
    if spec.scale is not None:
        return spec.scale
    if group not in bounds:
        return None
    low, high = bounds[group]
    return float(spec.parameters(torch.tensor(low), torch.tensor(high))[0])
