"""Sizes that torch.export cannot prove: captured where the program is right, else refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rewrite import CaptureError, capture

SIZES = ({0: torch.export.Dim("batch", max=8), 1: torch.export.Dim("tokens", min=3, max=40)},)


class Sized(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.layer, self.far, self.function = nn.Linear(4, 4), nn.Linear(4, 4), function

    def forward(self, x):
        return self.function(self, x)


def line_of(text):
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(i for i, line in enumerate(lines, 1) if line.strip() == text)


def half(m, x):
    return m.layer(x)[:, : x.shape[1] // 2]


def pooled(m, x):
    return F.max_pool1d(m.layer(x).transpose(1, 2), 3, stride=2, padding=1, ceil_mode=True)


def averaged(m, x):
    return F.avg_pool1d(m.layer(x).transpose(1, 2), 3, stride=2, ceil_mode=True)


def places(m, x):
    return m.layer(x + torch.linspace(-1, 1, x.shape[1])[:, None])


def windows(m, x):
    b, n, c = x.shape
    padded = F.pad(x, (0, 0, 0, (4 - n % 4) % 4)).roll(-2, 1)
    rows = padded.view(b, padded.shape[1] // 4, 4, c)
    return m.layer(rows - rows.mean(2, keepdim=True)).flatten(1, 2)[:, :n]


def padded_if_needed(m, x):
    n = x.shape[1]
    if n % 4:
        x = F.pad(x, (0, 0, 0, (4 - n % 4) % 4))
    return m.layer(x).unflatten(1, (-1, 4)).amax(2)


RIGHT = (half, pooled, averaged, places, windows, padded_if_needed)


@pytest.mark.parametrize("function", RIGHT, ids=[f.__name__ for f in RIGHT])
def test_what_is_right_at_every_size_is_captured(function):
    torch.manual_seed(0)
    model = Sized(function).eval()
    program = capture(model, (torch.randn(2, 13, 4),), SIZES)
    assert [d.name for d in program.signature.dynamic["x"].values()] == ["batch", "tokens"]
    assert "assert" not in program.text()
    for batch, tokens in ((1, 3), (2, 4), (3, 16), (8, 39)):
        x = torch.randn(batch, tokens, 4)
        torch.testing.assert_close(program(x), model(x))


def branching(m, x):
    if x.shape[1] > 16:
        return m.far(x[:, -16:])
    return m.layer(x)


def test_a_branch_on_a_size_names_its_line():
    with pytest.raises(CaptureError, match="the dynamic shapes do not hold") as caught:
        capture(Sized(branching).eval(), (torch.randn(2, 13, 4),), SIZES)
    line = line_of("if x.shape[1] > 16:")
    assert f"test_sizes.py:{line}: if x.shape[1] > 16:" in str(caught.value.where)
    assert "<= 16" in caught.value.what


def test_what_depends_on_a_size_names_a_size_where_it_differs():
    def padded(m, x):
        n = x.shape[1]
        if n % 4:
            x = F.pad(x, (0, 0, 0, 4 - n % 4))
        return m.layer(x).sum(1)

    with pytest.raises(CaptureError, match="what it computes depends on a size") as caught:
        capture(Sized(padded).eval(), (torch.randn(2, 13, 4),), SIZES)
    assert "tokens = 4 output 'output' agrees to" in caught.value.what
    assert str(caught.value.where).endswith("if n % 4:")


AUTO = ({0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO},)
BRANCHES = {
    "an odd size": lambda m, x: m.layer(x) * 2 if x.shape[1] % 2 else m.layer(x),
    "an area": lambda m, x: m.layer(x) * 2 if x.numel() > 200 else m.layer(x),
    "two equal sizes": lambda m, x: m.layer(x) * 2 if x.shape[0] == x.shape[1] else m.layer(x),
}


@pytest.mark.parametrize("branch", BRANCHES)
def test_a_branch_on_a_size_left_to_torch_export_is_no_range(branch):
    with pytest.raises(CaptureError, match="what it computes depends on a size") as caught:
        capture(Sized(BRANCHES[branch]).eval(), (torch.randn(2, 13, 4),), AUTO)
    assert "test_sizes.py" in str(caught.value.where)


def test_sizes_that_a_model_with_sizes_left_to_torch_export_does_not_take_are_not_asked_for():
    def pairs(m, x):
        return m.layer(x).reshape(x.shape[0], -1, 2, 4)

    model = Sized(pairs).eval()
    program = capture(model, (torch.randn(2, 12, 4),), AUTO)
    x = torch.randn(3, 8, 4)
    torch.testing.assert_close(program(x), model(x))


def test_sizes_that_the_model_does_not_take_name_the_line():
    def quarters(m, x):
        return m.layer(x).unflatten(1, (x.shape[1] // 4, 4))

    with pytest.raises(CaptureError, match="the dynamic shapes do not hold") as caught:
        capture(Sized(quarters).eval(), (torch.randn(2, 12, 4),), SIZES)
    assert "unflatten(1" in str(caught.value.where)
    assert "tokens" in caught.value.what


def test_a_size_that_is_a_constant_names_the_line():
    def fixed(m, x):
        return m.layer(x).reshape(-1, 13, 2, 2)

    with pytest.raises(CaptureError, match="the dynamic shapes do not hold") as caught:
        capture(Sized(fixed).eval(), (torch.randn(2, 13, 4),), SIZES)
    assert "reshape(-1, 13" in str(caught.value.where)


HEIGHT = torch.export.Dim("height", min=8, max=128)
ONE = {
    "pools": lambda m, x: F.max_pool2d(F.avg_pool2d(x, 4), 2, return_indices=True)[0],
    "a part": lambda m, x: x[:, :, : x.shape[2] // 8] * 2,
    "strides": lambda m, x: F.conv2d(x, torch.ones(4, 3, 8, 8), stride=8),
}


@pytest.mark.parametrize("name", ONE)
def test_a_size_that_comes_to_one_in_the_example_is_no_fixed_one(name):
    model = Sized(ONE[name]).eval()
    program = capture(model, (torch.randn(2, 3, 8, 8),), ({2: HEIGHT},))
    for height in (8, 15, 16, 40):
        x = torch.randn(2, 3, height, 8)
        torch.testing.assert_close(program(x), model(x))


def test_windows_of_a_size_in_steps_may_be_one_in_the_example():
    model = Sized(lambda m, x: x.unflatten(2, (-1, 8)).mean(3)).eval()
    steps = 8 * torch.export.Dim("steps", max=16)
    program = capture(model, (torch.randn(2, 3, 8, 8),), ({2: steps},))
    x = torch.randn(2, 3, 24, 8)
    torch.testing.assert_close(program(x), model(x))


def test_a_larger_example_takes_no_other_branch():
    def branching(m, x):
        return x * 2 if x.shape[2] // 8 == 1 else x * 3

    with pytest.raises(CaptureError, match="the dynamic shapes do not hold"):
        capture(Sized(branching).eval(), (torch.randn(2, 3, 8, 8),), ({2: HEIGHT},))


def test_what_is_wrong_for_another_cause_is_not_said_of_the_sizes():
    def exported_otherwise(m, x):
        return pooled(m, x) * (2 if torch.compiler.is_exporting() else 3)

    model = Sized(exported_otherwise).eval()
    with pytest.raises(CaptureError, match="does not compute what the model does") as caught:
        capture(model, (torch.randn(2, 13, 4),), SIZES)
    assert "is_exporting()" in str(caught.value.where)


class Strided(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 4, 3, stride=2, padding=1)

    def forward(self, x):
        y = self.conv(x)
        y = F.pad(y, (0, -y.shape[2] % 4))
        return F.avg_pool1d(y, 4)


def test_sizes_that_cannot_be_solved_name_the_line():
    width = torch.export.Dim("width", min=6, max=64)
    model, x = Strided().eval(), torch.randn(2, 4, 8)
    try:
        program = capture(model, (x,), ({2: width},))
    except CaptureError as error:  # torch 2.13 has no solution
        assert "the dynamic shapes do not hold" in error.what
        assert str(error.where).endswith("return F.avg_pool1d(y, 4)")
    else:
        x = torch.randn(2, 4, 37)
        torch.testing.assert_close(program(x), model(x))
