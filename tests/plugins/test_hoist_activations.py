"""Activations move in front of rearrangements of what a layer gives, and of nothing else."""

from __future__ import annotations

import pytest
import torch
from rewrite_plugins.hoist_activations import HoistActivations
from torch import nn
from torch.nn import functional as F

from rewrite.testing import check_declines, check_pass

from .models import GOLDEN, Call, captured, ops, outcome, randn

HOIST = HoistActivations()
IMAGE = randn(2, 4, 5, 6)


def net(function) -> nn.Module:
    torch.manual_seed(0)
    return Call(
        function, conv=nn.Conv2d(4, 8, 3, padding=1), linear=nn.Linear(6, 8), slopes=torch.rand(2)
    ).eval()


CASES = {
    "shuffled": (lambda m, x: F.pixel_shuffle(m.conv(x), 2).relu(), ["conv2d", "relu"]),
    "cut": (
        lambda m, x: F.hardtanh(F.pixel_shuffle(m.conv(x), 2)[:, :, 1:-1, 1:-1]),
        ["conv2d", "hardtanh"],
    ),
    "turned": (lambda m, x: F.silu(m.linear(x).permute(0, 2, 1, 3)), ["linear", "silu"]),
    "reshaped": (lambda m, x: F.leaky_relu(m.conv(x).flatten(2), 0.2), ["conv2d", "leaky_relu"]),
}
DECLINES = {
    "no layer": (
        lambda m, x: F.pixel_shuffle(x.exp(), 2).relu(),
        "no layer gives what is rearranged in front of it",
    ),
    "two readers": (
        lambda m, x: (y := F.pixel_shuffle(m.conv(x), 2)).relu() + y,
        "something else reads what it would be moved in front of",
    ),
    "two parts": (
        lambda m, x: (y := m.conv(x))[:, :6].relu() + y[:, 2:],
        "something else reads what it would be moved in front of",
    ),
    "dropped": (
        lambda m, x: m.conv(x)[:, :4].relu(),
        "much of what it would compute is dropped behind it",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_moves(case):
    function, first = CASES[case]
    golden = GOLDEN / f"hoist-activations-{case}.txt"
    program = check_pass(HOIST, net(function), (IMAGE,), golden=golden, rewrites=1)
    assert ops(program)[:2] == first


@pytest.mark.parametrize("case", DECLINES)
def test_it_declines(case):
    function, reason = DECLINES[case]
    check_declines(HOIST, net(function), (IMAGE,), reason=reason)


def test_nothing_between_is_no_miss():
    found = outcome(captured(net(lambda m, x: m.conv(x).relu()), IMAGE), HOIST)
    assert (found.rewrites, found.rejected) == (0, [])


def test_slopes_of_channels_are_none_of_elements():
    model = net(lambda m, x: F.prelu(F.pixel_shuffle(m.conv(x), 2), m.slopes))
    program = check_pass(HOIST, model, (IMAGE,), rewrites=0)
    assert ops(program) == ["conv2d", "pixel_shuffle", "prelu"]


def test_images_of_any_size():
    shapes = (({0: torch.export.Dim("batch"), 3: torch.export.Dim("width", min=4, max=64)},),)
    model = net(CASES["cut"][0])
    check_pass(HOIST, Call(lambda m, x: m.net(x), net=model), (IMAGE,), dynamic_shapes=shapes)
