"""`--measure` on the command line."""

import json

from .conftest import call


def test_measured_layers_stay_float_and_go_into_the_recipe(tmp_path):
    recipe = tmp_path / "recipe.toml"
    done = call(
        "zoo:vit-digits", "--preset", "int8", "--target", "ort-x64", "--measure", "--threads", "1",
        "-o", tmp_path / "x.onnx", "--write-recipe", recipe, "--no-evaluate", "--json",
    )  # fmt: skip
    measured = done.json["measure"]
    kept = [o for a in measured["attempts"] if a["left_float"] for o in a["overrides"]]
    slower = ["*"] if measured["all_float"] else [o.removesuffix("=float") for o in kept]
    assert measured["runtime"] == "onnxruntime"
    assert len(measured["attempts"]) > 4
    assert f"slower = {json.dumps(slower)}\n" in recipe.read_text()
    assert "measured on onnxruntime" in done.err


def test_a_program_for_pytorch_is_not_timed(tmp_path):
    done = call("zoo:vit-digits", "--preset", "int8", "--measure", "-o", tmp_path / "x.pt2")
    assert done.code == 2
    assert done.error[0] == "error: --measure times ONNX files"
