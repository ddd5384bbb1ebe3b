from __future__ import annotations

import pytest
import torch
from torch import nn

from rewrite import capture
from rewrite.plugin_host import PluginHost
from rewrite.quantization import kinds
from rewrite.quantization.kinds import input_names, is_weight, kind

IMAGE = torch.ones(1, 4, 4, 4)


def kinds_of(model: nn.Module, *inputs: torch.Tensor) -> list[str]:
    program = capture(model.eval(), inputs or (IMAGE,))
    return [kind(n) for n in program.graph.nodes if n.op == "call_function"]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (nn.Conv2d(4, 4, 1), "conv"),
        (nn.Conv2d(4, 4, 1, groups=4), "conv"),
        (nn.ConvTranspose2d(4, 4, 1), "conv-transpose"),
        (nn.Linear(4, 4), "linear"),
        (nn.ReLU(), "relu"),
        (nn.ReLU6(), "clip"),
        (nn.Hardtanh(), "clip"),
        (nn.Sigmoid(), "sigmoid"),
        (nn.Softmax(-1), "softmax"),
        (nn.LeakyReLU(), "leaky-relu"),
        (nn.MaxPool2d(2), "max-pool"),
        (nn.AvgPool2d(2), "average-pool"),
        (nn.AdaptiveAvgPool2d(1), "global-average-pool"),
        (nn.Upsample(scale_factor=2), "nearest-resize"),
        (nn.Upsample(scale_factor=2, mode="bilinear"), ""),
        (nn.PixelShuffle(2), "layout"),
        (nn.Flatten(), "layout"),
        (nn.GELU(), "gelu"),
        (nn.Tanh(), "tanh"),
        (nn.Hardswish(), "hard-swish"),
        (nn.SiLU(), "silu"),
        (nn.ELU(), "elu"),
        (nn.Mish(), "mish"),
        (nn.Softplus(), "softplus"),
        (nn.Hardsigmoid(), "hard-sigmoid"),
        (nn.PReLU(), "prelu"),
        (nn.LayerNorm(4), "layer-norm"),
        (nn.GroupNorm(2, 4), ""),
    ],
)
def test_kinds_of_layers(model, expected):
    assert kinds_of(model) == [expected]


class Mean(nn.Module):
    def __init__(self, dims, keepdim=False):
        super().__init__()
        self.dims, self.keepdim = dims, keepdim

    def forward(self, x):
        return x.mean(self.dims, self.keepdim)


@pytest.mark.parametrize(
    ("dims", "expected"),
    [((2, 3), "global-average-pool"), ((-1, -2), "global-average-pool"), ((1,), ""), ((1, 2), "")],
)
def test_only_a_mean_over_space_is_a_pool(dims, expected):
    assert kinds_of(Mean(dims)) == [expected]


def test_inputs_and_weights():
    program = capture(nn.Linear(4, 4).eval(), (torch.ones(2, 4),))
    node = next(n for n in program.graph.nodes if n.op == "call_function")
    assert input_names(node) == ["input", "weight", "bias"]
    assert [is_weight(n) for n in node.all_input_nodes] == [False, True, True]
    assert not is_weight(None) and not is_weight(1.0)
    assert kind(program.inputs()[0]) == ""


@pytest.mark.parametrize("name", PluginHost().targets())
def test_targets_speak_of_kinds_that_exist(name):
    target = PluginHost().find_target(name)
    known = kinds.KINDS
    assert {*target.ops, *target.absorbs, *target.fuses, *target.producers} <= known


def test_parts_of_a_split_are_one():
    program = capture(Halves().eval(), (torch.randn(2, 4),))
    found = [kind(n) for n in program.graph.nodes if n.op == "call_function"]
    assert sorted(found) == ["", "", "add", "split", "split", "split"]


class Halves(nn.Module):
    """A split, and another operator of several results."""

    def forward(self, x):
        left, right = x.chunk(2, 1)
        return left + right, x.topk(1)[0]
