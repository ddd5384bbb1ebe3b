"""Pass `calibrate`."""

from __future__ import annotations

from dataclasses import dataclass

from rewrite import Context, Outcome, Pass, Program, UsageError, option
from rewrite.errors import unknown
from rewrite.quantization.freeze import freeze
from rewrite.quantization.observe import observe


@dataclass(frozen=True)
class Calibrate(Pass):
    """Run calibration data through the program and freeze every mark into a scale.

    One pass over the data in constant memory; weights get a scale per channel, biases the product
    of input and weight scale.
    """

    name = "calibrate"
    equivalence = "lossy"
    requires = ("insert-quantizers",)

    method: str = option("min-max", help="Calibrator for activations: see `rewrite plugins`.")
    percentile: float = option(
        99.99, help="Share of the values kept by the percentile method, in %.", low=50, high=100
    )
    batches: int | None = option(None, help="Use at most this many calibration batches.", low=1)

    def run(self, program: Program, context: Context) -> Outcome:
        """Observe, then replace the marks."""
        if context.target is None:
            raise UsageError("calibrate needs a target", hint="--target portable")
        if self.method not in context.calibrators:
            raise unknown("calibrator", self.method, context.calibrators)
        calibrator = context.calibrators[self.method]
        options = {"percentile": self.percentile} if self.method == "percentile" else {}
        observed = observe(
            program, context, make=lambda: calibrator(**options), batches=self.batches
        )
        outcome = freeze(program, context.target, observed.bounds)
        outcome.measures = {"batches": observed.batches, "tensors": len(observed.bounds)}
        outcome.notes.extend(observed.notes)
        return outcome
