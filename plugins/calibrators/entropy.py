"""Calibrator `entropy`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from rewrite.quantization.histogram import HALF, Histogram, HistogramCalibrator
from rewrite.quantization.spec import QuantSpec

_STRIDE = 8
"""Bins between two thresholds that are tried: a 256th of the range."""
_SMOOTHING = 1e-4
"""Share of a uniform distribution in both, so that no bin of the second is empty."""
_SIGNED = QuantSpec("signed byte", dtype="int8", qmin=-128, qmax=127, symmetric=True)
"""What the algorithm was written for, where nothing is known of the tensor."""


class Entropy(HistogramCalibrator):
    """The clipped range whose quantized distribution tells most about the original one.

    For each threshold T on |x|, P is the histogram within [-T, T] with all that lies beyond added
    to its outermost bins, and Q the histogram of what lies within, merged to the levels of the type
    and spread again over the bins that are not empty; T minimises KL(P‖Q) = Σ P·log(P/Q) (Migacz,
    *8-bit inference with TensorRT*, GTC 2017: 2048 bins, 128 levels). Zeros are left out: they are
    exact.

    That is written for symmetric int8, where magnitudes have 128 levels, and done so for symmetric
    specs. For others the histogram has both signs and the levels are those that the spec has over
    the range: a byte has 256 over [0, T] or [low, high]. With 128 levels of magnitudes pixels seem
    to collide where they do not, and any T that happens to keep them apart wins.

    For n values in m bins that are not empty, merged to k levels, chance alone gives a divergence
    of (m - k)/2n, since 2n·KL is a likelihood ratio of m - k degrees of freedom (Wilks, 1938). That
    is taken off, or a few values would always seem to want a narrow range.
    """

    name = "entropy"

    def __init__(self, spec: QuantSpec | None = None) -> None:
        super().__init__(spec)

    def bounds(self) -> tuple[float, float]:
        """Return the part of [-T, T] that was seen."""
        return entropy_bounds(self.histogram, self.spec)


class _Levels(NamedTuple):
    """Which level a value has: floor(x/step + offset)."""

    step: float
    """In bins."""
    offset: float
    """A half rounds; 0 parts magnitudes into equal groups from zero on, as published."""

    def starts(self, centers: np.ndarray) -> np.ndarray:
        """Return the first bin of each level, the bins given by their centers."""
        levels = np.floor(centers / self.step + self.offset)
        return np.concatenate([[0], np.flatnonzero(np.diff(levels)) + 1])


def entropy_bounds(histogram: Histogram, spec: QuantSpec | None) -> tuple[float, float]:
    """Return the range of least divergence: [-T, T], never wider than what was seen."""
    lowest, highest = min(histogram.low, 0.0), max(histogram.high, 0.0)
    counts = histogram.counts.cpu().double().numpy().copy()
    counts[HALF] -= histogram.zeros
    if histogram.limit == 0 or not counts.any():
        return lowest, highest
    spec = spec or _SIGNED
    half = (spec.qmax - spec.qmin + 1) // 2
    if spec.symmetric:
        # Levels lie alike on both sides: magnitudes, as published, have twice the counts.
        counts = np.concatenate([np.zeros(HALF), counts[HALF:] + counts[:HALF][::-1]])
    places = np.flatnonzero(counts) - HALF
    used = int(np.maximum(places + 1, -places).max())
    kept = [*range(half, used, _STRIDE), used]
    width = histogram.limit / HALF
    ends = torch.tensor(kept, dtype=torch.float64) * width
    low, high = (-ends).clamp(min=lowest), ends.clamp(max=highest)
    if spec.symmetric:
        levels = [_Levels(bins / half, 0.0) for bins in kept]
    else:
        steps = spec.parameters(low, high)[0].double() / width
        levels = [_Levels(step, 0.5) for step in steps.tolist()]
    found = [_divergence(counts, *each) for each in zip(kept, levels, strict=True)]
    best = min(range(len(kept)), key=lambda index: (found[index], -index))
    return float(low[best]), float(high[best])


def _divergence(counts: np.ndarray, kept: int, levels: _Levels) -> float:
    """Return how far the quantized distribution is off when `kept` bins on each side remain.

    Args:
        counts: float64 [BINS], without zeros.
        kept: bins of magnitudes within the range.
        levels: those of the quantizer.
    """
    used = np.flatnonzero(counts)
    first, last = max(HALF - kept, used[0]), min(HALF + kept, used[-1] + 1)
    if first >= last:
        return float("inf")
    inside = counts[first:last]
    original = inside.copy()
    original[0] += counts[:first].sum()
    original[-1] += counts[last:].sum()
    starts = levels.starts(np.arange(first, last) - HALF + 0.5)
    quantized = _quantize(inside, starts)
    if not quantized.any():
        return float("inf")
    p, q = _smooth(original), _smooth(quantized)
    filled = np.count_nonzero(np.add.reduceat(inside, starts))
    by_chance = (np.count_nonzero(inside) - filled) / (2 * original.sum())
    return float((p * np.log(p / q)).sum()) - by_chance


def _quantize(counts: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Merge bins into levels, and share each level's count among its bins that are not empty."""
    filled = counts > 0
    sums = np.add.reduceat(counts, starts)
    shares = np.add.reduceat(filled.astype(np.float64), starts)
    means = np.divide(sums, shares, out=np.zeros_like(sums), where=shares > 0)
    return np.repeat(means, np.diff(np.append(starts, len(counts)))) * filled


def _smooth(counts: np.ndarray) -> np.ndarray:
    return (1 - _SMOOTHING) * counts / counts.sum() + _SMOOTHING / len(counts)
