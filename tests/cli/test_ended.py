"""A model file that ends the process, or a batch that it does not take: whose line, and no file."""

import pytest

from .conftest import call, compile_to, line_of, linear_model

EMBEDDING = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(5, 4)
        self.layer = nn.Linear(4, 3)

    def forward(self, ids):
        return self.layer(self.table(ids))


def model():
    torch.manual_seed(0)
    return Net().eval()


def inputs():
    return (torch.tensor([[1, 2]]),)


def calibration():
    yield (torch.tensor([[3, 4]]),)
    yield (torch.tensor([[1, 9]]),)
"""
PASSES = "insert-quantizers,calibrate{batches=2}"
PLUGIN = """\
from rewrite import Pass, hookimpl


class Leave(Pass):
    "Leave."

    name = "leave"
    equivalence = "exact"

    def run(self, program, context):
        {run}


@hookimpl
def rewrite_passes():
    {hook}
    yield Leave
"""


@pytest.mark.parametrize(
    ("parts", "what", "code"),
    [
        (
            {"prepare": "raise SystemExit(0)"},
            "the factory of 'linear_model' raised SystemExit: 0",
            1,
        ),
        (
            {"more": "def evaluate(run):\n    raise SystemExit(0)"},
            "evaluate() raised SystemExit: 0",
            1,
        ),
        ({"more": "raise SystemExit(0)"}, "the model file does not run: SystemExit: 0", 2),
        ({"more": "raise GeneratorExit(0)"}, "the model file does not run: GeneratorExit: 0", 2),
        (
            {"prepare": "def deep():\n        deep()\n    deep()  # raise SystemExit(0)"},
            "the factory of 'linear_model' raised RecursionError: maximum recursion depth exceeded",
            1,
        ),
        (
            {"prepare": "class Odd(BaseException):\n        pass\n    raise Odd"},
            "the factory of 'linear_model' raised Odd: no message",
            1,
        ),
        (
            {"forward": "raise SystemExit(0)"},
            "the model or a plugin ended the process: SystemExit: 0",
            1,
        ),
    ],
)
def test_a_model_that_ends_the_process_is_an_error(parts, what, code, tmp_path):
    model = linear_model(tmp_path, **parts)
    called = compile_to(tmp_path, model)
    assert called.code == code
    assert called.error[0].startswith(f"error: {what}")
    assert called.error[1].startswith(f"  at: {model}:")


def test_inputs_and_calibration_that_end_the_process(tmp_path):
    model = tmp_path / "model.py"
    model.write_text(
        EMBEDDING.replace("    yield (torch.tensor([[1, 9]]),)", "    raise SystemExit")
    )
    called = compile_to(tmp_path, model, "--preset", "int8")
    assert (called.code, called.error[:2]) == (
        1,
        [
            "error: calibration() raised SystemExit: no message",
            f"  at: {line_of(model, 'raise SystemExit')}",
        ],
    )


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        ({"run": "raise SystemExit(0)"}, "pass 'leave' (from {path}) failed: SystemExit: 0"),
        ({"hook": "raise SystemExit(0)"}, "plugin {path}: rewrite_passes: SystemExit: 0"),
    ],
)
def test_a_plugin_that_ends_the_process_is_named(parts, what, tmp_path):
    plugin = tmp_path / "plugin.py"
    plugin.write_text(PLUGIN.format(**{"run": "pass", "hook": "pass", **parts}))
    called = call(linear_model(tmp_path), "--plugin", plugin, "--passes", "leave", "--dry-run")
    assert called.code == 3
    assert called.error[0] == f"error: {what.format(path=plugin)}"
    assert called.error[1] == f"  at: {line_of(plugin, 'raise SystemExit')}"


def test_filters_of_warnings_stay_in_the_model_file(tmp_path):
    model = linear_model(tmp_path, more="import warnings\n\nwarnings.simplefilter('error')")
    assert call(model, "--dry-run").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--preset", "int8"],
        ["--passes", "insert-quantizers,calibrate"],
        ["--passes", "insert-quantizers,calibrate{method=auto}"],
        ["--passes", "halve-floats{form=compute}"],
        ["--preset", "float"],
    ],
    ids=["correct-bias", "calibrate", "auto", "halve-floats", "run"],
)
def test_a_batch_that_the_model_does_not_take_is_named(arguments, tmp_path):
    model = tmp_path / "model.py"
    model.write_text(EMBEDDING)
    called = compile_to(tmp_path, model, *arguments)
    assert called.code == 2, called.err
    assert called.error[:2] == [
        "error: the model fails on calibration batch 2: IndexError: index out of range in self",
        f"  at: {line_of(model, 'return self.layer')}",
    ]


def test_a_batch_is_named_where_losses_are_measured(tmp_path):
    model = tmp_path / "model.py"
    text = EMBEDDING.replace("[[1, 9]]", "[[1, 2]]")
    model.write_text(f"{text}    yield (torch.tensor([[9, 9]]),)\n")
    called = call("inspect", model, "--passes", PASSES, "--batches", 4)
    assert called.code == 2
    assert called.error[0].startswith("error: the model fails on calibration batch 3: IndexError")
