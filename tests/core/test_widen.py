"""Half-precision checkpoints are widened to float32, and said to be."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rewrite.descriptors import Model
from rewrite.talk import Talk
from rewrite.widen import widen


class Told(Talk):
    def __init__(self):
        self.steps = []

    def step(self, text):
        self.steps.append(text)


def described(net, x):
    return Model(
        "net",
        lambda: net,
        lambda: (x,),
        calibration=lambda: [{"x": x}, (x,)],
        evaluate=lambda run: {"sum": float(run(x).sum())},
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_inputs_and_data_are_float32_and_hold_the_same(dtype):
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).eval().to(dtype)
    kept = net[0].weight.detach().clone()
    x, told = torch.randn(3, 4, dtype=dtype), Told()
    wide = widen(described(net, x), net, told)
    assert {t.dtype for t in net.state_dict().values()} == {torch.float32, torch.int64}
    assert torch.equal(net[0].weight, kept.float())
    assert wide.inputs()[0].dtype == torch.float32
    first, second = wide.calibration()
    assert (first["x"].dtype, second[0].dtype) == (torch.float32, torch.float32)
    assert wide.evaluate(lambda v: v)["sum"] == float(x.float().sum())
    name = str(dtype).removeprefix("torch.")
    assert told.steps == [
        f"widen weights of {name} to float32 (for float16 in the file: halve-floats)"
    ]


def test_ties_stay_and_other_types_are_left():
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)).eval().half()
    net[1].weight = net[0].weight
    net.register_buffer("exact", torch.ones(2, dtype=torch.float64))
    widen(described(net, torch.randn(3, 4).half()), net, Talk())
    assert net[1].weight is net[0].weight
    assert net.exact.dtype == torch.float64


def test_float32_is_left_as_it_is():
    net = nn.Linear(4, 4).eval()
    given = described(net, torch.randn(3, 4))
    assert widen(given, net, Talk()) is given


def test_a_model_that_asks_for_half_precision_stays():
    class Casts(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(x.half())

    net, told = Casts().eval().half(), Told()
    given = described(net, torch.randn(3, 4))
    assert widen(given, net, told) is given
    assert net.layer.weight.dtype == torch.float16
    assert told.steps == []
