"""The most accurate assignment that fits, measured together and in the bytes of a real file."""

import itertools

import onnx
import pytest
from onnx import numpy_helper

from rewrite import CheckError, UsageError
from rewrite.budget import Budget
from rewrite.budget_search import meet_budget
from rewrite.compile import compile_model
from rewrite.inspection import NotQuantizedError, inspect_model
from rewrite.job import choose_passes
from rewrite.pass_spec import parse_passes
from rewrite.plugin_host import PluginHost
from rewrite.request import Request
from rewrite.talk import Talk

HOST = PluginHost()
MODEL = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(32, 64), nn.Linear(64, 96)
        self.third, self.last = nn.Linear(96, 32), nn.Linear(32, 8)

    def forward(self, x):
        x = self.second(self.first(x).relu()).relu()
        return self.last(self.third(x).relu())


def model():
    torch.manual_seed(0)
    return Net().eval()


def inputs():
    return (torch.randn(16, 32, generator=torch.Generator().manual_seed(0)),)


def calibration():
    yield inputs()
"""
TIED = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.body = nn.Embedding(64, 32), nn.Linear(32, 32)
        self.one, self.two = nn.Linear(32, 64, bias=False), nn.Linear(32, 64, bias=False)
        self.two.weight = self.one.weight

    def forward(self, ids):
        x = self.body(self.embed(ids)).relu()
        return self.one(x) + self.two(x.flip(0))


def model():
    torch.manual_seed(0)
    return Net().eval()


def inputs():
    return (torch.arange(12).reshape(3, 4),)
"""
BLOCKS, TARGET = "quantize-weights{bits=4}", "ort-weight-only"
LAYERS = ("first", "second", "third", "last")


def written(folder, text=MODEL, passes=BLOCKS, target=TARGET):
    path = folder / "model.py"
    path.write_text(text)
    return Request(str(path), passes=tuple(parse_passes(passes)), target=target)


def met(request, text):
    budget = Budget.parse(text)
    return meet_budget(request, choose_passes(HOST, request), HOST, Talk(), budget)


def file_bytes(request, folder):
    """Compile, run on ONNX Runtime, and count the initializers of the file."""
    from dataclasses import replace

    path = folder / "out.onnx"
    result = compile_model(replace(request, output=path), HOST)
    assert result.artifact.runtimes[0].name == "onnxruntime"
    assert not result.artifact.runtimes[0].problem
    bits = {onnx.TensorProto.INT4: 4, onnx.TensorProto.UINT4: 4}
    sizes = []
    for each in onnx.load(path).graph.initializer:
        array = numpy_helper.to_array(each)
        sizes.append(-(-array.size * bits.get(each.data_type, 8 * array.itemsize) // 8))
    return sum(sizes)


def measured(request):
    return inspect_model(request, HOST, Talk(), batches=1).total.db


@pytest.mark.parametrize(
    ("passes", "target", "budgets"),
    [
        (BLOCKS, TARGET, ("0.2x", "0.35x", "20kB", "2x")),
        ("insert-quantizers,calibrate", "portable", ("0.35x", "24kB", "0.7x", "2x")),
    ],
)
def test_what_is_written_fits_and_is_what_was_measured(tmp_path, passes, target, budgets):
    request = written(tmp_path, passes=passes, target=target)
    reached = []
    for text in budgets:
        found = met(request, text)
        assert file_bytes(found.request, tmp_path) == found.reached_bytes
        whole = file_bytes(written(tmp_path, passes="remove-dead-code", target=target), tmp_path)
        assert found.reached_bytes <= Budget.parse(text).limit(whole)
        reached.append(found.reached_db)
    assert reached == sorted(reached)
    assert reached[-1] == float("inf") and found.reached_bytes == whole


def test_no_other_assignment_that_fits_is_much_better(tmp_path):
    """All 81 are measured together; errors that are not quite independent may cost half a dB."""
    request = written(tmp_path)
    found = met(request, "16kB")
    tried = []
    for choice in itertools.product(("w4", "w8", "float"), repeat=len(LAYERS)):
        overrides = "+".join(f"{n}={p}" for n, p in zip(LAYERS, choice, strict=True))
        other = written(tmp_path, passes=f"quantize-weights{{override={overrides}}}")
        size = sum(
            {"w4": 0.5, "w8": 1, "float": 4}[p] * weights
            + {"w4": 4.5, "w8": 5, "float": 0}[p] * weights / 32
            + biases * 4
            for p, weights, biases in zip(
                choice, (2048, 6144, 3072, 256), (64, 96, 32, 8), strict=True
            )
        )
        if size <= 16_000 and set(choice) != {"float"}:
            tried.append(measured(other))
    assert len(tried) > 10
    assert found.reached_db >= max(tried) - 0.5


def test_the_table_adds_up(tmp_path):
    request = written(tmp_path)
    found = met(request, "14kB")
    assert found.changes
    assert all(c.before == "w4" and c.after in ("w8", "float") for c in found.changes)
    grown = sum(c.bytes_after - c.bytes_before for c in found.changes)
    assert found.changes[-1].expected_bytes == found.start_bytes + grown == found.reached_bytes
    assert found.changes[-1].expected_db == pytest.approx(found.reached_db, abs=1)
    costs = [c.cost_db for c in found.changes]
    assert min(costs) > found.start_db


def test_it_goes_down_as_well_as_up(tmp_path):
    request = written(tmp_path, passes="quantize-weights{bits=8}")
    found = met(request, "10kB")
    assert {c.after for c in found.changes} == {"w4"}
    assert found.reached_bytes <= 10_000 < found.start_bytes
    assert file_bytes(found.request, tmp_path) == found.reached_bytes


def test_float_layers_of_the_users_own_stay(tmp_path):
    request = written(tmp_path, passes="quantize-weights{bits=8,skip=last,override=first=w8}")
    found = met(request, "14kB")
    assert {c.layer for c in found.changes} <= {"second", "third"}
    (spec,) = found.request.passes
    assert spec.options["override"][0] == "first=w8"


def test_out_of_reach_says_how_near_it_comes(tmp_path):
    request = written(tmp_path)
    with pytest.raises(CheckError, match="2 kB is out of reach: the weights take at least") as e:
        met(request, "2kB")
    least = float(e.value.what.partition("at least ")[2].split()[0])
    assert least == pytest.approx(file_bytes(request, tmp_path) / 1000, rel=1e-3)


def test_quality_and_size_together(tmp_path):
    request = written(tmp_path)
    found = met(request, "30dB,16kB")
    assert found.reached_db >= 30 and found.reached_bytes <= 16_000
    with pytest.raises(CheckError, match="of 60 dB and 16 kB is out of reach") as error:
        met(request, "60dB,16kB")
    assert "dB in " in error.value.what
    assert "60 dB take about " in error.value.hint
    enough = error.value.hint.partition("about ")[2].replace(" ", "")
    assert met(request, f"58dB,{enough}").reached_db > 58


def test_more_quality_than_any_size_has(tmp_path):
    request = written(tmp_path, passes="quantize-weights{skip=last,override=first=w4}")
    with pytest.raises(CheckError) as error:
        met(request, "90dB,1MB")
    assert error.value.hint == "90 dB take no number of bytes"


def test_a_weight_of_two_layers_counts_once_and_has_one_precision(tmp_path):
    """The embedding of this size stays float: the shared weight is that of two linear layers."""
    request = written(tmp_path, TIED)
    found = met(request, "14kB")
    assert file_bytes(found.request, tmp_path) == found.reached_bytes <= 14_000
    names = {override.partition("=")[0] for override in found.overrides}
    assert ("one" in names) == ("two" in names)
    more = met(request, "17kB")
    (tied,) = [c for c in more.changes if c.layer == "one+two"]
    assert tied.bytes_before == 64 * 32 // 2 + 64 * 4 + 64 // 2


def test_nothing_quantized(tmp_path):
    with pytest.raises(NotQuantizedError, match="nothing is quantized"):
        met(written(tmp_path, passes="quantize-weights{skip=*}"), "0.5x")


def test_no_weight_to_choose_for(tmp_path):
    text = MODEL.replace("return self.last(self.third(x).relu())", "return x @ x.mT")
    text = text.replace("self.second(self.first(x).relu()).relu()", "x.relu()")
    request = written(tmp_path, text, "insert-quantizers,calibrate", "portable")
    with pytest.raises(UsageError, match="no layer has a quantized weight"):
        met(request, "0.5x")


def test_one_pass_chooses(tmp_path):
    passes = f"{BLOCKS},insert-quantizers,calibrate"
    with pytest.raises(UsageError, match="for one pass, not for quantize-weights and insert"):
        met(written(tmp_path, passes=passes), "0.5x")
