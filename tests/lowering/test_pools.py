"""Means over space are one node where a runtime fuses them so."""

from __future__ import annotations

import pytest
import torch
from rewrite_plugins.lowerings import LOWERINGS
from torch import nn

from rewrite import capture
from rewrite.lowering.lower import lower

from .models import Call, run, written

IMAGE = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
TABLE = {each.overload: each.translate for each in LOWERINGS}


def forms(function, x, opset, tmp_path) -> list[str]:
    """Lower with the fault avoided, hold the file to the program, and return its operators."""
    program = capture(Call(function).eval(), (x,))
    lowered = lower(program, opset, TABLE, {}, ("squeezed-pool",))
    (actual,) = run(written(lowered, tmp_path), program, x).values()
    torch.testing.assert_close(torch.from_numpy(actual), program(x), rtol=1e-5, atol=1e-6)
    return [node.op_type for node in lowered.model.graph]


@pytest.mark.parametrize("opset", [17, 20])
@pytest.mark.parametrize(
    ("function", "x"),
    [
        (lambda x: x.mean((2, 3)), IMAGE),
        (lambda x: nn.functional.adaptive_avg_pool2d(x, 1).flatten(1), IMAGE),
        (lambda x: x.mean(2), IMAGE[..., 0]),
        (lambda x: x.mean((2, 3, 4)), IMAGE[..., None]),
    ],
    ids=["mean", "pool and flatten", "one dimension", "three dimensions"],
)
def test_a_squeezed_pool_is_one_mean(function, x, opset, tmp_path):
    assert forms(function, x, opset, tmp_path) == ["ReduceMean"]


@pytest.mark.parametrize(
    ("function", "kinds"),
    [
        (lambda x: x.mean((2, 3), keepdim=True), ["GlobalAveragePool"]),
        (lambda x: x.mean((2, 3), keepdim=True) * x, ["GlobalAveragePool", "Mul"]),
        (lambda x: x[:, :1].squeeze(1), ["Slice", "Squeeze"]),
        (lambda x: x.mean((1, 2)), ["ReduceMean"]),
    ],
    ids=["kept", "broadcast", "another squeeze", "other dimensions"],
)
def test_others_stay(function, kinds, tmp_path):
    assert forms(function, IMAGE, 20, tmp_path) == kinds
