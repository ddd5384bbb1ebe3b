"""Pass `correct-bias`."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from rewrite import (
    Context,
    Emitter,
    Outcome,
    Pass,
    Program,
    Rejection,
    UsageError,
    arguments,
    option,
)
from rewrite.capture import split_inputs
from rewrite.interpret import NOT_HANDLED, Interpreter
from rewrite.quantization.kinds import is_weight, kind
from rewrite.quantization.markers import OBSERVE, dequantize, quantize
from rewrite.quantization.weights import channel_axis, weight_parameters
from rewrite.target import Target

_LAYERS = ("conv", "conv-transpose", "linear")


@dataclass(frozen=True)
class CorrectBias(Pass):
    """Take the mean error that rounding a layer's weights makes out of its bias.

    b' = b − E[(Ŵ − W)∗x], the mean over the calibration data, per output channel.
    """

    name = "correct-bias"
    equivalence = "lossy"
    requires = ("insert-quantizers",)
    before = ("calibrate",)

    batches: int | None = option(None, help="Use at most this many calibration batches.", low=1)

    def run(self, program: Program, context: Context) -> Outcome:
        """Measure the mean error of every marked layer, then change the biases."""
        if context.target is None or context.calibration is None:
            raise UsageError(
                "correct-bias needs calibration data", hint="define calibration() in the model file"
            )
        layers, rejected = _layers(program, context.target)
        if not layers:
            return Outcome(0, rejected, ["no layer's weight is marked"])

        def intercept(node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if node in layers:
                layers[node].take(node, args, kwargs)
            return args[0] if node.target is OBSERVE else NOT_HANDLED

        interpreter = Interpreter(program, intercept)
        for done, batch in enumerate(itertools.islice(context.calibration(), self.batches), 1):
            interpreter.run_inputs(*split_inputs(batch))
            context.progress("correct biases", done, self.batches)
        emit = Emitter(program)
        largest = max(_correct(node, found, emit) for node, found in layers.items())
        return Outcome(len(layers), rejected, measures={"largest_correction": largest})


@dataclass
class _Layer:
    """One layer: the error of its weight, and the mean error of its result so far."""

    weight_error: torch.Tensor
    total: torch.Tensor | float = 0.0
    count: int = 0

    def take(self, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        bound = dict(zip(arguments(node), args, strict=False)) | kwargs
        bound |= {"weight": self.weight_error.to(bound["weight"]), "bias": None}
        target: Any = node.target
        error = target(**bound)
        channels = -1 if kind(node) == "linear" else error.dim() - bound["weight"].dim() + 1
        per_channel = error.double().movedim(channels, -1).reshape(-1, error.shape[channels])
        self.total = self.total + per_channel.sum(0).cpu()
        self.count += per_channel.shape[0]


def _layers(program: Program, target: Target) -> tuple[dict[fx.Node, _Layer], list[Rejection]]:
    layers: dict[fx.Node, _Layer] = {}
    rejected = []
    for node in program.graph.nodes:
        if kind(node) not in _LAYERS:
            continue
        mark, bias = arguments(node)["weight"], arguments(node)["bias"]
        if mark.target is not OBSERVE or not is_weight(arguments(mark)["x"]):
            continue
        if bias is not None and not is_weight(bias):
            rejected.append(Rejection.of("correct-bias", node, "its bias is computed at run time"))
            continue
        layers[node] = _Layer(_weight_error(program, mark, target))
    return layers, rejected


def _weight_error(program: Program, mark: fx.Node, target: Target) -> torch.Tensor:
    """Return Ŵ − W, Ŵ as `calibrate` will round W."""
    bound = arguments(mark)
    spec = target.spec(bound["spec"])
    weight = program.weight(str(bound["x"].target)).detach()
    axis = channel_axis(mark.users) if spec.per_channel else None
    scale, zero_point = weight_parameters(weight, spec, axis)
    integers = quantize(weight, scale, zero_point, spec.qmin, spec.qmax, axis)
    rounded: torch.Tensor = dequantize(integers, scale, zero_point, axis)
    return rounded - weight


def _correct(node: fx.Node, layer: _Layer, emit: Emitter) -> float:
    """Change one bias; return the largest correction."""
    mean = torch.as_tensor(layer.total) / max(layer.count, 1)
    bound = arguments(node)
    bias: fx.Node | None = bound["bias"]
    weight = str(arguments(bound["weight"])["x"].target)
    old = emit.tensor(bias) if bias is not None else torch.zeros_like(mean)
    source = str(bias.target) if bias is not None else f"{weight}_bias"
    dtype = emit.program.weight(weight).dtype
    new = emit.weight(old - mean, source=source, recipe=("correct-bias", node.name), dtype=dtype)
    emit.set_arguments(node, bias=new)
    return float(mean.abs().max())
