"""What is decided about a file: which translation is taken, and which runtime counts."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from onnxscript import opset20 as op
from torch import nn
from torch.export import Dim

from rewrite import CheckError, Lowering, UsageError
from rewrite.artifact import table_of
from rewrite.compile import compile_model
from rewrite.descriptors import Model
from rewrite.equivalence import Difference
from rewrite.file_parts import parts_of, place
from rewrite.lowering.agreement import require
from rewrite.output_agreement import LOWEST_QUANTIZED_SQNR, Agreement
from rewrite.recheck import check_file
from rewrite.request import Request
from rewrite.runtimes import RuntimeFailure, get_runtime
from rewrite.runtimes.onnxruntime import LoadedOnnx, OnnxRuntime
from rewrite.runtimes.openvino import LoadedOpenVino, OpenVino

from .compiling import Case, OneModel, Warnings, compile_case

CLOSE = 1e-5
SIGMOID = torch.ops.aten.sigmoid.default
LOADED = {"onnxruntime": LoadedOnnx, "openvino": LoadedOpenVino}
RUNTIMES = {"onnxruntime": OnnxRuntime, "openvino": OpenVino}
needs_openvino = pytest.mark.skipif(
    not get_runtime("openvino").available(), reason="OpenVINO is not installed"
)


def general(self):
    return op.Sigmoid(self)


def special(self):
    return op.HardSigmoid(self)


@pytest.mark.parametrize("order", [1, -1])
def test_translation_for_the_target_wins(order):
    entries = [Lowering(SIGMOID, general), Lowering(SIGMOID, special, ("portable",))][::order]
    assert table_of(entries, "portable") == {SIGMOID: special}
    assert table_of(entries, "ort-x64") == {SIGMOID: general}


def linear():
    return nn.Linear(4, 3), {"input": torch.randn(2, 4)}, None


def wide():
    """Return a layer whose weight is large enough to lie beside the model."""
    return nn.Linear(32, 32), {"input": torch.randn(2, 32)}, None


CASE = Case("linear", linear)


def break_runtime(monkeypatch, name, how):
    if how == "refuses":

        def load(self, path, threads=0):
            raise RuntimeFailure("it does not like the file", "try another")

        monkeypatch.setattr(RUNTIMES[name], "load", load)
        return
    run = LOADED[name].run
    monkeypatch.setattr(
        LOADED[name], "run", lambda self, feeds: {k: -v for k, v in run(self, feeds).items()}
    )


PROBLEMS = pytest.mark.parametrize(
    ("how", "message"),
    [("refuses", "it does not like the file"), ("differs", "agrees with the program only to")],
)


@needs_openvino
@PROBLEMS
def test_problem_on_a_runtime_that_does_not_matter_is_recorded(how, message, monkeypatch, tmp_path):
    break_runtime(monkeypatch, "openvino", how)
    result = compile_case(CASE, tmp_path, runtimes=("onnxruntime",))
    assert result.artifact.path.is_file()
    summary = result.as_json()
    assert message in summary["runtimes"]["openvino"]["problem"]
    assert summary["runtimes"]["onnxruntime"]["problem"] is None
    assert summary["agreement"] == summary["runtimes"]["onnxruntime"]["agreement"]


@PROBLEMS
@pytest.mark.parametrize("name", ["onnxruntime", pytest.param("openvino", marks=needs_openvino)])
def test_problem_on_any_runtime_stops_everything(name, how, message, monkeypatch, tmp_path):
    break_runtime(monkeypatch, name, how)
    with pytest.raises(CheckError, match=f"{name}: .*{message}"):
        compile_case(CASE, tmp_path)
    assert not list(tmp_path.iterdir())


class Halved(nn.Module):
    def forward(self, x):
        return torch.sigmoid(x[:, : x.shape[1] // 2])


def baked_in(self):
    """Translate a sigmoid right for rows of fewer than 5 numbers alone."""
    few = op.Less(op.Shape(self, start=1), op.Constant(value_ints=[5]))
    return op.Where(few, op.Sigmoid(self), self)


class Wrong(OneModel):
    def lowerings(self):
        return [*super().lowerings(), Lowering(SIGMOID, baked_in)]


def halved(**given):
    tokens = Dim("tokens", min=2, max=64)
    return Model(
        "halved",
        lambda: Halved().eval(),
        lambda: {"x": torch.randn(3, 8)},
        {"x": {1: 2 * tokens}},
        **given,
    )


def test_a_file_that_is_right_at_the_example_alone_is_not_written(tmp_path):
    request = Request("zoo:halved", output=tmp_path / "halved.onnx", threads=1)
    with pytest.raises(CheckError, match=r"at other sizes only to .* on tokens=") as raised:
        compile_model(request, Wrong(halved()))
    assert raised.value.exit_code == 1
    assert not list(tmp_path.iterdir())
    compile_model(request, OneModel(halved()))
    assert request.output.is_file()


def test_the_file_is_held_to_the_model_itself(tmp_path):
    """A lossy pass that ruins the outputs is found, though the file does what the program does."""
    small = {"preset": "int8", "target": "ort-x64", "threads": 1}
    torch.manual_seed(0)
    mixed = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3)).eval()
    with torch.no_grad():
        mixed[0].weight[0] *= 1e5
        mixed[0].bias[0] *= 1e5
        mixed[1].weight[:, 0] = 0
    description = Model("mixed", lambda: mixed, lambda: {"input": torch.randn(6, 4)})
    request = Request("zoo:mixed", output=tmp_path / "mixed.onnx", **small)
    with pytest.raises(CheckError, match="agrees with the model only to") as raised:
        compile_model(request, OneModel(description))
    assert "rewrite inspect MODEL; --min-sqnr" in raised.value.hint
    assert raised.value.where and "module '1'" in raised.value.where
    assert not list(tmp_path.iterdir())
    accepted = dataclasses.replace(request, min_sqnr=-100.0)
    result = compile_model(accepted, OneModel(description))
    against = result.as_json()["runtimes"]["onnxruntime"]["against_model"]
    assert against["sqnr_db"] < 10
    assert result.as_json()["agreement"]["sqnr_db"] in (None, pytest.approx(140, abs=30))


class Otherwise(nn.Module):
    """One of the models that torch.export is shown otherwise than they run."""

    def __init__(self, is_usual):
        super().__init__()
        self.layer, self.is_usual = nn.Linear(4, 4), is_usual

    def forward(self, x):
        if torch.compiler.is_exporting() or self.is_usual(x):
            return self.layer(x)
        return self.layer(x) * 1.1


UNLIKE = {
    "on tokens=": lambda x: x.shape[1] < 9,
    "on calibration batch 1": lambda x: x.max() < 50,
}


def otherwise(where):
    torch.manual_seed(0)
    return Model(
        "otherwise",
        lambda: Otherwise(UNLIKE[where]).eval(),
        lambda: {"x": torch.randn(3, 8, 4)},
        {"x": {1: Dim("tokens", min=2, max=64)}},
        calibration=lambda: [{"x": torch.linspace(0, 60, 96).reshape(3, 8, 4)}],
    )


@pytest.mark.parametrize("preset", ["float", "int8"])
@pytest.mark.parametrize("where", UNLIKE)
def test_a_pt2_file_is_of_a_program_that_is_held_to_the_model(where, preset, tmp_path):
    request = Request("zoo:otherwise", output=tmp_path / "o.pt2", preset=preset, threads=1)
    with pytest.raises(CheckError, match=f"agrees with the model only to .* {where}"):
        compile_model(request, OneModel(otherwise(where)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("preset", ["float", "int8"])
@pytest.mark.parametrize("where", UNLIKE)
def test_what_was_captured_is_held_to_the_model_beyond_the_example(where, preset, tmp_path):
    """A tenth too much is as good as nothing beside what int8 may lose."""
    description = otherwise(where)
    request = Request("zoo:otherwise", output=tmp_path / "o.onnx", preset=preset, threads=1)
    with pytest.raises(CheckError, match=f"agrees with the model only to .* {where}") as raised:
        compile_model(request, OneModel(description))
    assert "return self.layer(x)" in raised.value.where
    assert not list(tmp_path.iterdir())
    reported = dataclasses.replace(request, checks="report")
    talk = Warnings()
    result = compile_model(reported, OneModel(description), talk)
    problem = result.artifact.first.problem  # a file that rounds is right by what it rounds
    told = problem if preset == "float" else " ".join(talk.heard)
    assert where in told


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.value, self.out = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        shares = (0.1 * x @ x.transpose(1, 2)).softmax(-1)
        return self.out(shares @ self.value(x))


@pytest.mark.parametrize("is_varied", [False, True])
def test_ranges_that_do_not_fit_other_sizes_are_told(is_varied, tmp_path):
    """A share of 64 tokens is small; of two it is large, and leaves the range."""
    torch.manual_seed(0)
    data = [{"x": torch.randn(2, tokens, 8)} for tokens in ((64, 2) if is_varied else (64,))]
    description = Model(
        "attention",
        lambda: Attention().eval(),
        lambda: {"x": torch.randn(2, 64, 8)},
        {"x": {1: Dim("tokens", min=2, max=128)}},
        calibration=lambda: data,
    )
    request = Request("zoo:attention", output=tmp_path / "a.onnx", preset="int8", threads=1)
    talk = Warnings()
    compile_model(request, OneModel(description), talk)
    start = "at other sizes the file agrees with the model only to"
    told = [text for text in talk.heard if text.startswith(start)]
    assert len(told) == (not is_varied)
    assert all("on tokens=2 (required: 10 dB)" in text for text in told)


def test_a_model_whose_weights_change_on_the_way_is_refused(tmp_path):
    torch.manual_seed(0)
    model = nn.Linear(4, 3).eval()

    def evaluate(run):
        model.weight.data.mul_(2)
        return {"nothing": 0.0}

    description = Model(
        "changing", lambda: model, lambda: {"input": torch.randn(2, 4)}, evaluate=evaluate
    )
    request = Request("zoo:changing", output=tmp_path / "c.onnx", threads=1)
    with pytest.raises(CheckError, match="weight 'weight' of the model was written to"):
        compile_model(request, OneModel(description))
    assert not list(tmp_path.iterdir())


def test_a_model_that_magnifies_every_rounding_is_told_from_a_wrong_file():
    found = Agreement(Difference(1.0, 1.0, 10.0, 0.9), None)
    for lossy, hint in ((5.5, "the program itself is 5.5 dB from the model"), (30.0, "report")):
        with pytest.raises(CheckError, match=r"only to 10.0 dB \(required: 20 dB\)") as raised:
            require(found, LOWEST_QUANTIZED_SQNR, loss=Difference(1.0, 1.0, lossy, 0.9))
        assert raised.value.hint.startswith(hint)
    require(Agreement(Difference(1.0, 0.1, 21.0, 0.99), None), LOWEST_QUANTIZED_SQNR)


def test_the_worst_batch_decides():
    together = Difference(1.0, 0.1, 60.0, 0.99)
    held = Agreement(together, worst_batch="calibration batch 2", worst_db=21.0)
    require(held, LOWEST_QUANTIZED_SQNR)
    hidden = Agreement(together, worst_batch="calibration batch 2", worst_db=19.0)
    with pytest.raises(CheckError, match=r"to 19.0 dB on calibration batch 2 \(required: 20 dB\)"):
        require(hidden, LOWEST_QUANTIZED_SQNR)


def test_report_writes_the_file_all_the_same(monkeypatch, tmp_path):
    break_runtime(monkeypatch, "onnxruntime", "differs")
    result = compile_case(CASE, tmp_path, checks="report")
    assert result.artifact.path.is_file()
    assert (
        "agrees with the program only to" in result.as_json()["runtimes"]["onnxruntime"]["problem"]
    )


def test_example_may_be_a_view(tmp_path):
    def make():
        batch = Dim("batch", max=8)
        rows = torch.randn(4, 6)[:2]
        return nn.Linear(6, 3), {"input": rows}, {"input": {0: batch}}

    assert compile_case(Case("view", make), tmp_path).artifact.path.is_file()


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x):
        return {"n": 3, "rows": x.shape[0], "y": self.linear(x), "kind": "plain", "none": None}


def test_what_is_no_tensor_is_returned_too(tmp_path):
    model, seen = Mixed().eval(), []

    def evaluate(run):
        seen.append(run(x=torch.ones(5, 4)))
        return {"sum": float(seen[-1]["y"].sum())}

    description = Model(
        "mixed",
        lambda: model,
        lambda: {"x": torch.randn(2, 4)},
        {"x": {0: Dim("batch", max=8)}},
        evaluate=evaluate,
    )
    request = Request("zoo:mixed", preset="float", output=tmp_path / "mixed.onnx", threads=1)
    result = compile_model(request, OneModel(description))
    assert list(result.metrics) == ["eager", "program", "deployed"]
    checked = check_file(result.artifact.path, description, Warnings())
    assert checked.failure is None and "onnxruntime" in checked.metrics
    eager, _, deployed = seen[:3]
    assert torch.allclose(eager.pop("y"), deployed.pop("y"), atol=CLOSE)
    assert deployed == eager == {"n": 3, "rows": 5, "kind": "plain", "none": None}


@pytest.mark.parametrize("beside", [False, True], ids=["one file", "weights beside it"])
def test_a_name_with_brackets_is_a_name(beside, monkeypatch, tmp_path):
    if beside:
        monkeypatch.setattr("rewrite.file_parts._ONE_FILE_BYTES", 0)
    result = compile_case(Case("linear[1]", wide), tmp_path)
    assert result.artifact.path == tmp_path / "linear[1].onnx"
    names = [part.name for part in parts_of(result.artifact.path)]
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(names)
    assert len(names) == 1 + beside
    assert result.artifact.size == sum(file.stat().st_size for file in tmp_path.iterdir())
    assert get_runtime("onnxruntime").load(result.artifact.path) is not None


def test_a_file_that_is_gone_is_not_put_in_place(tmp_path):
    (tmp_path / "scratch").mkdir()
    with pytest.raises(UsageError, match=r"cannot write '.*': No such file or directory"):
        place(tmp_path / "scratch" / "model.onnx", tmp_path / "model.onnx")
