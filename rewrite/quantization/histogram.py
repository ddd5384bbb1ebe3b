"""A histogram of fixed size over values that arrive in batches: the sketch calibrators share."""

from __future__ import annotations

import math

import torch

from rewrite.descriptors import Calibrator, State
from rewrite.quantization.expected_error import expected_error
from rewrite.quantization.spec import QuantSpec

BINS = 4096
HALF = BINS // 2
"""Bins for magnitudes; bin HALF begins at zero."""
_SMALLEST = -100
"""Exponent of the smallest limit: what is smaller than 2^-111 counts as next to zero."""
_CHUNK = 1 << 18
"""Values counted at a time, so that counting a large tensor takes no memory to speak of."""
_CHUNK_ELSEWHERE = 1 << 24
"""The same on a device, where each call costs and memory is not short."""
_BYTE = QuantSpec("byte", dtype="uint8", qmin=0, qmax=255)


class Histogram:
    """Counts of values in 4096 bins of equal width over [-limit, limit).

    The limit is the smallest power of two above every magnitude seen. When it has to grow it
    doubles, and neighbouring bins merge. Bin edges are multiples of a power of two, so no value
    ever changes sides: a histogram depends on the values alone, not on their order or batches, and
    `merge` gives what counting everything in one place would have given.
    """

    def __init__(self) -> None:
        self.limit = 0.0
        """Zero until a value other than zero was seen."""
        self.counts = torch.zeros(BINS, dtype=torch.int64)
        self.zeros = 0
        """How many values were exactly zero; they are in `counts` too."""
        self.low = math.inf
        self.high = -math.inf

    def add(self, values: torch.Tensor) -> None:
        """Count finite values of any shape, on the device where they are."""
        if values.numel() == 0:
            return
        flat = values.detach().reshape(-1)
        low, high = (float(v) for v in torch.aminmax(flat))
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.grow(max(-low, high))
        self.counts = self.counts.to(values.device)
        self.zeros += flat.numel() - int(torch.count_nonzero(flat))
        size = _CHUNK if values.device.type == "cpu" else _CHUNK_ELSEWHERE
        for chunk in torch.split(flat, size):
            self.counts += torch.bincount(self._bins(chunk), minlength=BINS)

    def merge(self, other: Histogram) -> None:
        """Add what another histogram has counted."""
        twin = Histogram()
        twin.load(other.state())
        if max(self.limit, twin.limit) > 0:
            self.grow(max(self.limit, twin.limit) / 2)
            twin.grow(self.limit / 2)
        self.counts = self.counts + twin.counts.to(self.counts.device)
        self.zeros += twin.zeros
        self.low, self.high = min(self.low, twin.low), max(self.high, twin.high)

    def grow(self, magnitude: float) -> None:
        """Raise the limit above a magnitude."""
        if magnitude == 0:
            return
        exponent = max(math.frexp(magnitude)[1], _SMALLEST)
        if self.limit == 0:
            self.limit = math.ldexp(1.0, exponent)
        while self.limit < math.ldexp(1.0, exponent):
            merged = self.counts.reshape(-1, 2).sum(1)
            self.counts = torch.zeros_like(self.counts)
            self.counts[HALF // 2 : HALF // 2 + HALF] = merged
            self.limit *= 2

    def edges(self) -> torch.Tensor:
        """Return the BINS + 1 edges of the bins, float64."""
        return torch.arange(-HALF, HALF + 1, dtype=torch.float64) * (self.limit / HALF)

    def total(self) -> int:
        """Return how many values were counted."""
        return int(self.counts.sum())

    def state(self) -> State:
        """Return a copy of everything, on the CPU."""
        return {
            "limit": self.limit,
            "counts": self.counts.cpu().clone(),
            "zeros": float(self.zeros),
            "low": self.low,
            "high": self.high,
        }

    def load(self, state: State) -> None:
        """Become what `state` returned."""
        self.limit, self.zeros = float(state["limit"]), int(state["zeros"])
        self.low, self.high = float(state["low"]), float(state["high"])
        self.counts = state["counts"].clone()

    def error(self, low: torch.Tensor, high: torch.Tensor, spec: QuantSpec | None) -> torch.Tensor:
        """Return the mean squared error of quantizing what was counted to each range.

        Zeros cost nothing: every range represents them exactly.

        Args:
            low: lower ends, float64, shape [C].
            high: upper ends, same shape.
            spec: how the tensor is quantized; None stands for a byte.
        """
        counts = self.counts.cpu().double()
        counts[HALF] -= self.zeros
        used = counts.nonzero().reshape(-1)
        if len(used) == 0:
            return torch.zeros_like(low)
        edges = self.edges()
        ends = torch.stack([edges[used], edges[used + 1]]).clamp(self.low, self.high)
        sums = expected_error(ends[0], ends[1], low, high, spec or _BYTE) * counts[used]
        return sums.sum(1) / max(self.total(), 1)

    def _bins(self, chunk: torch.Tensor) -> torch.Tensor:
        if self.limit == 0:
            return torch.full_like(chunk, HALF, dtype=torch.int32)
        # A power of two times a float is exact, and so is the floor; every magnitude is below the
        # limit. Counting 32-bit integers takes half the time of counting 64-bit ones.
        wide = chunk if chunk.dtype == torch.float64 else chunk.float()
        return (wide * (HALF / self.limit)).floor_().add_(HALF).to(torch.int32)


class HistogramCalibrator(Calibrator):
    """A calibrator that keeps a `Histogram`; a subclass says in `bounds` which range it gives."""

    def __init__(self, spec: QuantSpec | None = None) -> None:
        self.spec = spec
        self.histogram = Histogram()

    def observe(self, values: torch.Tensor) -> None:
        """Count one batch."""
        self.histogram.add(values)

    def state(self) -> State:
        """Return a copy of the histogram."""
        return self.histogram.state()

    def load_state(self, state: State) -> None:
        """Go on from a histogram."""
        self.histogram.load(state)

    def merge(self, other: Calibrator) -> None:
        """Add another one's counts; the order does not matter."""
        assert isinstance(other, HistogramCalibrator)
        self.histogram.merge(other.histogram)
