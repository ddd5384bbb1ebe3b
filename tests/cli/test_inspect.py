"""`rewrite inspect`."""

from .conftest import call

LINEAR_64 = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 8)

    def forward(self, x):
        return self.fc(x)


def model():
    torch.manual_seed(0)
    return Net().eval()


def inputs():
    return (torch.randn(4, 64, generator=torch.Generator().manual_seed(0)),)
"""


def test_a_file_is_inspected_as_it_was_made(int8, tiny):
    called = call("inspect", int8.file, "--against", tiny, "--json", "-q")
    assert called.code == 0, called.err
    value = called.json
    assert value["target"] == "portable"
    assert 20 < value["output_db"] < 80
    costs = [layer["output_db"] for layer in value["layers"]]
    assert costs == sorted(costs) and len(costs) >= 2
    assert {"weight_db", "input_db", "own_db", "accumulated_db", "override"} <= set(
        value["layers"][0]
    )


def test_a_model_is_inspected_with_the_preset(tiny):
    called = call("inspect", tiny, "-q")
    assert called.code == 0, called.err
    lines = called.out.splitlines()
    assert lines[0].split() == [
        "layer", "call", "weight", "input", "result", "outputs", "with", "all", "where"
    ]  # fmt: skip
    assert any(line.startswith("outputs with everything quantized: ") for line in lines)


def test_a_file_needs_its_model(int8):
    called = call("inspect", int8.file)
    assert called.code == 2
    assert called.error == ["error: which model was the file made from?", "  hint: --against MODEL"]


def test_a_float_file_has_nothing_to_inspect(floating, tiny):
    called = call("inspect", floating.file, "--against", tiny, "-q")
    assert called.code == 2
    assert called.error[0] == "error: the program is not quantized"


def test_passes_are_the_files_own(int8, tiny):
    called = call("inspect", int8.file, "--against", tiny, "--preset", "int8")
    assert called.code == 2
    assert called.error[0] == "error: the file says which passes made it"


def test_a_model_is_compared_with_itself(tiny):
    called = call("inspect", tiny, "--against", tiny)
    assert called.code == 2
    assert called.error[0] == "error: --against names the model of a file"


def test_a_budget_is_shown_and_met(tiny, tmp_path):
    passes = "insert-quantizers{bits=w3a8},calibrate"
    out, recipe = tmp_path / "out.onnx", tmp_path / "recipe.toml"
    called = call(tiny, "--passes", passes, "--budget", "30", "-o", out, "--write-recipe", recipe)
    assert called.code == 0, called.err
    assert "budget: outputs " in called.err
    assert "w3a8 → w8a8" in called.err
    assert "=w8a8" in recipe.read_text()
    again = call("inspect", out, "--against", tiny, "--json", "-q")
    assert again.json["output_db"] >= 30


def test_a_budget_needs_something_to_change(tiny):
    called = call(tiny, "--preset", "float", "--budget", "30", "--dry-run")
    assert called.code == 2
    assert called.error[0].startswith("error: none of the passes takes overrides")


def test_a_size_is_met_and_told(tiny):
    arguments = (tiny, "--preset", "int8", "--budget", "0.9x", "--dry-run")
    value = call(*arguments, "--json", "-q").json["budget"]
    assert set(value) == {
        "start_db", "reached_db", "start_bytes", "reached_bytes", "overrides", "changes"
    }  # fmt: skip
    assert value["reached_db"] > value["start_db"]
    assert len(value["changes"]) == len(value["overrides"]) > 0
    told = call(*arguments)
    assert told.code == 0, told.err
    for change in value["changes"]:
        row = next(
            line for line in told.err.splitlines() if line.startswith(f"  {change['layer']}")
        )
        assert f"{change['before']} → {change['after']}" in row
    head = next(line for line in told.err.splitlines() if line.startswith("  layer"))
    assert head.split()[:3] == ["layer", "precision", "weights"]


def test_without_a_budget_json_has_none(int8):
    assert int8.called.json["budget"] is None


def test_what_is_no_budget(tiny):
    called = call(tiny, "--preset", "int8", "--budget", "12 apples", "--dry-run")
    assert called.code == 2
    assert "'12 apples' is no budget: 'apples' is no unit (write it like 35dB" in called.err


def test_a_size_is_that_of_an_onnx_file(tiny, tmp_path):
    called = call(tiny, "--preset", "int8", "--budget", "0.6x", "-o", tmp_path / "out.pt2")
    assert called.code == 2
    assert called.error[0] == "error: a budget of size is for ONNX files"
    assert list(tmp_path.iterdir()) == []


def test_the_suggestion_names_the_pass_that_takes_it(tmp_path):
    path = tmp_path / "wide.py"
    path.write_text(LINEAR_64)
    arguments = ("inspect", path, "--passes", "quantize-weights", "--target", "ort-weight-only")
    called = call(*arguments, "-q")
    assert called.code == 0, called.err
    assert called.out.splitlines()[-1].endswith("dB with quantize-weights{override=fc=w8}")
