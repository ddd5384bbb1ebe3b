"""The judge: what is wrong is told, what nobody can know is not."""

from __future__ import annotations

import math

import torch

from .judge import FLOAT_FLOOR, beyond_noise, compare, sqnr


def _values(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_float32_noise_agrees():
    x = _values(4, 8)
    assert not compare([x], [x * (1 + 1e-6)], FLOAT_FLOOR)


def test_a_small_error_is_found():
    x = _values(4, 8)
    assert compare([x], [x * 1.01], FLOAT_FLOOR)[0].db < 41


def test_shapes_types_and_numbers_of_outputs_count():
    x = _values(4, 8)
    assert compare([x], [x[:2]], FLOAT_FLOOR)
    assert compare([x], [x.double()], FLOAT_FLOOR)
    assert compare([x], [x, x], FLOAT_FLOOR)


def test_nan_and_infinity_sit_in_the_same_places():
    x = torch.tensor([1.0, math.nan, math.inf])
    assert not compare([x], [x.clone()], FLOAT_FLOOR)
    assert compare([x], [torch.tensor([1.0, 2.0, math.inf])], FLOAT_FLOOR)
    assert compare([x], [torch.tensor([1.0, math.nan, -math.inf])], FLOAT_FLOOR)


def test_what_is_all_nan_elsewhere_does_not_agree():
    x = _values(4)
    assert compare([x], [x * math.nan], FLOAT_FLOOR)


def test_a_value_that_cancels_is_no_fault():
    x = 1000 + _values(4, 8)

    def run(given):
        return [(given - given.double().mean().float()) * 1e-6]

    expected = run(x)
    actual = [expected[0] + 3e-12 * _values(4, 8)]
    found = compare(expected, actual, 1e3)
    assert not beyond_noise(found, expected, run, x, FLOAT_FLOOR)


def test_a_step_on_the_edge_is_no_fault():
    x = torch.full((64,), 2.0)

    def run(given):
        return [torch.floor(given)]

    found = compare(run(x), [torch.floor(x - 1e-5)], FLOAT_FLOOR)
    assert found
    assert not beyond_noise(found, run(x), run, x, FLOAT_FLOOR)


def test_a_wrong_step_is_a_fault():
    x = _values(64)

    def run(given):
        return [torch.floor(given)]

    found = compare(run(x), [torch.ceil(x)], FLOAT_FLOOR)
    assert beyond_noise(found, run(x), run, x, FLOAT_FLOOR)


def test_ids_that_differ_are_a_fault():
    x = _values(32, 8)

    def run(given):
        return [given.argmax(-1)]

    found = compare(run(x), [x.argmin(-1)], FLOAT_FLOOR)
    assert beyond_noise(found, run(x), run, x, FLOAT_FLOOR)


def test_the_order_of_equal_values_is_no_fault():
    x = _values(8, 12)

    def run(given):
        return list(torch.clamp(100 * given, -1, 1).topk(3))

    values, places = run(x)
    other = torch.clamp(100 * x, -1, 1).flip(-1).topk(3).indices
    found = compare([values, places], [values, 11 - other], FLOAT_FLOOR)
    assert [verdict.output for verdict in found] == [1]
    assert not beyond_noise(found, [values, places], run, x, FLOAT_FLOOR)


def test_ratio_of_nothing():
    zeros = torch.zeros(3)
    assert sqnr(zeros, zeros) == math.inf
    assert sqnr(zeros, zeros + 1) == -math.inf


def test_the_sign_of_a_denormal_is_no_fault():
    x = torch.tensor([90.0, 1.0])

    def run(given):
        return [torch.sign(torch.exp(-given))]

    flushed = [torch.tensor([0.0, 1.0])]
    found = compare(run(x), flushed, FLOAT_FLOOR)
    assert found and not beyond_noise(found, run(x), run, x, FLOAT_FLOOR)


def test_what_rounding_left_is_no_fault():
    x = torch.tensor([0.1, 0.1, 0.1])

    def run(given):
        return [(given - given.sum() / 3) / 1e-8]

    def precise(given):
        return run(given.double())

    left = [torch.tensor([-0.9, 0.4, -0.5])]
    expected = [torch.tensor([0.7, 0.7, 0.7])]
    found = compare(expected, left, FLOAT_FLOOR)
    assert beyond_noise(found, expected, lambda given: expected, x, FLOAT_FLOOR)
    assert not beyond_noise(found, expected, lambda given: expected, x, FLOAT_FLOOR, precise)


def test_a_remainder_without_digits_is_no_fault():
    x = torch.tensor([3e9, 1.25])

    def run(given):
        return [torch.fmod(given, 0.75)]

    garbage = [torch.tensor([8e9, 0.5])]
    found = compare(run(x), garbage, FLOAT_FLOOR)
    assert found and not beyond_noise(found, run(x), run, x, FLOAT_FLOOR)
    wrong = [torch.tensor([8e9, 0.25])]
    found = compare(run(x), wrong, FLOAT_FLOOR)
    assert beyond_noise(found, run(x), run, x, FLOAT_FLOOR)


def test_equal_values_may_be_in_any_order():
    x = torch.zeros(4, 3)

    def run(given):
        return [torch.sort(given, 1, descending=True)[1]]

    found = compare(run(x), [run(x)[0].flip(1)], FLOAT_FLOOR)
    assert found
    assert not beyond_noise(found, run(x), run, x, FLOAT_FLOOR)
    x = _values(4, 3)
    found = compare(run(x), [run(x)[0].flip(1)], FLOAT_FLOOR)
    assert beyond_noise(found, run(x), run, x, FLOAT_FLOOR)


def test_equal_values_stay_equal_behind_their_order():
    x = torch.zeros(8, 5)

    def run(given):
        return [(given.sort(-1)[0] * 3).topk(2, dim=-1)[1]]

    found = compare(run(x), [run(x)[0].flip(-1)], FLOAT_FLOOR)
    assert found
    assert not beyond_noise(found, run(x), run, x, FLOAT_FLOOR)


def test_the_rounding_of_an_operator_inside_is_no_fault():
    """Every x/x is 1 whatever x is: only another rounding of the division crosses the edge."""
    x = _values(64).abs() + 1

    def run(given):
        return [torch.bucketize(given / given, torch.tensor([1.0]))]

    found = compare(run(x), [torch.ones(64, dtype=torch.int64)], FLOAT_FLOOR)
    assert found
    assert not beyond_noise(found, run(x), run, x, FLOAT_FLOOR)


def test_not_a_number_where_rounding_decides_is_no_fault():
    x = _values(64) - 40

    def run(given):
        rest = torch.nn.functional.elu(given) + 1
        return [torch.cat([rest / rest.abs(), given])]

    expected = run(x)
    found = compare(expected, [torch.cat([torch.ones(64), x])], FLOAT_FLOOR)
    assert found
    assert not beyond_noise(found, expected, run, x, FLOAT_FLOOR)
    found = compare(expected, [torch.full((128,), math.nan)], FLOAT_FLOOR)
    assert beyond_noise(found, expected, run, x, FLOAT_FLOOR)


def test_equal_values_go_the_same_way_is_no_fault():
    """Each of them alone would leave a mean that rounds to 0."""
    x = torch.full((64,), 24.5)

    def run(given):
        return [torch.round((torch.round(given * 1.0) - 24).mean() * 0.9).reshape(1)]

    assert run(x)[0].item() == 0.0
    found = compare(run(x), [torch.ones(1)], FLOAT_FLOOR)
    assert found
    assert not beyond_noise(found, run(x), run, x, FLOAT_FLOOR)
    x = x - 0.1  # no longer halfway
    assert beyond_noise(found, run(x), run, x, FLOAT_FLOOR)


def test_a_sigmoid_above_1_is_no_fault():
    """torch gives infinity, and what is rounded up not a number."""
    x = torch.cat([_values(400).abs() * 50 + 20, _values(8)])

    def run(given):
        return [torch.logit(torch.sigmoid(given))]

    expected, lost = run(x), torch.arange(408) < 300
    found = compare(expected, [expected[0].masked_fill(lost, math.nan)], FLOAT_FLOOR)
    assert found
    assert not beyond_noise(found, expected, run, x, FLOAT_FLOOR)
    found = compare(expected, [expected[0].masked_fill(~expected[0].isinf(), 7.0)], FLOAT_FLOOR)
    assert beyond_noise(found, expected, run, x, FLOAT_FLOOR)
