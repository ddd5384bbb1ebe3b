"""Where the loss is: what each quantized layer adds to the error of a program's outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rewrite.checks.judge import Judge
from rewrite.descriptors import PassObserver
from rewrite.draws import Inputs
from rewrite.errors import UsageError
from rewrite.inspected_batch import QUANTIZERS, InspectedBatch
from rewrite.losses import Inspection, LayerLoss, OutputLoss
from rewrite.program import Program
from rewrite.quantization.failing_batch import on_batch
from rewrite.quantization.layer_patterns import Names

if TYPE_CHECKING:
    from rewrite.passes import Pass
    from rewrite.plugin_host import PluginHost
    from rewrite.request import Request
    from rewrite.talk import Talk


class NotQuantizedError(UsageError):
    """There is nothing to inspect."""


@dataclass(frozen=True)
class Measured:
    """A request's program, and what its quantization costs."""

    plain: Program
    """The last program without quantizers."""
    program: Program
    losses: Inspection
    """Without layers where nothing is quantized."""


def is_quantized(program: Program) -> bool:
    """Tell whether a program holds quantizers or marks for them."""
    return any(node.target in QUANTIZERS for node in program.graph.nodes)


def inspect_losses(
    plain: Program,
    quantized: Program,
    inputs: Sequence[Inputs],
    progress: Callable[[str, int, int | None], None] = lambda label, done, total: None,
    taker: type[Pass] | None = None,
) -> Inspection:
    """Measure what every quantized layer costs, on its own and together with all others.

    Layers are measured one at a time on exact inputs; the error of each is then carried to the
    outputs through the float program, which costs a run of what lies behind the layer.

    Args:
        plain: the program before it was quantized, its calls named as in `quantized`.
        quantized: the same with quantizers, simulated.
        inputs: to measure on; each batch is kept in memory with all its intermediate values.
        progress: called with (label, layers done, layers in all).
        taker: the pass that takes overrides.

    Raises:
        NotQuantizedError: when nothing is quantized.
    """
    if not is_quantized(quantized):
        raise NotQuantizedError("the program is not quantized", hint="run it with --preset int8")
    total, judge = OutputLoss(), Judge(plain)
    layers: dict[str, LayerLoss] = {}
    for number, each in enumerate(inputs):
        with on_batch(plain, each, number):
            InspectedBatch(plain, quantized, each, judge, layers, progress).measure(total)
    lossy = [layer for layer in layers.values() if layer.own.noise > 0]
    for layer in lossy:
        layer.output.measure_against(total)
    names = Names(n for n in plain.graph.nodes if n.op == "call_function")
    for layer in lossy:
        layer.fit(names)
        if taker is not None:
            layer.eight = taker.precisions[1]
    ordered = sorted(lossy, key=lambda layer: -layer.output.noise)
    return Inspection(total, ordered, None if taker is None else taker.name)


def measure_model(request: Request, host: PluginHost, talk: Talk, *, batches: int) -> Measured:
    """Run the passes of a request and measure what quantization costs, if there is any.

    Args:
        request: what to quantize, and how.
        host: gives passes and target.
        talk: told of every stage.
        batches: of calibration data to measure on, beside the example inputs.

    Raises:
        RewriteError: with what, where and a hint.
    """
    from rewrite.checks.samples import check_batches
    from rewrite.compile import rewrite_model

    last_plain = _LastPlain()
    result = rewrite_model(request, host, talk, [last_plain])
    assert result.program is not None and result.description is not None
    plain = last_plain.program or result.program
    if not is_quantized(result.program):
        return Measured(plain, result.program, Inspection(OutputLoss(), []))
    inputs = check_batches(result.description, result.program, batches)
    taker = next((type(p) for p in reversed(result.passes) if p.precisions), None)
    losses = inspect_losses(plain, result.program, inputs, talk.progress, taker)
    return Measured(plain, result.program, losses)


def measure_outputs(request: Request, host: PluginHost, talk: Talk, *, batches: int) -> OutputLoss:
    """Run the passes of a request and measure what all of its quantization costs the outputs.

    Raises:
        RewriteError: with what, where and a hint.
    """
    from rewrite.checks.samples import check_batches
    from rewrite.compile import rewrite_model

    last_plain = _LastPlain()
    result = rewrite_model(request, host, talk, [last_plain])
    assert result.program is not None and result.description is not None
    plain, total = last_plain.program or result.program, OutputLoss()
    judge = Judge(plain)
    for inputs in check_batches(result.description, result.program, batches):
        InspectedBatch(plain, result.program, inputs, judge, {}, talk.progress).measure_together(
            total
        )
    return total


def inspect_model(request: Request, host: PluginHost, talk: Talk, *, batches: int) -> Inspection:
    """Do as `measure_model` does, and return what the layers cost.

    Raises:
        NotQuantizedError: when nothing is quantized.
        RewriteError: with what, where and a hint.
    """
    measured = measure_model(request, host, talk, batches=batches)
    if not is_quantized(measured.program):
        raise NotQuantizedError("the program is not quantized", hint="run it with --preset int8")
    return measured.losses


class _LastPlain(PassObserver):
    """Keeps the last program without quantizers."""

    def __init__(self) -> None:
        self.program: Program | None = None

    def before_pass(self, pass_: Pass, program: Program) -> None:
        if not is_quantized(program):
            self.program = program
