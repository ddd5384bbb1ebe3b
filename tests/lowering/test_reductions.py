"""What is done to each channel behind a reduction over time is right on OpenVINO."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.export import Dim

from rewrite import capture
from rewrite.lowering.lower import lower
from rewrite.runtimes import get_runtime

from .models import written

pytest.importorskip("openvino")
AVOIDS = ("channels-behind-reduction",)
X = torch.randn(2, 6, 12, generator=torch.Generator().manual_seed(0))
NORM = nn.BatchNorm1d(6)
with torch.no_grad():
    NORM.running_mean.normal_()
    NORM.running_var.uniform_(0.5, 2)
BY_CHANNEL = torch.arange(1.0, 7.0)


class Of(nn.Module):
    """A function of one tensor, with a batch norm of six channels."""

    def __init__(self, function):
        super().__init__()
        self.function, self.norm = function, NORM

    def forward(self, x):
        return self.function(self, x)


def lowered(function, dynamic: bool = True):
    sizes = {"x": {0: Dim("batch", max=8), 2: Dim("time", max=64)}} if dynamic else None
    program = capture(Of(function).eval(), (X,), sizes)
    return program, lower(program, 20, {}, {}, AVOIDS)


def held(result) -> int:
    return sum(bool(node.name) and node.name.endswith("_held") for node in result.model.graph)


@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: x.mean(-1) * BY_CHANNEL,
        lambda m, x: m.norm(x.mean(-1)),
        lambda m, x: m.norm(nn.functional.adaptive_avg_pool1d(x, 1)),
        lambda m, x: x.amax(-1, keepdim=True).relu() * 0.5 - BY_CHANNEL[:, None],
        lambda m, x: (x - 1).abs().sum(-1) + BY_CHANNEL,
    ],
)
def test_channels_stay_apart(function, dynamic, tmp_path):
    program, result = lowered(function, dynamic)
    assert held(result) == 1
    loaded = get_runtime("openvino").load(written(result, tmp_path), threads=1)
    x = torch.randn(5, 6, 30) if dynamic else X * 0.7
    (found,) = loaded.run({"x": x.numpy()}).values()
    torch.testing.assert_close(torch.from_numpy(found), program(x).detach())


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: -(x[:, :1] > 0).sum(2),
        lambda m, x: (x > 0).sum(1) - 1,
        lambda m, x: x.long().amax(1, keepdim=True) * 2,
        lambda m, x: torch.searchsorted(torch.tensor([-1.0, 0.0, 1.0]), x[:, :1, 0]) + 1,
    ],
)
def test_integers_are_held_over_any_axis(function, tmp_path):
    program, result = lowered(function, dynamic=False)
    assert held(result) == 1
    loaded = get_runtime("openvino").load(written(result, tmp_path), threads=1)
    (found,) = loaded.run({"x": X.numpy()}).values()
    assert torch.equal(torch.from_numpy(found), program(X))


def test_what_is_decomposed_is_held(tmp_path):
    """The shapes inside of a decomposition are unknown; a size divides where it is fixed."""
    program, result = lowered(lambda m, x: x.var(-1) + BY_CHANNEL, dynamic=False)
    assert held(result) == 1
    loaded = get_runtime("openvino").load(written(result, tmp_path), threads=1)
    (found,) = loaded.run({"x": X.numpy()}).values()
    torch.testing.assert_close(torch.from_numpy(found), program(X).detach())


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: x.mean(-1) * 2,
        lambda m, x: x.mean(1) * 3 + torch.ones(x.shape[2]),
        lambda m, x: x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * BY_CHANNEL[:, None],
        lambda m, x: x[..., None].mean(-2) + BY_CHANNEL[:, None],
        lambda m, x: (x[:, 0] > 0).sum(1) - 1,
        lambda m, x: (x > 0).sum(1),
    ],
)
def test_others_are_left_alone(function):
    assert not held(lowered(function, dynamic=False)[1])
