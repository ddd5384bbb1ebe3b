"""Calibrator `moving-average`."""

from __future__ import annotations

import torch

from rewrite import Calibrator
from rewrite.descriptors import State


class MovingAverage(Calibrator):
    """The exponential moving average of each batch's smallest and largest value.

    e₁ = x₁ and eₙ = d·eₙ₋₁ + (1 - d)·xₙ with d = `decay` (Jacob et al., 2018, arXiv:1712.05877,
    §3.1). It depends on the order of the batches and on how they were cut.
    """

    name = "moving-average"

    def __init__(self, decay: float = 0.9) -> None:
        self.decay = decay
        self.batches = 0
        self.first = (0.0, 0.0)
        self.average = (0.0, 0.0)

    def observe(self, values: torch.Tensor) -> None:
        """Move towards the range of one batch."""
        low, high = (float(v) for v in torch.aminmax(values))
        if self.batches == 0:
            self.first = self.average = (low, high)
        kept, new = self.decay, 1 - self.decay
        self.average = (kept * self.average[0] + new * low, kept * self.average[1] + new * high)
        self.batches += 1

    def bounds(self) -> tuple[float, float]:
        """Return the averages."""
        return self.average

    def state(self) -> State:
        """Return the averages, the first range and the number of batches."""
        return {
            "batches": float(self.batches),
            "first_low": self.first[0],
            "first_high": self.first[1],
            "low": self.average[0],
            "high": self.average[1],
        }

    def load_state(self, state: State) -> None:
        """Go on from averages."""
        self.batches = int(state["batches"])
        self.first = (float(state["first_low"]), float(state["first_high"]))
        self.average = (float(state["low"]), float(state["high"]))

    def merge(self, other: Calibrator) -> None:
        """Go on with another one's n batches: e ← dⁿ·e + e' - dⁿ·x'₁, since e' began at x'₁."""
        assert isinstance(other, MovingAverage)
        if self.batches == 0:
            self.load_state(other.state())
        elif other.batches:
            faded = self.decay**other.batches
            pairs = zip(self.average, other.average, other.first, strict=True)
            low, high = (faded * mine + theirs - faded * first for mine, theirs, first in pairs)
            self.average = (low, high)
            self.batches += other.batches
