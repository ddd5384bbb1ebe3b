"""`rewrite inspect`."""

from .conftest import call


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
    assert "budget of 30 dB: " in called.err
    assert "=w8a8" in called.err
    assert "=w8a8" in recipe.read_text()
    again = call("inspect", out, "--against", tiny, "--json", "-q")
    assert again.json["output_db"] >= 30


def test_a_budget_needs_something_to_change(tiny):
    called = call(tiny, "--preset", "float", "--budget", "30", "--dry-run")
    assert called.code == 2
    assert called.error[0] == "error: a budget needs a pass that takes overrides"
