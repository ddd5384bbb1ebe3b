"""Transposed convolutions become convolutions and rearrangements, of any stride and padding."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rewrite_plugins.calibrate import Calibrate
from rewrite_plugins.convolve_transposed import ConvolveTransposed
from rewrite_plugins.fold_batch_norm import FoldBatchNorm
from rewrite_plugins.hoist_activations import HoistActivations
from rewrite_plugins.insert_quantizers import InsertQuantizers
from rewrite_plugins.presets import INT8
from torch import nn
from torch.nn import functional as F

from rewrite.job import choose_passes
from rewrite.lowering.lower import lower, save
from rewrite.plugin_host import PluginHost
from rewrite.request import Request
from rewrite.runtimes import get_runtime
from rewrite.testing import check_declines, check_pass, randomise_

from .models import GOLDEN, Call, captured, context, ops, outcome, randn, run

CONVOLVE = ConvolveTransposed()
ANY = ConvolveTransposed(most_zeros=1e9)
LAYERS = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
IMAGE = randn(2, 4, 5, 6)


def layer(*shape: int, rank: int = 2, **options) -> nn.Module:
    torch.manual_seed(0)
    return LAYERS[rank](*shape, **options).eval()


GOLDENS = {
    "enlarging": (layer(4, 3, 2, stride=2), IMAGE),
    "overlapping": (layer(4, 3, 4, stride=2, padding=1), IMAGE),
    "uneven": (layer(4, 3, (3, 5), stride=(2, 3), padding=1, output_padding=1), IMAGE),
    "line": (layer(4, 3, 8, rank=1, stride=4, padding=2, bias=False), IMAGE[:, :, 0]),
    "not-enlarging": (layer(4, 3, 3, padding=1, dilation=2), IMAGE),
}
DECLINES = {
    "computed": (
        Call(lambda m, x: F.conv_transpose2d(x, x[:1, :, :2, :2].transpose(0, 1))),
        IMAGE,
        "its weight or bias is computed at run time",
    ),
    "no batch": (layer(4, 3, 2, stride=2), IMAGE[0], "its input is one sample without a batch"),
    "groups": (layer(4, 4, 2, stride=2, groups=2), IMAGE, "it has 2 groups"),
    "dilated": (
        layer(4, 3, 2, stride=2, dilation=2),
        IMAGE,
        "its kernel is dilated, and its stride is not 1",
    ),
    "zeros": (layer(4, 3, 1, stride=2), IMAGE, "would make 4.0 products of each"),
}


@st.composite
def settings_of_layers(draw):
    """A transposed convolution that torch takes, and an input."""
    rank = draw(st.integers(1, 3))

    def per_axis(low, high):
        return [draw(st.integers(low, high)) for _ in range(rank)]

    stride, kernel, sizes = per_axis(1, 4), per_axis(1, 5), per_axis(1, 4)
    dilation = [draw(st.integers(1, 2)) if s == 1 else 1 for s in stride]
    output_padding = [
        draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)
    ]
    # Nothing is left of an input by a wider padding.
    padding = [
        draw(st.integers(0, ((n - 1) * s + d * (k - 1) + o) // 2))
        for n, s, d, k, o in zip(sizes, stride, dilation, kernel, output_padding, strict=True)
    ]
    made = layer(
        draw(st.integers(1, 3)),
        draw(st.integers(1, 3)),
        kernel,
        rank=rank,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        dilation=dilation,
        bias=draw(st.booleans()),
    )
    return made, randn(2, made.in_channels, *sizes)


@pytest.mark.parametrize("case", GOLDENS)
def test_program_text(case):
    model, x = GOLDENS[case]
    golden = GOLDEN / f"convolve-transposed-{case}.txt"
    program = check_pass(CONVOLVE, model, (x,), golden=golden)
    assert not any("conv_transpose" in op for op in ops(program))


@settings(deadline=None, max_examples=60)
@given(settings_of_layers())
def test_it_is_the_same_function(case):
    model, x = case
    check_pass(ANY, model, (x,), rewrites=1)


@pytest.mark.parametrize("case", DECLINES)
def test_it_declines(case):
    model, x, reason = DECLINES[case]
    check_declines(CONVOLVE, model, (x,), reason=reason)


def test_zeros_are_an_option():
    model, x, _ = DECLINES["zeros"]
    check_pass(ConvolveTransposed(most_zeros=4.0), model, (x,), rewrites=1)


def dynamic(rank: int, *dims: int):
    names = {0: "batch", 2: "height", 3: "width", 4: "depth"}
    return (({d: torch.export.Dim(names[d], min=2, max=64) for d in dims},),)


@pytest.mark.parametrize(("rank", "dims"), [(1, (0, 2)), (2, (0, 2, 3)), (3, (0,)), (3, (0, 3))])
def test_sizes_that_change(rank, dims):
    model = Call(lambda m, x: m.layer(x), layer=layer(4, 3, 4, rank=rank, stride=2, padding=1))
    x = randn(2, 4, *[5] * rank)
    check_pass(CONVOLVE, model, (x,), rewrites=1, dynamic_shapes=dynamic(rank, *dims))


def test_two_dynamic_sizes_of_uneven_strides():
    model = Call(lambda m, x: m.layer(x), layer=layer(4, 3, (2, 3), stride=(2, 3)))
    reason = "more than one of its sizes is dynamic"
    shapes = dynamic(2, 2, 3)
    check_declines(CONVOLVE, model, (IMAGE,), reason=reason, dynamic_shapes=shapes)


def test_a_shared_weight_stays_one():
    shared = layer(4, 4, 2, stride=2)
    model = Call(lambda m, x: m.layer(m.layer(x)), layer=shared)
    program = check_pass(CONVOLVE, model, (IMAGE,), rewrites=2)
    assert len({n.target for n in program.graph.nodes if n.op == "get_attr"}) == 2


def test_a_program_without_any_is_told():
    assert "no conv_transpose" in outcome(captured(nn.ReLU(), IMAGE), CONVOLVE).nothing


@pytest.mark.parametrize("name", ["ort-x64", "portable"])
def test_presets_have_it_where_the_runtime_gains(name):
    host = PluginHost()
    chosen = choose_passes(host, Request("model.py", preset=INT8.name, target=name))
    names = [each.name for each in chosen]
    assert names.index("fold-batch-norm") < names.index(CONVOLVE.name)
    assert names.index(CONVOLVE.name) < names.index("hoist-activations")
    assert names.index("hoist-activations") < names.index("insert-quantizers")


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_all_of_it_runs_on_integers(runtime, tmp_path):
    pytest.importorskip(runtime)
    model = randomise_(
        nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), layer(8, 8, 4, stride=2, padding=1),
            nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3),
        )
    )  # fmt: skip
    x = randn(2, 3, 8, 8)
    passes = (FoldBatchNorm(), CONVOLVE, HoistActivations(), InsertQuantizers(), Calibrate())
    program = run(captured(model, x), *passes, context=context([(x,)]))
    path = tmp_path / "model.onnx"
    save(lower(program, 20, {}, {}).model, path)
    verdicts = get_runtime(runtime).load(path, threads=1).kernels()
    assert [v.op for v in verdicts] == ["Conv"] * 3
    assert all(v.fired for v in verdicts)
