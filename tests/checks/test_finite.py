"""One value is enough, wherever it is."""

from __future__ import annotations

import pytest
import torch

from rewrite.checks.finite import all_finite


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("place", [0, 17, -1])
def test_one_value_shows(dtype, value, place):
    values = torch.randn(5, 7).to(dtype)
    assert all_finite(values)
    values.view(-1)[place] = value
    assert not all_finite(values)
    assert not all_finite(values.t())


def test_the_largest_numbers_are_finite():
    assert all_finite(torch.tensor([torch.finfo(torch.float32).max, -3e38]))


def test_integers_and_nothing_are_finite():
    assert all_finite(torch.tensor([1, 2]))
    assert all_finite(torch.empty(0))
    assert all_finite(torch.tensor(3.0))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("place", [0, 31, 70_001, -1])
def test_one_value_shows_among_many(value, place):
    values = torch.randn(300, 1001)
    assert all_finite(values)
    values.view(-1)[place] = value
    assert not all_finite(values)
