"""What is simulated is what the runtime computes: layer by layer, and end to end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import fx

from rewrite.draws import Inputs
from rewrite.equivalence import Difference
from rewrite.errors import CheckError
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
from rewrite.quantization.markers import QUANTIZE
from rewrite.runtimes import LoadedModel
from rewrite.runtimes.onnxruntime import run_with_outputs

LARGEST_LAYER_DIFFERENCE = 1
"""In steps of the quantized type: rounding may fall either way, nothing more."""


def end_to_end(
    program: Program, loaded: LoadedModel, input_names: Sequence[str], inputs: Iterable[Inputs]
) -> Agreement:
    """Run both on the same inputs, the example's first, and compare every output."""
    comparison = Comparison()
    for args, kwargs in inputs:
        flat = program.signature.flatten_inputs(args, kwargs)
        expected = Interpreter(program).run_inputs(args, kwargs)
        actual = loaded.run(feeds(program, flat, input_names))
        outputs: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        for name, value in zip(program.signature.output_names, expected, strict=True):
            if not isinstance(value, torch.Tensor):
                continue
            result = torch.from_numpy(np.asarray(actual[name]))
            if result.shape != value.shape:
                raise CheckError(
                    f"output '{name}' has shape {tuple(result.shape)} on the runtime, "
                    f"{tuple(value.shape)} in the program"
                )
            outputs[name] = (value, result)
        comparison.add(outputs)
    return comparison.agreement()


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

    Interpreter(program, intercept).run_inputs(args, kwargs)
    return LayerReport(len(names), total, worst, worst_name)


def require(
    agreement: Agreement,
    *,
    quantized: bool,
    half: bool = False,
    loss: Difference | None = None,
) -> None:
    """Hold a file to what was simulated.

    Args:
        agreement: what was measured.
        quantized: whether the file holds quantized tensors, whose roundings may flip.
        half: whether it computes in float16.
        loss: how far the program is from the model; if further than a file may be from the
            program, the error says that rounding is magnified wherever it is computed.

    Raises:
        CheckError: naming the layer, or the SQNR reached and required.
    """
    layers = agreement.layers
    if layers is not None and layers.max_lsb > LARGEST_LAYER_DIFFERENCE:
        raise CheckError(
            f"the runtime's '{layers.worst}' is {layers.max_lsb} steps from the simulated one "
            f"on the same inputs (allowed: {LARGEST_LAYER_DIFFERENCE})",
            hint="this processor may saturate 16-bit products (no VNNI); or report the model",
        )
    floor = LOWEST_HALF_SQNR if half else LOWEST_FLOAT_SQNR
    floor = LOWEST_QUANTIZED_SQNR if quantized else floor
    shortfall = agreement.shortfall(floor)
    if shortfall is not None:
        hint = "report the model"
        if loss is not None and not loss.sqnr_db >= floor:
            hint = (
                f"the program itself is {loss.sqnr_db:.1f} dB from the model, which magnifies "
                "every rounding: see rewrite inspect MODEL"
            )
        raise CheckError(
            f"the deployed file agrees with the program {shortfall}",
            hint=f"{hint}; --checks report writes the file all the same",
        )
