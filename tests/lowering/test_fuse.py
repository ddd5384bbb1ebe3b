"""Chains of operators that become one, and chains that only look like them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.export import Dim

from rewrite import capture

from .models import Call, assert_agrees, lowered


def rand(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def blocks(x, block=2, dims=(0, 3, 5, 1, 2, 4)):
    n, c, h, w = x.shape
    apart = x.reshape(n, c, h // block, block, w // block, block).permute(dims)
    return apart.reshape(n, c * block * block, h // block, w // block)


class Padded(nn.Module):
    """A convolution and a function of it and the input."""

    def __init__(self, function, conv):
        super().__init__()
        self.function, self.conv = function, conv

    def forward(self, x):
        return self.function(self.conv, x)


def kinds(function, *inputs, dynamic=None, conv=None):
    module = Call(function) if conv is None else Padded(function, conv)
    program = capture(module.eval(), inputs, dynamic)
    return program, [node.op_type for node in lowered(program).model.graph]


@pytest.mark.parametrize("block", [2, 3])
@pytest.mark.parametrize("dynamic", [False, True])
def test_blocks_of_pixels_become_channels_in_one_operator(block, dynamic, tmp_path):
    sizes = {"x": {0: Dim("batch", max=8)}} if dynamic else None
    program, found = kinds(lambda x: blocks(x, block), rand(2, 3, 6, 12), dynamic=sizes)
    assert found == ["SpaceToDepth"]
    assert_agrees(program, tmp_path)


def test_channels_in_another_order_stay(tmp_path):
    program, found = kinds(lambda x: F.pixel_unshuffle(x, 2), rand(2, 3, 6, 8))
    assert "SpaceToDepth" not in found
    assert_agrees(program, tmp_path)


def test_parts_that_are_read_elsewhere_stay(tmp_path):
    def function(x):
        apart = x.reshape(2, 3, 3, 2, 4, 2).permute(0, 3, 5, 1, 2, 4)
        return apart.reshape(2, 12, 3, 4), apart.sum(0)

    program, found = kinds(function, rand(2, 3, 6, 8))
    assert "SpaceToDepth" not in found
    assert_agrees(program, tmp_path)


def test_blocks_that_are_not_square_stay(tmp_path):
    def function(x):
        return x.reshape(2, 3, 3, 2, 2, 4).permute(0, 3, 5, 1, 2, 4).reshape(2, 24, 3, 2)

    program, found = kinds(function, rand(2, 3, 6, 8))
    assert "SpaceToDepth" not in found
    assert_agrees(program, tmp_path)


@pytest.mark.parametrize("padding", [0, 1])
def test_uneven_zeros_belong_to_the_convolution(padding, tmp_path):
    conv = nn.Conv2d(3, 4, 3, 2, padding)
    program, found = kinds(
        lambda conv, x: conv(F.pad(x, (0, 1, 2, 1))), rand(2, 3, 8, 8), conv=conv
    )
    assert found == ["Conv"]
    assert_agrees(program, tmp_path)


@pytest.mark.parametrize(
    "function",
    [
        lambda conv, x: conv(F.pad(x, (0, 1, 0, 1), value=0.5)),
        lambda conv, x: conv(F.pad(x, (0, 1, 0, 1), mode="reflect")),
        lambda conv, x: conv(F.pad(x, (0, -1, 0, 1))),
        lambda conv, x: conv(F.pad(x[:, :2], (0, 0, 0, 0, 1, 0))),
        lambda conv, x: (conv(y := F.pad(x, (0, 1, 0, 1))), y.mean()),
    ],
)
def test_other_padding_stays(function, tmp_path):
    program, found = kinds(function, rand(2, 3, 8, 8), conv=nn.Conv2d(3, 4, 3, 2))
    assert found.count("Conv") == 1 < len(found)
    assert_agrees(program, tmp_path)
