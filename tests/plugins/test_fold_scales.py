"""Factors behind a layer go into its weights, where they are one for each output channel."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rewrite_plugins.calibrate import Calibrate
from rewrite_plugins.fold_scales import FoldScales
from rewrite_plugins.insert_quantizers import InsertQuantizers
from torch import nn
from torch.nn import functional as F

from rewrite import is_call
from rewrite.lowering.lower import lower, save
from rewrite.quantization.markers import DEQUANTIZE
from rewrite.runtimes import get_runtime
from rewrite.testing import check_declines, check_pass

from .models import GOLDEN, Call, captured, context, ops, outcome, randn, run

FOLD = FoldScales()
IMAGE, ROWS = randn(2, 4, 5, 6), randn(2, 7, 4)


def net(function, **members) -> nn.Module:
    torch.manual_seed(0)
    layers = {
        "conv": nn.Conv2d(4, 6, 3, padding=1),
        "up": nn.ConvTranspose2d(4, 6, 2, 2, groups=2),
        "linear": nn.Linear(4, 6),
        "gamma": torch.rand(6) + 0.5,
    }
    made = Call(function, **{**layers, **members}).eval()
    made.register_buffer("whole", torch.full((6, 1, 1), 2))
    return made


CASES = {
    "number": (lambda m, x: m.conv(x) * 0.25, IMAGE),
    "from-the-left": (lambda m, x: 3 * m.conv(x), IMAGE),
    "quotient": (lambda m, x: m.conv(x) / 7, IMAGE),
    "layer-scale": (lambda m, x: x.sum(-1, keepdim=True) + m.gamma * m.linear(x), ROWS),
    "channels": (lambda m, x: m.conv(x) * m.gamma[:, None, None], IMAGE),
    "channels-of-groups": (lambda m, x: m.up(x) / m.gamma.reshape(1, 6, 1, 1), IMAGE),
}
DECLINES = {
    "two readers": (lambda m, x: (y := m.conv(x)) * 2 + y, IMAGE, "something else reads"),
    "computed": (lambda m, x: m.conv(x) * x.mean(), IMAGE, "its factor is computed at run time"),
    "computed weight": (
        lambda m, x: F.linear(x, x[0]) * 2, ROWS, "the layer's weight or bias is computed",
    ),
    "positions": (lambda m, x: m.conv(x) * m.gamma, IMAGE, "its factor is not one for each"),
    "rows": (lambda m, x: m.linear(x) * m.rows, ROWS, "its factor is not one for each channel"),
    "no batch": (
        lambda m, x: m.conv(x[0]) * m.gamma[:, None, None], IMAGE, "its factor is not one for each",
    ),
    "infinite": (lambda m, x: m.conv(x) * float("inf"), IMAGE, "its factor is inf"),
    "integers": (lambda m, x: m.conv(x) * m.whole, IMAGE, "its factor is torch.int64"),
    "zero number": (lambda m, x: m.conv(x) / 0, IMAGE, "its divisor is 0"),
    "zero": (lambda m, x: m.conv(x) / m.zeros, IMAGE, "its divisor has zeros"),
    "double": (lambda m, x: m.conv(x) * m.wide, IMAGE, "its result is of another type"),
}  # fmt: skip
EXTRA = {
    "rows": torch.rand(7, 1),
    "zeros": torch.zeros(6, 1, 1),
    "wide": torch.rand(6, 1, 1, dtype=torch.float64),
}


@pytest.mark.parametrize("case", CASES)
def test_it_folds(case):
    function, x = CASES[case]
    golden = GOLDEN / f"fold-scales-{case}.txt"
    program = check_pass(FOLD, net(function), (x,), golden=golden, rewrites=1)
    assert not {"mul", "div"} & set(ops(program))


@pytest.mark.parametrize("case", DECLINES)
def test_it_declines(case):
    function, x, reason = DECLINES[case]
    check_declines(FOLD, net(function, **EXTRA), (x,), reason=reason)


@settings(deadline=None, max_examples=20)
@given(st.floats(-1e3, 1e3).filter(lambda s: abs(s) > 1e-3), st.booleans())
def test_any_number(factor, divides):
    model = net(lambda m, x: m.conv(x) / factor if divides else m.conv(x) * factor)
    check_pass(FOLD, model, (IMAGE,), rewrites=1)


def test_two_factors_in_a_row():
    check_pass(FOLD, net(lambda m, x: m.conv(x) * 2 / 3), (IMAGE,), rewrites=2)


def test_a_layer_called_twice_has_two_weights():
    model = net(lambda m, x: m.conv(x) * 2 + m.conv(x + 1))
    program = check_pass(FOLD, model, (IMAGE,), rewrites=1)
    read = {n.target for n in program.graph.nodes if n.op == "get_attr" and n.users}
    assert sum("conv.weight" in str(name) for name in read) == 2


def test_a_program_without_any_is_told():
    assert outcome(captured(net(lambda m, x: m.conv(x)), IMAGE), FOLD).nothing


def test_the_sum_behind_it_is_one_of_integers(tmp_path):
    """As in Inception-ResNet: the branch of a residual block is scaled before it is added."""
    model = net(
        lambda m, x: m.last((m.first(x).relu() + 0.17 * m.branch(x)).relu()),
        first=nn.Conv2d(4, 6, 1), branch=nn.Conv2d(4, 6, 3, padding=1), last=nn.Conv2d(6, 4, 1),
    )  # fmt: skip
    program = run(
        captured(model, IMAGE), FOLD, InsertQuantizers(), Calibrate(), context=context([(IMAGE,)])
    )
    add = next(n for n in program.graph.nodes if n.target is torch.ops.aten.add.Tensor)
    assert all(is_call(side, DEQUANTIZE) for side in add.all_input_nodes)
    path = tmp_path / "model.onnx"
    save(lower(program, 20, {}, {}).model, path)
    verdicts = get_runtime("onnxruntime").load(path, threads=1).kernels()
    assert len(verdicts) == 3 and all(v.fired for v in verdicts)
