"""`rewrite MODEL ...` from end to end, on a model that compiles in seconds."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from .conftest import call, linear_model, seen_files

SAME_WEIGHTS_SQNR = 60.0


def test_json_has_the_documented_keys(int8):
    value = int8.called.json
    assert set(value) >= {
        "model",
        "target",
        "passes",
        "loss",
        "artifact",
        "metrics",
        "agreement",
        "int8",
        "latency_ms",
        "seconds",
        "peak_rss_mb",
    }
    for entry in value["passes"]:
        keys = {"name", "equivalence", "rewrites", "rejected", "error", "seconds"}
        assert set(entry) >= keys
    assert set(value["artifact"]) >= {"path", "bytes", "opset", "ops"}
    assert set(value["metrics"]) == {"eager", "program", "deployed"}
    assert set(value["agreement"]) >= {"max_abs", "sqnr_db", "cosine"}
    assert set(value["int8"]) >= {"fired", "eligible", "fallbacks"}
    assert set(value["latency_ms"]) == {"float", "deployed"}


def test_json_tells_what_happened(int8):
    value = int8.called.json
    assert value["target"] == "portable"
    assert [p["name"] for p in value["passes"]][-3:] == [
        "insert-quantizers",
        "correct-bias",
        "calibrate",
    ]
    assert value["artifact"]["path"] == str(int8.file)
    assert value["artifact"]["bytes"] == int8.file.stat().st_size
    assert value["artifact"]["ops"]["QuantizeLinear"] == 3
    assert value["int8"]["fired"] == value["int8"]["eligible"] == 2
    assert value["agreement"]["layers"]["max_lsb"] <= 1
    assert value["metrics"]["eager"]["mean"] != value["metrics"]["program"]["mean"]
    deployed, program = value["metrics"]["deployed"]["mean"], value["metrics"]["program"]["mean"]
    assert deployed == pytest.approx(program, rel=1e-4)
    assert set(value["loss"]) == {"max_abs", "sqnr_db", "cosine", "output", "integers"}
    assert 20 < value["loss"]["sqnr_db"] < 60
    assert value["latency_ms"]["float"] > 0
    assert value["latency_ms"]["deployed"] > 0


def test_nothing_but_the_files_asked_for_is_left(int8):
    assert seen_files(int8.file.parent) == ["recipe.toml", "tiny.onnx"]


def test_stderr_is_one_plain_line_per_stage_and_pass(floating):
    lines = floating.called.err.splitlines()
    assert lines[0] == "capture tiny"
    fold = lines[1].split()
    assert fold[:6] == ["fold-batch-norm", "exact", "1", "rewrite", "0", "declined"]
    assert fold[6] == "error"
    assert lines[2].split()[0] == "remove-dead-code"
    assert "\x1b" not in floating.called.err
    assert "\x1b" not in floating.called.out


def test_summary_tells_file_agreement_and_metrics(floating):
    lines = floating.called.out.splitlines()
    assert lines[0].split()[:2] == ["wrote", str(floating.file)]
    assert "opset 20, target ort-x64" in lines[0]
    assert "as simulated" in lines[1]
    heading = next(i for i, line in enumerate(lines) if line.startswith("metric"))
    assert lines[heading].split() == ["metric", "eager", "program", "deployed"]
    assert lines[heading + 1].split()[0] == "mean"


@pytest.mark.parametrize(("bits", "low"), [("w8a8", False), ("w2a2", True)])
def test_summary_tells_how_far_the_outputs_are_from_the_model(bits, low, tiny):
    passes = f"fold-batch-norm,insert-quantizers{{bits={bits}}},calibrate"
    called = call(tiny, "--passes", passes, "--dry-run", "--no-evaluate", "-q")
    assert called.code == 0, called.err
    lines = [line.split() for line in called.out.splitlines()]
    place = next(i for i, words in enumerate(lines) if words[0] == "outputs")
    told = "dB SQNR against the model's, on the inputs of the checks"
    assert " ".join(lines[place][2:]) == told
    assert (float(lines[place][1]) < 20) is low
    assert (lines[place + 1][-3:] == ["rewrite", "inspect", str(tiny)]) is low


def test_summary_tells_the_number_of_the_budget_beside_its_own(tiny):
    called = call(tiny, "--preset", "int8", "--budget", "30dB", "--dry-run", "--no-evaluate")
    assert called.code == 0, called.err
    lines = [line.split() for line in called.out.splitlines()]
    place = next(i for i, words in enumerate(lines) if words[0] == "outputs")
    (told,) = [line for line in called.err.splitlines() if line.startswith("budget: outputs ")]
    reached = told.split(", ")[1].split(" now")[0]
    assert " ".join(lines[place + 1]) == f"{reached} on those that --budget measures"


def test_summary_says_how_to_inspect_the_very_file(tiny, tmp_path):
    passes = "fold-batch-norm,insert-quantizers{bits=w2a2},calibrate"
    file = tmp_path / "t.onnx"
    called = call(tiny, "--passes", passes, "--no-evaluate", "-q", "-o", file)
    assert called.code == 0, called.err
    (line,) = [each for each in called.out.splitlines() if "which layers cost it" in each]
    advised = line.split("rewrite ", 1)[1].split()
    assert advised == ["inspect", str(file), "--against", str(tiny)]
    assert call(*advised, "-q").code == 0


def test_summary_says_nothing_of_exact_passes(floating):
    assert "outputs" not in floating.called.out


def test_summary_tells_what_was_left_float_and_why(tiny):
    options = ("--dry-run", "--no-evaluate", "-q")
    left = "insert-quantizers{override=fc=float},calibrate"
    called = call(tiny, "--passes", f"fold-batch-norm,{left}", *options)
    assert called.code == 0, called.err
    (line,) = [text for text in called.out.splitlines() if text.startswith("left float")]
    assert line.split(maxsplit=2)[2] == "1 layer: left float on request"
    called = call(tiny, "--passes", "fold-batch-norm,insert-quantizers,calibrate", *options)
    assert "left float" not in called.out


def test_only_the_runtime_that_decides_gives_reasons(tmp_path):
    pytest.importorskip("openvino")
    # ONNX Runtime keeps a layer float whose bias is float and goes to a GELU.
    path = linear_model(tmp_path, forward="return self.fc(torch.nn.functional.gelu(self.fc(x)))")
    options = ("--preset", "int8", "--target", "openvino", "-q", "-o", tmp_path / "r.onnx")
    called = call(path, *options)
    assert called.code == 0, called.err
    told = [line.strip() for line in called.out.splitlines() if "eligible" in line]
    assert told[0] == "2 of 2 eligible nodes run in int8"
    assert told[1].endswith("of 2 eligible nodes run in int8; why not all: see --json")
    assert "  not " not in called.out


def test_summary_tells_of_nodes_with_too_many_bits(tiny, tmp_path):
    passes = "fold-batch-norm,insert-quantizers{override=fc=w8a16},calibrate"
    called = call(tiny, "--passes", passes, "-q", "-o", tmp_path / "t.onnx")
    assert called.code == 0, called.err
    reason = "input A is quantized to UINT16: int8 kernels take 8-bit data"
    told = [line.strip() for line in called.out.splitlines()]
    assert told.count(f"1 node runs in float: {reason}") == 1
    assert "1 of 2 layers run in int8; 1 is wider in the file" in told


def test_summary_tells_integer_weights_from_int8(tmp_path):
    path = linear_model(
        tmp_path,
        prepare="net.wide, net.fc = nn.Linear(4, 64), nn.Linear(64, 64)",
        forward="return self.fc(self.wide(x))",
    )
    options = ("--target", "ort-weight-only", "-q", "-o", tmp_path / "w.onnx")
    called = call(path, "--preset", "int4-weights", *options)
    assert called.code == 0, called.err
    told = [line.strip() for line in called.out.splitlines() if "integer weights" in line]
    assert told == ["1 of 2 layers run on integer weights; 1 is wider in the file"]


def test_the_ledger_is_in_the_file(int8):
    entries = {e.key: e.value for e in onnx.load(int8.file).metadata_props}
    assert '"calibrate"' in entries["rewrite.ledger"]
    assert entries["rewrite.target"] == '"portable"'


def test_recipe_reproduces_the_file(int8, tiny, tmp_path):
    again = tmp_path / "again.onnx"
    called = call(tiny, "--recipe", int8.recipe, "-o", again, "-q", "--no-evaluate")
    assert called.code == 0, called.err
    first, second = onnx.load(int8.file).graph, onnx.load(again).graph
    assert [n.op_type for n in first.node] == [n.op_type for n in second.node]
    weights = {i.name: numpy_helper.to_array(i) for i in second.initializer}
    assert len(weights) == len(first.initializer)
    for initializer in first.initializer:
        value = numpy_helper.to_array(initializer)
        assert np.array_equal(value, weights[initializer.name]), initializer.name


def test_a_recipe_spells_every_option_out(int8):
    text = int8.recipe.read_text()
    assert 'target = "portable"\nopset = 20\nseed = 0\n' in text
    options = 'method = "min-max"\npercentile = 99.99\ndecay = 0.9\nbatches = "none"'
    assert f'name = "calibrate"\n{options}' in text


def test_options_on_the_command_line_win_over_the_recipe(int8, tiny):
    called = call(tiny, "--recipe", int8.recipe, "--target", "ort-x64", "--dry-run", "--json", "-q")
    assert called.json["target"] == "ort-x64"
    names = [[each["name"] for each in one.json["passes"]] for one in (called, int8.called)]
    assert names[0] == names[1]


def test_a_recipe_stands_alone(int8, tiny):
    called = call(tiny, "--recipe", int8.recipe, "--preset", "float", "--dry-run")
    assert called.code == 2
    assert called.error[-1] == "  hint: leave out --passes and --preset"


def test_pt2_loads_in_torch_and_agrees(tiny, tmp_path):
    file = tmp_path / "tiny.pt2"
    called = call(tiny, "--preset", "float", "-o", file, "--json", "-q")
    assert called.code == 0, called.err
    namespace: dict = {}
    exec(compile(tiny.read_text(), str(tiny), "exec"), namespace)
    loaded = torch.export.load(file).module()
    x = torch.randn(5, 1, 8, 8)
    with torch.no_grad():
        expected = namespace["model"]()(x)
    assert torch.allclose(loaded(x), expected, atol=1e-6)
    sqnr = called.json["agreement"]["sqnr_db"]
    assert sqnr is None or sqnr > SAME_WEIGHTS_SQNR
    assert called.json["artifact"]["path"] == str(file)


KEYWORDS = """
def inputs():
    return {"x": torch.ones(2, 4)}


dynamic_shapes = {"x": {0: torch.export.Dim("batch", max=8)}}
"""


def test_pt2_of_keyword_inputs_keeps_dynamic_sizes(tmp_path):
    path, file = linear_model(tmp_path, more=KEYWORDS), tmp_path / "k.pt2"
    called = call(path, "-o", file, "-q")
    assert called.code == 0, called.err
    assert torch.export.load(file).module()(x=torch.ones(5, 4)).shape == (5, 4)


FOUND = """
import dataclasses


@dataclasses.dataclass
class Found:
    scores: torch.Tensor
    best: torch.Tensor


def evaluate(run):
    return {"best": float(run(torch.ones(2, 4)).best.sum())}
"""


def test_fields_of_a_dataclass_are_outputs_of_a_file_but_of_no_pt2(tmp_path):
    forward = "y = self.fc(x); return Found(y, y.amax(1))"
    path, file = linear_model(tmp_path, forward=forward, more=FOUND), tmp_path / "k.onnx"
    called = call(path, "-o", file, "-q", "--json")
    assert called.code == 0, called.err
    assert [each.name for each in onnx.load(file).graph.output] == ["scores", "best"]
    metrics = [each["best"] for each in called.json["metrics"].values()]
    assert metrics == pytest.approx([metrics[0]] * 3)
    called = call(path, "-o", tmp_path / "k.pt2", "-q")
    assert called.code == 2
    assert "Found is a class of its own" in called.err
    assert not (tmp_path / "k.pt2").exists()


def test_quantized_pt2_loads_with_the_markers(tiny, tmp_path):
    import rewrite.quantization.markers  # noqa: F401

    file = tmp_path / "tiny.pt2"
    called = call(tiny, "--preset", "int8", "--target", "ort-x64", "-o", file, "-q", "--json")
    assert called.code == 0, called.err
    assert torch.export.load(file).module()(torch.randn(3, 1, 8, 8)).shape == (3, 4)


def test_dry_run_writes_and_lowers_nothing(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = tmp_path / "r.toml"
    called = call(tiny, "--passes", "fold-batch-norm", "--dry-run", "--write-recipe", recipe)
    assert called.code == 0
    assert called.out.startswith("dry run: 1 rewrites by 1 passes, nothing written\n")
    assert "lower" not in called.err
    assert seen_files(tmp_path) == []


def test_an_empty_list_of_passes_runs_none(tiny):
    called = call(tiny, "--passes", "", "--dry-run", "--json", "--no-evaluate")
    assert called.json["passes"] == []


def test_without_passes_the_float_preset_runs_and_says_so(tiny):
    called = call(tiny, "--dry-run", "--json", "--no-evaluate")
    assert called.err.startswith("no --passes or --preset: running --preset float")
    assert [p["name"] for p in called.json["passes"]] == ["fold-batch-norm", "remove-dead-code"]
    assert called.json["metrics"] == {"eager": {}, "program": {}, "deployed": {}}


def test_run_can_be_written_out(tiny):
    called = call("run", tiny, "--passes", "fold-batch-norm", "--dry-run", "-q")
    assert (called.code, called.err) == (0, "")


def test_another_factory_of_the_file(tiny):
    called = call(f"{tiny}:other", "--passes", "fold-batch-norm", "--dry-run", "--json", "-q")
    assert called.json["metrics"]["eager"]["mean"] == pytest.approx(
        called.json["metrics"]["program"]["mean"], rel=1e-5
    )


def test_what_the_model_file_prints_is_talk(tmp_path):
    path = linear_model(tmp_path, prepare='print("loading")')
    called = call(path, "--dry-run", "--json")
    assert called.json["model"] == str(path)
    assert "loading" in called.err


def test_require_int8_fails_with_the_first_fallback(tiny, tmp_path):
    file = tmp_path / "tiny.onnx"
    options = ("--target", "ort-x64", "--no-evaluate", "-o", file)
    called = call(tiny, "--passes", "fold-batch-norm", *options, "--require-int8", "95%")
    assert called.code == 1
    assert called.error[0] == (
        "error: 0 of 2 layers run in int8; 2 are wider in the file (0 %, required: 95 %)"
    )
    assert seen_files(tmp_path) == []
