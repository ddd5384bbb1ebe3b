"""The runner: a fault that no check of the compiler sees is found, and shown by a small model."""

from __future__ import annotations

import onnx
import pytest

from rewrite.compile import compile_model
from rewrite.plugin_host import PluginHost

from .differential import BAD, CRASH, REFUSED, WRONG, attempt
from .generate import generate
from .model_files import call, load_text
from .printing import print_model
from .shrink import smallest
from .spec import Dim, Input, Spec, Step

FLOAT_SEEDS = range(0, 151, 14)
INT8_SEEDS = range(4, 151, 50)


@pytest.fixture(scope="module")
def host():
    return PluginHost()


def _try(spec, folder, host, target="ort-x64", preset="float", **more):
    path = folder / f"seed_{spec.seed}.py"
    path.write_text(print_model(spec), encoding="utf-8")
    return attempt(path, target, preset, host, spec.seed, **more)


@pytest.mark.parametrize("seed", FLOAT_SEEDS)
def test_float_files_agree_with_eager_torch(seed, tmp_path, host):
    found = _try(generate(seed), tmp_path, host)
    assert found.outcome not in BAD, found


@pytest.mark.parametrize("seed", INT8_SEEDS)
def test_int8_files_agree_with_their_program(seed, tmp_path, host):
    found = _try(generate(seed), tmp_path, host, preset="int8")
    assert found.outcome not in BAD, found


def _steps(*kinds):
    steps, before = [], "x"
    for place, (op, code) in enumerate(kinds):
        name = f"v{place}"
        steps.append(Step(op, "any", [before], [name], [f"{name} = {code.format(x=before)}"]))
        before = name
    return steps


def _longer_model():
    """Three steps over a dynamic size; only one of them matters here."""
    steps = _steps(
        ("shift", "{x} + 0.5"),
        ("bend", "torch.tanh({x})"),
        ("rise", "{x} - 0.25"),
    )
    inputs = [Input("x", "float", ["b", 3, 4])]
    return Spec(1, inputs, [Dim("b", 1, 9, [2, 3, 1])], steps, {"a": "v2", "b": "v0"})


def _spoilt(request, host, talk):
    """Compile, and put another function into the file, past everything that looks at it."""
    result = compile_model(request, host, talk)
    model = onnx.load(request.output)
    for node in model.graph.node:
        if node.op_type == "Tanh":
            node.op_type = "Sin"
    onnx.save(model, request.output)
    return result


def test_a_planted_fault_is_found_and_made_small(tmp_path, host):
    spec = _longer_model()
    assert _try(spec, tmp_path, host).outcome == "agrees"
    fault = _try(spec, tmp_path, host, compiler=_spoilt)
    assert fault.outcome == WRONG and fault.reason

    def shows(candidate):
        return _try(candidate, tmp_path, host, compiler=_spoilt).outcome == WRONG

    small = smallest(spec, shows)
    assert small.ops == ["bend"]
    assert "torch.tanh(x)" in print_model(small)


def test_a_crash_is_not_a_refusal(tmp_path, host):
    def broken(request, host, talk):
        raise IndexError("list index out of range")

    found = _try(_longer_model(), tmp_path, host, compiler=broken)
    assert (found.outcome, found.reason) == (CRASH, "IndexError: list index out of range")


def test_a_refusal_names_the_line(tmp_path, host):
    spec = _longer_model()
    spec.steps[1].code = ["v1 = torch.special.bessel_j0(v0)"]
    found = _try(spec, tmp_path, host)
    assert found.outcome == REFUSED
    assert "bessel_j0" in found.reason and "seed_1.py:" in found.where


def test_a_shrunk_model_still_computes(tmp_path):
    spec = generate(12)
    small = smallest(spec, lambda candidate: "v1" in print_model(candidate))
    names = load_text(print_model(small))
    assert len(small.steps) <= len(spec.steps)
    assert call(names["model"](), names["inputs"]())
