"""Deployed equals simulated: every zoo model and target that runs here, one at every opset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

import pytest
from lowering.models import agreement
from torch.utils import _pytree as pytree

from rewrite import Program, Target, capture
from rewrite import compile as compile_module
from rewrite.artifact import table_of
from rewrite.checks.samples import check_batches
from rewrite.compile import rewrite_model
from rewrite.job import find_model, legalize
from rewrite.lint import lint
from rewrite.lowering.agreement import layer_by_layer
from rewrite.lowering.lower import lower, save
from rewrite.passes import Context
from rewrite.plugin_host import PluginHost
from rewrite.request import Request
from rewrite.runtimes import get_runtime

LOWEST_SQNR = 35.0
"""In dB, file against simulation at 8 bits: single roundings fall the other way."""
LOWEST_SQNR_WHOLE = 30.0
"""In dB, where every tensor of a transformer has 8 bits: a rounding of the residual stream that
falls the other way is a whole step of it, and more follow. Layer by layer the bound is the same."""
pytestmark = pytest.mark.usefixtures("one_thread")
rewrite_zoo = pytest.importorskip("rewrite_zoo")
NAMES = [model.name for model in rewrite_zoo.rewrite_models()]
HOST = PluginHost()
TARGETS = ("portable", "ort-x64", "openvino")
ALIKE = ("ort-x64-avx2", "ort-arm64", "academic", "ort-weight-only")
"""Targets that are written as those are: their own opset will do."""
PRESETS = {"academic": "academic", "ort-weight-only": "int4-weights"}


@pytest.fixture(scope="module", autouse=True)
def shared_captures() -> Iterator[None]:
    """Capture each model once: what is captured does not depend on the target."""
    known: dict[Any, Program] = {}

    def shared(model: Any, inputs: Any, dynamic_shapes: Any, talk: Any = None) -> Program:
        shapes = [leaf.shape for leaf in pytree.tree_leaves(inputs)]
        weights = sum(float(p.detach().double().abs().sum()) for p in model.parameters())
        key = type(model).__qualname__, weights, str(shapes), str(dynamic_shapes)
        if key not in known:
            known[key] = capture(model, inputs, dynamic_shapes, talk)
        return known[key].clone()

    with mock.patch.object(compile_module, "capture", shared):
        yield


KINDS = ("resnet-digits", "bert-docstrings")
"""A model of each kind: what is alike is tried on these, and on the others with `--all-forms`."""


def opsets_of(target: Target, name: str) -> list[int]:
    """Return every opset for one target; for the others the ends of their range and their own."""
    low, high = target.opset_range
    if target.name in ALIKE:
        return [target.opset]
    every = target.name == "portable" and name in KINDS
    return list(range(low, high + 1)) if every else [low, target.opset, high]


def pairs_of(targets: Sequence[str], alike: Sequence[str]) -> list[Any]:
    """Return every model with every target; those that are alike with one model of each kind."""
    repeats = [pytest.mark.all_forms]
    return [
        pytest.param(name, target, marks=repeats if target in alike and name not in KINDS else [])
        for name in NAMES
        for target in targets
    ]


@pytest.mark.parametrize(("name", "target_name"), pairs_of([*TARGETS, *ALIKE], ALIKE))
def test_deployed_equals_simulated_at_every_opset(name, target_name, tmp_path):
    if name.endswith("-digits"):
        pytest.importorskip("sklearn")
    target = HOST.find_target(target_name)
    preset = PRESETS.get(target_name, "int8")
    request = Request(f"zoo:{name}", preset=preset, target=target_name, checks="off", threads=1)
    program = rewrite_model(request, HOST).program
    legal = legalize(program, target, HOST, Context(target=target), checked=False).program
    inputs = check_batches(find_model(HOST, request.model), program, 1)
    opsets = sorted(set(opsets_of(target, name)))
    for opset in opsets:
        lowered = lower(legal, opset, table_of(HOST.lowerings(), target_name), {}, target.avoids)
        path = tmp_path / f"{opset}.onnx"
        save(lowered.model, path)
        names = [str(value.name) for value in lowered.model.graph.inputs]
        for runtime in map(get_runtime, target.runtimes):
            if not runtime.available() or (
                runtime.name == "openvino" and opsets[0] < opset < opsets[-1]
            ):
                continue
            loaded = runtime.load(path, 1)
            found = agreement(program, loaded, inputs)
            assert found.difference.sqnr_db >= LOWEST_SQNR, (opset, runtime.name)
            if runtime.name == "onnxruntime":
                layers = layer_by_layer(lowered, path, names, inputs[0])
                assert layers.max_lsb <= 1, (opset, layers.worst)
                assert layers.compared == layers.total
                # Weights alone are quantized for it: no activation to compare.
                assert (layers.total > 0) is (target_name != "ort-weight-only")


@pytest.mark.parametrize("target_name", ["tensorrt", "qnn", "vitis"])
@pytest.mark.parametrize("name", NAMES)
def test_files_for_elsewhere_keep_the_rules_and_are_what_was_simulated(name, target_name, tmp_path):
    if name.endswith("-digits"):
        pytest.importorskip("sklearn")
    target = HOST.find_target(target_name)
    fix = {"batch": 4} if name.endswith("-digits") else {"batch": 4, "sequence": 64}
    request = Request(f"zoo:{name}", preset="int8", target=target_name, checks="off", fix=fix)
    program = rewrite_model(request, HOST).program
    legal = legalize(program, target, HOST, Context(target=target), checked=False).program
    table = table_of(HOST.lowerings(), target_name)
    lowered = lower(legal, target.opset, table, {}, target.avoids)
    path = tmp_path / "file.onnx"
    save(lowered.model, path)
    assert lint(path, target) == []
    names = [str(value.name) for value in lowered.model.graph.inputs]
    loaded = get_runtime("onnxruntime").load(path, 1)
    found = agreement(program, loaded, [program.example])
    floor = LOWEST_SQNR_WHOLE if target_name == "qnn" else LOWEST_SQNR
    assert found.difference.sqnr_db >= floor
    layers = layer_by_layer(lowered, path, names, program.example)
    assert layers.max_lsb <= 1, layers.worst
    assert layers.compared == layers.total > 0
