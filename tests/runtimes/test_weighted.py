"""Whatever reads a weight counts: recurrent layers, lookups, what is inside branches."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rewrite.errors import CheckError
from rewrite.kernel_counts import int8_summary, require_int8, run_text
from rewrite.runtimes import KernelVerdict
from rewrite.runtimes.qdq_graph import read
from rewrite.runtimes.weighted import other_layers


def saved(path, nodes, constants, inputs, outputs):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, t, s) for n, t, s in inputs],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset), path)
    return read(path)


def floats(*shape):
    return np.ones(shape, np.float32)


def told(model):
    return {v.op: (v.has_weight, v.fired, v.reason) for v in other_layers(model)}


def test_a_recurrent_layer_whose_weights_are_joined_counts(tmp_path):
    nodes = [
        helper.make_node("Concat", ["w0", "w1"], ["w"], axis=0),
        helper.make_node("GRU", ["x", "w", "r"], ["y"], hidden_size=3),
    ]
    constants = {"w0": floats(1, 6, 4), "w1": floats(1, 3, 4), "r": floats(1, 9, 3)}
    model = saved(
        tmp_path / "m.onnx", nodes, constants, [("x", TensorProto.FLOAT, [5, 2, 4])], ["y"]
    )
    assert told(model) == {"GRU": (True, False, "'GRU' reads its weight in float")}


def test_a_lookup_in_a_table_of_integers_is_one(tmp_path):
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["row"]),
        helper.make_node("DequantizeLinear", ["row", "s"], ["y"]),
    ]
    constants = {"table": np.ones((9, 4), np.int8), "s": np.float32(0.1)}
    model = saved(tmp_path / "m.onnx", nodes, constants, [("ids", TensorProto.INT64, [3])], ["y"])
    assert told(model) == {"Gather": (True, True, "")}


def test_masks_and_positions_are_no_layers(tmp_path):
    nodes = [
        helper.make_node("Add", ["x", "places"], ["a"]),
        helper.make_node("Where", ["mask", "a", "places"], ["y"]),
    ]
    constants = {"places": floats(5, 4), "mask": np.ones((5, 4), bool)}
    model = saved(tmp_path / "m.onnx", nodes, constants, [("x", TensorProto.FLOAT, [5, 4])], ["y"])
    assert told(model) == {}


def test_products_inside_a_branch_count(tmp_path):
    def branch(weight):
        node = helper.make_node("MatMul", ["x", weight], [f"y_{weight}"])
        out = helper.make_tensor_value_info(f"y_{weight}", TensorProto.FLOAT, None)
        return helper.make_graph([node], weight, [], [out])

    nodes = [helper.make_node("If", ["c"], ["y"], then_branch=branch("a"), else_branch=branch("b"))]
    model = saved(
        tmp_path / "m.onnx",
        nodes,
        {"a": floats(4, 3), "b": floats(4, 3)},
        [("x", TensorProto.FLOAT, [2, 4]), ("c", TensorProto.BOOL, [])],
        ["y"],
    )
    found = other_layers(model)
    assert [v.op for v in found] == ["MatMul", "MatMul"]
    assert {v.reason for v in found} == {"it is inside 'If', where nothing is quantized"}


def verdict(eligible, fired, has_weight, reason=""):
    return KernelVerdict("n", "Gemm", eligible, fired, "", reason, has_weight=has_weight)


def test_what_is_left_float_is_in_the_denominator():
    gemm = verdict(True, True, True)
    lstm = verdict(False, False, True, "'LSTM' reads its weight in float")
    scores = verdict(False, False, False)
    summary = int8_summary([gemm, gemm, lstm, scores])
    assert (summary["in_int8"], summary["layers"]) == (2, 3)
    assert (summary["fired"], summary["eligible"]) == (2, 2)
    assert run_text(summary) == "2 of 3 layers run in int8; 1 is wider in the file"
    assert run_text(int8_summary([gemm, scores])) == "1 of 1 eligible nodes run in int8"
    require_int8([gemm, gemm, lstm], 60)
    with pytest.raises(CheckError, match=r"2 of 3 layers .* \(67 %, required: 95 %\)") as raised:
        require_int8([gemm, gemm, lstm], 95)
    assert raised.value.where == "n: 'LSTM' reads its weight in float"
