"""Trying assignments: a request with more overrides, run and measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from rewrite.budget import Change
from rewrite.inspection import Measured, NotQuantizedError, measure_model
from rewrite.layer_sizes import Layer, layer_precisions, program_bytes
from rewrite.losses import Inspection
from rewrite.overrides import Overridable
from rewrite.passes import Pass
from rewrite.plugin_host import PluginHost
from rewrite.request import Request
from rewrite.talk import Talk

_BATCHES = 1
"""Of calibration data to measure on, beside the example inputs."""
_LEAST = 1e-300


class Trials(Overridable):
    """Runs a request with more overrides, and measures what comes out."""

    def __init__(
        self, request: Request, passes: Sequence[Pass], host: PluginHost, talk: Talk
    ) -> None:
        super().__init__(request, passes)
        self.request, self.host, self.talk = request, host, talk

    def measure(self, overrides: Sequence[str]) -> Measured:
        """Run the passes and measure every layer; nothing needs to be quantized."""
        # The checks are the compilation's own, once the assignment is found, and so is the cache:
        # every trial calibrates another program.
        given = self.request_with(overrides)
        request = replace(given, checks="off", calibration_cache=None)
        return measure_model(request, self.host, _Progress(self.talk), batches=_BATCHES)

    def start(self) -> Measured:
        """Measure the request as it is given.

        Raises:
            NotQuantizedError: when nothing is quantized.
        """
        self.talk.step("measure every layer as it is given")
        found = self.measure(self.given)
        if not found.losses.layers:
            raise NotQuantizedError(
                "nothing is quantized, or nothing is lost by it: there is nothing to assign",
                hint="see: rewrite explain MODEL with the same passes",
            )
        return found


class _Progress(Talk):
    """Tells how far a measurement is, and no more: the stages come again with every trial."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk

    def progress(self, label: str, done: int, total: int | None) -> None:
        self._talk.progress(label, done, total)


def decibels(losses: Inspection) -> float:
    """Return the SQNR of the outputs, infinite without loss."""
    return math.inf if losses.total.db is None else losses.total.db


def ratio(losses: Inspection, noise: float) -> float:
    """Return the SQNR to expect of the outputs when the layers' own noises add up to `noise`.

    What was measured together may be more or less than the sum: it scales the sum.
    """
    total, alone = losses.total, sum(layer.output.noise for layer in losses.layers)
    expected = noise * (total.noise / alone if alone > 0 else 1.0)
    return math.inf if expected <= 0 else -10 * math.log10(max(expected, _LEAST))


def noise_of(losses: Inspection, layer: Layer) -> float:
    """Return the energy of the error that a layer alone puts on the worst output, as a share."""
    return sum(loss.output.noise for loss in losses.layers if loss.node in layer.nodes)


def list_changes(
    layers: Sequence[Layer],
    before: Measured,
    after: Measured,
    noises: tuple[Sequence[float], Sequence[float]],
    sizes: tuple[Sequence[int], Sequence[int]],
    start_bytes: int,
) -> tuple[Change, ...]:
    """Return one entry for each layer whose precision differs, the cheapest step first.

    Args:
        layers: of both programs.
        before: as it was given.
        after: as it was assigned.
        noises: of each layer on the outputs, before and after.
        sizes: in bytes, of each layer, before and after.
        start_bytes: of all weights before.
    """
    old, new = (layer_precisions(each.program, layers) for each in (before, after))
    labels = [(str(first), str(second)) for first, second in zip(old, new, strict=True)]
    steps = [i for i, (first, second) in enumerate(labels) if first != second]
    steps.sort(
        key=lambda i: abs(noises[1][i] - noises[0][i]) / (abs(sizes[1][i] - sizes[0][i]) + 1)
    )
    noise, size, changes = sum(x.output.noise for x in before.losses.layers), start_bytes, []
    for i in steps:
        noise += noises[1][i] - noises[0][i]
        size += sizes[1][i] - sizes[0][i]
        worst = max(noises[0][i], noises[1][i])
        changes.append(
            Change(
                layer="+".join(layers[i].names),
                before=labels[i][0],
                after=labels[i][1],
                bytes_before=sizes[0][i],
                bytes_after=sizes[1][i],
                cost_db=math.inf if worst <= 0 else -10 * math.log10(worst),
                expected_db=ratio(before.losses, noise),
                expected_bytes=size,
            )
        )
    return tuple(changes)


def weights_of(measured: Measured) -> int:
    """Return the bytes of all weights of a measured program."""
    return program_bytes(measured.program)
