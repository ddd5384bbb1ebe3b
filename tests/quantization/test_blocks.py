"""Blocks of a matrix row with a scale each: exact zeros, bounded errors, no worse with a search."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rewrite.quantization.blocks import quantize_blocks
from rewrite.quantization.markers import dequantize_blocks

SETTINGS = settings(max_examples=50, deadline=None, derandomize=True, database=None)
CASES = {
    "bits": st.integers(2, 8),
    "block": st.sampled_from([2, 4, 8]),
    "symmetric": st.booleans(),
    "seed": st.integers(0, 2**16),
    "offset": st.sampled_from([-3.0, 0.0, 0.5]),
}


def weights(seed, offset):
    return torch.randn(5, 16, generator=torch.Generator().manual_seed(seed)) + offset


def restored(weight, bits, block, *, symmetric, search=False):
    integers, scale, zero_point = quantize_blocks(
        weight, bits, block, symmetric=symmetric, search=search
    )
    return dequantize_blocks(integers, scale, zero_point, 1, block, bits), integers, scale


@given(**CASES)
@SETTINGS
def test_nothing_is_further_than_half_a_step(bits, block, symmetric, seed, offset):
    weight = weights(seed, offset)
    value, integers, scale = restored(weight, bits, block, symmetric=symmetric)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if symmetric else (0, 2**bits - 1)
    assert int(integers.min()) >= low and int(integers.max()) <= high
    # A zero point that is rounded moves the range by up to half a step more.
    bound = scale.repeat_interleave(block, 1) * (0.5 if symmetric else 1.0)
    assert bool(((value - weight).abs() <= bound * (1 + 1e-5)).all())


@given(**CASES)
@SETTINGS
def test_a_search_is_never_worse(bits, block, symmetric, seed, offset):
    weight = weights(seed, offset)
    plain, _, _ = restored(weight, bits, block, symmetric=symmetric)
    found, _, _ = restored(weight, bits, block, symmetric=symmetric, search=True)
    before, after = ((v - weight).double().square().sum() for v in (plain, found))
    assert float(after) <= float(before) * (1 + 1e-6)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("value", [0.0, 1e-44, -2.5, 7.0])
def test_blocks_of_one_value(value, symmetric):
    weight = torch.full((2, 8), value)
    found, _, scale = restored(weight, 4, 4, symmetric=symmetric)
    assert bool(torch.isfinite(scale).all()) and bool((scale > 0).all())
    torch.testing.assert_close(found, weight, rtol=1e-6, atol=1e-37)


def test_zeros_stay_zeros():
    weight = weights(0, 0.0) * (torch.arange(16) % 3 > 0)
    found, _, _ = restored(weight, 4, 8, symmetric=False, search=True)
    assert bool((found[weight == 0] == 0).all())
