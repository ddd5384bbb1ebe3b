"""Biases: int32 at the scale of the product, or int8 at a scale of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from rewrite.emitter import Emitter
from rewrite.passes import Rejection
from rewrite.program import Program
from rewrite.quantization.kinds import is_weight, kind
from rewrite.quantization.markers import DEQUANTIZE
from rewrite.quantization.spec import QuantSpec
from rewrite.schema import argument, arguments
from rewrite.target import Target

LAYERS = ("conv", "conv-transpose", "linear")
"""Kinds with a weight and a bias."""
_INT32 = torch.iinfo(torch.int32)
_LARGEST = {
    # Half of int32, so that the products fit beside it.
    "int32": 2.0**30,
    # Vitis AI shifts a bias left by 16 bits at most: shift_bias = p_in + p_w - p_bias.
    "int8": 127 * 2.0**16,
}
"""Largest bias by its type, in steps of s_x·s_w."""
_INT8 = QuantSpec("bias", "int8", -128, 127, symmetric=True)


def least_weight_scale(program: Program, target: Target, mark: fx.Node) -> torch.Tensor | None:
    """Return the scales of a weight below which a bias beside it would not fit, None without one.

    Also where the target wants a float bias: ONNX Runtime makes int32 of it all the same.

    Args:
        program: its activations are frozen.
        target: says which type biases have.
        mark: of the weight.
    """
    least = None
    largest = _LARGEST.get(target.bias, _LARGEST["int32"])
    for user in mark.users:
        bound = arguments(user) if kind(user) in LAYERS else {}
        step, bias = scale_of(program, bound.get("input")), bound.get("bias")
        if step is None or bias is None or not is_weight(bias) or bound["weight"] is not mark:
            continue
        values = program.weight(str(bias.target)).detach().double()
        needed = (values.abs() / step / largest).float()
        least = needed if least is None else torch.maximum(least, needed)
    return least


@dataclass
class BiasFreezer:
    """Makes integers of float biases whose layer reads integers."""

    program: Program
    emit: Emitter
    target: Target
    rejected: list[Rejection] = field(default_factory=list)
    count: int = 0

    def freeze(self, layer: fx.Node) -> None:
        """Quantize the bias of a layer, where the scales of both factors are known."""
        if kind(layer) not in LAYERS or self.target.bias == "float32":
            return
        bound = arguments(layer)
        bias: fx.Node | None = bound.get("bias")
        scales = self._scales(bound["input"], bound["weight"])
        if scales is None or bias is None or not is_weight(bias):
            return
        product = (scales[0] * scales[1]).float()
        values = self.program.weight(str(bias.target)).detach()
        scale = product if self.target.bias == "int32" else self._own_scale(layer, values, product)
        steps = (values.double() / scale.double()).round()
        if not bool((steps.abs() <= _INT32.max).all()):
            reason = "a bias is too large for int32 at s_x·s_w"
            self.rejected.append(Rejection.of("int32-bias", layer, reason))
            return
        self._write(layer, bias, steps, scale)

    def _own_scale(
        self, layer: fx.Node, values: torch.Tensor, product: torch.Tensor
    ) -> torch.Tensor:
        """Return one scale for a whole bias, no finer than the sum that it is added to."""
        spec = self.target.spec(self.target.ops[kind(layer)].inputs["weight"])
        own, _ = _INT8.parameters(values.amin(), values.amax())
        return spec.allowed(torch.maximum(own, product.amax()))

    def _write(
        self, layer: fx.Node, bias: fx.Node, steps: torch.Tensor, scale: torch.Tensor
    ) -> None:
        name, dtype = str(bias.target), self.target.bias
        factors = [arguments(layer)[n] for n in ("input", "weight")]
        recipe = (f"{dtype}-bias", *(str(argument(n, "scale").target) for n in factors))
        integers = steps.to(torch.int32 if dtype == "int32" else torch.int8)
        zero_point = torch.zeros_like(scale, dtype=integers.dtype)
        new = self.emit.call(
            DEQUANTIZE,
            like=layer,
            x=self.emit.weight(integers, source=f"{name}_{dtype}", recipe=recipe),
            scale=self.emit.weight(scale, source=f"{name}_scale", recipe=recipe),
            zero_point=self.emit.weight(zero_point, source=f"{name}_zero_point", recipe=recipe),
            axis=0 if scale.dim() else None,
        )
        self.emit.set_arguments(layer, bias=new)
        self.count += 1

    def _scales(self, activation: Any, weight: Any) -> tuple[torch.Tensor, torch.Tensor] | None:
        step = scale_of(self.program, activation)
        known = isinstance(weight, fx.Node) and weight.target is DEQUANTIZE
        if step is None or not known or not is_weight(argument(weight, "x")):
            return None
        return step, self.program.weight(argument(weight, "scale").target)


def scale_of(program: Program, activation: Any) -> torch.Tensor | None:
    """Return the scale of a quantized activation, None for anything else."""
    if not isinstance(activation, fx.Node) or activation.target is not DEQUANTIZE:
        return None
    if is_weight(argument(activation, "x")) or argument(activation, "axis") is not None:
        return None
    return program.weight(argument(activation, "scale").target)
