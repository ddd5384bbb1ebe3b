"""Calibrator `mse`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from rewrite.quantization.histogram import Histogram, HistogramCalibrator

if TYPE_CHECKING:
    from rewrite.quantization.spec import QuantSpec

_TRIED = 100
"""Parts of the range seen that are tried: 1 %, 2 % ... 100 %."""
_ROUNDS = 2
"""How often each end is searched with the other one fixed."""


class MeanSquaredError(HistogramCalibrator):
    """The range with the least expected squared error E[(x - Q(x))²], rounding and clipping alike.

    Both ends shrink together first, 1 % of the range seen at a time; then each alone (Choukroun et
    al., 2019, arXiv:1902.06822, §4: the kernel-wise minimum of the squared error). The error is
    that of the tensor's own spec: its number of levels, and symmetric or not.
    """

    name = "mse"

    def __init__(self, spec: QuantSpec | None = None) -> None:
        super().__init__(spec)

    def bounds(self) -> tuple[float, float]:
        """Return the range of least error, never wider than what was seen."""
        return least_error_bounds(self.histogram, self.spec)


def least_error_bounds(histogram: Histogram, spec: QuantSpec | None) -> tuple[float, float]:
    """Return the range of least expected squared error."""
    lowest, highest = min(histogram.low, 0.0), max(histogram.high, 0.0)
    if lowest == highest or histogram.total() == 0:
        return lowest, highest
    shares = torch.arange(_TRIED, 0, -1, dtype=torch.float64) / _TRIED
    low, high = _best(histogram, spec, shares * lowest, shares * highest)
    if lowest == 0 or highest == 0 or (spec is not None and spec.symmetric):
        return low, high
    for _ in range(_ROUNDS):
        low, high = _best(histogram, spec, torch.full_like(shares, low), shares * highest)
        low, high = _best(histogram, spec, shares * lowest, torch.full_like(shares, high))
    return low, high


def _best(
    histogram: Histogram, spec: QuantSpec | None, low: torch.Tensor, high: torch.Tensor
) -> tuple[float, float]:
    best = int(histogram.error(low, high, spec).argmin())
    return float(low[best]), float(high[best])
