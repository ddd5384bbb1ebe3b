from __future__ import annotations

import json
import re

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.export import Dim

from rewrite import CheckError, UsageError, capture
from rewrite.file_parts import parts_of
from rewrite.lowering.lower import save

from .models import assert_agrees, lowered, run, written

X = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
IMAGE = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))


class Call(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.ones(2, 3))

    def forward(self, x, *others):
        return self.function(self, x, *others)


def program(function, *inputs):
    return capture(Call(function).eval(), inputs or (X,))


OUTPUTS = {
    "an input": lambda m, x: (x, x + 1),
    "an input only": lambda m, x: x,
    "one twice": lambda m, x: (lambda y: (y, y, {"a": y}))(x + 1),
    "a weight": lambda m, x: (x + 1, m.weight),
    "a weight only": lambda m, x: m.weight,
    "numbers and none": lambda m, x: (x + 1, 3, None, x * 2, 0.5),
    "scalars": lambda m, x: (x.sum(), x.argmax(), (x > 0).any()),
    "nested": lambda m, x: {"hidden": [x + 1, (x * 2,)], "pooled": x.mean(1)},
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_of_every_kind(name, tmp_path):
    assert_agrees(program(OUTPUTS[name]), tmp_path)


def test_outputs_are_named_by_their_paths(tmp_path):
    path = assert_agrees(program(OUTPUTS["nested"]), tmp_path)
    names = [value.name for value in onnx.load(path).graph.output]
    assert names == ["hidden.0", "hidden.1.0", "pooled"]


INPUTS = {
    "unused": (lambda m, x, y: x + 1, (X, X)),
    "integers": (lambda m, x, i: x[:, i] + i, (X, torch.tensor([0, 2]))),
    "booleans": (lambda m, x, b: torch.where(b, x, -x), (X, X > 0)),
    "a scalar tensor": (lambda m, x, s: x * s, (X, torch.tensor(2.0))),
    "a number": (lambda m, x, i: x * i, (X, 2)),
    "a list": (lambda m, x, two: x + two[0] * two[1], (X, [X, X])),
}


@pytest.mark.parametrize("name", INPUTS)
def test_inputs_of_every_kind(name, tmp_path):
    function, inputs = INPUTS[name]
    assert_agrees(program(function, *inputs), tmp_path)


class Clashing(nn.Module):
    """Argument names that the exporter changes, and an output named like an input."""

    def forward(self, input, x):
        return {"x": input + x, "add": input * x}


def test_names_that_clash_are_told_apart(tmp_path):
    captured = capture(Clashing().eval(), (X, X))
    path = assert_agrees(captured, tmp_path)
    graph = onnx.load(path).graph
    assert [v.name for v in graph.input] == list(captured.signature.input_names)
    assert [v.name for v in graph.output] == ["output_x", "add"]


class Sum(nn.Module):
    def forward(self, x, y):
        return (x + y).flatten(), x.mean(0)


class SumOfInput(nn.Module):
    def forward(self, input, y):
        return (input + y).flatten(), input.mean(0)


@pytest.mark.parametrize(("model", "name"), [(Sum(), "x"), (SumOfInput(), "input")])
def test_dynamic_dimensions_are_named_and_work(model, name, tmp_path):
    batch = Dim("batch", min=1, max=64)
    captured = capture(model.eval(), (X, X), {name: {0: batch}, "y": {0: batch}})
    path = assert_agrees(captured, tmp_path)
    assert_agrees(captured, tmp_path, 20, torch.ones(5, 3), torch.ones(5, 3))
    inputs = onnx.load(path).graph.input
    dims = [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in inputs]
    expected = captured.signature.dynamic["y"][0].name
    assert dims == [[expected, 3], [expected, 3]]


class Everything(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.head = nn.Conv2d(3, 4, 3), nn.LayerNorm(64), nn.Linear(64, 3)

    def forward(self, x):
        y = nn.functional.silu(self.conv(x))
        return nn.functional.gelu(self.head(self.norm(y.flatten(1)))), y.mean((2, 3))


@pytest.mark.parametrize("opset", [17, 18, 19, 20, 21])
def test_every_opset_loads_and_agrees(opset, tmp_path):
    path = assert_agrees(capture(Everything().eval(), (IMAGE,)), tmp_path, opset)
    versions = {o.domain: o.version for o in onnx.load(path).opset_import}
    assert versions[""] == opset


@pytest.mark.parametrize(
    "function", [lambda m, x: x.mean(1), lambda m, x: x.amax((0, 1)), lambda m, x: x.std(1)]
)
def test_reductions_reach_opset_17(function, tmp_path):
    captured = program(function)
    path = written(lowered(captured, 17), tmp_path)
    args, _ = captured.example
    (result,) = run(path, captured).values()
    torch.testing.assert_close(torch.from_numpy(result), captured(*args), rtol=1e-5, atol=1e-5)


def test_an_operator_that_the_opset_does_not_have_is_an_error():
    captured = program(lambda m, x: x.int() & 3)
    with pytest.raises(CheckError, match="operators that opset 17 does not have") as caught:
        lowered(captured, 17)
    assert caught.value.hint == "--opset 18"


def test_metadata_is_in_the_file(tmp_path):
    ledger = [{"pass": "fold-batch-norm", "relative_error": 1e-16}]
    path = written(lowered(program(lambda m, x: x + 1), ledger=ledger, seed=3), tmp_path)
    model = onnx.load(path)
    stored = {p.key: json.loads(p.value) for p in model.metadata_props}
    assert stored == {"rewrite.ledger": ledger, "rewrite.seed": 3}
    assert model.producer_name == "rewrite"


def test_weights_past_the_limit_go_to_a_file_beside(tmp_path, monkeypatch):
    captured = program(lambda m, x: x @ torch.ones(3, 100))
    inline = written(lowered(captured), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    expected = run(inline, captured)
    monkeypatch.setattr("rewrite.file_parts._ONE_FILE_BYTES", 8)
    (tmp_path / "large").mkdir()
    path = written(lowered(captured), tmp_path / "large")
    weights, model = parts_of(path)
    assert model == path and re.fullmatch(r"model\.onnx\.[0-9a-f]{16}\.data", weights.name)
    assert sorted(path.parent.iterdir()) == [path, weights]
    for name, value in run(path, captured).items():
        np.testing.assert_array_equal(value, expected[name])


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(UsageError, match="cannot write"):
        save(lowered(program(lambda m, x: x + 1)).model, tmp_path / "no" / "model.onnx")


@torch.library.custom_op("rewrite_tests::mystery", mutates_args=())
def mystery(x: torch.Tensor) -> torch.Tensor:
    return x.clone()


@mystery.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


class Mysterious(nn.Module):
    def forward(self, x):
        return mystery(x + 1)


def test_an_operator_without_a_translation_is_named_with_the_users_line():
    captured = capture(Mysterious().eval(), (X,))
    with pytest.raises(CheckError) as caught:
        lowered(captured)
    assert "no ONNX translation for 'rewrite_tests.mystery.default'" in caught.value.what
    assert caught.value.where is not None
    assert "test_lower.py" in caught.value.where and "mystery(x + 1)" in caught.value.where
    assert "rewrite_lowerings" in str(caught.value.hint)
