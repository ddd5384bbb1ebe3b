"""Models that cannot be compiled: what is wrong, at which line of theirs, a hint."""

import pytest

from .conftest import compile_to, line_of, linear_model


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


def test_a_model_of_an_installed_package_is_named_by_its_own_line(tmp_path, monkeypatch):
    packages = tmp_path / "site-packages"
    packages.mkdir()
    branch = "        return x if x.sum() > 0 else -x"
    lines = ("from torch import nn", "class Net(nn.Module):", "    def forward(self, x):", branch)
    (packages / "branching_lib.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(packages)
    path = linear_model(tmp_path, prepare="import branching_lib; return branching_lib.Net().eval()")
    called = compile_to(tmp_path, path)
    assert called.code == 1
    assert called.error[1].endswith(f"branching_lib.py:4: {branch.strip()}")


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
def test_a_squeeze_that_drops_a_batch_of_one_is_told_what_to_write(tmp_path, preset):
    shapes = 'import torch\ndynamic_shapes = ({0: torch.export.Dim("batch", max=8)},)\n'
    path = linear_model(tmp_path, forward="return self.fc(x).squeeze()", more=shapes)
    called = compile_to(tmp_path, path, "--preset", preset)
    assert called.code == 1
    assert "has shape (1, 4)" in called.error[0] and "(4,) in the model" in called.error[0]
    assert called.error[1] == f"  at: {line_of(path, 'squeeze()')}"
    assert "name the dimension in squeeze()" in called.error[2]


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
    assert called.error[0] == "error: calibration() gave no inputs"
    assert called.error[1].startswith("  hint: yield a few batches of representative inputs")


def test_calibration_that_gives_its_data_once_is_told_that_it_is_asked_again(tmp_path):
    more = "once = iter([(torch.ones(2, 4),)])\ndef calibration():\n    return once\n"
    called = compile_to(tmp_path, linear_model(tmp_path, more=more), "--preset", "int8")
    assert called.code == 2
    assert called.error[0] == "error: calibration() gave no inputs"
    assert called.error[1].endswith("as inputs() gives them, anew at each call")


@pytest.mark.parametrize("name", ["calibration", "evaluate", "inputs"])
def test_a_value_where_a_function_belongs(tmp_path, name):
    path = linear_model(tmp_path, more=f"{name} = [(torch.ones(2, 4),)]\n")
    called = compile_to(tmp_path, path, "--preset", "int8")
    assert called.code == 2
    assert called.error == [
        f"error: '{name}' in the model file is a list, not a function",
        f"  at: {path}",
        f"  hint: write: def {name}(): return ...",
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


def test_a_model_that_returns_what_holds_no_tensors_by_name(tmp_path):
    path = linear_model(tmp_path, forward="return {'y': self.fc(x), 'cache': [object()]}")
    called = compile_to(tmp_path, path)
    assert called.code == 1
    assert called.error == [
        "error: the model returns object at ['cache'][0], which holds its tensors where no file "
        "can name them",
        "  at: Net",
        "  hint: return tensors alone; for one of transformers: config.use_cache = False",
    ]


def test_quantizers_that_the_opset_does_not_have(tmp_path):
    path = linear_model(
        tmp_path,
        prepare="net.wide, net.fc = nn.Linear(4, 64), nn.Linear(64, 64)",
        forward="return self.fc(self.wide(x))",
    )
    called = compile_to(tmp_path, path, "--preset", "int4-weights")
    assert called.code == 2
    assert called.error == [
        "error: 'quantize-weights' needs opset 21, and target 'ort-x64' takes up to 20",
        "  hint: --target ort-weight-only, whose kernels take block=16 and more",
    ]


def test_a_runtime_that_refuses_the_file_names_the_line(tmp_path):
    path = linear_model(
        tmp_path,
        prepare="net.conv = nn.Conv1d(1, 2, 2).double()",
        forward="return self.conv(x.double().unsqueeze(1)).float()",
    )
    called = compile_to(tmp_path, path)
    assert called.code == 1
    assert called.error[0].startswith("error: onnxruntime: ONNX Runtime ")
    assert "node_conv" in called.error[0]
    assert called.error[1] == f"  at: {line_of(path, 'self.conv(x')}"
