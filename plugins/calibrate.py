"""Pass `calibrate`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from rewrite_plugins.calibrators.min_max import MinMax

from rewrite import Calibrator, Context, Outcome, Pass, Program, UsageError, option
from rewrite.blame import blame
from rewrite.errors import unknown
from rewrite.options import option_values
from rewrite.quantization.cache import CalibrationCache, program_digest
from rewrite.quantization.freeze import freeze
from rewrite.quantization.observe import How, observe
from rewrite.quantization.padding import find_padding
from rewrite.quantization.spec import QuantSpec

_EXAMPLE_ALONE = "no calibration(): ranges and dB are of the example inputs alone (--calibration)"


@dataclass(frozen=True)
class Calibrate(Pass):
    """Run calibration data through the program and freeze every mark into a scale.

    One pass over the data in constant memory; weights get a scale per channel, biases the product
    of input and weight scale.
    """

    name = "calibrate"
    equivalence = "lossy"
    requires = ("insert-quantizers",)
    resumes = True

    method: str = option("min-max", help="Calibrator for activations: see `rewrite plugins`.")
    percentile: float = option(
        99.99, help="Share of the values kept by the percentile method, in %.", low=50, high=100
    )
    decay: float = option(
        0.9, help="Weight of what was before in the moving average.", low=0, high=1
    )
    batches: int | None = option(None, help="Use at most this many calibration batches.", low=1)
    nan: Literal["refuse", "skip"] = option(
        "refuse", help="What to do with a batch in which a tensor is NaN or infinite."
    )
    padding: Literal["ignore", "count"] = option(
        "ignore", help="Whether tokens that a mask input hides are left out."
    )
    mask: str | None = option(
        None, help="The mask input [batch, tokens], if it has another name than usual."
    )

    def run(self, program: Program, context: Context) -> Outcome:
        """Observe, then replace the marks."""
        if context.target is None:
            raise UsageError("calibrate needs a target", hint="--target portable")
        if self.method not in context.calibrators:
            raise unknown("calibrator", self.method, context.calibrators)
        padding, warnings = None, []
        if self.padding == "ignore":
            padding, warnings = find_padding(program, self.mask)
        how = How(self.batches, self.nan, padding, self._cache(program, context))
        observed = observe(program, context, self._maker(context), how)
        outcome = freeze(program, context.target, observed.bounds)
        outcome.measures = {
            "batches": observed.batches,
            "tensors": len(observed.bounds),
            **observed.measures,
        }
        outcome.notes.extend(observed.notes)
        outcome.warnings.extend(warnings)
        if context.calibration is None:
            outcome.warnings.append(_EXAMPLE_ALONE)
        return outcome

    def _maker(self, context: Context) -> Callable[[QuantSpec], Calibrator]:
        """Return a function that gives a calibrator those of the options that it takes.

        Where the target wants nothing clipped, the method has no say.
        """
        calibrator = context.calibrators[self.method]
        options = {name.replace("-", "_"): v for name, v in option_values(self).items()}

        def make(spec: QuantSpec) -> Calibrator:
            chosen = calibrator if spec.clips else MinMax
            taken = inspect.signature(chosen).parameters
            offered: dict[str, Any] = {**options, "spec": spec}
            source = context.origin("calibrator", chosen.name)
            with blame(f"calibrator '{chosen.name}'", chosen, source, "mend its constructor"):
                return chosen(**{name: v for name, v in offered.items() if name in taken})

        return make

    def _cache(self, program: Program, context: Context) -> CalibrationCache | None:
        if context.calibration_cache is None:
            return None
        options = {k: v for k, v in option_values(self).items() if k != "method"}
        fingerprint = {
            "program": program_digest(program),
            "target": repr(context.target),
            "method": self.method,
            "options": ", ".join(f"{k}={v}" for k, v in options.items()),
            "data": context.calibration_identity,
        }
        return CalibrationCache(context.calibration_cache, fingerprint)
