"""Layers that read tensors joined of unlike ranges, of which one scale keeps the largest alone."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import torch
from torch import fx

from rewrite.device import DeviceInterpreter
from rewrite.inputs import copied, split_inputs
from rewrite.interpret import NOT_HANDLED
from rewrite.passes import Context
from rewrite.program import Program
from rewrite.quantization.batches import check_batch
from rewrite.quantization.kinds import kind
from rewrite.quantization.markers import dequantize, quantize
from rewrite.quantization.spec import QuantSpec
from rewrite.schema import arguments

aten = torch.ops.aten

LEAST_DB = 15.0
"""What a layer's result must keep when the joined tensor that it reads is rounded.

Joins of features of one kind keep 35 dB and more, so that nothing else comes near.
"""
_LAYERS = ("conv", "conv-transpose", "linear")
_JOINS = (aten.cat.default, aten.stack.default)
_PASSED = ("clip", "layout", "max-pool", "nearest-resize", "relu")
"""Kinds that leave a joined tensor one of the same parts."""


def harmed_by_joins(
    program: Program, context: Context, kernels: Collection[fx.Node]
) -> dict[fx.Node, str]:
    """Return the layers whose results would be lost with the small parts of their inputs.

    One batch is run in float, and each layer behind a join once more with its input rounded.

    Args:
        program: canonical.
        context: gives the target and the calibration data; None for the example inputs.
        kernels: the calls that would be quantized.
    """
    joined = {node: found for node in kernels if (found := _join_before(node)) is not None}
    if not joined or context.target is None:
        return {}
    trial = _Trial(program, context, joined)
    source = context.calibration
    inputs = split_inputs(next(iter(source()), None)) if source else program.example
    if source is not None:
        check_batch(program, *inputs, "calibration batch 1")
    trial.interpreter.run_inputs(*copied(inputs))
    return trial.harmed


def _join_before(node: fx.Node) -> fx.Node | None:
    """Return the join that a layer reads, maybe in another layout."""
    if kind(node) not in _LAYERS:
        return None
    value: Any = arguments(node)["input"]
    while isinstance(value, fx.Node) and kind(value) in _PASSED and value.all_input_nodes:
        value = value.all_input_nodes[0]
    return value if isinstance(value, fx.Node) and value.target in _JOINS else None


class _Trial:
    """One run in float that measures what rounding each joined input costs the layer behind it."""

    def __init__(self, program: Program, context: Context, joined: dict[fx.Node, fx.Node]) -> None:
        assert context.target is not None
        self.target, self.joined = context.target, joined
        self.largest: dict[fx.Node, list[float]] = {}
        """Of each part of a join."""
        self.harmed: dict[fx.Node, str] = {}
        self.interpreter = DeviceInterpreter(program, context.device, self._intercept)

    def _intercept(self, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if node in self.joined.values():
            self.largest[node] = [float(t.abs().max()) for t in args[0] if t.numel()]
            return NOT_HANDLED
        if node not in self.joined:
            return NOT_HANDLED
        bound = dict(zip(arguments(node), args, strict=False)) | kwargs
        call: Any = node.target
        exact = call(**bound)
        spec = self.target.spec(self.target.ops[kind(node)].inputs["input"])
        rounded = call(**{**bound, "input": _rounded(bound["input"], spec)})
        kept = _decibels(exact, rounded)
        if kept < LEAST_DB:
            self.harmed[node] = self._reason(self.joined[node], kept)
        return exact

    def _reason(self, join: fx.Node, kept: float) -> str:
        sizes = self.largest[join]
        return (
            f"its input joins values up to {max(sizes):.3g} with others up to {min(sizes):.3g}: "
            f"rounded alike, its result keeps {kept:.0f} dB"
        )


def _rounded(values: torch.Tensor, spec: QuantSpec) -> torch.Tensor:
    if not values.numel():
        return values
    scale, zero_point = spec.parameters(*torch.aminmax(values.detach().cpu()))
    scale, zero_point = scale.to(values.device), zero_point.to(values.device)
    integers = quantize(values, scale, zero_point, spec.qmin, spec.qmax)
    found: torch.Tensor = dequantize(integers, scale, zero_point)
    return found


def _decibels(exact: torch.Tensor, other: torch.Tensor) -> float:
    """Return the SQNR; infinite where there is nothing to lose, or nothing finite."""
    signal, noise = (float(t.double().pow(2).sum()) for t in (exact, other - exact))
    if not signal or not noise or not math.isfinite(signal + noise):
        return math.inf
    return 10 * math.log10(signal / noise)
