"""`--measure`: groups of layers, what is tried, and what is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rewrite import UsageError, measure
from rewrite.compile import rewrite_model
from rewrite.duel import Duel
from rewrite.job import choose_passes
from rewrite.measure import choose_by_time, find_groups
from rewrite.plugin_host import PluginHost
from rewrite.request import Request
from rewrite.schema import arguments
from rewrite.talk import Talk

HOST = PluginHost()
MODEL = """
import torch
from torch import nn


def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16)
    ).eval()


def inputs():
    return (torch.randn(4, 8, generator=torch.Generator().manual_seed(0)),)


def calibration():
    raise AssertionError("times do not depend on scales")
"""


@pytest.fixture
def request_(tmp_path):
    path = tmp_path / "model.py"
    path.write_text(MODEL)
    return Request(str(path), preset="int8", target="ort-x64", checks="off", threads=1)


def search(request):
    return choose_by_time(request, choose_passes(HOST, request), HOST, Talk())


def duels(monkeypatch, *ratios):
    """Let the duels end with these ratios, one after another."""
    left = iter(ratios)
    monkeypatch.setattr(measure, "fight", lambda *files: Duel((1.0,) * 4, (next(left),) * 4))


def test_layers_of_one_shape_are_one_group():
    request = Request("zoo:vit-digits", preset="int8", target="ort-x64", checks="off")
    groups = {g.label: g.overrides for g in find_groups(rewrite_model(request, HOST).program)}
    assert groups["4 × linear [256, 64] of [batch, 65, 64]"] == tuple(
        f"blocks.{i}.mlp.0=float" for i in range(4)
    )
    assert groups["4 × matmul [batch, 4, 16, 65] of [batch, 4, 65, 16]"] == (
        "matmul_default=float",
        "matmul_default_2=float",
        "matmul_default_4=float",
        "matmul_default_6=float",
    )
    assert "linear [10, 64] of [batch, 64]" in groups


def test_convolutions_differ_by_stride_and_groups():
    request = Request("zoo:mobilenet-digits", preset="int8", target="ort-x64", checks="off")
    labels = [g.label for g in find_groups(rewrite_model(request, HOST).program)]
    assert "conv [96, 1, 3, 3] of [batch, 96, 8, 8], groups 96" in labels
    assert "conv [96, 1, 3, 3] of [batch, 96, 8, 8], stride 2, groups 96" in labels


def test_trials_keep_no_calibration(request_, monkeypatch, tmp_path):
    duels(monkeypatch, 0.5, 0.5, 0.5)
    search(replace(request_, calibration_cache=tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


def test_what_is_faster_is_kept_and_the_next_is_tried_on_top(request_, monkeypatch):
    duels(monkeypatch, 0.5, 1.2, 1.1)
    found = search(request_)
    assert [(a.group.overrides, a.kept) for a in found.attempts] == [
        (("0=float",), True),
        (("2=float", "4=float"), False),
    ]
    assert not found.all_float
    passes = {p.name: dict(p.options) for p in found.request.passes}
    assert passes["insert-quantizers"]["override"] == ("0=float",)
    program = rewrite_model(found.request, _without_data(request_)).program
    read = [n for n in program.graph.nodes if n.target is torch.ops.aten.linear.default]
    kinds = [str(arguments(n)["weight"].op) for n in read]
    assert kinds == ["get_attr", "call_function", "call_function"]


def _without_data(request):
    """Give the model's calibration back: compiling needs it, timing does not."""
    from pathlib import Path

    path = Path(request.model)
    path.write_text(path.read_text().replace("raise AssertionError", "yield inputs() #"))
    return HOST


def test_a_float_file_wins_over_all(request_, monkeypatch):
    duels(monkeypatch, 1.1, 1.1, 0.9)
    found = search(request_)
    assert found.all_float
    passes = {p.name: dict(p.options) for p in found.request.passes}
    assert passes["insert-quantizers"]["override"] == ("*=float",)


def test_files_are_run_on_the_runtime(request_):
    found = search(request_)
    assert found.runtime == "onnxruntime"
    assert min(found.start_ms, found.reached_ms, found.float_ms) > 0
    assert found.as_json()["attempts"][0]["layers"] == "linear [16, 8] of [4, 8]"


def test_a_float_preset_has_nothing_to_time(request_):
    from dataclasses import replace

    with pytest.raises(UsageError, match="overrides"):
        search(replace(request_, preset="float"))


def test_a_target_that_nothing_runs_is_told():
    request = Request("zoo:vit-digits", preset="int8", target="tensorrt", checks="off")
    with pytest.raises(UsageError, match="nothing here runs files for 'tensorrt'"):
        search(request)
