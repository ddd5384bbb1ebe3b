"""What a target prepares with: the passes a preset gets, and files of composite operators."""

from __future__ import annotations

import onnx
import pytest
import torch
from integration.compiling import Case, compile_case
from onnx import numpy_helper
from rewrite_plugins.insert_quantizers import InsertQuantizers
from torch import Tensor, nn

from rewrite import Context, Target, UsageError, capture
from rewrite.job import choose_passes
from rewrite.lint import lint
from rewrite.pass_spec import parse_passes
from rewrite.pipeline import run_passes
from rewrite.plugin_host import PluginHost
from rewrite.request import Request

HOST = PluginHost()
PREPARED = ["limit-masks", "split-composites"]


def names(preset: str | None, target: str, **given) -> list[str]:
    request = Request("model.py", preset=preset, target=target, **given)
    return [p.name for p in choose_passes(HOST, request)]


@pytest.mark.parametrize("target", ["qnn", "vitis"])
def test_a_preset_that_quantizes_gets_them_in_their_place(target):
    found = names("int8", target)
    start = found.index("expand-attention") + 1
    assert found[start : start + 3] == [*PREPARED, "insert-quantizers"]


def test_others_do_not_get_them():
    assert not set(PREPARED) & set(names("float", "qnn"))
    assert not set(PREPARED) & set(names("int8", "portable"))
    by_hand = tuple(parse_passes("insert-quantizers,calibrate"))
    assert names(None, "qnn", passes=by_hand) == ["insert-quantizers", "calibrate"]


def test_a_pass_that_does_not_exist_is_named(monkeypatch):
    text = 'name = "odd"\nextends = "qnn"\nprepare = ["split-composite"]'
    odd = Target.parse(text).resolved(HOST.targets())
    monkeypatch.setattr(PluginHost, "find_target", lambda self, name: odd)
    with pytest.raises(UsageError, match="split-composite") as caught:
        names("int8", "odd")
    assert "split-composites" in str(caught.value.hint)


class Composites(nn.Module):
    """Norms that nothing folds, a SiLU and numbers, behind an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.norm = nn.Embedding(20, 16), nn.BatchNorm1d(6)
        self.groups, self.head = nn.GroupNorm(3, 6), nn.Linear(16, 8)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        x = self.norm(self.table(ids))
        x = nn.functional.silu(self.groups(x)) * 0.5 + 1
        return self.head(x * mask.unsqueeze(-1).float())


def composites():
    torch.manual_seed(0)
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[1, 3:] = False
    return Composites(), {"ids": torch.randint(0, 20, (2, 6)), "mask": mask}, {}


CASE = Case("composites", composites)


@pytest.mark.parametrize(("target", "bits"), [("qnn", "w8a8"), ("qnn", "w8a16"), ("vitis", "w8a8")])
def test_composites_keep_the_rules(target, bits, tmp_path):
    passes = f"{','.join(PREPARED)},insert-quantizers{{bits={bits}}},calibrate"
    given = tuple(parse_passes(passes))
    result = compile_case(CASE, tmp_path, None, target=target, passes=given)
    assert lint(result.artifact.path, HOST.find_target(target)) == []
    graph = onnx.load(result.artifact.path).graph
    assert not {"BatchNormalization", "InstanceNormalization"} & {n.op_type for n in graph.node}


def test_a_table_and_what_is_looked_up_have_one_scale(tmp_path):
    result = compile_case(CASE, tmp_path, target="qnn")
    graph = onnx.load(result.artifact.path).graph
    values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    makers = {o: n for n in graph.node for o in n.output}
    (gather,) = [n for n in graph.node if n.op_type == "Gather"]
    (behind,) = [n for n in graph.node if gather.output[0] in n.input]
    front = makers[gather.input[0]]
    assert [values[front.input[i]] for i in (1, 2)] == [values[behind.input[i]] for i in (1, 2)]


class Endless(nn.Module):
    """An addition of a constant that has no range."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 4)
        self.register_buffer("mask", torch.tensor([0.0, 0.0, 0.0, float("-inf")]))

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.head(x) + self.mask, -1)


def test_infinite_constants_stay_float_with_a_reason():
    program = capture(Endless().eval(), (torch.randn(2, 4),))
    context = Context(target=HOST.find_target("qnn"))
    found = run_passes(program, [InsertQuantizers()], context).reports[0].outcome
    reasons = [(r.node, r.reason) for r in found.rejected]
    assert reasons == [("add", "its other holds NaN or infinite values, which no scale represents")]
