"""SiLUs of dequantized tensors become one operator; others are left to the runtime."""

from __future__ import annotations

from collections import Counter

import onnx
import pytest
import torch
from rewrite_plugins.lowerings import LOWERINGS
from torch import nn
from torch.nn import functional as F

from rewrite.lowering.lower import lower

from .models import quantized, run, written

IMAGE = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
FAULT = "silu-behind-dequantizer"


class Between(nn.Module):
    """A function of what a convolution gives, and a convolution of that."""

    def __init__(self, function):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)
        self.function = function

    def forward(self, x):
        return self.last(self.function(self.first(x)))


class Twice(Between):
    """A gate that is an output, too."""

    def forward(self, x):
        y = self.first(x)
        gate = y.sigmoid()
        return self.last(y * gate), gate


def ops(module, tmp_path, avoids=(FAULT,)):
    """Write a file, hold it to the program, and return how often each operator is there."""
    program = quantized(module, IMAGE, target="ort-x64")
    table = {each.overload: each.translate for each in LOWERINGS}
    path = written(lower(program, 20, table, {}, avoids), tmp_path)
    expected = program(IMAGE)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for value, wanted in zip(run(path, program).values(), expected, strict=True):
        torch.testing.assert_close(torch.from_numpy(value), wanted, rtol=1e-4, atol=1e-4)
    return Counter(node.op_type for node in onnx.load(path).graph.node)


@pytest.mark.parametrize(
    "silu",
    [F.silu, lambda y: y * y.sigmoid(), lambda y: y.sigmoid() * y],
    ids=["silu", "x·σ", "σ·x"],
)
def test_a_silu_of_integers_is_one_operator(silu, tmp_path):
    found = ops(Between(silu), tmp_path)
    assert found["QuickGelu"] == 1
    assert not found["Sigmoid"] + found["Mul"]


@pytest.mark.parametrize(
    "function",
    [
        lambda y: F.silu(y.sin()),
        lambda y: y.sin() * y.sigmoid(),
        lambda y: y.sigmoid() * 2,
    ],
    ids=["of floats", "of another", "of a number"],
)
def test_other_products_stay(function, tmp_path):
    found = ops(Between(function), tmp_path)
    assert (found["QuickGelu"], found["Sigmoid"]) == (0, 1)


def test_a_gate_that_is_read_elsewhere_stays(tmp_path):
    assert ops(Twice(None), tmp_path)["QuickGelu"] == 0


def test_without_the_fault_it_stays_portable(tmp_path):
    assert ops(Between(F.silu), tmp_path, avoids=())["QuickGelu"] == 0
