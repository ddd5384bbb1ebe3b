"""Each output of floats has an SQNR of its own, the worst one counts, and integers have none."""

from __future__ import annotations

import math

import pytest
import torch

from rewrite import capture
from rewrite.checks.judge import Judge
from rewrite.equivalence import difference, loss

GOOD = torch.tensor([3.0, 1.0, 1.0, 2.0])
WRONG = torch.tensor([1.0, 3.0, 1.0, 2.0])
NOISY_DB = 10 * math.log10(15 / 8)
IDS = torch.arange(4) + 30000
OTHER_IDS = torch.tensor([30000, 30001, 0, 0])
SILENT = torch.zeros(4)


def test_an_output_does_not_hide_behind_another_of_large_values():
    found = difference([(GOOD, WRONG), (GOOD * 1e3, GOOD * 1e3 + 1)], ["probs", "boxes"])
    assert found.sqnr_db == pytest.approx(NOISY_DB)
    assert found.output == "probs"
    assert found.cosine == pytest.approx(11 / 15)
    assert found.as_json()["output"] == "probs"


def test_without_names_each_pair_is_an_output():
    found = difference([(GOOD, WRONG), (GOOD * 1e3, GOOD * 1e3)])
    assert found.sqnr_db == pytest.approx(NOISY_DB)
    assert found.output == ""


def test_draws_of_one_output_are_measured_together():
    found = difference([(GOOD, WRONG), (GOOD * 1e3, GOOD * 1e3)], ["out", "out"])
    assert found.sqnr_db > 60
    assert found.output == ""


def test_integers_are_no_signal():
    found = difference([(GOOD, WRONG), (IDS, IDS)], ["logits", "ids"])
    assert found.sqnr_db == pytest.approx(NOISY_DB)
    assert found.output == ""
    assert found.as_json()["integers"] == {"output": "ids", "equal_percent": 100.0}


def test_integers_are_no_noise_and_the_share_that_is_equal_is_told():
    flags = torch.tensor([True, True, False, True])
    pairs = [(GOOD, GOOD), (IDS, OTHER_IDS), (flags, torch.ones(4, dtype=torch.bool))]
    found = difference(pairs, ["logits", "ids", "flags"])
    assert found.sqnr_db == math.inf
    assert found.as_json()["integers"] == {"output": "ids", "equal_percent": 50.0}


def test_an_exact_pass_is_held_to_its_integers():
    assert difference([(GOOD, GOOD), (IDS, OTHER_IDS)]).relative == pytest.approx(1, rel=1e-3)


def test_integers_decide_where_there_are_no_floats():
    large = torch.arange(4) * 10**6
    found = difference([(IDS, OTHER_IDS), (large, large)], ["ids", "large"])
    assert found.sqnr_db == pytest.approx(10 * math.log10(2), abs=1e-2)
    assert found.output == "ids"
    assert found.integers is not None and found.integers.equal == 0.5


def test_what_differs_from_zero_is_held_against_the_other_outputs():
    """Four ones where the reference is zero: no ratio of their own, 4 to the 15 of the other."""
    found = difference([(GOOD, GOOD), (SILENT, SILENT + 1)], ["out", "silent"])
    assert found.sqnr_db == pytest.approx(10 * math.log10(15 / 4))
    assert found.output == ""


def test_zeros_that_are_zeros_hide_nothing():
    found = difference([(GOOD, WRONG), (SILENT, SILENT)], ["out", "silent"])
    assert found.sqnr_db == pytest.approx(NOISY_DB)


def test_an_output_with_infinities_in_other_places_is_the_worst():
    found = difference([(GOOD, WRONG), (GOOD, GOOD * math.inf)], ["probs", "boxes"])
    assert found.sqnr_db == -math.inf
    assert found.output == "boxes"
    assert found.as_json()["max_abs"] is None


def test_equal_outputs_have_no_worst_one():
    found = difference([(GOOD, GOOD), (WRONG, WRONG)], ["probs", "boxes"])
    assert (found.sqnr_db, found.cosine, found.output) == (math.inf, pytest.approx(1.0), "")


class Named(torch.nn.Module):
    def forward(self, x):
        return {"count": 2, "probs": x * 2, "boxes": x * 3}


def test_names_go_by_the_outputs_of_every_draw():
    """What the model returns beside tensors has a name too, and is not compared."""
    program = capture(Named().eval(), (GOOD,))
    given = [[2, GOOD, GOOD], [3, GOOD, GOOD]]
    wrong = [[2, GOOD, GOOD], [3, GOOD, WRONG]]
    found = loss(Judge(program), [[GOOD], [GOOD]], given, wrong)
    assert found.output == "boxes"
    assert found.sqnr_db == pytest.approx(10 * math.log10(30 / 8))


def test_both_parts_of_complex_numbers_count():
    exact = torch.tensor([3.0 + 4.0j, 1.0 - 2.0j])
    found = difference([(exact, exact + 0.5j)])
    assert (found.max_abs, found.relative) == (0.5, 0.125)
    assert difference([(exact, exact.clone())]).sqnr_db == float("inf")
