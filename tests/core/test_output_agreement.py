"""Outputs are compared batch by batch: the worst one decides, and is named."""

from __future__ import annotations

import math

import pytest
import torch

from rewrite.output_agreement import Agreement, Comparison

GOOD = torch.tensor([[3.0, 1.0], [1.0, 2.0]])
WRONG = torch.tensor([[1.0, 3.0], [1.0, 2.0]])


def compared(*batches: tuple[torch.Tensor, torch.Tensor]) -> Agreement:
    comparison = Comparison()
    for batch in batches:
        comparison.add([batch])
    return comparison.agreement()


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
    assert found.as_json()["worst_batch"] == {"name": "calibration batch 1", "sqnr_db": None}


def test_outputs_without_classes_have_no_top1():
    column = torch.ones(3, 1)
    assert compared((column, column), (torch.ones(3), torch.ones(3))).top1 is None
