"""Rules hold in the graphs inside a graph: the branches of an If, the body of a Loop."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from rewrite.lint import lint

from .graphs import PAIRS
from .test_lint import held_to

BOOL = TensorProto.BOOL


def branches(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return nodes that run a graph in both branches of an If."""
    body = helper.make_graph(graph.node, "body", [], graph.output, graph.initializer)
    names = {"then_branch": body, "else_branch": body}
    return [helper.make_node("If", ["yes"], ["y"], name="around", **names)]


def repeated(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return nodes that run a graph twice, one result behind the other."""
    step = helper.make_tensor_value_info("step", TensorProto.INT64, [])
    before, after = (helper.make_tensor_value_info(name, BOOL, []) for name in ("go", "on"))
    nodes = [*graph.node, helper.make_node("Identity", ["go"], ["on"])]
    outputs = [after, *graph.output]
    body = helper.make_graph(nodes, "body", [step, before], outputs, graph.initializer)
    return [helper.make_node("Loop", ["twice", "yes"], ["y"], name="around", body=body)]


def inside(model: onnx.ModelProto, around) -> onnx.ModelProto:
    """Return a model whose graph holds another model's graph."""
    constants = [
        helper.make_tensor("yes", BOOL, [], [True]),
        helper.make_tensor("twice", TensorProto.INT64, [], [2]),
    ]
    output = helper.make_empty_tensor_value_info("y")
    nodes = around(model.graph)
    graph = helper.make_graph(nodes, "whole", model.graph.input, [output], constants)
    whole = helper.make_model(graph, opset_imports=model.opset_import, ir_version=10)
    whole = onnx.shape_inference.infer_shapes(whole, strict_mode=True)
    onnx.checker.check_model(whole, full_check=True)
    return whole


@pytest.mark.parametrize("around", [branches, repeated])
@pytest.mark.parametrize("rule", ["no-unsigned", "float-bias", "node-units", "clamp-absorbed"])
def test_what_stands_inside_is_held_to_the_rules(rule, around, tmp_path):
    path = tmp_path / "file.onnx"
    onnx.save(inside(PAIRS[rule].breaks().model(), around), path)
    found = [v for v in lint(path, held_to(rule)) if v.node != "around"]
    assert any(PAIRS[rule].says in v.message for v in found), found
    onnx.save(inside(PAIRS[rule].keeps().model(), around), path)
    assert [v for v in lint(path, held_to(rule)) if v.node != "around"] == []
