from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rewrite_plugins.calibrators.min_max import MinMax
from rewrite_plugins.calibrators.percentile import Percentile

SETTINGS = settings(max_examples=60, deadline=None, derandomize=True, database=None)
BINS = 4096
FLOAT32 = 1e-6
"""Values are counted in float32: one at the edge of a bin may fall into the next."""

BATCHES = st.lists(
    st.tuples(st.integers(0, 2**20), st.integers(1, 400), st.floats(1e-6, 1e6), st.floats(-3, 3)),
    min_size=1,
    max_size=5,
)


def draw(batches) -> list[torch.Tensor]:
    """Return normal values of a seed, a count, a scale and a shift in scales, per batch."""
    made = []
    for seed, count, scale, shift in batches:
        generator = torch.Generator().manual_seed(seed)
        made.append((torch.randn(count, generator=generator) + shift) * scale)
    return made


def feed(calibrator, batches):
    for batch in batches:
        calibrator.observe(batch)
    return calibrator.bounds()


@SETTINGS
@given(BATCHES)
def test_min_max(batches):
    seen = torch.cat(draw(batches))
    assert feed(MinMax(), draw(batches)) == (float(seen.min()), float(seen.max()))


@SETTINGS
@given(BATCHES, st.sampled_from([50.0, 90.0, 99.0, 99.99, 100.0]))
def test_percentile_is_off_by_two_bins_at_most(batches, percentile):
    low, high = feed(Percentile(percentile), draw(batches))
    seen = np.sort(torch.cat(draw(batches)).numpy().astype(np.float64))
    keep = max(int(np.ceil(percentile / 100 * len(seen) - 1e-9)), 1)
    true_low, true_high = seen[len(seen) - keep], seen[keep - 1]
    largest = np.abs(seen).max()
    # The bins span [-limit, limit], limit the next power of two: at most twice the largest.
    width = 4 * largest / BINS * (1 + FLOAT32)
    assert true_low - 2 * width <= low <= true_low + width
    assert true_high - width <= high <= true_high + 2 * width
    assert seen[0] <= low and high <= seen[-1]


@SETTINGS
@given(BATCHES)
def test_a_percentile_of_100_is_min_max_to_a_bin(batches):
    seen = torch.cat(draw(batches))
    low, high = feed(Percentile(100.0), draw(batches))
    width = 4 * float(seen.abs().max()) / BINS
    assert low == pytest.approx(float(seen.min()), abs=width)
    assert high == pytest.approx(float(seen.max()), abs=width)


@pytest.mark.parametrize("make", [MinMax, Percentile])
def test_the_order_of_batches_does_not_matter(make):
    batches = draw([(seed, 100, 10.0**seed, 0.5) for seed in range(4)])
    assert feed(make(), batches) == feed(make(), batches[::-1])


def test_memory_does_not_grow_with_the_data():
    calibrator = Percentile()
    for seed in range(20):
        calibrator.observe(torch.randn(1000, generator=torch.Generator().manual_seed(seed)) * seed)
        assert calibrator.counts.shape == (BINS,)
    assert float(calibrator.counts.sum()) == 19 * 1000
    assert set(vars(calibrator)) == {"share", "limit", "counts", "low", "high"}


def test_outliers_are_cut():
    values = torch.linspace(-1, 1, 10_000)
    values[0] = 1000.0
    _, high = feed(Percentile(99.9), [values])
    assert high < 1.5


@pytest.mark.parametrize("value", [0.0, 3.0, -3.0])
def test_a_constant(value):
    for make in (MinMax, Percentile):
        low, high = feed(make(), [torch.full((10,), value)])
        assert low <= value <= high
        assert max(abs(low - value), abs(high - value)) <= 2 * 4 * abs(value) / BINS


def test_all_negative_and_all_positive():
    positive = torch.rand(1000, generator=torch.Generator().manual_seed(0)) + 1
    low, high = feed(Percentile(99.0), [positive])
    assert 1 <= low < 1.05 and 1.95 < high <= 2
    low, high = feed(Percentile(99.0), [-positive])
    assert -2 <= low < -1.95 and -1.05 < high <= -1
