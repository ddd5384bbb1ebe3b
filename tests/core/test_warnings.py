"""What is captured, but may not be meant, is told."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rewrite import capture
from rewrite.talk import Talk

AUTO = torch.export.Dim.AUTO


class Told(Talk):
    def __init__(self):
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


def warnings_of(model, *inputs, shapes=None):
    talk = Told()
    capture(model.eval() if model.training else model, inputs, shapes, talk)
    return talk.warnings


class Branch(nn.Module):
    def forward(self, x):
        if x.shape[1] > 16:
            return x[:, -16:] * 2
        return x


def test_a_range_that_auto_narrowed_names_limits_and_line():
    (told,) = warnings_of(Branch(), torch.randn(2, 10), shapes=({0: AUTO, 1: AUTO},))
    assert told.startswith("dimension 1 of 'x' is Dim.AUTO, and the file takes 2 to 16 alone")
    assert "test_warnings.py" in told
    assert "if x.shape[1] > 16:" in told


def test_a_size_that_auto_fixed_is_told():
    (told,) = warnings_of(nn.Linear(3, 4), torch.randn(2, 3), shapes=({0: AUTO, 1: AUTO},))
    assert told == (
        "dimension 1 of 'input' is Dim.AUTO, and the model fixes it: the file takes 3 alone"
    )


@pytest.mark.parametrize(
    ("hint", "is_told"),
    [
        (torch.export.Dim.DYNAMIC, True),
        (AUTO(max=64), True),
        (AUTO(min=2, max=16), False),
        (AUTO(max=12), False),
    ],
)
def test_limits_narrower_than_those_that_were_given_are_told(hint, is_told):
    told = warnings_of(Branch(), torch.randn(2, 10), shapes=({0: AUTO, 1: hint},))
    kind = f"dimension 1 of 'x' is Dim.{hint.type.name}, and the file takes 2 to 16 alone"
    assert [text.startswith(kind) for text in told] == [True] * is_told


class Square(nn.Module):
    def forward(self, x):
        if x.shape[1] == x.shape[2]:
            return x * 2
        return x


def test_sizes_that_auto_made_equal_are_told_with_the_line():
    shapes = ({1: AUTO, 2: AUTO},)
    (told,) = warnings_of(Square(), torch.randn(2, 5, 5), shapes=shapes)
    start = "dimension 2 of 'x' is Dim.AUTO, and the file takes it as equal to dimension 1 of 'x'"
    assert told.startswith(start)
    assert "test_warnings.py" in told
    assert "if x.shape[1] == x.shape[2]:" in told


class Masked(nn.Module):
    def forward(self, x, mask):
        return (x * mask).sum(1)


def test_sizes_that_the_model_needs_equal_are_not_told():
    both = (torch.randn(2, 5), torch.ones(2, 5))
    assert warnings_of(Masked(), *both, shapes=({1: AUTO}, {1: AUTO})) == []


def test_sizes_that_auto_leaves_open_are_not_told():
    assert warnings_of(nn.Linear(3, 4), torch.randn(2, 3), shapes=({0: AUTO},)) == []
    limited = torch.export.Dim("rows", max=9)
    assert warnings_of(nn.Linear(3, 4), torch.randn(2, 3), shapes=({0: limited},)) == []


def test_norms_in_training_mode_are_named():
    net = nn.Sequential(*(nn.BatchNorm1d(4) for _ in range(5))).eval()
    for name in (0, 2, 3, 4):
        net[name].train()
    (told,) = warnings_of(net, torch.randn(2, 4))
    assert told.startswith("'0', '2', '3' and 1 more: a norm in training mode takes the mean")
    assert "call eval() on it" in told


def test_a_norm_without_statistics_is_not_told():
    net = nn.Sequential(nn.InstanceNorm1d(4), nn.BatchNorm1d(4, track_running_stats=False)).eval()
    assert warnings_of(net, torch.randn(2, 4, 5)) == []
