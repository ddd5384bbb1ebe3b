"""A program that fails where its model does not is an error that names the line."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rewrite import CheckError, capture
from rewrite.checks.samples import Sample
from rewrite.lowering.agreement import simulate


class LastTwo(nn.Module):
    """Of one sample torch gives one, where torch.export has taken it for two."""

    def forward(self, x):
        return x[-2:].flatten(2).mean(-1)


def test_a_size_that_was_taken_for_granted(tmp_path):
    batch = torch.export.Dim("b", max=64)
    program = capture(LastTwo().eval(), (torch.randn(2, 1, 6, 12),), ({0: batch},))
    one = torch.randn(1, 1, 6, 12)
    sample = Sample("b=1", ((one,), {}), [LastTwo()(one)], is_resized=True)
    with pytest.raises(CheckError, match="the program fails at b=1, where the model does") as error:
        simulate(program, [sample])
    assert error.value.where and "x[-2:].flatten(2)" in error.value.where
    assert "Dim min=" in str(error.value.hint)


def test_what_runs_is_returned():
    program = capture(LastTwo().eval(), (torch.randn(2, 1, 6, 12),))
    given = program.example
    (values,) = simulate(program, [Sample("the example inputs", given, [])])
    torch.testing.assert_close(values[0], LastTwo()(*given[0]))
