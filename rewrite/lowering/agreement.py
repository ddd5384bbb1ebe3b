"""What is simulated is what the runtime computes: layer by layer, and end to end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import fx

from rewrite.checks.judge import Judge
from rewrite.checks.roundings import Roundings
from rewrite.checks.samples import Sample
from rewrite.checks.ties import Ties
from rewrite.draws import Inputs
from rewrite.equivalence import Difference
from rewrite.errors import CheckError, first_line
from rewrite.inputs import copied
from rewrite.interpret import NOT_HANDLED, Interpreter
from rewrite.lowering.lower import Lowered, feeds
from rewrite.output_agreement import (
    LOWEST_FLOAT_SQNR,
    LOWEST_HALF_SQNR,
    LOWEST_QUANTIZED_SQNR,
    Agreement,
    Comparison,
    LayerReport,
)
from rewrite.program import Program
from rewrite.provenance import source_line
from rewrite.quantization.markers import QUANTIZE
from rewrite.runtimes import LoadedModel, RuntimeFailure
from rewrite.runtimes.onnxruntime import run_with_outputs

LARGEST_LAYER_DIFFERENCE = 1
"""In steps of the quantized type: rounding may fall either way, nothing more."""

_BAKED_IN = "a size was baked in; report the model"
_DROPPED = (
    "how many dimensions it has follows from a size, which no file can do: name the dimension in "
    "squeeze(), or declare that it is never 1: Dim(name, min=2)"
)


@dataclass(frozen=True)
class EndToEnd:
    """How the outputs of a file agree with what they should be."""

    simulated: Agreement
    """With the program, on the example and the calibration batches."""
    resized: Agreement | None
    """With the program, at other sizes of the dynamic dimensions; None where there are none."""
    model: Agreement
    """With the eager model, on the example and the calibration batches."""
    model_resized: Agreement | None
    """With the eager model at other sizes; None where there are none."""


def simulate(program: Program, samples: Sequence[Sample]) -> list[list[Any]]:
    """Return what a program computes on every sample, flat.

    Raises:
        CheckError: when it fails where the model does not, naming the user's line.
    """
    return [_evaluate(Interpreter(program), sample) for sample in samples]


def _evaluate(interpreter: Interpreter, sample: Sample) -> list[Any]:
    try:
        return interpreter.run_inputs(*copied(sample.inputs))
    except Exception as error:
        at = f"at {sample.label}" if sample.is_resized else f"on {sample.label}"
        raise CheckError(
            f"the program fails {at}, where the model does not: {first_line(error)}",
            where=source_line(interpreter.node) if interpreter.node is not None else None,
            hint="if it is made for larger sizes, say so (Dim min=...); if not, report the model",
        ) from error


def end_to_end(
    program: Program,
    loaded: LoadedModel,
    input_names: Sequence[str],
    samples: Sequence[Sample],
    expected: Sequence[Sequence[Any]],
    judge: Judge,
) -> EndToEnd:
    """Run a file on every sample and compare each output with the program's and the model's.

    Args:
        program: legalized.
        loaded: its file.
        input_names: of the file.
        samples: what to run it on.
        expected: what `simulate` returned for them.
        judge: of the program as it was captured, which says most of what its outputs are.

    Raises:
        CheckError: when an output has another shape or type.
        RuntimeFailure: when the runtime cannot run the file, naming the sizes.
    """
    quantized, ties, roundings = _is_quantized(program), Ties(program), Roundings(program)
    simulated, resized, model, others = (Comparison(judge, quantized=quantized) for _ in range(4))
    for sample, values in zip(samples, expected, strict=True):
        flat = program.signature.flatten_inputs(*sample.inputs)
        results = _run(loaded, feeds(program, flat, input_names), sample)
        outputs = _paired(program, values, results, sample, "the program")
        settles = [
            partial(way.settle, sample.inputs, simulated=values) for way in (ties, roundings)
        ]
        (resized if sample.is_resized else simulated).add(outputs, flat, sample.label, *settles)
        outputs = _paired(program, sample.expected, results, sample, "the model")
        (others if sample.is_resized else model).add(outputs, flat, sample.label, *settles)
    if not any(sample.is_resized for sample in samples):
        return EndToEnd(simulated.agreement(), None, model.agreement(), None)
    return EndToEnd(
        simulated.agreement(), resized.agreement(), model.agreement(), others.agreement()
    )


def of_program(
    program: Program, samples: Sequence[Sample], expected: Sequence[Sequence[Any]], judge: Judge
) -> Agreement:
    """Compare what a program computes with the eager model, where nothing here runs its file.

    Args:
        program: legalized.
        samples: what it was run on.
        expected: what `simulate` returned for them.
        judge: of the program as it was captured.
    """
    comparison = Comparison(judge, quantized=_is_quantized(program))
    ways = (Ties(program), Roundings(program))
    for sample, values in zip(samples, expected, strict=True):
        flat = program.signature.flatten_inputs(*sample.inputs)
        named = zip(program.signature.output_names, values, strict=True)
        outputs = _paired(program, sample.expected, dict(named), sample, "the model")
        settles = [partial(way.settle, sample.inputs, simulated=values) for way in ways]
        comparison.add(outputs, flat, sample.label, *settles)
    return comparison.agreement()


def _is_quantized(program: Program) -> bool:
    return any(node.target is QUANTIZE for node in program.graph.nodes)


def _run(loaded: LoadedModel, inputs: Mapping[str, Any], sample: Sample) -> Mapping[str, Any]:
    try:
        return loaded.run(inputs)
    except RuntimeFailure as failure:
        if not sample.is_resized:
            raise
        raise RuntimeFailure(f"at {sample.label}: {failure.what}", failure.hint) from failure


def _paired(
    program: Program,
    expected: Sequence[Any],
    results: Mapping[str, Any],
    sample: Sample,
    whose: str,
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return (expected, actual) of every tensor among the outputs, by name."""
    outputs: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for name, value in zip(program.signature.output_names, expected, strict=True):
        if isinstance(value, (bool, int, float)) and name in results:
            value = torch.tensor(value)
        if not isinstance(value, torch.Tensor):
            continue
        result = torch.as_tensor(np.asarray(results[name]))
        if result.shape != value.shape:
            raise CheckError(
                f"output '{name}' has shape {tuple(result.shape)} on the runtime, "
                f"{tuple(value.shape)} in {whose}, on {sample.label}",
                hint=_BAKED_IN if result.dim() == value.dim() else _DROPPED,
            )
        outputs[name] = (value, result)
    return outputs


def layer_by_layer(
    lowered: Lowered, path: Path, input_names: Sequence[str], inputs: Inputs
) -> LayerReport:
    """Compare every quantized tensor, feeding each layer what the runtime fed it.

    The runtime's own integers replace the simulated ones after each comparison, so that a
    difference is that of one layer alone.
    """
    program = lowered.program
    names = lowered.quantized_tensors()
    total = sum(1 for n in program.graph.nodes if n.target is QUANTIZE)
    if not names:
        return LayerReport(0, total, 0)
    args, kwargs = inputs
    flat = program.signature.flatten_inputs(args, kwargs)
    exposed = run_with_outputs(path, feeds(program, flat, input_names), sorted(set(names.values())))
    worst, worst_name = 0, ""

    def intercept(node: fx.Node, call_args: tuple[Any, ...], call_kwargs: dict[str, Any]) -> Any:
        nonlocal worst, worst_name
        if node.target is not QUANTIZE or node.name not in names:
            return NOT_HANDLED
        simulated = QUANTIZE(*call_args, **call_kwargs)
        deployed = torch.from_numpy(exposed[names[node.name]])
        steps = int((simulated.int() - deployed.int()).abs().max()) if simulated.numel() else 0
        if steps > worst:
            worst, worst_name = steps, names[node.name]
        return deployed

    Interpreter(program, intercept).run_inputs(*copied((args, kwargs)))
    return LayerReport(len(names), total, worst, worst_name)


def floor_of(*, quantized: bool, half: bool) -> float:
    """Return the SQNR, in dB, that a file must reach against the program it was made from."""
    floor = LOWEST_HALF_SQNR if half else LOWEST_FLOAT_SQNR
    return LOWEST_QUANTIZED_SQNR if quantized else floor


def require(
    agreement: Agreement,
    floor: float,
    *,
    loss: Difference | None = None,
    place: str = "",
) -> None:
    """Hold a file to what was simulated.

    Args:
        agreement: what was measured.
        floor: the smallest SQNR, in dB.
        loss: how far the program is from the model; if further than a file may be from the
            program, the error says that rounding is magnified wherever it is computed.
        place: said behind what was compared, in words.

    Raises:
        CheckError: naming the layer, or the SQNR reached and required.
    """
    layers = agreement.layers
    if layers is not None and layers.max_lsb > LARGEST_LAYER_DIFFERENCE:
        raise CheckError(
            f"the runtime's '{layers.worst}' is {layers.max_lsb} steps from the simulated one "
            f"on the same inputs (allowed: {LARGEST_LAYER_DIFFERENCE})",
            hint="report the model; --checks report writes the file all the same",
        )
    shortfall = agreement.shortfall(floor)
    if shortfall is not None:
        hint = "report the model"
        if loss is not None and not loss.sqnr_db >= floor:
            hint = (
                f"the program itself is {loss.sqnr_db:.1f} dB from the model, which magnifies "
                "every rounding: see rewrite inspect MODEL"
            )
        raise CheckError(
            f"the deployed file agrees with the program{place} {shortfall}",
            hint=f"{hint}; --checks report writes the file all the same",
        )


def require_model(
    agreement: Agreement, floor: float, *, lossy: bool, what: str = "the deployed file"
) -> None:
    """Hold a file to the eager model.

    Args:
        agreement: of the file's outputs with the model's.
        floor: the smallest SQNR, in dB.
        lossy: whether passes that round were asked for.
        what: is compared.

    Raises:
        CheckError: with the SQNR reached and required.
    """
    shortfall = agreement.shortfall(floor)
    if shortfall is None:
        return
    hint = "report the model"
    if lossy:
        least = f"--min-sqnr {max(math.floor(agreement.lowest_db), 0)} accepts it"
        hint = f"see which layers cost it: rewrite inspect MODEL; {least}"
    raise CheckError(f"{what} agrees with the model {shortfall}", hint=hint)
