"""Composite operators are written as those that have node units."""

from __future__ import annotations

import pytest
import torch
from rewrite_plugins.split_composites import SplitComposites
from torch import nn
from torch.nn import functional as F

from rewrite.testing import check_declines, check_pass, randomise_

from .models import GOLDEN, Call, ops, randn

SPLIT = SplitComposites()
IMAGE = randn(2, 6, 5, 5)
ROWS = randn(3, 6)


def seeded(layer: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return randomise_(nn.Sequential(layer))


CASES = {
    "silu": (nn.Sequential(nn.SiLU()), ROWS),
    "batch-norm": (seeded(nn.BatchNorm2d(6)), IMAGE),
    "group-norm": (seeded(nn.GroupNorm(3, 6)), IMAGE),
    "numbers": (Call(lambda m, x: (x * 2 + 1) / 3 - 0.5), ROWS),
    "choice": (Call(lambda m, x: x + torch.where(x > 0, 0.0, -8.0)), ROWS),
    "roll": (Call(lambda m, x: torch.roll(x, (-2, 7), (2, 3)).roll(5, 2) * x), IMAGE),
    "condition": (Call(lambda m, x: x * (x > 0).float()), ROWS),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_split(case):
    model, x = CASES[case]
    golden = GOLDEN / f"split-composites-{case}.txt"
    program = check_pass(SPLIT, model, (x,), golden=golden)
    check_pass(SPLIT, program, rewrites=0)  # a second time there is nothing left


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_norms_of_every_rank_become_convolutions(rank):
    norm = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[rank]
    x = randn(2, 4, *[3] * rank)
    assert ops(check_pass(SPLIT, seeded(norm(4)), (x,), rewrites=1)) == [f"conv{rank}d"]
    assert ops(check_pass(SPLIT, seeded(norm(4, affine=False)), (x,))) == [f"conv{rank}d"]
    assert ops(check_pass(SPLIT, seeded(nn.GroupNorm(2, 4)), (x,)))[-1] == f"conv{rank}d"


def test_a_group_norm_of_any_number_of_rows():
    shapes = ({0: torch.export.Dim("batch")},)
    check_pass(SPLIT, seeded(nn.GroupNorm(3, 6)), (IMAGE,), dynamic_shapes=shapes, rewrites=1)


def test_norms_of_several_layers_have_weights_of_their_own():
    model = Call(
        lambda m, x: m.b(m.a(x).relu()),
        a=seeded(nn.BatchNorm2d(6))[0],
        b=randomise_(nn.BatchNorm2d(6)),
    )
    program = check_pass(SPLIT, model, (IMAGE,), rewrites=2)
    read = {str(n.target) for n in program.graph.nodes if n.op == "get_attr" and n.users}
    assert len(read) == 4


def test_multiples_are_left():
    model = Call(lambda m, x: torch.add(x, 1, alpha=2))
    assert ops(check_pass(SPLIT, model, (ROWS,), rewrites=0)) == ["add"]


DECLINES = {
    "no space": (seeded(nn.BatchNorm1d(6)), ROWS, "it has no space: a linear layer"),
    "group norm without space": (seeded(nn.GroupNorm(2, 6)), ROWS, "it has no space"),
    "no factors": (
        nn.GroupNorm(2, 6, affine=False),
        IMAGE,
        "its factors are computed, or missing",
    ),
    "by the batch": (
        Call(lambda m, x: F.batch_norm(x, None, None, training=True)),
        IMAGE,
        "it normalises with the statistics of the batch",
    ),
    "computed": (
        Call(lambda m, x: F.batch_norm(x, m.mean * 2 + x.mean((0, 2, 3)), m.var), mean=ROWS[0],
             var=ROWS[0].abs() + 1),
        IMAGE,
        "its running_mean is computed at run time",
    ),
    "tensors": (Call(lambda m, x: x + x.relu()), ROWS, "both sides are tensors"),
    "integers": (Call(lambda m, x: x.argmax(1) + 1), ROWS, "it computes with integers"),
    "choice of integers": (
        Call(lambda m, x: torch.where(x > 0, 1, 2)), ROWS, "it chooses between integers"
    ),
    "single choice": (
        Call(lambda m, x: x * torch.where(x.sum() > 0, 0.5, -8.0)),
        ROWS,
        "it chooses a single number",
    ),
    "single condition": (
        Call(lambda m, x: x * (x.sum() > 0).float()), ROWS, "it casts a single condition"
    ),
    "single result": (
        Call(lambda m, x: x.sum() * 2), ROWS, "it computes with integers, or with a single number"
    ),
    "roll of integers": (Call(lambda m, x: x.argmax(1).roll(1, 1)), IMAGE, "it moves integers"),
    "roll of rows": (
        Call(lambda m, x: x.roll(1).tanh()), ROWS, "it rolls all elements as one row"
    ),
    "cast": (Call(lambda m, x: (x > 0).long()), ROWS, "it casts no condition to float32"),
}  # fmt: skip


@pytest.mark.parametrize("case", DECLINES)
def test_it_declines(case):
    model, x, reason = DECLINES[case]
    check_declines(SPLIT, model, (x,), reason=reason)


def test_a_roll_along_a_dynamic_size_declines():
    class Rolled(nn.Module):
        def forward(self, x):
            return x.roll(1, 0)

    shapes = ({0: torch.export.Dim("batch", min=2, max=9)},)
    reason = "the size it rolls along is dynamic"
    check_declines(SPLIT, Rolled().eval(), (ROWS,), reason, dynamic_shapes=shapes)


def test_a_group_norm_of_dynamic_space_declines():
    height, width = (torch.export.Dim(name, min=2, max=9) for name in ("height", "width"))
    reason = "its channels or its space have dynamic sizes"
    model = seeded(nn.GroupNorm(3, 6))
    check_declines(SPLIT, model, (IMAGE,), reason, dynamic_shapes=({2: height, 3: width},))


def test_numbers_that_float32_rounds_are_exact_until_the_file_is_written():
    check_pass(SPLIT, Call(lambda m, x: x + 0.2), (ROWS,), rewrites=1)
