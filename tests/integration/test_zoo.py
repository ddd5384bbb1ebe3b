"""The trained models: exact in float64 until they are quantized, and as good afterwards."""

from __future__ import annotations

import onnx
import pytest
import torch
from torch.utils import _pytree as pytree

from rewrite.compile import compile_model
from rewrite.plugin_host import PluginHost
from rewrite.request import Request

LARGEST_RELATIVE_DIFFERENCE = 1e-10
"""Of outputs in float64."""
LARGEST_DROP = 0.5
"""In points of accuracy, from eager to the deployed file."""
LOWEST_SQNR = 25.0
"""In dB, file against program: single roundings fall the other way, and residual nets carry
them on."""

pytestmark = pytest.mark.usefixtures("one_thread")
rewrite_zoo = pytest.importorskip("rewrite_zoo")
NAMES = [model.name for model in rewrite_zoo.rewrite_models()]
every_model = pytest.mark.parametrize("name", NAMES)


def needs(name: str) -> None:
    if name.endswith("-digits"):
        pytest.importorskip("sklearn")


@every_model
def test_float_passes_are_exact(name, tmp_path):
    needs(name)
    host = PluginHost()
    request = Request(
        f"zoo:{name}",
        preset="float",
        output=tmp_path / "model.onnx",
        threads=1,
        evaluate=False,
    )
    result = compile_model(request, host)
    for report in result.reports:
        assert report.pass_.equivalence == "exact"
        if report.difference is not None:
            assert report.difference.relative <= LARGEST_RELATIVE_DIFFERENCE, report.pass_.name
    for runtime, found in result.as_json()["runtimes"].items():
        assert not found["problem"], runtime


@every_model
def test_float_program_agrees_with_eager(name):
    needs(name)
    from rewrite import equivalence
    from rewrite.compile import rewrite_model
    from rewrite.inputs import split_inputs

    host = PluginHost()
    description = host.find_model(name)
    result = rewrite_model(Request(f"zoo:{name}", preset="float", threads=1), host)
    args, kwargs = split_inputs(description.inputs())
    eager = description.model().double()
    wide = [a.double() if a.is_floating_point() else a for a in args]
    with torch.no_grad():
        expected = pytree.tree_leaves(eager(*wide, **kwargs))
    (actual,) = equivalence.reference(result.program, [(tuple(args), kwargs)])
    for want, have in zip(expected, actual, strict=True):
        scale = want.abs().max()
        assert (want - have).abs().max() <= LARGEST_RELATIVE_DIFFERENCE * scale


def test_four_bit_decoder_is_nearly_as_good(tmp_path):
    needs("opt-docstrings")
    sizes = {}
    for preset in ("float", "int4-weights"):
        path = tmp_path / f"{preset}.onnx"
        request = Request(
            "zoo:opt-docstrings",
            preset=preset,
            target="ort-weight-only",
            output=path,
            threads=1,
        )
        summary = compile_model(request, PluginHost()).as_json()
        sizes[preset] = _bytes_of_products(path)
    assert summary["int8"]["fired"] == summary["int8"]["eligible"] == 25
    assert_only_tables_are_wider(summary["int8"])
    metrics = summary["metrics"]
    assert metrics["deployed"]["perplexity"] <= 1.03 * metrics["eager"]["perplexity"]
    assert sizes["int4-weights"] <= 0.2 * sizes["float"]


def assert_only_tables_are_wider(int8):
    """Of all layers only tables of embeddings are float: reading a row of them computes nothing."""
    wider = [each for each in int8["float"] if each["has_weight"]]
    assert {each["reason"] for each in wider} <= {"'Gather' reads its weight in float"}
    assert int8["in_int8"] == int8["layers"] - len(wider)


def _bytes_of_products(path):
    """Return what the weights of products take in a file, their scales and zero points included."""
    model = onnx.load(path)
    parts = {t.name: len(t.raw_data) for t in model.graph.initializer}
    made_by = {o: n for n in model.graph.node for o in n.output}
    read: set[str] = set()
    for node in model.graph.node:
        if node.op_type in ("MatMul", "Gemm"):
            source = made_by.get(node.input[1])
            read.update(source.input if source is not None else [node.input[1]])
    return sum(parts.get(name, 0) for name in read)


@every_model
def test_int8_file_is_as_good(name, tmp_path):
    needs(name)
    request = Request(f"zoo:{name}", preset="int8", output=tmp_path / "model.onnx", threads=1)
    result = compile_model(request, PluginHost())
    summary = result.as_json()
    for runtime, found in summary["runtimes"].items():
        assert not found["problem"], runtime
        assert found["agreement"]["sqnr_db"] >= LOWEST_SQNR, runtime
        assert found["int8"]["fired"] == found["int8"]["eligible"] > 0, runtime
        assert_only_tables_are_wider(found["int8"])
    assert summary["agreement"]["layers"]["max_lsb"] <= 1
    eager, deployed = summary["metrics"]["eager"], summary["metrics"]["deployed"]
    assert eager.keys() == deployed.keys() and eager
    if "accuracy" in eager:
        assert eager["accuracy"] - deployed["accuracy"] <= LARGEST_DROP
