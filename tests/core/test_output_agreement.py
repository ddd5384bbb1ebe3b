"""Outputs are compared one by one and batch by batch: the worst one decides, and is named."""

from __future__ import annotations

import math

import pytest
import torch

from rewrite.checks.judge import Judge, Judged
from rewrite.checks.samples import EXAMPLE
from rewrite.output_agreement import Agreement, Comparison

GOOD = torch.tensor([[3.0, 1.0], [1.0, 2.0]])
WRONG = torch.tensor([[1.0, 3.0], [1.0, 2.0]])


class Whole(Judge):
    """Takes nothing apart."""

    def __init__(self):
        pass

    def take_apart(self, outputs, inputs):
        return Judged([(name, *pair) for name, pair in outputs.items()])


def compared(*batches: tuple[torch.Tensor, torch.Tensor]) -> Agreement:
    return together(*({"out": batch} for batch in batches))


def test_a_batch_does_not_hide_behind_large_values():
    found = compared((GOOD * 1e3, GOOD * 1e3), (GOOD, WRONG), (GOOD, GOOD))
    noise, signal = 8.0, 15.0
    assert found.worst_batch == "calibration batch 1"
    assert found.worst_db == found.lowest_db == pytest.approx(10 * math.log10(signal / noise))
    assert found.where == " on calibration batch 1"
    assert found.difference.sqnr_db > 60
    assert found.top1 == pytest.approx(100 * 5 / 6)
    assert found.as_json()["worst_batch"] == {
        "name": "calibration batch 1",
        "output": None,
        "sqnr_db": found.worst_db,
    }


def test_the_first_batch_are_the_example_inputs():
    assert compared((GOOD, WRONG), (GOOD, GOOD)).where == " on the example inputs"


def test_equal_outputs_have_no_worst_batch():
    found = compared((GOOD, GOOD), (GOOD, GOOD))
    assert found.lowest_db == math.inf and found.where == ""
    assert found.as_json()["worst_batch"] is None


def test_outputs_that_are_all_zero_have_no_ratio_and_count_together():
    zero = torch.zeros(2, 2)
    found = compared((GOOD, GOOD), (zero, zero + 1))
    assert found.worst_batch == "" and found.where == ""
    assert found.lowest_db == found.difference.sqnr_db == pytest.approx(10 * math.log10(15 / 4))


def test_infinities_in_other_places_are_the_worst():
    found = compared((GOOD, GOOD), (GOOD, GOOD * math.inf))
    assert found.lowest_db == -math.inf
    worst = {"name": "calibration batch 1", "output": None, "sqnr_db": None}
    assert found.as_json()["worst_batch"] == worst


def test_outputs_without_classes_have_no_top1():
    column = torch.ones(3, 1)
    assert compared((column, column), (torch.ones(3), torch.ones(3))).top1 is None


def together(*batches: dict[str, tuple[torch.Tensor, torch.Tensor]]) -> Agreement:
    comparison = Comparison(Whole())
    for place, batch in enumerate(batches):
        label = f"calibration batch {place}" if place else EXAMPLE
        comparison.add(batch, (), label)
    return comparison.agreement()


def test_an_output_does_not_hide_behind_another_one():
    same, large = (GOOD, GOOD), (GOOD * 1e3, GOOD * 1e3 + 1)
    found = together({"probs": same, "boxes": large}, {"probs": (GOOD, WRONG), "boxes": large})
    assert found.worst_db == found.lowest_db == pytest.approx(10 * math.log10(15 / 8))
    assert found.difference.sqnr_db == pytest.approx(10 * math.log10(30 / 8))
    assert found.difference.output == found.worst_output == "probs"
    assert found.where == " in 'probs' on calibration batch 1"
    assert found.shortfall(10) == (
        "only to 2.7 dB in 'probs' on calibration batch 1 (required: 10 dB)"
    )
    assert found.shortfall(2) is None


def test_an_output_that_decides_with_all_batches_is_named():
    """A batch of zeros has no ratio of its own: what differs there counts with the others."""
    zero = torch.zeros(2, 2)
    first = {"out": (GOOD * 1e3, GOOD * 1e3), "aux": (GOOD, GOOD)}
    found = together(first, {"out": (zero, zero + 10), "aux": (zero, zero)})
    assert found.worst_batch == ""
    assert found.where == " in 'out'"
    assert found.lowest_db == pytest.approx(10 * math.log10(15e6 / 400))


def test_a_batch_without_signal_is_not_judged_by_its_integers():
    zero, ids = torch.zeros(2, 2), torch.arange(4)
    found = together(
        {"out": (GOOD, GOOD), "ids": (ids, ids)}, {"out": (zero, zero), "ids": (ids, ids + 1)}
    )
    assert found.lowest_db == math.inf


def test_integers_of_a_float_file_are_to_be_equal():
    ids = torch.arange(200)
    few, many = ids.clone(), ids.clone()
    few[:2], many[:50] = -1, -1
    assert together({"out": (GOOD, GOOD), "ids": (ids, few)}).shortfall(60) is None
    found = together({"out": (GOOD, GOOD), "ids": (ids, many)})
    assert found.shortfall(60) == "only in 75.00 % of the integers in 'ids' (required: 99 %)"


def test_integers_of_a_quantized_file_are_told_only():
    """Scores that are nearly as good change places: indices say nothing of how near they are."""
    ids = torch.arange(4)
    found = together({"out": (GOOD, GOOD), "ids": (ids, ids.flip(0))})
    assert found.shortfall(20) is None
    assert found.as_json()["integers"] == {"output": "ids", "equal_percent": 0.0}


def test_integers_alone_have_to_agree():
    ids = torch.arange(4)
    assert together({"ids": (ids, ids.flip(0))}).shortfall(10) is not None
    assert together({"ids": (ids, ids)}).shortfall(10) is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_output_without_a_finite_number_does_not_agree(value):
    nothing = torch.full((2, 2), value)
    found = together({"out": (GOOD, GOOD), "mask": (nothing, nothing)})
    assert found.shortfall(10) == (
        "in nothing: 'mask' holds no finite number, on any of the inputs"
    )
    seen = together({"mask": (nothing, nothing)}, {"mask": (GOOD, GOOD)})
    assert seen.shortfall(10) is None
