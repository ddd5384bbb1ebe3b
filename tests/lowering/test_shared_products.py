"""Int8 products without a bias that several nodes read are right on OpenVINO."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.export import Dim

from rewrite.lowering.lower import lower
from rewrite.runtimes import get_runtime
from rewrite.runtimes.processor import saturates

from .models import quantized, written

pytest.importorskip("openvino")
AVOIDS = ("product-read-again",)
X = torch.randn(2, 4, 10, generator=torch.Generator().manual_seed(0))
IMAGE = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))


class Gram(nn.Module):
    """A product of two activations, times a number maybe, that is given out and activated."""

    def __init__(self, factor: float = 1.0):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        y = self.factor * (x @ x.mT)
        return y, y.relu()


class Branches(nn.Module):
    """A convolution, and a sum of it with what is made of it."""

    def __init__(self, bias: bool = False):
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, padding=1, bias=bias)

    def forward(self, x):
        y = self.conv(x)
        return y.tanh() + y, y.flatten(1)


class OneReader(nn.Module):
    def forward(self, x):
        return (x @ x.mT).softmax(-1)


def lowered(module: nn.Module, x: torch.Tensor, avoids=AVOIDS):
    torch.manual_seed(0)
    dynamic = {"x": {0: Dim("batch", max=8)}}
    program = quantized(module, x, "correct-bias", target="openvino", dynamic=dynamic)
    return program, lower(program, 20, {}, {}, avoids)


def held(result) -> int:
    return sum(bool(node.name) and node.name.endswith("_held") for node in result.model.graph)


def error(program, result, folder, x) -> float:
    """Return the largest error of an output, with the int8 kernels that users have."""
    loaded = get_runtime("openvino").load(written(result, folder), threads=1)
    found = loaded.run_usual({program.signature.input_names[0]: x.numpy()})
    expected = program(x)
    pairs = zip(expected, found.values(), strict=True)
    return max(float((e - torch.from_numpy(f)).norm() / e.norm()) for e, f in pairs)


@pytest.mark.parametrize(
    ("module", "x"), [(Gram(), X), (Gram(0.3), X), (Branches(), IMAGE)], ids=["gram", "0.3", "conv"]
)
def test_products_that_are_read_again_are_held(module, x, tmp_path):
    program, result = lowered(module.eval(), x)
    assert held(result) == 1
    names = [value.name for value in result.model.graph.outputs]
    assert names == list(program.signature.output_names)
    if saturates():
        pytest.skip("this processor has no VNNI")
    assert error(program, result, tmp_path, x) < 0.02
    assert error(*lowered(module, x, ()), tmp_path, x) > 0.5, "OpenVINO has mended it"


@pytest.mark.parametrize(("module", "x"), [(Branches(bias=True), IMAGE), (OneReader(), X)])
def test_others_are_left_alone(module, x):
    assert not held(lowered(module.eval(), x)[1])
