"""Calibrator `percentile`."""

from __future__ import annotations

import math

import torch

from rewrite import Calibrator

_BINS = 4096


class Percentile(Calibrator):
    """The range that holds a given share of the values on each side.

    Values are counted in a histogram of fixed size over [-limit, limit]; when a value lies
    outside, the limit doubles and neighbouring bins merge, so that nothing is stored or recounted.
    """

    name = "percentile"

    def __init__(self, percentile: float = 99.99) -> None:
        self.share = percentile / 100
        self.limit = 0.0
        self.counts = torch.zeros(_BINS, dtype=torch.float64)
        self.low = float("inf")
        self.high = float("-inf")

    def observe(self, values: torch.Tensor) -> None:
        """Count one batch."""
        low, high = (float(v) for v in torch.aminmax(values))
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._grow(max(-low, high))
        if self.limit > 0:
            counts = torch.histc(values.float(), _BINS, -self.limit, self.limit)
            self.counts += counts.double().cpu()

    def bounds(self) -> tuple[float, float]:
        """Return the range, never wider than what was seen."""
        total = float(self.counts.sum())
        if self.limit == 0 or total == 0:
            return min(self.low, 0.0), max(self.high, 0.0)
        edges = torch.linspace(-self.limit, self.limit, _BINS + 1, dtype=torch.float64)
        below = torch.cumsum(self.counts, 0) / total
        upper = int(torch.searchsorted(below, self.share))
        above = torch.cumsum(self.counts.flip(0), 0) / total
        lower = _BINS - 1 - int(torch.searchsorted(above, self.share))
        low = float(edges[max(lower, 0)])
        high = float(edges[min(upper + 1, _BINS)])
        return max(low, self.low), min(high, self.high)

    def _grow(self, magnitude: float) -> None:
        if magnitude == 0:
            return
        if self.limit == 0:
            self.limit = 2.0 ** math.ceil(math.log2(magnitude))
        while self.limit < magnitude:
            quarter = _BINS // 4
            merged = self.counts.reshape(-1, 2).sum(1)
            self.counts = torch.zeros_like(self.counts)
            self.counts[quarter : quarter + _BINS // 2] = merged
            self.limit *= 2
