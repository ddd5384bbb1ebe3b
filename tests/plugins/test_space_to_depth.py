"""Strides over an image become channels: the same integers, sums in another order."""

from __future__ import annotations

import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rewrite_plugins.calibrate import Calibrate
from rewrite_plugins.insert_quantizers import InsertQuantizers
from rewrite_plugins.space_to_depth import SpaceToDepth
from torch import nn
from torch.export import Dim

from rewrite import capture
from rewrite.lint import lint
from rewrite.lowering.lower import lower, save
from rewrite.runtimes import get_runtime
from rewrite.testing import check_declines, check_pass

from .models import GOLDEN, captured, context, ops, randn, run

STEMS = {
    "resnet": (nn.Conv2d(3, 8, 7, 2, 3), 16),
    "mobilenet": (nn.Conv2d(3, 8, 3, 2, 1, bias=False), 16),
    "patches": (nn.Conv2d(3, 8, 4, 4), 16),
    "even": (nn.Conv2d(1, 8, 4, 2, 1), 12),
    "oblong": (nn.Conv2d(2, 4, (3, 5), 2, (1, 2), bias=False), 12),
    "no padding": (nn.Conv2d(3, 4, 2, 2), 10),
    "three": (nn.Conv2d(3, 4, 5, 3, 1), 12),
}


def image(channels, size=16, batch=2):
    return randn(batch, channels, size, size)


def quantized(model, x, dynamic=None):
    program = capture(nn.Sequential(model).eval(), (x,), dynamic)
    marked = context([(x,)])
    return run(program, InsertQuantizers(), Calibrate(), context=marked), marked


@pytest.mark.parametrize("case", STEMS)
def test_stems(case):
    torch.manual_seed(0)
    layer, size = STEMS[case]
    layer.reset_parameters()
    x = image(layer.in_channels, size)
    program, where = quantized(layer, x)
    golden = GOLDEN / f"space-to-depth-{case.replace(' ', '-')}.txt"
    after = check_pass(SpaceToDepth(), program, rewrites=1, golden=golden, context=where)
    assert torch.allclose(after(x), program(x), atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    kernel=st.integers(1, 7),
    stride=st.integers(2, 4),
    padding=st.integers(0, 3),
    blocks=st.integers(3, 6),
    channels=st.integers(1, 4),
)
def test_any_stem_computes_the_same(kernel, stride, padding, blocks, channels):
    torch.manual_seed(0)
    if kernel > blocks * stride + 2 * padding:
        return
    x = image(channels, blocks * stride)
    program, where = quantized(nn.Conv2d(channels, 3, kernel, stride, padding), x)
    twin = program.clone()
    outcome = SpaceToDepth().run(twin, where)
    if kernel < stride:
        assert [r.reason for r in outcome.rejected] == ["its stride skips pixels"]
    assert outcome.rewrites == (kernel >= stride)
    assert torch.allclose(twin(x), program(x), atol=1e-5)


def written(program, path):
    lowered = lower(program, 20, {}, {})
    save(lowered.model, path)
    return [node.op_type for node in onnx.load(path).graph.node]


@pytest.mark.parametrize("case", ["resnet", "mobilenet", "patches"])
def test_the_file_has_one_operator_for_it_and_runs_in_int8(case, tmp_path):
    torch.manual_seed(0)
    layer, size = STEMS[case]
    x = image(3, size, batch=3)
    stem = nn.Sequential(layer, nn.ReLU(), nn.Conv2d(8, 4, 1), nn.ReLU())
    program, where = quantized(stem, x, {"input": {0: Dim("batch", max=8)}})
    blocks = run(program, SpaceToDepth(), context=where)
    kinds = written(blocks, tmp_path / "blocks.onnx")
    assert kinds.count("SpaceToDepth") == 1
    assert not {"Reshape", "Transpose", "Pad"} & set(kinds)
    written(program, tmp_path / "plain.onnx")
    files = [
        get_runtime("onnxruntime").load(tmp_path / f"{name}.onnx") for name in ("plain", "blocks")
    ]
    results = [next(iter(file.run({"input": x.numpy()}).values())) for file in files]
    assert (results[0] == results[1]).all()
    assert all(kernel.fired for kernel in files[1].kernels())


@pytest.mark.parametrize(
    ("layer", "size", "reason"),
    [
        (nn.Conv2d(8, 4, 3, 2, 1), 16, "it reads 8 channels"),
        (nn.Conv2d(3, 4, 3, 1, 1), 16, "its stride is (1, 1)"),
        (nn.Conv2d(3, 4, 16, 16), 32, "its stride is (16, 16)"),
        (nn.Conv2d(3, 4, 3, (2, 1), 1), 16, "its stride is (2, 1)"),
        (nn.Conv2d(3, 4, 3, 2, 1, dilation=2), 16, "its kernel is dilated"),
        (nn.Conv2d(3, 4, 3, 2, 1), 15, "its input of (15, 15) is not known to be whole blocks"),
        (nn.Conv2d(3, 4, 1, 4), 16, "its stride skips pixels"),
    ],
)
def test_it_declines(layer, size, reason):
    program, where = quantized(layer, image(layer.in_channels, size))
    check_declines(SpaceToDepth(), program, reason=reason, context=where)


def test_sizes_that_are_dynamic_decline():
    sizes = {2: Dim("height", min=8, max=64), 3: Dim("width", min=8, max=64)}
    program, where = quantized(nn.Conv2d(3, 4, 3, 2, 1), image(3), {"input": sizes})
    check_declines(SpaceToDepth(), program, reason="is not known to be whole blocks", context=where)


def test_an_image_without_a_batch_declines():
    program, where = quantized(nn.Conv2d(3, 4, 3, 2, 1), image(3)[0])
    reason = "its input is one image without a batch"
    check_declines(SpaceToDepth(), program, reason=reason, context=where)


def test_float_convolutions_decline():
    program = captured(nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1)), image(3))
    check_declines(SpaceToDepth(), program, reason="its input is float", context=context())


def test_wider_options_take_more():
    program, where = quantized(nn.Conv2d(8, 4, 8, 8), image(8))
    pass_ = SpaceToDepth(most_channels=8, most_stride=8)
    after = check_pass(pass_, program, rewrites=1, context=where)
    assert ops(after).count("permute") == 1


@pytest.mark.parametrize("target", ["ort-x64", "ort-arm64"])
def test_the_file_keeps_the_rules_of_its_targets(target, tmp_path):
    stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU()).eval()
    where = context([(image(3),)], target)
    program = capture(stem, (image(3),))
    blocks = run(program, InsertQuantizers(), Calibrate(), SpaceToDepth(), context=where)
    assert "SpaceToDepth" in written(blocks, tmp_path / "file.onnx")
    assert lint(tmp_path / "file.onnx", where.target) == []
