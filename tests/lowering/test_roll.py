"""Rolls of any shift, over sizes known now or at run time."""

from __future__ import annotations

import pytest
import torch

from rewrite import capture

from .models import OPSET, Call, assert_agrees, lowered

IMAGE = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
SHIFTS = {
    "one axis": lambda x: x.roll(2, 1),
    "back": lambda x: x.roll(-1, -1),
    "more than the size": lambda x: x.roll(13, 1),
    "several axes": lambda x: x.roll((1, -2), (1, 2)),
    "all elements": lambda x: x.roll(3),
    "the first axis": lambda x: x.roll(1, 0),
}


@pytest.mark.parametrize("shift", SHIFTS)
def test_rolls_of_fixed_sizes_read_no_size(shift, tmp_path):
    program = capture(Call(SHIFTS[shift]).eval(), (IMAGE,))
    assert_agrees(program, tmp_path)
    assert "Mod" not in lowered(program).ops()


@pytest.mark.parametrize("shift", SHIFTS)
def test_rolls_of_sizes_known_at_run_time(shift, tmp_path):
    sizes = {0: torch.export.Dim("batch", max=9), 1: torch.export.Dim("rows", min=2, max=20)}
    program = capture(Call(SHIFTS[shift]).eval(), (IMAGE,), (sizes,))
    for batch, rows in ((2, 5), (3, 7), (1, 2), (4, 13)):
        other = torch.randn(batch, rows, 4, generator=torch.Generator().manual_seed(rows))
        assert_agrees(program, tmp_path, OPSET, other)


def test_a_roll_by_the_size_is_none(tmp_path):
    program = capture(Call(lambda x: x.roll(10, 1) + 1).eval(), (IMAGE,))
    assert_agrees(program, tmp_path)
    assert "Concat" not in lowered(program).ops()
