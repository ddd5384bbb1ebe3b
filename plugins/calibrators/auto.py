"""Calibrator `auto`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from rewrite_plugins.calibrators.entropy import entropy_bounds
from rewrite_plugins.calibrators.moving_average import MovingAverage
from rewrite_plugins.calibrators.mse import least_error_bounds
from rewrite_plugins.calibrators.percentile import percentile_bounds

from rewrite import Calibrator
from rewrite.descriptors import State
from rewrite.quantization.histogram import HistogramCalibrator

if TYPE_CHECKING:
    from rewrite.quantization.spec import QuantSpec

_AVERAGE = "average."


class Auto(HistogramCalibrator):
    """For each tensor the range of that calibrator which errs least in what reads the tensor.

    All candidates come from one histogram and one moving average. `calibrate` measures them on
    parts of the data: the squared error at the outputs of the tensor's readers, relative to those.
    On its own, `bounds` knows no reader and takes the least expected error of the tensor itself,
    which for a linear reader with weights W of no preferred direction is the same but for ‖W‖².
    """

    name = "auto"

    def __init__(
        self, spec: QuantSpec | None = None, percentile: float = 99.99, decay: float = 0.9
    ) -> None:
        super().__init__(spec)
        self.percentile = percentile
        self.average = MovingAverage(decay)

    def observe(self, values: torch.Tensor) -> None:
        """Count one batch, and move the averages."""
        super().observe(values)
        self.average.observe(values)

    def candidates(self) -> dict[str, tuple[float, float]]:
        """Return what each of the other calibrators would give."""
        seen = self.histogram
        return {
            "min-max": (seen.low, seen.high),
            "moving-average": self.average.bounds(),
            "percentile": percentile_bounds(seen, self.percentile),
            "entropy": entropy_bounds(seen, self.spec),
            "mse": least_error_bounds(seen, self.spec),
        }

    def bounds(self) -> tuple[float, float]:
        """Return the candidate of least expected squared error."""
        ranges = list(self.candidates().values())
        low = torch.tensor([r[0] for r in ranges], dtype=torch.float64)
        high = torch.tensor([r[1] for r in ranges], dtype=torch.float64)
        return ranges[int(self.histogram.error(low, high, self.spec).argmin())]

    def state(self) -> State:
        """Return the histogram and the averages."""
        average = {f"{_AVERAGE}{k}": v for k, v in self.average.state().items()}
        return {**super().state(), **average}

    def load_state(self, state: State) -> None:
        """Go on from both."""
        super().load_state(state)
        average = {k.removeprefix(_AVERAGE): v for k, v in state.items() if k.startswith(_AVERAGE)}
        self.average.load_state(average)

    def merge(self, other: Calibrator) -> None:
        """Add another one's counts, and go on with its averages."""
        assert isinstance(other, Auto)
        super().merge(other)
        self.average.merge(other.average)
