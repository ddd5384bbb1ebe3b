"""Whatever is wrong with what people give: what happened, at which line of theirs, a hint."""

import pytest

from rewrite.errors import PluginError
from rewrite.passes import Context
from rewrite.pipeline import run_passes
from rewrite.plugin_host import PluginHost

from .conftest import call, line_of, linear_model, seen_files

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


def compile_to(folder, *arguments):
    """Compile with OUT there before, and make sure that nothing was written."""
    out = folder / "out"
    out.mkdir()
    (out / "model.onnx").write_bytes(b"previous")
    called = call(*arguments, "-o", out / "model.onnx", "--target", "ort-x64")
    assert (out / "model.onnx").read_bytes() == b"previous"
    assert seen_files(out) == ["model.onnx"]
    assert called.out == ""
    assert "Traceback" not in called.err
    return called


def test_missing_model_file(tmp_path):
    called = compile_to(tmp_path, tmp_path / "none.py")
    assert called.code == 2
    assert called.error == [
        f"error: there is no model file '{tmp_path / 'none.py'}'",
        "  hint: give a Python file with model() and inputs(), or zoo:NAME (see: rewrite zoo)",
    ]


def test_model_file_with_a_syntax_error(tmp_path):
    path = tmp_path / "wrong.py"
    path.write_text("import torch\ndef model(:\n    pass\n")
    called = compile_to(tmp_path, path)
    assert called.code == 2
    assert called.error == [
        "error: the model file does not run: SyntaxError: invalid syntax (wrong.py, line 2)",
        f"  at: {path}:2: def model(:",
        f"  hint: try: python {path}",
    ]


def test_model_file_with_an_import_error(tmp_path):
    path = tmp_path / "wrong.py"
    path.write_text("import torch\nimport there_is_no_such_module\n")
    called = compile_to(tmp_path, path)
    assert called.code == 2
    assert called.error == [
        "error: the model file does not run: ModuleNotFoundError: "
        "No module named 'there_is_no_such_module'",
        f"  at: {path}:2: import there_is_no_such_module",
        f"  hint: try: python {path}",
    ]


def test_model_file_that_exits(tmp_path):
    path = tmp_path / "wrong.py"
    path.write_text("raise SystemExit(0)\n")
    called = compile_to(tmp_path, path)
    assert called.code == 2
    assert called.error[0].startswith("error: the model file does not run: SystemExit")


def test_model_file_without_the_factory(tmp_path):
    path = linear_model(tmp_path)
    called = compile_to(tmp_path, f"{path}:modle")
    assert called.code == 2
    assert called.error == [
        "error: the model file has no function modle()",
        f"  at: {path}",
        "  hint: did you mean model()?",
    ]


def test_factory_that_raises(tmp_path):
    path = linear_model(tmp_path, prepare='net.load_state_dict({"fc.bias": 1 / 0})')
    called = compile_to(tmp_path, path)
    assert called.code == 1
    assert called.error == [
        "error: the factory of 'linear_model' raised ZeroDivisionError: division by zero",
        f"  at: {line_of(path, '1 / 0')}",
        "  hint: mend the model file; nothing was written",
    ]


def test_factory_that_returns_no_module(tmp_path):
    path = linear_model(tmp_path, prepare="return net.state_dict()")
    called = compile_to(tmp_path, path)
    assert called.code == 1
    assert called.error[0] == (
        "error: the factory of 'linear_model' returned OrderedDict, not an nn.Module"
    )


def test_inputs_that_do_not_fit(tmp_path):
    path = linear_model(tmp_path, forward="return self.fc(x[:, :3])")
    called = compile_to(tmp_path, path)
    assert called.code == 1
    assert called.error[0].startswith("error: the model fails on its example inputs: RuntimeError")
    assert called.error[1] == f"  at: {line_of(path, 'x[:, :3]')}"


def test_data_dependent_control_flow_names_the_line(tmp_path):
    path = linear_model(tmp_path, forward="return self.fc(x) if x.sum() > 0 else x")
    called = compile_to(tmp_path, path)
    assert called.code == 1
    assert called.error == [
        "error: the model branches on the values of a tensor, which no graph can hold",
        f"  at: {line_of(path, 'if x.sum() > 0')}",
        "  hint: use torch.where for values, or torch.cond for whole branches",
    ]


def test_model_in_training_mode(tmp_path):
    path = linear_model(tmp_path, prepare="return net")
    called = compile_to(tmp_path, path)
    assert called.code == 1
    assert called.error == [
        "error: the model is in training mode",
        "  at: Net",
        "  hint: return model.eval() from model()",
    ]


def test_nan_weights(tmp_path):
    path = linear_model(tmp_path, prepare='net.fc.bias.data[1] = float("nan")')
    called = compile_to(tmp_path, path)
    assert called.code == 1
    assert called.error[0] == "error: weight 'fc.bias' holds 1 NaN or infinite values of 4"


@pytest.mark.parametrize("preset", ["int8", "float"])
def test_calibration_of_a_wrong_shape(tmp_path, preset):
    more = "def calibration():\n    yield (torch.ones(2, 4),)\n    yield (torch.ones(2, 5),)\n"
    called = compile_to(tmp_path, linear_model(tmp_path, more=more), "--preset", preset)
    assert called.code == 2
    assert called.error == [
        "error: calibration batch 2: 'x' has shape [2, 5], expected [2, 4]",
        "  hint: every batch must look like what inputs() returns",
    ]


def test_empty_calibration(tmp_path):
    path = linear_model(tmp_path, more="def calibration():\n    return []\n")
    called = compile_to(tmp_path, path, "--preset", "int8")
    assert called.code == 2
    assert called.error == [
        "error: calibration() gave no inputs",
        "  hint: yield a few batches of representative inputs, each as inputs() returns them",
    ]


def test_calibration_that_raises_is_not_blamed_on_the_pass(tmp_path):
    more = "def calibration():\n    yield (torch.ones(2, 4),)\n    yield open('/none/at/all')\n"
    path = linear_model(tmp_path, more=more)
    called = compile_to(tmp_path, path, "--preset", "int8")
    assert called.code == 1
    assert called.error[0].startswith("error: calibration() raised FileNotFoundError")
    assert called.error[1] == f"  at: {line_of(path, '/none/at/all')}"


def test_evaluate_that_raises(tmp_path):
    path = linear_model(tmp_path, more="def evaluate(run):\n    return {'score': 'high'}\n")
    called = compile_to(tmp_path, path)
    assert called.code == 1
    assert called.error[0].startswith("error: evaluate() raised ValueError")


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


def test_a_model_that_draws_random_numbers(tmp_path):
    path = tmp_path / "noisy.py"
    path.write_text(
        "import torch\nfrom torch import nn\n\n\n"
        "class Noisy(nn.Module):\n    def forward(self, x):\n"
        "        return x + torch.randn_like(x)\n"
        "\n\ndef model():\n    return Noisy().eval()\n"
        "\n\ndef inputs():\n    return (torch.ones(2, 3),)\n"
    )
    called = compile_to(tmp_path, path)
    assert called.code == 1
    assert called.error[0] == "error: the model draws random numbers: aten.randn_like.default"
    assert called.error[1].endswith("noisy.py:7: return x + torch.randn_like(x)")


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
