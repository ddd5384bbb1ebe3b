"""`--measure`: groups of layers, what is tried, and what is kept."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch

from rewrite import Pass, UsageError, measure, option
from rewrite.compile import rewrite_model
from rewrite.duel import Duel
from rewrite.job import choose_passes
from rewrite.measure import choose_by_time, find_groups
from rewrite.overrides import Overridable
from rewrite.pass_spec import PassSpec
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
    assert passes["insert-quantizers"]["override"] == ()
    assert passes["insert-quantizers"]["slower"] == ("0",)
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
    assert passes["insert-quantizers"]["slower"] == ("*",)


def with_options(request, **options):
    spec = PassSpec("insert-quantizers", {name: tuple(v) for name, v in options.items()})
    return replace(request, preset=None, passes=(spec, PassSpec("calibrate", {})))


def precisions(request):
    """Return what is float of the layers of a request, and the reasons."""
    reports = rewrite_model(request, _without_data(request)).reports
    rejected = next(r for r in reports if r.pass_.name == "insert-quantizers").outcome.rejected
    return {r.node: r.reason for r in rejected}


@pytest.mark.parametrize("ratios", [(0.5, 0.5), (1.1, 0.5)], ids=["each", "all"])
@pytest.mark.parametrize("pattern", ["2", "2.weight", "linear_1"])
def test_what_override_and_skip_name_stays_as_it_is(request_, monkeypatch, pattern, ratios):
    duels(monkeypatch, *ratios)
    found = search(with_options(request_, override=[f"{pattern}=w8a8"], skip=["0"]))
    assert [a.group.names for a in found.attempts] == [("4",)]
    assert found.named == 2
    assert found.as_json()["named"] == 2
    assert precisions(found.request) == {
        "linear": "left float on request",
        "linear_2": "int8 was measured to be no faster",
    }


def test_options_that_name_every_layer_leave_nothing_to_time(request_):
    with pytest.raises(UsageError, match="name every layer that is quantized"):
        search(with_options(request_, override=["2=w8a8"], skip=["0", "4"]))


def test_a_pass_that_takes_overrides_alone_is_given_them_before_the_users_own():
    @dataclass(frozen=True)
    class Mark(Pass):
        """Mark."""

        name = "mark"
        precisions = ("float", "w8a8")
        override: tuple[str, ...] = option((), help="PATTERN=PRECISION.")

        def run(self, program, context):
            raise NotImplementedError

    request = Request("zoo:vit-digits", preset="int8", target="ort-x64")
    left = Overridable(request, [Mark(override=("head=w8a8",))]).request_without(["stem", "*"])
    assert left.passes == (PassSpec("mark", {"override": ("stem=float", "*=float", "head=w8a8")}),)


COSTLY = """
name = "costly"
extends = "ort-x64"
[cost]
linear = {float = [1, 0, 0], int8 = [1e9, 0, 0]}
"""
PLUGIN = """
from pathlib import Path

from rewrite import Target, hookimpl


@hookimpl
def rewrite_targets():
    yield Target.load(Path(__file__).with_suffix(".toml"))
"""


def test_what_the_cost_table_leaves_float_is_timed_too(request_, monkeypatch, tmp_path):
    (tmp_path / "costly.toml").write_text(COSTLY)
    (tmp_path / "costly.py").write_text(PLUGIN)
    host = PluginHost(plugins=[str(tmp_path / "costly.py")])
    request = replace(request_, target="costly")
    duels(monkeypatch, 1.2, 0.8, 1.1)
    found = choose_by_time(request, choose_passes(host, request), host, Talk())
    assert [a.kept for a in found.attempts] == [False, True]
    _without_data(request)
    reports = rewrite_model(found.request, host).reports
    rejected = next(r for r in reports if r.pass_.name == "insert-quantizers").outcome.rejected
    assert [(r.node, r.reason) for r in rejected] == [
        ("linear_1", "int8 was measured to be no faster"),
        ("linear_2", "int8 was measured to be no faster"),
    ]


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
