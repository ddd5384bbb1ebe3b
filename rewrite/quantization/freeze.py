"""Freezing: observed ranges become scales, weights and biases integers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import fx

from rewrite.emitter import Emitter
from rewrite.passes import Outcome
from rewrite.program import Program
from rewrite.quantization.average_steps import least_ranges
from rewrite.quantization.biases import BiasFreezer, least_weight_scale
from rewrite.quantization.kinds import is_weight
from rewrite.quantization.markers import DEQUANTIZE, OBSERVE, QUANTIZE
from rewrite.quantization.markers import quantize as quantize_op
from rewrite.quantization.spec import QuantSpec
from rewrite.quantization.weights import channel_axis, weight_parameters
from rewrite.schema import arguments
from rewrite.target import Target

FOLDER = "qdq"
"""Scales and zero points live under this name."""


def freeze(program: Program, target: Target, bounds: Mapping[str, tuple[float, float]]) -> Outcome:
    """Replace every mark by quantize/dequantize, every weight and bias by integers.

    Args:
        program: with `observe` marks.
        target: gives the specs and the bias rule.
        bounds: (low, high) of each group of activations.
    """
    freezer = _Freezer(program, target, bounds)
    marks = [n for n in program.graph.nodes if n.target is OBSERVE]
    # Activations first: how fine a weight may be depends on the scale of what it is multiplied by.
    for mark in sorted(marks, key=lambda n: is_weight(arguments(n)["x"])):
        freezer.freeze_mark(mark)
    biases = BiasFreezer(program, freezer.emit, target)
    for node in list(program.graph.nodes):
        biases.freeze(node)
    return Outcome(len(marks) + biases.count, biases.rejected)


@dataclass
class _Freezer:
    program: Program
    target: Target
    bounds: Mapping[str, tuple[float, float]]

    def __post_init__(self) -> None:
        self.emit = Emitter(self.program)
        self.least_ranges = least_ranges(self.program, self.target, self.bounds)

    def freeze_mark(self, mark: fx.Node) -> None:
        bound = arguments(mark)
        spec = self.target.spec(bound["spec"])
        source: fx.Node = bound["x"]
        if is_weight(source) and spec.per_channel:
            new = self._weight(mark, source, spec)
        else:
            new = self._activation(mark, source, spec, bound["group"])
        self.emit.replace(mark, new)

    def _activation(self, mark: fx.Node, source: fx.Node, spec: QuantSpec, group: str) -> fx.Node:
        scale, zero_point = self._parameters(spec, group)
        base = f"{FOLDER}.{group.replace('.', '_')}"
        recipe = (spec, group)
        parameters = {
            "scale": self.emit.weight(scale, source=f"{base}.scale", recipe=recipe),
            "zero_point": self.emit.weight(zero_point, source=f"{base}.zero_point", recipe=recipe),
        }
        quantized = self.emit.call(
            QUANTIZE, like=mark, x=source, qmin=spec.qmin, qmax=spec.qmax, **parameters
        )
        return self.emit.call(DEQUANTIZE, like=mark, x=quantized, **parameters)

    def _parameters(self, spec: QuantSpec, group: str) -> tuple[torch.Tensor, torch.Tensor]:
        if spec.scale is not None:
            zero_point = torch.tensor(spec.zero_point, dtype=spec.torch_dtype)
            return torch.tensor(spec.scale, dtype=torch.float32), zero_point
        low, high = self.bounds[group]
        least = max(spec.least_range, self.least_ranges.get(group, 0.0))
        spec = dataclasses.replace(spec, least_range=least)
        return spec.parameters(torch.tensor(low), torch.tensor(high))

    def _weight(self, mark: fx.Node, source: fx.Node, spec: QuantSpec) -> fx.Node:
        name = str(source.target)
        values = self.program.weight(name).detach()
        axis = channel_axis(mark.users)
        scale, zero_point = weight_parameters(values, spec, axis)
        scale = self._coarse_enough(mark, scale, spec)
        integers = quantize_op(values, scale, zero_point, spec.qmin, spec.qmax, axis)
        recipe = ("quantize", spec, axis)
        return self.emit.call(
            DEQUANTIZE,
            like=mark,
            x=self.emit.weight(integers, source=f"{name}_{spec.dtype}", recipe=recipe),
            scale=self.emit.weight(scale, source=f"{name}_scale", recipe=recipe),
            zero_point=self.emit.weight(zero_point, source=f"{name}_zero_point", recipe=recipe),
            axis=axis,
        )

    def _coarse_enough(self, mark: fx.Node, scale: torch.Tensor, spec: QuantSpec) -> torch.Tensor:
        """Raise the scale of channels so weak that their bias would not fit at s_x·s_w."""
        least = least_weight_scale(self.program, self.target, mark)
        if least is None:
            return scale
        if spec.alike or not scale.dim():
            least = least.amax()
        # Where scales are powers of two, the next one that is coarse enough.
        return torch.where(least > scale, spec.allowed(least), scale)
