"""Calibrator `percentile`."""

from __future__ import annotations

import torch

from rewrite.quantization.histogram import BINS, Histogram, HistogramCalibrator


class Percentile(HistogramCalibrator):
    """The range that holds a given share of the values on each side.

    It is read off a histogram: off by two bins at most, a bin being at most 1/1024 of the largest
    magnitude (Wu et al., 2020, arXiv:2004.09602, §4).
    """

    name = "percentile"

    def __init__(self, percentile: float = 99.99) -> None:
        super().__init__()
        self.percentile = percentile

    def bounds(self) -> tuple[float, float]:
        """Return the range, never wider than what was seen."""
        return percentile_bounds(self.histogram, self.percentile)


def percentile_bounds(histogram: Histogram, percentile: float) -> tuple[float, float]:
    """Return the range that holds `percentile` % of the values on each side."""
    total = histogram.total()
    if histogram.limit == 0 or total == 0:
        return min(histogram.low, 0.0), max(histogram.high, 0.0)
    share = percentile / 100
    edges = histogram.edges()
    counts = histogram.counts.cpu().double()
    below = torch.cumsum(counts, 0) / total
    above = torch.cumsum(counts.flip(0), 0) / total
    upper = int(torch.searchsorted(below, share))
    lower = BINS - 1 - int(torch.searchsorted(above, share))
    low = float(edges[max(lower, 0)])
    high = float(edges[min(upper + 1, BINS)])
    return max(low, histogram.low), min(high, histogram.high)
