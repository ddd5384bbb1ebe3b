"""Freezing: observed ranges become scales, weights become integers, biases int32."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from rewrite.emitter import Emitter
from rewrite.passes import Outcome, Rejection
from rewrite.program import Program
from rewrite.quantization.kinds import is_weight, kind
from rewrite.quantization.markers import DEQUANTIZE, OBSERVE, QUANTIZE
from rewrite.quantization.markers import quantize as quantize_op
from rewrite.quantization.spec import QuantSpec
from rewrite.schema import argument, arguments
from rewrite.target import Target

_INT32 = torch.iinfo(torch.int32)
_LARGEST_BIAS = 2.0**30
"""In steps of s_x·s_w; half of int32, so that the products fit beside it."""
FOLDER = "qdq"
"""Scales and zero points live under this name."""


def freeze(program: Program, target: Target, bounds: Mapping[str, tuple[float, float]]) -> Outcome:
    """Replace every mark by quantize/dequantize, every weight by integers, biases by int32.

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
    if target.bias == "int32":
        for node in list(program.graph.nodes):
            freezer.freeze_bias(node)
    return Outcome(len(marks) + freezer.biases, freezer.rejected)


@dataclass
class _Freezer:
    program: Program
    target: Target
    bounds: Mapping[str, tuple[float, float]]
    rejected: list[Rejection] = field(default_factory=list)
    biases: int = 0

    def __post_init__(self) -> None:
        self.emit = Emitter(self.program)

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
        return spec.parameters(torch.tensor(low), torch.tensor(high))

    def _weight(self, mark: fx.Node, source: fx.Node, spec: QuantSpec) -> fx.Node:
        name = str(source.target)
        values = self.program.weight(name).detach()
        flat = values.reshape(values.shape[0], -1)
        scale, zero_point = spec.parameters(flat.amin(1), flat.amax(1))
        scale = self._coarse_enough(mark, scale)
        integers = quantize_op(values, scale, zero_point, spec.qmin, spec.qmax, 0)
        recipe = ("quantize", spec)
        return self.emit.call(
            DEQUANTIZE,
            like=mark,
            x=self.emit.weight(integers, source=f"{name}_{spec.dtype}", recipe=recipe),
            scale=self.emit.weight(scale, source=f"{name}_scale", recipe=recipe),
            zero_point=self.emit.weight(zero_point, source=f"{name}_zero_point", recipe=recipe),
            axis=0,
        )

    def _coarse_enough(self, mark: fx.Node, scale: torch.Tensor) -> torch.Tensor:
        """Raise the scale of channels so weak that their bias would not fit int32 at s_x·s_w.

        Also where the target wants a float bias: ONNX Runtime makes int32 of it all the same.
        """
        for user in mark.users:
            bound = arguments(user) if kind(user) in ("conv", "linear") else {}
            step, bias = self._scale(bound.get("input")), bound.get("bias")
            if step is None or bias is None or not is_weight(bias) or bound["weight"] is not mark:
                continue
            values = self.program.weight(str(bias.target)).detach().double()
            scale = torch.maximum(scale, (values.abs() / step / _LARGEST_BIAS).float())
        return scale

    def freeze_bias(self, node: fx.Node) -> None:
        """Quantize a float bias to int32 at s_x·s_w, where both factors are known."""
        if kind(node) not in ("conv", "linear"):
            return
        bound = arguments(node)
        bias: fx.Node | None = bound.get("bias")
        scales = self._scales(bound["input"], bound["weight"])
        if scales is None or bias is None or not is_weight(bias):
            return
        name = str(bias.target)
        scale = (scales[0] * scales[1]).float()
        steps = (self.program.weight(name).double() / scale.double()).round()
        if not bool((steps.abs() <= _INT32.max).all()):
            self.rejected.append(
                Rejection.of("int32-bias", node, "a bias is too large for int32 at s_x·s_w")
            )
            return
        recipe = (
            "int32-bias",
            *(str(argument(bound[n], "scale").target) for n in ("input", "weight")),
        )
        new = self.emit.call(
            DEQUANTIZE,
            like=node,
            x=self.emit.weight(steps.to(torch.int32), source=f"{name}_int32", recipe=recipe),
            scale=self.emit.weight(scale, source=f"{name}_scale", recipe=recipe),
            zero_point=self.emit.weight(
                torch.zeros_like(steps, dtype=torch.int32),
                source=f"{name}_zero_point",
                recipe=recipe,
            ),
            axis=0,
        )
        self.emit.set_arguments(node, bias=new)
        self.biases += 1

    def _scales(self, activation: Any, weight: Any) -> tuple[torch.Tensor, torch.Tensor] | None:
        step = self._scale(activation)
        known = isinstance(weight, fx.Node) and weight.target is DEQUANTIZE
        if step is None or not known or not is_weight(argument(weight, "x")):
            return None
        return step, self.program.weight(argument(weight, "scale").target)

    def _scale(self, activation: Any) -> torch.Tensor | None:
        """Return the scale of a quantized activation, None for anything else."""
        if not isinstance(activation, fx.Node) or activation.target is not DEQUANTIZE:
            return None
        if is_weight(argument(activation, "x")) or argument(activation, "axis") is not None:
            return None
        return self.program.weight(argument(activation, "scale").target)
