"""Activations without int8 kernels are written as those that have some."""

from __future__ import annotations

import pytest
import torch
from rewrite_plugins.calibrate import Calibrate
from rewrite_plugins.insert_quantizers import InsertQuantizers
from rewrite_plugins.presets import INT8
from rewrite_plugins.split_activations import PreluIsLeaky, SplitActivations
from torch import nn
from torch.nn import functional as F

from rewrite import Match
from rewrite.job import choose_passes
from rewrite.lowering.lower import lower, save
from rewrite.plugin_host import PluginHost
from rewrite.request import Request
from rewrite.runtimes.onnxruntime import optimized_graph
from rewrite.testing import check_declines, check_pass

from .models import GOLDEN, Call, captured, context, ops, randn, run

SPLIT = SplitActivations()
IMAGE = randn(2, 6, 5, 5)
ROWS = randn(3, 6)
SLOPES = torch.tensor([-0.5, 0.0, 0.25, 1.0, 1.5, 3.0])


def prelu(slopes: torch.Tensor) -> nn.Module:
    layer = nn.PReLU(len(slopes))
    layer.weight.data.copy_(slopes)
    return nn.Sequential(layer)


CASES = {
    "silu": (nn.Sequential(nn.SiLU()), IMAGE),
    "one-slope": (prelu(SLOPES[2:3]), IMAGE),
    "equal-slopes": (prelu(SLOPES[2].repeat(6)), IMAGE),
    "slopes": (prelu(SLOPES), IMAGE),
    "slopes-of-rows": (prelu(SLOPES), ROWS),
    "shared-slopes": (
        Call(lambda m, x: F.prelu(x, m.a) - F.prelu(x.mean((2, 3)), m.a).sum(), a=SLOPES),
        IMAGE,
    ),
    "computed-slope": (Call(lambda m, x: F.prelu(x, x.mean().reshape(1))), IMAGE),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_split(case):
    model, x = CASES[case]
    golden = GOLDEN / f"split-activations-{case}.txt"
    program = check_pass(SPLIT, model, (x,), golden=golden)
    assert not {"silu", "prelu"} & set(ops(program))


def test_images_of_any_size():
    batch, height = torch.export.Dim("batch"), torch.export.Dim("height", min=2, max=64)
    shapes = ({0: batch, 2: height},)
    check_pass(SPLIT, prelu(SLOPES), (IMAGE,), dynamic_shapes=shapes, rewrites=1)


@pytest.mark.parametrize(
    ("case", "reason"),
    [("slopes", "its slopes differ"), ("computed-slope", "its slope is computed at run time")],
)
def test_it_is_no_leaky_relu(case, reason):
    model, x = CASES[case]
    program = captured(model, x)
    (call,) = [n for n in program.graph.nodes if "prelu" in n.name]
    assert PreluIsLeaky().check(Match(call, {}), program) == reason


def test_computed_slopes_of_channels_are_left_alone():
    model = Call(lambda m, x: F.prelu(x, x.mean((0, 2, 3))))
    check_declines(SPLIT, model, (IMAGE,), reason="its slopes are computed at run time")


def test_what_is_neither_is_left_alone():
    check_declines(SPLIT, nn.Sequential(nn.GELU()), (ROWS,))


@pytest.mark.parametrize("name", ["ort-x64", "portable", "openvino"])
def test_presets_have_it_where_the_runtime_gains(name):
    chosen = choose_passes(PluginHost(), Request("model.py", preset=INT8.name, target=name))
    assert ("split-activations" in [each.name for each in chosen]) is (name != "openvino")


@pytest.mark.parametrize(
    ("activation", "kernels"),
    [
        (nn.SiLU(), {"QLinearSigmoid", "QLinearMul"}),
        (nn.PReLU(), {"QLinearLeakyRelu"}),
        (nn.LeakyReLU(0.1), {"QLinearLeakyRelu"}),
    ],
)
def test_all_of_it_runs_on_integers(activation, kernels, tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(6, 6, 3), activation, nn.Conv2d(6, 6, 3))
    passes = (SPLIT, InsertQuantizers(), Calibrate())
    program = run(captured(model, IMAGE), *passes, context=context([(IMAGE,)]))
    path = tmp_path / "model.onnx"
    save(lower(program, 20, {}, {}).model, path)
    found = {node.op_type for node in optimized_graph(path, threads=1)}
    assert kernels <= found
    assert not {"Sigmoid", "Mul", "LeakyRelu", "PRelu"} & found
