"""int() of a size in a model follows the size."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rewrite import CaptureError, capture
from rewrite.int_of_sizes import takes_an_int

SIDE = torch.export.Dim("side", min=4, max=64)


class Call(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def resized(x):
    return F.interpolate(x, size=(int(x.shape[2] * 0.5), int(x.shape[3])), mode="nearest")


def unpacked(x):
    batch, _, rows, columns = (int(size) for size in x.shape)
    assert isinstance(batch, int) and int is int and int("12") + int(1.9) == 13
    return x.reshape(batch, -1, int(rows * columns)).mean(2) / int(rows / 2)


def branching(x):
    rows = int(x.shape[2])
    return x * rows if rows > 20 else x


def of_type_int(x):
    return x * int(x.shape[2]) + torch.zeros(1, dtype=int)


@pytest.mark.parametrize("function", [resized, unpacked])
def test_int_of_a_size_follows_it(function):
    model = Call(function).eval()
    program = capture(model, (torch.randn(2, 3, 12, 8),), ({2: SIDE},))
    assert "int" not in vars(sys.modules[__name__])
    for side in (4, 17, 40):
        x = torch.randn(2, 3, side, 8)
        torch.testing.assert_close(program(x), model(x))


def test_a_branch_on_it_is_what_fixes_the_size():
    with pytest.raises(CaptureError) as error:
        capture(Call(branching).eval(), (torch.randn(2, 3, 12, 8),), ({2: SIDE},))
    assert "if rows > 20" in str(error.value.where)


def test_where_the_builtin_is_needed_it_is_told():
    with pytest.raises(CaptureError) as error:
        capture(Call(of_type_int).eval(), (torch.randn(2, 3, 12, 8),), ({2: SIDE},))
    assert "int(x.shape[2])" in str(error.value.where)
    assert "math.trunc() or // follows it" in str(error.value.hint)
    assert "int" not in vars(sys.modules[__name__])


def test_a_line_that_takes_an_int():
    assert takes_an_int("a.py:1: n = int(x.shape[1])")
    assert not takes_an_int("a.py:1: n = torch.int(x) + print(y)")
    assert not takes_an_int(None)
