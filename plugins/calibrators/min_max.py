"""Calibrator `min-max`."""

from __future__ import annotations

import torch

from rewrite import Calibrator
from rewrite.descriptors import State


class MinMax(Calibrator):
    """The smallest and the largest value seen."""

    name = "min-max"

    def __init__(self) -> None:
        self.low = float("inf")
        self.high = float("-inf")

    def observe(self, values: torch.Tensor) -> None:
        """Widen the range by one batch."""
        low, high = torch.aminmax(values)
        self.low = min(self.low, float(low))
        self.high = max(self.high, float(high))

    def bounds(self) -> tuple[float, float]:
        """Return the range seen."""
        return self.low, self.high

    def state(self) -> State:
        """Return the range."""
        return {"low": self.low, "high": self.high}

    def load_state(self, state: State) -> None:
        """Go on from a range."""
        self.low, self.high = float(state["low"]), float(state["high"])

    def merge(self, other: Calibrator) -> None:
        """Widen the range by another one; the order does not matter."""
        assert isinstance(other, MinMax)
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
