"""What the order of equal values explains is put back; what differs otherwise is not."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from rewrite import capture
from rewrite.checks.judge import Judge
from rewrite.checks.ties import Ties
from rewrite.output_agreement import LOWEST_FLOAT_SQNR, Comparison

SCORES = torch.tensor([[1.0, 0.0, 3.0, 0.0, 0.0, 2.0, 0.0, 0.0]])


class Ranked(nn.Module):
    """Places by score, and values of another table at them."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.arange(8.0) * 10)

    def forward(self, scores):
        places = scores.argsort(-1, descending=True)
        return places, self.table[places]


PROGRAM = capture(Ranked().eval(), (SCORES,))
PLACES, VALUES = (value.clone() for value in Ranked()(SCORES))
NAMES = PROGRAM.signature.output_names


def swapped(*pairs):
    """Return the outputs of a runtime that has some slots in one another's place."""
    order = list(range(8))
    for one, other in pairs:
        order[one], order[other] = order[other], order[one]
    return {
        name: (value, value[:, order])
        for name, value in zip(NAMES, (PLACES.detach(), VALUES.detach()), strict=True)
    }


def test_equal_scores_may_change_places():
    ties = Ties(PROGRAM)
    settled, count = ties.settle(((SCORES,), {}), swapped((3, 5), (4, 7)))
    assert count == 8
    assert all(torch.equal(*pair) for pair in settled.values())


def test_others_may_not():
    ties = Ties(PROGRAM)
    outputs = swapped((0, 1))
    settled, count = ties.settle(((SCORES,), {}), outputs)
    assert count == 0
    assert all(torch.equal(settled[name][1], outputs[name][1]) for name in NAMES)


def test_without_an_order_nothing_is_run():
    class Plain(nn.Module):
        def forward(self, x):
            return x * 2

    assert not Ties(capture(Plain().eval(), (SCORES,))).are_possible


class Best(nn.Module):
    def forward(self, scores):
        return scores.argmax(-1)


@pytest.mark.parametrize(("found", "short"), [([1, 0], False), ([2, 0], True), ([0, 1], True)])
def test_a_comparison_asks_and_counts(found, short):
    scores = torch.tensor([[1.0, 1.0, 0.5], [2.0, 1.0, 0.5]])
    program = capture(Best().eval(), (scores,))
    comparison = Comparison(Judge(program))
    outputs = {program.signature.output_names[0]: (scores.argmax(-1), torch.tensor(found))}
    settle = partial(Ties(program).settle, ((scores,), {}))
    comparison.add(outputs, [scores], "the example", settle)
    agreement = comparison.agreement()
    assert (agreement.shortfall(LOWEST_FLOAT_SQNR) is not None) == short
    assert short or agreement.undecided == 1


def test_a_mask_by_a_place_is_settled():
    class Masked(nn.Module):
        def forward(self, scores):
            return torch.arange(3) == scores.argmax(-1, keepdim=True)

    scores = torch.tensor([[1.0, 1.0, 0.5]])
    program = capture(Masked().eval(), (scores,))
    name, expected = program.signature.output_names[0], Masked()(scores)
    for actual, count in (([[False, True, False]], 2), ([[True, False, True]], 0)):
        _, replaced = Ties(program).settle(
            ((scores,), {}), {name: (expected, torch.tensor(actual))}
        )
        assert replaced == count


def test_a_tie_of_another_row_explains_nothing():
    """The second row has its zeros elsewhere: a place of the first one's is no place of a zero."""
    scores = torch.tensor([[0.0, 0.0, 0.0, 3.0, 2.0, 1.0], [3.0, 2.0, 1.0, 0.0, 0.0, 0.0]])

    class Order(nn.Module):
        def forward(self, scores):
            return scores.argsort(-1, descending=True)

    program = capture(Order().eval(), (scores,))
    right = Order()(scores)
    own, other = right.clone(), right.clone()
    own[1, 3:] = right[1, 3:].roll(1)
    other[1, 4] = 1
    (name,) = program.signature.output_names
    for actual, count in ((own, 3), (other, 0)):
        settled, replaced = Ties(program).settle(((scores,), {}), {name: (right, actual)})
        assert replaced == count
        assert torch.equal(settled[name][1], right) == (count > 0)
