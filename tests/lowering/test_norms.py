"""Norms of small values that come from integers keep their epsilon on OpenVINO."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rewrite.lowering.lower import lower
from rewrite.runtimes import get_runtime

from .models import quantized, seven_bits, written

pytest.importorskip("openvino")
AVOIDS = ("norm-of-integers",)


class Small(nn.Module):
    """A convolution whose small results a norm and a layer read."""

    def __init__(self, size: float, positive: bool = True):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 1)
        self.norm, self.act = nn.GroupNorm(2, 8), nn.ReLU() if positive else nn.Tanh()
        with torch.no_grad():
            self.stem.weight.mul_(size)
            self.stem.bias.mul_(size)

    def forward(self, x):
        y = self.act(self.stem(x))
        return self.head(y), self.norm(y)


IMAGE = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def small(size: float, positive: bool = True):
    torch.manual_seed(0)
    program = quantized(Small(size, positive), IMAGE, target=seven_bits("openvino"))
    return program, lower(program, 20, {}, {}, AVOIDS)


def held(lowered) -> int:
    return sum(node.name.endswith("_held") for node in lowered.model.graph if node.name)


def test_norms_of_small_values_are_held(tmp_path):
    program, lowered = small(0.01)
    assert held(lowered) == 1
    loaded = get_runtime("openvino").load(written(lowered, tmp_path), threads=1)
    for x in (IMAGE, IMAGE.flip(0) * 0.9):
        expected = program(x)[1].detach()
        found = torch.from_numpy(list(loaded.run({"x": x.numpy()}).values())[1])
        noise = ((found - expected).norm() / expected.norm()).item()
        assert noise < 0.03


@pytest.mark.parametrize(("size", "positive"), [(10.0, True), (0.01, False)])
def test_norms_of_large_values_and_behind_zero_points_are_left_alone(size, positive):
    _, lowered = small(size, positive)
    assert held(lowered) == 0
