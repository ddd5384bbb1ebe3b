"""A histogram is a function of the values: batches, order and merging leave no trace."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rewrite.quantization.histogram import BINS, HALF, Histogram
from rewrite.quantization.spec import QuantSpec

SETTINGS = settings(max_examples=60, deadline=None, derandomize=True, database=None)
ROUNDING = 1e-9
"""Of sums of 4096 float64 terms."""

BATCHES = st.lists(
    st.tuples(st.integers(0, 2**20), st.integers(1, 300), st.integers(-40, 40), st.floats(-3, 3)),
    min_size=1,
    max_size=5,
)
SPECS = {
    "byte": QuantSpec("byte"),
    "signed": QuantSpec("signed", "int8", -127, 127, symmetric=True),
    "nibble": QuantSpec("nibble", "uint8", 0, 15),
    "word": QuantSpec("word", "uint16", 0, 65535),
}


def draw(batches) -> list[torch.Tensor]:
    """Return normal values of a seed, a count, a power of two and a shift, one in ten zero."""
    made = []
    for seed, count, exponent, shift in batches:
        generator = torch.Generator().manual_seed(seed)
        values = (torch.randn(count, generator=generator) + shift) * 2.0**exponent
        made.append(torch.where(torch.rand(count, generator=generator) < 0.1, 0.0, values))
    return made


def count(*batches: torch.Tensor) -> Histogram:
    histogram = Histogram()
    for batch in batches:
        histogram.add(batch)
    return histogram


def merged(*parts: Histogram) -> Histogram:
    result = Histogram()
    for part in parts:
        result.merge(part)
    return result


def same(one: Histogram, two: Histogram) -> bool:
    mine, theirs = one.state(), two.state()
    counts = torch.equal(mine.pop("counts"), theirs.pop("counts"))
    return counts and mine == theirs


@SETTINGS
@given(BATCHES)
def test_batches_and_their_order_leave_no_trace(batches):
    values = draw(batches)
    assert same(count(*values), count(*values[::-1]))
    assert same(count(*values), count(torch.cat(values)))


@SETTINGS
@given(BATCHES)
def test_merging_is_counting_everything(batches):
    values = draw(batches)
    assert same(merged(*map(count, values)), count(*values))


@SETTINGS
@given(BATCHES, BATCHES, BATCHES)
def test_merging_is_associative_and_commutative(a, b, c):
    x, y, z = (count(*draw(batches)) for batches in (a, b, c))
    assert same(merged(merged(x, y), z), merged(x, merged(y, z)))
    assert same(merged(x, y), merged(y, x))
    assert same(merged(x, Histogram()), x)


@SETTINGS
@given(BATCHES)
def test_every_value_is_in_its_bin(batches):
    values = torch.cat(draw(batches)).double()
    histogram = count(*draw(batches))
    assert histogram.total() == len(values)
    assert histogram.zeros == int((values == 0).sum())
    magnitude = float(values.abs().max())
    if not magnitude:
        assert histogram.limit == 0 and int(histogram.counts[HALF]) == len(values)
        return
    assert magnitude < histogram.limit <= 2 * magnitude
    edges = histogram.edges()
    inside = torch.searchsorted(values.sort().values, edges)
    assert torch.equal(inside.diff(), histogram.counts)


@SETTINGS
@given(BATCHES)
def test_the_limit_only_grows(batches):
    histogram, before = Histogram(), 0.0
    for values in draw(batches):
        histogram.add(values)
        assert histogram.limit >= before
        assert histogram.limit == 0 or math.frexp(histogram.limit)[0] == 0.5
        assert histogram.counts.shape == (BINS,)
        before = histogram.limit


@SETTINGS
@given(BATCHES)
def test_a_state_is_all_there_is(batches):
    values = draw(batches)
    whole, part = count(*values), count(values[0])
    state = part.state()
    resumed = Histogram()
    resumed.load(state)
    for batch in values[1:]:
        part.add(batch)
        resumed.add(batch)
    assert same(resumed, whole) and same(part, whole)


def test_zeros_before_anything_else_are_counted():
    histogram = count(torch.zeros(7), torch.full((3,), 2.0))
    assert (histogram.total(), histogram.zeros, int(histogram.counts[HALF])) == (10, 7, 7)


@pytest.mark.parametrize("value", [1e-45, 1e-38, 1.0, 3e38])
def test_extreme_magnitudes(value):
    values = torch.tensor([value, -value, 0.0])
    histogram = count(values)
    assert histogram.total() == 3 and histogram.low == float(values.min())
    assert math.isfinite(float(histogram.error(*ends(values), None)))


def ends(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return values.min().double().reshape(1), values.max().double().reshape(1)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("clip", [1.0, 0.5, 0.1])
def test_the_expected_error_is_that_of_the_values(name, clip):
    spec = SPECS[name]
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(200_000, generator=generator)
    values = torch.where(values.abs() < 0.5, 0.0, values)
    low, high = (clip * end for end in ends(values))
    scale, zero = (p.double() for p in spec.parameters(low, high))
    integers = ((values.double() / scale).round() + zero).clamp(spec.qmin, spec.qmax)
    true = float((((integers - zero) * scale - values.double()) ** 2).mean())
    assert float(count(values).error(low, high, spec)) == pytest.approx(true, rel=0.02)


def test_an_error_at_one_point():
    spec = SPECS["byte"]
    low, high = torch.zeros(1).double(), torch.full((1,), 255.0).double()
    for value, error in ((3.0, 0.0), (3.25, 0.0625), (300.0, 45.0**2), (-2.0, 4.0)):
        found = float(count(torch.full((4,), value)).error(low, high, spec))
        assert found == pytest.approx(error, abs=ROUNDING)


def test_zeros_cost_nothing():
    low, high = torch.zeros(1).double(), torch.ones(1).double()
    many = count(torch.zeros(1000), torch.full((1000,), 0.5))
    one = count(torch.full((1000,), 0.5))
    assert float(many.error(low, high, None)) == pytest.approx(
        float(one.error(low, high, None)) / 2
    )
