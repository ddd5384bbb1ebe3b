"""Types that ONNX Runtime has no kernel for are named."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from rewrite.runtimes import RuntimeFailure, get_runtime
from rewrite.runtimes.missing_kernel import why_missing
from rewrite.runtimes.onnxruntime import run_with_outputs


def product(op: str, dtype: int, name: str = "fc") -> onnx.ModelProto:
    """Return a file of one product, [2, 4] by [4, 3]."""
    tensors = {"x": [2, 4], "w": [4, 3]}
    inputs = [helper.make_tensor_value_info(n, dtype, shape) for n, shape in tensors.items()]
    output = helper.make_tensor_value_info("y", dtype, [2, 3])
    node = helper.make_node(op, list(tensors), ["y"], name=name)
    graph = helper.make_graph([node], "g", inputs, [output])
    opsets = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


@pytest.mark.parametrize("name", ["fc", ""])
@pytest.mark.parametrize("op", ["Gemm", "MatMul"])
def test_bfloat16_is_named(op, name, tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(product(op, TensorProto.BFLOAT16, name), path)
    expected = (
        f"ONNX Runtime has no CPU kernel of {op} for bfloat16: make the model float32, as "
        "model.float() does"
    )
    with pytest.raises(RuntimeFailure) as failure:
        get_runtime("onnxruntime").load(path)
    assert failure.value.hint == expected
    with pytest.raises(RuntimeFailure) as failure:
        run_with_outputs(path, {}, ["y"])
    assert failure.value.hint == expected


def test_other_types_are_named():
    message = "Could not find an implementation for Gemm(13) node with name 'fc'"
    model = product("Gemm", TensorProto.INT32).SerializeToString()
    assert why_missing(message, model) == (
        "ONNX Runtime has no CPU kernel of Gemm for int32: choose another type"
    )


def test_what_is_not_in_the_file_is_not_spoken_of():
    message = "Could not find an implementation for Gemm(13) node with name 'other'"
    model = product("Gemm", TensorProto.INT32).SerializeToString()
    assert why_missing(message, model) == ""
    assert why_missing("something else", model) == ""
