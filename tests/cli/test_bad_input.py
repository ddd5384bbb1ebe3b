"""Whatever is wrong with what people give: what happened, at which line of theirs, a hint."""

import pytest

from rewrite.errors import PluginError
from rewrite.passes import Context
from rewrite.pipeline import run_passes
from rewrite.plugin_host import PluginHost

from .conftest import call, compile_to, line_of, linear_model, seen_files

RAISES_HALF_WAY = '''
from rewrite import Emitter, Outcome, Pass, hookimpl


class Boom(Pass):
    """Take something away, then fail."""

    name = "boom"
    equivalence = "exact"

    def run(self, program, context):
        emit = Emitter(program)
        relu = next(n for n in program.graph.nodes if "relu" in n.name)
        emit.redirect(relu, relu.args[0])
        raise ValueError("half way")


@hookimpl
def rewrite_passes():
    yield Boom
'''


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (
            ["--passes", "fold-batchnorm"],
            ["error: unknown pass 'fold-batchnorm'", "  hint: did you mean 'fold-batch-norm'?"],
        ),
        (
            ["--passes", "insert-quantizers,calibrate{metod=percentile}"],
            [
                "error: unknown option of 'calibrate' 'metod'",
                "  hint: did you mean 'method'? (rewrite passes calibrate)",
            ],
        ),
        (
            ["--passes", "insert-quantizers,calibrate{percentile=7}"],
            [
                "error: 7.0 is out of range",
                "  at: calibrate{percentile=7}",
                "  hint: allowed: 50 to 100",
            ],
        ),
        (
            ["--preset", "int9"],
            ["error: unknown preset 'int9'", "  hint: did you mean 'int8'?"],
        ),
        (
            ["--target", "portabel"],
            ["error: unknown target 'portabel'", "  hint: did you mean 'portable'?"],
        ),
        (
            ["--passes", "calibrate"],
            [
                "error: 'calibrate' requires 'insert-quantizers' before it: "
                "insert-quantizers → calibrate",
                "  hint: --passes insert-quantizers,calibrate",
            ],
        ),
        (
            ["--opset", "9"],
            ["error: opset 9 does not suit target 'portable'", "  hint: use 17 to 20"],
        ),
        (
            ["--latency"],
            ["error: --latency times a written file", "  hint: leave out --dry-run"],
        ),
    ],
)
def test_unknown_names_and_bad_values(tmp_path, arguments, error):
    called = call(linear_model(tmp_path), "--dry-run", *arguments)
    assert called.code == 2
    assert called.error == error


def test_unknown_model_of_the_zoo():
    called = call("zoo:vit-digit", "--dry-run")
    assert called.code == 2
    assert called.error == [
        "error: unknown model 'vit-digit'",
        "  hint: did you mean 'vit-digits'?",
    ]


def test_latency_of_a_file_that_no_runtime_takes(tiny, tmp_path):
    called = call(tiny, "-o", tmp_path / "out.pt2", "--latency")
    assert called.code == 2
    assert called.error == ["error: --latency times a file on its runtime", "  hint: -o NAME.onnx"]


def test_output_in_a_folder_that_is_not_there(tiny, tmp_path):
    called = call(tiny, "-o", tmp_path / "none" / "out.onnx")
    assert called.code == 2
    assert called.error == [
        f"error: cannot write '{tmp_path / 'none' / 'out.onnx'}': "
        f"there is no folder '{tmp_path / 'none'}'",
        f"  hint: mkdir -p {tmp_path / 'none'}",
    ]


def test_output_that_is_a_folder(tiny, tmp_path):
    called = call(tiny, "-o", tmp_path)
    assert called.code == 2
    assert called.error == [
        f"error: cannot write '{tmp_path}': it is a folder",
        f"  hint: name a file: {tmp_path / 'model.onnx'}",
    ]


def test_output_under_a_file(tiny, tmp_path):
    (tmp_path / "file").write_text("in the way")
    called = call(tiny, "-o", tmp_path / "file" / "out.onnx")
    assert called.code == 2
    assert called.error[0] == (
        f"error: cannot write '{tmp_path / 'file' / 'out.onnx'}': "
        f"'{tmp_path / 'file'}' is not a folder"
    )


def test_output_of_another_kind(tiny, tmp_path):
    called = call(tiny, "-o", tmp_path / "out.tflite")
    assert called.code == 2
    assert called.error[-1] == f"  hint: -o {tmp_path / 'out.onnx'}"


def test_recipe_in_a_folder_that_is_not_there(tiny, tmp_path):
    recipe = tmp_path / "none" / "r.toml"
    called = call(tiny, "-o", tmp_path / "out.onnx", "--write-recipe", recipe)
    assert called.code == 2
    assert seen_files(tmp_path) == []


def test_recipe_with_a_misspelt_key(tiny, tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text('tarket = "portable"\n')
    called = call(tiny, "--recipe", recipe, "--dry-run")
    assert called.code == 2
    assert called.error == [
        "error: unknown key of a recipe 'tarket'",
        f"  at: {recipe}",
        "  hint: did you mean 'target'?",
    ]


@pytest.fixture
def boom(tmp_path):
    path = tmp_path / "boom.py"
    path.write_text(RAISES_HALF_WAY)
    return path


def test_a_plugin_that_raises_in_a_pass_is_named(tiny, boom, tmp_path):
    called = compile_to(tmp_path, tiny, "--plugin", boom, "--passes", "boom", "--no-evaluate")
    assert called.code == 3
    assert called.error == [
        f"error: pass 'boom' (from {boom}) failed: ValueError: half way",
        f"  at: {line_of(boom, 'raise ValueError')}",
        "  hint: the program is as it was before this pass; leave it out, or report the bug",
    ]


def test_a_pass_that_raises_is_not_half_applied(tiny, boom):
    from rewrite.compile import rewrite_model
    from rewrite.request import Request

    host = PluginHost(plugins=[str(boom)])
    program = rewrite_model(Request(str(tiny), passes=()), host).program
    before = program.text()
    with pytest.raises(PluginError):
        run_passes(program, [host.find_pass("boom")()], Context())
    assert program.text() == before
    assert program.ledger == []


def test_a_pass_that_breaks_its_promise_fails(tiny, boom, tmp_path):
    boom.write_text(RAISES_HALF_WAY.replace('raise ValueError("half way")', "return Outcome(1)"))
    called = compile_to(tmp_path, tiny, "--plugin", boom, "--passes", "boom", "--no-evaluate")
    assert called.code == 1
    assert called.error[0].startswith(
        "error: pass 'boom' claims to be exact, but its relative error in float64 is"
    )


def test_a_requested_plugin_that_is_not_there(tiny, tmp_path):
    called = call(tiny, "--plugin", tmp_path / "none.py", "--dry-run")
    assert called.code == 3
    assert called.error[0] == "error: there is no plugin file none.py"
