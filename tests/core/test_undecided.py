"""Places among equals hang on rounding: a pass is not blamed for them, and a wrong one is."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rewrite import CheckError, Context, Emitter, Outcome, Pass, capture
from rewrite.draws import check_inputs
from rewrite.interpret import run_float64
from rewrite.pipeline import run_passes
from rewrite.undecided import settle

aten = torch.ops.aten


class Places(nn.Module):
    """The place of a maximum among sums of the same three numbers, and the numbers themselves."""

    def forward(self, x):
        same = torch.stack([(x + 0.1) * 3, (x * 3) + 0.3, (x + 0.2 - 0.1) * 3], -1)
        return same.argmax(-1), same, x * 2.5


class Regroup(Pass):
    """Write (x + 0.1)·3 as 3·x + 0.3, which rounds otherwise; multiply all else by `factor`."""

    name = "regroup"
    equivalence = "exact"
    factor = 1.0

    def run(self, program, context):
        """Replace the first sum."""
        emit = Emitter(program)
        node = next(n for n in program.graph.nodes if n.target is aten.mul.Tensor)
        x = next(iter(program.inputs()))
        scaled = emit.call(aten.mul.Tensor, like=node, self=x, other=3 * self.factor)
        emit.replace(node, emit.call(aten.add.Tensor, like=node, self=scaled, other=0.3))
        return Outcome(1)


class Wrong(Regroup):
    """The same with another factor."""

    factor = 1.0001


@pytest.fixture(scope="module")
def places():
    torch.manual_seed(0)
    return capture(Places().eval(), (torch.randn(40, 5),))


def test_places_among_equals_are_settled(places):
    result = run_passes(places, [Regroup()], Context())
    assert result.reports[0].difference.relative <= 1e-10
    (told,) = result.warnings
    assert "values of the outputs hang on rounding" in told


def test_a_wrong_rewrite_is_not_excused_by_them(places):
    with pytest.raises(CheckError, match="'regroup' claims to be exact"):
        run_passes(places, [Wrong()], Context())


def test_only_what_rounding_explains_is_replaced(places):
    inputs = check_inputs(places)
    before = [run_float64(places, *each) for each in inputs]
    place, same, rest = before[0]
    after = [[(place + 1) % 3, same, rest + 1e-3]]
    (settled,), count = settle(places, inputs, before, after)
    assert count > 0
    assert (settled[0] == place).double().mean() > 0.9
    assert torch.equal(settled[2], after[0][2])
