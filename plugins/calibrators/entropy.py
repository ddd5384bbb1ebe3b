"""Calibrator `entropy`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rewrite.quantization.histogram import HALF, Histogram, HistogramCalibrator

if TYPE_CHECKING:
    from rewrite.quantization.spec import QuantSpec

_STRIDE = 8
"""Bins between two thresholds that are tried: a 256th of the range."""
_SMOOTHING = 1e-4
"""Share of a uniform distribution in both, so that no bin of the second is empty."""


class Entropy(HistogramCalibrator):
    """The clipped range whose quantized distribution tells most about the original one.

    For thresholds of i bins over |x|, P is the histogram of magnitudes with all that lies beyond
    added to bin i, and Q the histogram quantized to half the levels of the type and spread again
    over the bins that are not empty; i minimises KL(P‖Q) = Σ P·log(P/Q) (Migacz, *8-bit inference
    with TensorRT*, GTC 2017: 2048 bins, 128 levels). Zeros are left out: they are exact.

    For n values in m bins that are not empty, merged to k levels, chance alone gives a divergence
    of (m - k)/2n, since 2n·KL is a likelihood ratio of m - k degrees of freedom (Wilks, 1938). That
    is taken off, or a few values would always seem to want a narrow range.
    """

    name = "entropy"

    def __init__(self, spec: QuantSpec | None = None) -> None:
        super().__init__(spec)

    def bounds(self) -> tuple[float, float]:
        """Return [-T, T], never wider than what was seen."""
        return entropy_bounds(self.histogram, self.spec)


def entropy_bounds(histogram: Histogram, spec: QuantSpec | None) -> tuple[float, float]:
    """Return the range [-T, T] of least divergence, never wider than what was seen."""
    if histogram.limit == 0:
        return min(histogram.low, 0.0), max(histogram.high, 0.0)
    counts = histogram.counts.cpu().double().numpy().copy()
    counts[HALF] -= histogram.zeros
    magnitudes = counts[HALF:] + counts[:HALF][::-1]
    levels = 128 if spec is None else max((spec.qmax - spec.qmin + 1) // 2, 2)
    bins = _least_divergence(magnitudes, levels)
    threshold = bins * histogram.limit / HALF
    return max(histogram.low, -threshold), min(histogram.high, threshold)


def _least_divergence(counts: np.ndarray, levels: int) -> int:
    """Return how many bins to keep."""
    used = int(np.flatnonzero(counts)[-1]) + 1 if counts.any() else HALF
    tried = [*range(levels, used, _STRIDE), used]
    return min(tried, key=lambda kept: (_divergence(counts, kept, levels), -kept))


def _divergence(counts: np.ndarray, kept: int, levels: int) -> float:
    inside = counts[:kept]
    original = inside.copy()
    original[-1] += counts[kept:].sum()
    quantized = _quantize(inside, levels) if kept > levels else inside
    if not quantized.any():
        return float("inf")
    p, q = _smooth(original), _smooth(quantized)
    filled = np.count_nonzero(np.add.reduceat(inside, _starts(inside, levels)))
    by_chance = (np.count_nonzero(inside) - filled) / (2 * original.sum())
    return float((p * np.log(p / q)).sum()) - by_chance


def _starts(counts: np.ndarray, levels: int) -> np.ndarray:
    """Return the first bin of each level; no level is less than a bin."""
    count = min(levels, len(counts))
    return np.arange(count) * len(counts) // count


def _quantize(counts: np.ndarray, levels: int) -> np.ndarray:
    """Merge bins into levels, and share each level's count among its bins that are not empty."""
    starts = _starts(counts, levels)
    filled = counts > 0
    sums = np.add.reduceat(counts, starts)
    shares = np.add.reduceat(filled.astype(np.float64), starts)
    means = np.divide(sums, shares, out=np.zeros_like(sums), where=shares > 0)
    return np.repeat(means, np.diff(np.append(starts, len(counts)))) * filled


def _smooth(counts: np.ndarray) -> np.ndarray:
    return (1 - _SMOOTHING) * counts / counts.sum() + _SMOOTHING / len(counts)
