"""Pass `halve-floats`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from rewrite import CheckError, Context, Emitter, Outcome, Pass, Program, option
from rewrite.device import DeviceInterpreter
from rewrite.draws import Inputs
from rewrite.equivalence import difference
from rewrite.half.compute import compute_halves
from rewrite.half.ranges import measure_ranges
from rewrite.half.weights import HalfWeights, store_halves
from rewrite.quantization.layer_patterns import tell_unmatched


@dataclass(frozen=True)
class HalveFloats(Pass):
    """Store what stays float as float16, and compute in float16 where the target has kernels.

    Weights are rounded once. Computing in float16 looks at how large the values get on the
    calibration data, and leaves float32 what does not fit or loses much.
    """

    name = "halve-floats"
    equivalence = "lossy"
    after = (
        "fold-batch-norm",
        "remove-dead-code",
        "expand-attention",
        "quantize-weights",
        "insert-quantizers",
        "correct-bias",
        "calibrate",
    )

    form: Literal["target", "storage", "compute"] = option(
        "target",
        help="storage: weights are float16, and cast to float32 in the file; compute: so is what "
        "is computed from them; target: what the target is best at.",
    )
    keep: tuple[str, ...] = option(
        (), help="Module paths, weight or node names that stay float32; * matches anything."
    )
    least: int = option(
        1024, help="Weights of so many elements or fewer stay float32 if cast.", low=0
    )
    small: float = option(
        10.0,
        help="Share of a weight's numbers, in %, that may be where float16 loses bits.",
        low=0,
        high=100,
    )
    headroom: float = option(
        4.0, help="How many times the largest value seen must fit into float16.", low=1
    )
    batches: int | None = option(None, help="Look at most at this many calibration batches.", low=1)

    def run(self, program: Program, context: Context) -> Outcome:
        """Halve weights, and before that computations if they are to be."""
        best = context.target.float16 if context.target else "storage"
        if best == "none":
            assert context.target is not None
            return Outcome(notes=[f"target '{context.target.name}' takes no float16"])
        unmatched = tell_unmatched(program, {"keep": self.keep})
        outcome = self._halve(program, context, best)
        outcome.notes += unmatched
        return outcome

    def _halve(self, program: Program, context: Context, best: str) -> Outcome:
        form = best if self.form == "target" else self.form
        weights = HalfWeights(Emitter(program), self.small)
        if form == "storage":
            before = _run(program, context, program.example)
            outcome = store_halves(weights, self.least, self.keep)
            return _told(outcome, program, context, program.example, before)
        return self._compute(program, context, weights, scales=best == "compute")

    def _compute(
        self, program: Program, context: Context, weights: HalfWeights, *, scales: bool
    ) -> Outcome:
        """Halve what may be computed in float16, then the weights of the rest."""
        ranges = measure_ranges(program, context, self.batches)
        outcome = compute_halves(weights, ranges, self.headroom, keep=self.keep, scales=scales)
        outcome.measures = {"calls": outcome.rewrites, "batches": ranges.batches}
        if outcome.rewrites and context.target and not scales:
            outcome.notes.append("the target has no float16 kernels: it gets smaller, not faster")
        if context.calibration is None:
            outcome.notes.append("no calibration(): the range of the example inputs was taken")
        stored = store_halves(weights, self.least, self.keep)
        outcome.rewrites += stored.rewrites
        outcome.rejected += stored.rejected
        return _told(outcome, program, context, ranges.first, ranges.outputs)


def _run(program: Program, context: Context, inputs: Inputs) -> list[Any]:
    return DeviceInterpreter(program, context.device).run_inputs(*inputs)


def _told(
    outcome: Outcome, program: Program, context: Context, inputs: Inputs, before: list[Any]
) -> Outcome:
    """Measure what it costs, in the precision that the program is computed in."""
    if not outcome.rewrites:
        if not outcome.rejected:
            outcome.notes.append("the program has no float32 weight that is worth a cast")
        return outcome
    pairs = zip(before, _run(program, context, inputs), strict=True)
    floats = [(b, a) for b, a in pairs if isinstance(b, torch.Tensor) and b.is_floating_point()]
    found = difference(floats).sqnr_db
    if found == float("-inf"):
        raise CheckError(
            "in float16 an output is infinite or NaN where it was a number",
            hint="halve-floats{keep=PATTERN} leaves a layer float32; or use form=storage",
        )
    same = found == float("inf")
    outcome.measures["sqnr_db"] = None if same else found
    outcome.notes.append(f"the outputs {'are the same' if same else f'agree to {found:.1f} dB'}")
    return outcome
