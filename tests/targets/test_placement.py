"""Where targets put quantizers, as text."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rewrite_plugins.expand_attention import ExpandAttention
from rewrite_plugins.insert_quantizers import InsertQuantizers
from torch import nn

from rewrite import Context, capture
from rewrite.pipeline import run_passes
from rewrite.plugin_host import PluginHost
from rewrite.quantization.placement import plan_quantizers
from rewrite.testing import check_pass

from .nets import CASES

GOLDEN = Path(__file__).parent / "golden"
HOST = PluginHost()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["openvino", "tensorrt", "qnn", "vitis", "academic"])
def test_placement(name, case):
    model, inputs, _ = CASES[case].make()
    captured = capture(model.eval(), tuple(inputs.values()))
    program = run_passes(captured, [ExpandAttention()], Context()).program
    check_pass(
        InsertQuantizers(),
        program,
        golden=GOLDEN / f"{case}-{name}.txt",
        context=Context(target=HOST.find_target(name)),
    )


class Sum(nn.Module):
    """A residual block; its branch's result is read once, or twice."""

    def __init__(self, read_twice=False, projected=False):
        super().__init__()
        self.first, self.branch, self.last = (nn.Conv2d(4, 4, 1) for _ in range(3))
        self.projection = nn.Conv2d(4, 4, 1) if projected else nn.Identity()
        self.read_twice = read_twice

    def forward(self, x):
        x = self.first(x)
        y = self.branch(x)
        z = self.last(y + self.projection(x))
        return (z, y) if self.read_twice else z


@pytest.mark.parametrize(
    ("model", "stored"),
    [
        (Sum(), {"conv2d", "add", "conv2d_2"}),
        (Sum(read_twice=True), {"conv2d", "conv2d_1", "add", "conv2d_2"}),
        (Sum(projected=True), {"conv2d", "conv2d_2", "add", "conv2d_3"}),
    ],
)
def test_openvino_leaves_one_side_of_an_addition_to_the_convolution(model, stored):
    program = capture(model.eval(), (torch.randn(1, 4, 5, 5),))
    plan = plan_quantizers(program, HOST.find_target("openvino"))
    assert {node.name for node in plan.stored} == stored
    everywhere = plan_quantizers(program, HOST.find_target("portable"))
    assert {node.name for node in everywhere.stored} == stored | {"conv2d_1"}
