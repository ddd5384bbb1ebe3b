"""Inputs drawn for a file by what it says of them."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from rewrite import UsageError
from rewrite.file_inputs import draw_inputs, dynamic_sizes


def model(inputs, nodes=(), constants=()):
    """Return a file with inputs of these types and shapes, and nodes that need not be valid."""
    return helper.make_model(
        helper.make_graph(
            list(nodes),
            "g",
            [helper.make_tensor_value_info(*each) for each in inputs],
            [],
            [numpy_helper.from_array(value, name) for name, value in constants],
        )
    )


def test_floats_of_the_shape_that_it_says():
    file = model([("x", TensorProto.FLOAT, [2, 3]), ("h", TensorProto.FLOAT16, [5])])
    found = draw_inputs(file, {}, seed=0)
    assert {n: (v.dtype.name, v.shape) for n, v in found.items()} == {
        "x": ("float32", (2, 3)),
        "h": ("float16", (5,)),
    }
    assert 0.2 < np.abs(found["x"]).max() < 5


def test_a_seed_gives_the_same_draw():
    file = model([("x", TensorProto.FLOAT, [4])])
    first, same, other = (draw_inputs(file, {}, seed)["x"] for seed in (0, 0, 1))
    assert np.array_equal(first, same) and not np.array_equal(first, other)


def test_dynamic_dimensions_of_one_name_have_one_size():
    file = model(
        [
            ("a", TensorProto.FLOAT, ["batch", 3, "tokens"]),
            ("b", TensorProto.FLOAT, ["tokens", "8*h", None]),
        ]
    )
    assert dynamic_sizes(file) == {"batch": 4, "tokens": 32, "h": 4}
    shapes = {n: v.shape for n, v in draw_inputs(file, {}, 0).items()}
    assert shapes == {"a": (4, 3, 32), "b": (32, 32, 32)}
    shapes = {n: v.shape for n, v in draw_inputs(file, {"tokens": 7, "h": 2}, 0).items()}
    assert shapes == {"a": (4, 3, 7), "b": (7, 16, 32)}


def test_sizes_of_other_files_are_left_alone():
    file = model([("x", TensorProto.FLOAT, ["batch"])])
    assert draw_inputs(file, {"tokens": 7}, 0)["x"].shape == (4,)


def test_initializers_are_no_inputs():
    file = model(
        [("x", TensorProto.FLOAT, [1]), ("w", TensorProto.FLOAT, ["n"])],
        constants=[("w", np.ones(3, np.float32))],
    )
    assert set(draw_inputs(file, {}, 0)) == {"x"} and dynamic_sizes(file) == {}


@pytest.mark.parametrize(("rows", "axis"), [((50, 3), 0), ((3, 50), 1)])
def test_integers_stay_in_the_table_that_they_index(rows, axis):
    nodes = [
        helper.make_node("Cast", ["ids"], ["whole"], to=7),
        helper.make_node("DequantizeLinear", ["stored", "s"], ["table"]),
        helper.make_node("Gather", ["table", "whole"], ["y"], axis=axis),
    ]
    file = model(
        [("ids", TensorProto.INT32, ["n"]), ("mask", TensorProto.INT64, ["n"])],
        nodes,
        [("stored", np.zeros(rows, np.int8))],
    )
    found = draw_inputs(file, {"n": 1000}, 0)
    assert found["ids"].dtype == np.int32 and 40 < found["ids"].max() < 50
    assert set(found["mask"]) == {0, 1}


def test_truth_values():
    found = draw_inputs(model([("m", TensorProto.BOOL, [100])]), {}, 0)["m"]
    assert found.dtype == np.bool_ and 20 < found.sum() < 80


def test_text_is_refused_by_name():
    with pytest.raises(UsageError, match="input 'words' is no tensor of numbers"):
        draw_inputs(model([("words", TensorProto.STRING, ["n"])]), {}, 0)
