"""--fix and --static: files of fixed sizes, and what remembers them."""

import json

import onnx
import pytest

from rewrite.recipe import read_recipe

from .conftest import call


def sizes(path) -> list:
    (value,) = onnx.load(path).graph.input
    dims = value.type.tensor_type.shape.dim
    return [d.dim_param or d.dim_value for d in dims]


@pytest.fixture(scope="module")
def single(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sizes")
    given = ("--fix", "batch=1", "-o", folder / "one.onnx", "--write-recipe", folder / "r.toml")
    called = call(tiny, "--preset", "int8", *given, "--json")
    assert not called.code, called.err
    return called, folder


def test_the_file_has_the_sizes_and_says_so(single):
    called, folder = single
    assert sizes(folder / "one.onnx") == [1, 1, 8, 8]
    assert called.json["fixed"] == {"batch": 1}
    metadata = {p.key: p.value for p in onnx.load(folder / "one.onnx").metadata_props}
    (found,) = [json.loads(v) for k, v in metadata.items() if k.endswith("fixed")]
    assert found == {"batch": 1}


def test_it_is_evaluated_in_pieces(single):
    metrics = single[0].json["metrics"]
    assert metrics["deployed"]["mean"] == pytest.approx(metrics["program"]["mean"], rel=1e-4)


def test_the_recipe_has_them_and_they_can_be_changed(single, tiny, tmp_path):
    recipe = single[1] / "r.toml"
    assert read_recipe(recipe).fix == {"batch": 1}
    out = tmp_path / "again.onnx"
    assert not call(tiny, "--recipe", recipe, "-o", out, "-q", "--no-evaluate").code
    assert sizes(out) == [1, 1, 8, 8]
    more = ("--fix", "batch=3", "--no-evaluate")
    assert not call(tiny, "--recipe", recipe, "-o", out, "-q", *more).code
    assert sizes(out) == [3, 1, 8, 8]


def test_check_runs_the_model_at_the_sizes_of_the_file(single, tiny):
    called = call("check", single[1] / "one.onnx", "--against", tiny, "--json")
    assert not called.code, called.err


def test_static_is_what_a_target_of_fixed_sizes_needs(tiny, tmp_path):
    out = tmp_path / "out.onnx"
    refused = call(tiny, "--preset", "int8", "--target", "qnn", "-o", out, "-q")
    assert refused.code == 2 and "--static" in refused.err and not out.exists()
    called = call(tiny, "--preset", "int8", "--target", "qnn", "-o", out, "-q", "--static")
    assert not called.code, called.err
    assert sizes(out) == [2, 1, 8, 8]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("bach=1", "did you mean 'batch'?"),
        ("batch", "is not a size, like batch=1"),
        ("batch=0", "is not a size"),
        ("batch=1,tokens=4", "unknown dynamic size 'tokens'"),
    ],
)
def test_mistakes(tiny, value, says):
    called = call(tiny, "--fix", value, "--dry-run")
    assert called.code == 2 and says in called.err


def test_a_recipe_whose_sizes_are_none(tiny, tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text('fix = { batch = "one" }\n')
    called = call(tiny, "--recipe", recipe, "--dry-run")
    assert called.code == 2 and "fix is no table of sizes" in called.err
