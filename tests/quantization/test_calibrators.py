from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rewrite_plugins.calibrators.auto import Auto
from rewrite_plugins.calibrators.entropy import Entropy
from rewrite_plugins.calibrators.min_max import MinMax
from rewrite_plugins.calibrators.moving_average import MovingAverage
from rewrite_plugins.calibrators.mse import MeanSquaredError
from rewrite_plugins.calibrators.percentile import Percentile

from rewrite.quantization.spec import QuantSpec

SETTINGS = settings(max_examples=60, deadline=None, derandomize=True, database=None)
BINS = 4096
FLOAT32 = 1e-6
"""Values are counted in float32: one at the edge of a bin may fall into the next."""

METHODS = [MinMax, MovingAverage, Percentile, Entropy, MeanSquaredError, Auto]
ORDERLESS = [MinMax, Percentile, Entropy, MeanSquaredError]
SPECS = {
    "byte": QuantSpec("byte"),
    "signed": QuantSpec("signed", "int8", -127, 127, symmetric=True),
    "nibble": QuantSpec("nibble", "uint8", 0, 15),
}

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


@pytest.mark.parametrize("make", ORDERLESS)
def test_the_order_of_batches_does_not_matter(make):
    batches = draw([(seed, 100, 10.0**seed, 0.5) for seed in range(4)])
    assert feed(make(), batches) == feed(make(), batches[::-1])


@pytest.mark.parametrize("make", METHODS)
def test_memory_does_not_grow_with_the_data(make):
    calibrator = make()
    sizes = set()
    for seed in range(20):
        calibrator.observe(torch.randn(1000, generator=torch.Generator().manual_seed(seed)) * seed)
        sizes.add(sum(v.numel() if torch.is_tensor(v) else 1 for v in calibrator.state().values()))
    assert len(sizes) == 1 and sizes.pop() < BINS + 20


def test_outliers_are_cut():
    values = torch.linspace(-1, 1, 10_000)
    values[0] = 1000.0
    _, high = feed(Percentile(99.9), [values])
    assert high < 1.5


@pytest.mark.parametrize("make", METHODS)
@pytest.mark.parametrize("value", [0.0, 3.0, -3.0])
def test_a_constant(value, make):
    low, high = feed(make(), [torch.full((10,), value)])
    assert min(low, 0) <= value <= max(high, 0)
    if make in (MinMax, Percentile):
        assert max(abs(low - value), abs(high - value)) <= 2 * 4 * abs(value) / BINS


@pytest.mark.parametrize("make", METHODS)
@pytest.mark.parametrize("spec", [QuantSpec("byte"), QuantSpec("signed", "int8", -128, 127)])
def test_values_that_are_never_negative_have_the_lowest_integer_for_zero(make, spec):
    scores = torch.randn(4, 8, 197, 197, generator=torch.Generator().manual_seed(0))
    low, high = feed(make(), (2 * scores).softmax(-1))
    zero_point = spec.parameters(torch.tensor(low), torch.tensor(high))[1]
    assert int(zero_point) == spec.qmin


def test_all_negative_and_all_positive():
    positive = torch.rand(1000, generator=torch.Generator().manual_seed(0)) + 1
    low, high = feed(Percentile(99.0), [positive])
    assert 1 <= low < 1.05 and 1.95 < high <= 2
    low, high = feed(Percentile(99.0), [-positive])
    assert -2 <= low < -1.95 and -1.05 < high <= -1


@pytest.mark.parametrize("make", METHODS)
def test_all_negative_ranges_hold_the_values(make):
    values = -torch.rand(1000, generator=torch.Generator().manual_seed(0)) - 1
    low, high = feed(make(), [values])
    assert float(values.min()) <= low < -1.9 and high <= 0


@pytest.mark.parametrize("make", METHODS)
@SETTINGS
@given(batches=BATCHES)
def test_a_range_never_exceeds_what_was_seen(make, batches):
    low, high = feed(make(), draw(batches))
    seen = torch.cat(draw(batches))
    slack = 1e-12 * float(seen.abs().max())
    assert min(float(seen.min()), 0.0) - slack <= min(low, 0.0)
    assert max(high, 0.0) <= max(float(seen.max()), 0.0) + slack


@pytest.mark.parametrize("make", METHODS)
@SETTINGS
@given(batches=BATCHES, at=st.integers(0, 5))
def test_stopped_and_resumed_is_bit_equal(make, batches, at):
    values = draw(batches)
    first, second = make(), make()
    for batch in values[:at]:
        first.observe(batch)
    second.load_state(first.state())
    for batch in values[at:]:
        second.observe(batch)
    assert second.bounds() == feed(make(), values)


@pytest.mark.parametrize("make", METHODS)
@SETTINGS
@given(a=BATCHES, b=BATCHES, c=BATCHES)
def test_merging_is_associative(make, a, b, c):
    parts = [make() for _ in range(3)]
    for part, batches in zip(parts, (a, b, c), strict=True):
        feed(part, draw(batches))
    left, right, tail = make(), make(), make()
    left.merge(parts[0])
    left.merge(parts[1])
    left.merge(parts[2])
    tail.merge(parts[1])
    tail.merge(parts[2])
    right.merge(parts[0])
    right.merge(tail)
    for one, two in zip(left.state().values(), right.state().values(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-9 * (1 + largest(a, b, c)))


def largest(*several) -> float:
    return max(float(torch.cat(draw(batches)).abs().max()) for batches in several)


@SETTINGS
@given(a=BATCHES, b=BATCHES)
def test_averages_merge_as_if_the_batches_came_one_after_another(a, b):
    one, two = MovingAverage(), MovingAverage()
    feed(one, draw(a))
    feed(two, draw(b))
    one.merge(two)
    expected = feed(MovingAverage(), [*draw(a), *draw(b)])
    assert one.bounds() == pytest.approx(expected, rel=1e-9, abs=1e-9 * largest(a, b))


def test_the_moving_average_by_hand():
    batches = [torch.tensor([-1.0, 1.0]), torch.tensor([-2.0, 5.0]), torch.tensor([0.0, 3.0])]
    low, high = feed(MovingAverage(decay=0.5), batches)
    assert (low, high) == ((-1 * 0.25 - 2 * 0.25), (1 * 0.25 + 5 * 0.25 + 3 * 0.5))


@pytest.mark.parametrize("name", SPECS)
def test_least_squares_is_near_the_best_of_a_fine_search(name):
    values = torch.randn(50_000, generator=torch.Generator().manual_seed(0))
    calibrator = MeanSquaredError(SPECS[name])
    low, high = feed(calibrator, [values])
    shares = torch.linspace(0.2, 1, 400).double()
    tried = true_errors(values, shares * float(values.min()), shares * float(values.max()), name)
    (found,) = true_errors(values, torch.tensor([low]), torch.tensor([high]), name)
    assert found <= 1.01 * min(tried)
    assert high - low < 0.95 * float(values.max() - values.min())


def true_errors(values, low, high, name) -> list[float]:
    spec = SPECS[name]
    errors = []
    for scale, zero in zip(*spec.parameters(low, high), strict=True):
        integers = ((values / scale).round() + zero.float()).clamp(spec.qmin, spec.qmax)
        errors.append(float((((integers - zero.float()) * scale - values) ** 2).mean()))
    return errors


def test_least_squares_clips_more_with_fewer_levels():
    values = torch.randn(50_000, generator=torch.Generator().manual_seed(0))
    (_, byte), (_, nibble) = (
        feed(MeanSquaredError(SPECS[name]), [values]) for name in ("byte", "nibble")
    )
    assert nibble < 0.8 * byte


def test_entropy_cuts_a_long_tail_and_keeps_an_even_range():
    generator = torch.Generator().manual_seed(0)
    even = torch.rand(100_000, generator=generator) * 2 - 1
    low, high = feed(Entropy(), [even])
    assert low == pytest.approx(-1, abs=0.02) and high == pytest.approx(1, abs=0.02)
    tail = torch.randn(100_000, generator=generator)
    tail[0] = 30.0
    _, high = feed(Entropy(), [tail])
    assert 2 < high < 8


@pytest.mark.parametrize(("count", "seed"), [(2000, 0), (10_000, 1), (50_000, 0)])
def test_entropy_does_not_take_chance_for_shape(count, seed):
    """Normal values keep their range; by chance alone these would lose a tenth or more."""
    values = torch.randn(count, generator=torch.Generator().manual_seed(seed))
    _, high = feed(Entropy(), [values])
    assert high > 0.98 * float(values.max())


def test_entropy_by_hand():
    """Three bins in two levels of two bins each: one degree of freedom is taken off."""
    from rewrite_plugins.calibrators.entropy import _divergence, _Levels, _quantize

    inside = np.array([4.0, 2.0, 0.0, 6.0])
    starts = _Levels(2.0, 0.5).starts(np.array([1.5, 2.5, 3.5, 4.5]))
    assert starts.tolist() == [0, 2]
    assert _Levels(2.0, 0.0).starts(np.array([1.5, 2.5, 3.5, 4.5])).tolist() == [0, 1, 3]
    assert _quantize(inside, starts).tolist() == [3.0, 3.0, 0.0, 6.0]
    p, q = np.array([4, 2, 6]) / 12, np.array([3, 3, 6]) / 12
    expected = float((p * np.log(p / q)).sum())
    counts = np.zeros(BINS)
    counts[BINS // 2 + 1 : BINS // 2 + 5] = 100 * inside
    assert _divergence(counts, 5, _Levels(2.0, 0.5)) == pytest.approx(expected - 1 / 2400, rel=1e-2)


def test_entropy_adds_what_is_clipped_to_the_outermost_bin():
    from rewrite_plugins.calibrators.entropy import _divergence, _Levels

    counts = np.zeros(BINS)
    counts[BINS // 2 : BINS // 2 + 3] = [600.0, 200.0, 200.0]
    p, q = np.array([600, 400]) / 1000, np.array([600, 200]) / 800
    expected = float((p * np.log(p / q)).sum())
    assert _divergence(counts, 2, _Levels(1.0, 0.0)) == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.305, 0.376), (0.5, 0.5)])
def test_entropy_keeps_pixels_whose_levels_are_those_of_the_type(mean, std):
    """256 sizes with a zero point: nothing collides, and so nothing is to be gained by clipping."""
    generator = torch.Generator().manual_seed(0)
    dark = torch.randint(0, 256, (20_000,), generator=generator).float() ** 2 / 255
    pixels = (dark.round() / 255 - mean) / std
    low, high = feed(Entropy(SPECS["byte"]), [pixels])
    assert low == pytest.approx(float(pixels.min()), abs=1e-6)
    assert high == pytest.approx(float(pixels.max()), abs=1e-6)


def test_entropy_counts_the_levels_of_the_type():
    """What is never below zero has 256 levels of a byte, 128 of a signed one: it clips less."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(100_000, generator=generator).relu() ** 2
    (_, byte), (_, signed), (_, nibble) = (
        feed(Entropy(SPECS[name]), [values]) for name in ("byte", "signed", "nibble")
    )
    assert nibble < signed < byte


def test_auto_offers_what_the_others_give():
    batches = draw([(1, 300, 2.0, 0.5), (2, 300, 3.0, -0.5)])
    offered = Auto(SPECS["byte"])
    feed(offered, batches)
    assert offered.candidates() == {
        "min-max": feed(MinMax(), batches),
        "moving-average": feed(MovingAverage(), batches),
        "percentile": feed(Percentile(), batches),
        "entropy": feed(Entropy(SPECS["byte"]), batches),
        "mse": feed(MeanSquaredError(SPECS["byte"]), batches),
    }
