from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rewrite import UsageError
from rewrite.quantization.markers import dequantize, quantize
from rewrite.quantization.spec import MIN_SCALE, QuantSpec

SPECS = {
    "uint8": {"dtype": "uint8"},
    "int8": {"dtype": "int8"},
    "int16": {"dtype": "int16"},
    "symmetric-int8": {"dtype": "int8", "symmetric": True},
    "symmetric-uint8": {"dtype": "uint8", "symmetric": True},
    "narrow-int8": {"dtype": "int8", "range": [-127, 127], "symmetric": True},
    "power-of-two": {"dtype": "int8", "symmetric": True, "power-of-two": True},
    "least-range": {"dtype": "uint8", "least-range": 1e-4},
    "four-bit": {"dtype": "int8", "range": [-8, 7]},
}
RANGES = st.tuples(
    st.floats(-3e38, 3e38, allow_nan=False), st.floats(-3e38, 3e38, allow_nan=False)
).map(sorted)
SETTINGS = settings(max_examples=100, deadline=None, derandomize=True, database=None)
ROUNDING = 1e-6
"""Float32 scales: a relative error of a few units in the last place."""


def spec(name: str) -> QuantSpec:
    return QuantSpec.from_data(name, SPECS[name], "test")


def parameters(name: str, low: float, high: float) -> tuple[float, int]:
    scale, zero_point = spec(name).parameters(torch.tensor(low), torch.tensor(high))
    assert scale.dtype == torch.float32
    assert zero_point.dtype == spec(name).torch_dtype
    return float(scale), int(zero_point)


@pytest.mark.parametrize("name", SPECS)
@SETTINGS
@given(bounds=RANGES)
def test_zero_is_exact_and_scales_are_normal(name, bounds):
    scale, zero_point = parameters(name, *bounds)
    assert spec(name).qmin <= zero_point <= spec(name).qmax
    assert math.isfinite(scale) and scale >= MIN_SCALE
    at = torch.tensor(scale), torch.tensor(zero_point, dtype=spec(name).torch_dtype)
    steps = quantize(torch.zeros(1), *at, spec(name).qmin, spec(name).qmax)
    assert int(steps) == zero_point
    assert float(dequantize(steps, *at)) == 0.0


@pytest.mark.parametrize("name", SPECS)
@SETTINGS
@given(bounds=RANGES)
def test_the_range_is_covered_to_half_a_step(name, bounds):
    low, high = min(bounds[0], 0.0), max(bounds[1], 0.0)
    scale, zero_point = parameters(name, *bounds)
    slack = scale * (0.5 + ROUNDING * 2**16)
    assert (spec(name).qmin - zero_point) * scale <= low + slack
    assert (spec(name).qmax - zero_point) * scale >= high - slack


@SETTINGS
@given(bounds=RANGES)
def test_no_scale_is_wider_than_needed(bounds):
    low, high = min(bounds[0], 0.0), max(bounds[1], 0.0)
    scale, _ = parameters("uint8", *bounds)
    if (high - low) / 255 > MIN_SCALE:
        assert scale == pytest.approx((high - low) / 255, rel=ROUNDING)


@pytest.mark.parametrize(
    ("name", "zero_point"),
    [("symmetric-int8", 0), ("symmetric-uint8", 128), ("narrow-int8", 0)],
)
def test_symmetric_zero_points_are_in_the_middle(name, zero_point):
    assert parameters(name, -1.0, 3.0) == (pytest.approx(3 / 127), zero_point)


@pytest.mark.parametrize("name", sorted(SPECS.keys() - {"least-range"}))
def test_nothing_but_zeros_has_scale_one(name):
    assert parameters(name, 0.0, 0.0)[0] == 1.0


def test_denormal_ranges_get_the_smallest_normal_scale():
    assert parameters("uint8", 0.0, 1e-42) == (MIN_SCALE, 0)


@SETTINGS
@given(bounds=RANGES)
def test_powers_of_two_are_the_next_ones_up(bounds):
    scale, zero_point = parameters("power-of-two", *bounds)
    exact, _ = parameters("symmetric-int8", *bounds)
    assert (math.frexp(scale)[0], zero_point) == (0.5, 0)
    assert exact * (1 - ROUNDING) <= scale
    if 2 * MIN_SCALE < exact < 2.0**120:
        assert scale < 2 * exact * (1 + ROUNDING)


@pytest.mark.parametrize(("high", "scale"), [(127.0, 1.0), (128.0, 2.0), (100.0, 1.0), (63.5, 0.5)])
def test_a_power_of_two_that_fits_is_kept(high, scale):
    assert parameters("power-of-two", 0.0, high) == (scale, 0)


def test_narrow_ranges_are_widened():
    assert parameters("least-range", 0.0, 0.0) == (pytest.approx(1e-4 / 255), 0)
    assert parameters("least-range", -2e-5, 1e-5) == (pytest.approx(1e-4 / 255), 51)
    assert parameters("least-range", -1.0, 1.0)[0] == pytest.approx(2 / 255)


def test_bits_that_are_fixed_stay():
    fixed = QuantSpec.from_data("a", {"dtype": "int8", "fixed-bits": True}, "test")
    assert fixed.with_bits(4) is fixed


def test_channels_are_independent():
    low, high = torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([1.0, 0.0, 2.0])
    scale, zero_point = spec("uint8").parameters(low, high)
    for index in range(3):
        one = spec("uint8").parameters(low[index], high[index])
        assert (scale[index], zero_point[index]) == one


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"dtype": "int7"}, "quantized dtype 'int7'"),
        ({"range": [0, 256]}, r"range \[0, 256\] does not fit uint8"),
        ({"range": [5, 5]}, "does not fit"),
        ({"symetric": True}, "symmetric"),
        ({"power-of-two": True, "scale": 0.01}, "no power of two"),
    ],
)
def test_mistakes_in_a_table_are_named(data, message):
    with pytest.raises(UsageError, match=message) as caught:
        QuantSpec.from_data("a", data, "file.toml")
    assert caught.value.where == "file.toml"


@pytest.mark.parametrize(
    ("name", "bits", "expected"),
    [
        ("uint8", 4, ("uint8", 0, 15)),
        ("uint8", 8, ("uint8", 0, 255)),
        ("uint8", 16, ("uint16", 0, 65535)),
        ("symmetric-uint8", 2, ("uint8", 0, 3)),
        ("int8", 4, ("int8", -8, 7)),
        ("narrow-int8", 4, ("int8", -7, 7)),
        ("narrow-int8", 16, ("int16", -32767, 32767)),
    ],
)
def test_other_numbers_of_bits(name, bits, expected):
    spec = QuantSpec.from_data(name, SPECS[name], "here").with_bits(bits)
    assert (spec.dtype, spec.qmin, spec.qmax) == expected
    assert spec.symmetric is QuantSpec.from_data(name, SPECS[name], "here").symmetric


def test_a_fixed_range_stays_the_same_with_other_bits():
    spec = QuantSpec("probability", scale=1 / 255).with_bits(4)
    assert spec.scale == pytest.approx(1 / 15)


@pytest.mark.parametrize("bits", [1, 12, 17])
def test_numbers_of_bits_that_do_not_exist(bits):
    with pytest.raises(UsageError, match=f"there is no quantizer of {bits} bits"):
        QuantSpec("activation").with_bits(bits)


@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point", "wide"),
    [
        ("uint8", 1 / 255, 0, (1 / 65535, 0)),
        ("uint8", 1 / 256, 0, (1 / 65536, 0)),
        ("uint8", 1 / 128, 128, (1 / 32768, 32768)),
        ("uint8", 1 / 256, 255, (1 / 65536, 65535)),
        ("int8", 1 / 255, -128, (1 / 65535, -32768)),
        ("int8", 1 / 128, 0, (1 / 32768, 0)),
    ],
)
def test_fixed_scales_cover_the_same_values_with_sixteen_bits(dtype, scale, zero_point, wide):
    data = {"dtype": dtype, "scale": scale, "zero-point": zero_point}
    spec = QuantSpec.from_data("a", data, "test").with_bits(16)
    assert spec.scale == pytest.approx(wide[0], rel=1e-12)
    assert spec.zero_point == wide[1]
    assert spec.with_bits(8).zero_point == zero_point


def test_a_fixed_scale_serves_where_the_same_integers_are_wanted():
    wanted = QuantSpec("activation", "uint8", 0, 255, least_range=1e-4)
    fixed = QuantSpec("gate", "uint8", 0, 255, scale=1 / 256)
    assert fixed.serves(wanted) and wanted.serves(wanted)
    assert not wanted.serves(fixed)
    assert not fixed.with_bits(16).serves(wanted)
    assert not fixed.serves(QuantSpec("operand", "int8", -128, 127, symmetric=True))
