"""What is nothing but rounding is put back; what has digits is not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rewrite import capture
from rewrite.checks.judge import Judge
from rewrite.checks.roundings import Roundings
from rewrite.output_agreement import LOWEST_FLOAT_SQNR, Comparison


class Places(nn.Module):
    """The mean of a map and of the coordinates beside it, which is 0."""

    def forward(self, x):
        across = torch.linspace(-1, 1, x.shape[-1]).expand(x.shape[0], 1, x.shape[2], -1)
        return torch.cat([x, across], 1).mean((2, 3))


X = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def compare(module: nn.Module, actual: torch.Tensor):
    program = capture(module.eval(), (X,))
    (name,) = program.signature.output_names
    comparison, roundings = Comparison(Judge(program)), Roundings(program)
    outputs = {name: (module(X), actual)}
    comparison.add(
        outputs, [X], "the example", None, lambda given: roundings.settle(((X,), {}), given)
    )
    return comparison.agreement()


def test_what_cancels_is_no_difference():
    other = Places()(X)
    other[:, 3] += 2e-8
    found = compare(Places(), other)
    assert found.shortfall(LOWEST_FLOAT_SQNR) is None
    assert found.rounded == 2
    assert found.as_json()["rounded"] == 2


@pytest.mark.parametrize("place", [0, 3])
def test_a_difference_beyond_rounding_stays(place):
    other = Places()(X)
    other[:, place] += 1e-3
    found = compare(Places(), other)
    assert found.rounded == 0
    assert found.shortfall(LOWEST_FLOAT_SQNR) is not None


def test_an_output_of_nothing_but_rounding_is_not_put_back():
    class Nothing(nn.Module):
        def forward(self, x):
            return torch.linspace(-1, 1, x.shape[-1]).expand(x.shape).mean(-1)

    found = compare(Nothing(), Nothing()(X) + 2e-8)
    assert found.rounded == 0


def test_what_agrees_is_not_run_again(monkeypatch):
    monkeypatch.setattr(Roundings, "settle", lambda *_: pytest.fail("asked for"))
    assert compare(Places(), Places()(X)).rounded == 0
