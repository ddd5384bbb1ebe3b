"""Pass `correct-bias`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
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
from rewrite.device import DeviceInterpreter
from rewrite.inputs import split_inputs
from rewrite.interpret import NOT_HANDLED
from rewrite.quantization.batches import Inputs, check_batch
from rewrite.quantization.failing_batch import on_batch
from rewrite.quantization.kinds import is_weight, kind
from rewrite.quantization.markers import OBSERVE, dequantize, quantize
from rewrite.quantization.padding import Mask, find_padding
from rewrite.quantization.weights import channel_axis, weight_parameters
from rewrite.target import Target

_RECIPE = "correct-bias"
_LAYERS = ("conv", "conv-transpose", "linear")
_NO_HELP = "it would not help: the mean error of some batches says nothing of another's"


@dataclass(frozen=True)
class CorrectBias(Pass):
    """Take the mean error that rounding a layer's weights makes out of its bias.

    b' = b − E[(Ŵ − W)∗x], the mean over the calibration data, per output channel.
    """

    name = "correct-bias"
    equivalence = "lossy"
    requires = ("insert-quantizers",)
    before = ("calibrate",)

    batches: int | None = option(
        4, help="Use at most this many calibration batches: a mean needs fewer than a range.", low=1
    )

    def run(self, program: Program, context: Context) -> Outcome:
        """Measure the mean error of every marked layer, then change the biases."""
        if context.target is None:
            raise UsageError("correct-bias needs a target", hint="--target portable")
        layers, rejected = _layers(program, context.target)
        if not layers:
            why = "no bias is left to correct" if rejected else "no layer's weight is marked"
            return Outcome(0, rejected, [why])
        means = _Means(program, context, layers)
        notes = means.run(self.batches)
        if not means.batches:
            return Outcome(0, rejected, [*notes, "no batch was left to take means of"])
        emit = Emitter(program)
        helped = {node: found for node, found in layers.items() if found.is_predictable()}
        rejected += [Rejection.of("correct-bias", n, _NO_HELP) for n in layers if n not in helped]
        corrections = [_correct(node, found, emit) for node, found in helped.items()]
        measures = {"largest_correction": max(corrections, default=0.0)}
        return Outcome(len(helped), rejected, notes, measures=measures)


@dataclass
class _Layer:
    """One layer: the error of its weight, and the mean error of its result so far."""

    mark: fx.Node
    """Its input, where padding is told."""
    weight_error: torch.Tensor
    parts: list[tuple[torch.Tensor, int]] = field(default_factory=list)
    """Of each batch the sum of its errors per channel, and of how many."""

    def add(self, total: torch.Tensor, count: int) -> None:
        self.parts.append((total, count))

    def mean(self, without: int | None = None) -> torch.Tensor:
        """Return the mean error per channel, of all batches or of all but one."""
        kept = [part for number, part in enumerate(self.parts) if number != without]
        count = sum(n for _, n in kept)
        return torch.stack([total for total, _ in kept]).sum(0) / max(count, 1)

    def is_predictable(self) -> bool:
        """Tell whether what the other batches say of a batch's mean error makes it smaller.

        One batch alone predicts itself.
        """
        before = after = 0.0
        for number, (total, count) in enumerate(self.parts):
            if not count or len(self.parts) == 1:
                continue
            mean = total / count
            before += float(mean.square().sum())
            after += float((mean - self.mean(without=number)).square().sum())
        return after <= before


class _Means:
    """One run over the data that adds up what the layers' results are off by."""

    def __init__(
        self, program: Program, context: Context, layers: Mapping[fx.Node, _Layer]
    ) -> None:
        self.program, self.context, self.layers = program, context, layers
        self.padding, _ = find_padding(program)
        self.kept: dict[Mask, torch.Tensor] = {}
        self.found: dict[fx.Node, tuple[torch.Tensor, int]] = {}
        self.batches = 0
        self.interpreter = DeviceInterpreter(program, context.device, self._intercept)

    def run(self, limit: int | None) -> list[str]:
        """Take the batches in; return notes about those that were left out."""
        source, notes = self.context.calibration, []
        data = map(split_inputs, source()) if source else [self.program.example]
        for number, inputs in enumerate(itertools.islice(data, limit), start=1):
            check_batch(self.program, *inputs, f"calibration batch {number}")
            self.kept, self.found = self._kept(inputs), {}
            with on_batch(self.program, inputs, number):
                self.interpreter.run_inputs(*inputs)
            if all(total.isfinite().all() for total, _ in self.found.values()):
                for node, found in self.found.items():
                    self.layers[node].add(*found)
                self.batches += 1
            else:  # `calibrate` says what is wrong with it
                notes.append(f"calibration batch {number} is not finite and has no say in biases")
            self.context.progress("correct biases", number, limit if source else None)
        return notes

    def _intercept(self, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if node in self.layers:
            bound = dict(zip(arguments(node), args, strict=False)) | kwargs
            self.found[node] = self._mean_error(node, bound)
        return args[0] if node.target is OBSERVE else NOT_HANDLED

    def _mean_error(self, node: fx.Node, bound: dict[str, Any]) -> tuple[torch.Tensor, int]:
        """Return the sum of a layer's errors per channel and of how many.

        A layer is linear, so that its mean error is the error of its mean input.
        """
        layer, x = self.layers[node], bound["input"]
        weight = layer.weight_error.to(bound["weight"])
        if kind(node) == "linear":
            if self.padding is not None:
                x = self.padding.select(layer.mark, x, self.kept)
            x = x.reshape(-1, x.shape[-1])
        batched = x.dim() == weight.dim()
        samples = x.shape[0] if batched else 1
        if batched and samples:
            x = x.mean(0, keepdim=True)
        target: Any = node.target
        error = target(**{**bound, "input": x, "weight": weight, "bias": None})
        channels = 1 if batched else 0
        per_channel = error.double().movedim(channels, -1).reshape(-1, error.shape[channels])
        return samples * per_channel.sum(0).cpu(), samples * per_channel.shape[0]

    def _kept(self, inputs: Inputs) -> dict[Mask, torch.Tensor]:
        if self.padding is None:
            return {}
        signature = self.program.signature
        named = zip(signature.input_names, signature.flatten_inputs(*inputs), strict=True)
        return self.padding.kept(dict(named))


def _layers(program: Program, target: Target) -> tuple[dict[fx.Node, _Layer], list[Rejection]]:
    layers: dict[fx.Node, _Layer] = {}
    rejected, corrected = [], _corrected(program)
    for node in program.graph.nodes:
        if kind(node) not in _LAYERS:
            continue
        mark, bias = arguments(node)["weight"], arguments(node)["bias"]
        if mark.target is not OBSERVE or not is_weight(arguments(mark)["x"]):
            continue
        if bias is not None and not is_weight(bias):
            rejected.append(Rejection.of("correct-bias", node, "its bias is computed at run time"))
            continue
        if bias is not None and (node.name, str(bias.target)) in corrected:
            rejected.append(Rejection.of("correct-bias", node, "its bias is corrected already"))
            continue
        layers[node] = _Layer(arguments(node)["input"], _weight_error(program, mark, target))
    return layers, rejected


def _corrected(program: Program) -> set[tuple[str, str]]:
    """Return what the pass made before, as (layer, bias): taken out twice, an error is back."""
    made = program.made_weights.items()
    return {(key[-1], bias) for key, bias in made if key[1] == _RECIPE}


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
    mean = layer.mean()
    bound = arguments(node)
    bias: fx.Node | None = bound["bias"]
    weight = str(arguments(bound["weight"])["x"].target)
    old = emit.tensor(bias) if bias is not None else torch.zeros_like(mean)
    source = str(bias.target) if bias is not None else f"{weight}_bias"
    dtype = emit.program.weight(weight).dtype
    new = emit.weight(old - mean, source=source, recipe=(_RECIPE, node.name), dtype=dtype)
    emit.set_arguments(node, bias=new)
    return float(mean.abs().max())
