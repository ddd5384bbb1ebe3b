"""Calibrator `min-max`."""

from __future__ import annotations

import torch

from rewrite import Calibrator


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
