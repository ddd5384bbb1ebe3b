"""Where other int8 kernels of ONNX Runtime fire, and what its sessions say."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from rewrite.runtimes import RuntimeFailure, get_runtime
from rewrite.runtimes.onnxruntime import run_with_outputs

from .graphs import S8, Graph, transformer_block
from .verdicts import check, image, rows


@pytest.mark.parametrize("shape", [("N", 16), (2, 5, 16), ("N", "S", 16)])
def test_matmul_needs_no_quantize_after_it(verdicts, shape):
    g, x = rows(shape)
    g.output(g.op("Tanh", g.op("MatMul", x, g.weight("w", [16, 32], axis=1), name="m")))
    check(verdicts(g)["m"], "MatMulIntegerToFloat")


def test_matmul_with_quantize_after_it(verdicts):
    g, x = rows()
    g.output(g.qdq(g.op("MatMul", x, g.weight("w", [16, 32]), name="m")))
    check(verdicts(g)["m"], "QLinearMatMul")


def linear(shape, bias: str, activation: str, op: str = "MatMul") -> Graph:
    g, x = rows(shape)
    b = g.bias("b", 32, axis=0) if bias == "int32" else g.floats("b", [32])
    w = g.weight("w", [16, 32], axis=1)
    if op == "Gemm":
        y = g.op("Gemm", x, w, b, name="fc")
    else:
        y = g.op("Add", g.op("MatMul", x, w, name="fc"), b)
    g.output(g.qdq(y) if activation == "quantize" else g.op("Mul", y, g.op("Erf", y)))
    return g


@pytest.mark.parametrize("op", ["MatMul", "Gemm"])
@pytest.mark.parametrize(
    ("bias", "activation"), [("int32", "quantize"), ("int32", "gelu"), ("float", "quantize")]
)
def test_linear_becomes_qgemm(verdicts, op, bias, activation):
    check(verdicts(linear(("N", 16), bias, activation, op))["fc"], "QGemm")


@pytest.mark.parametrize(("op", "shape"), [("Gemm", ("N", 16)), ("MatMul", (2, 5, 16))])
def test_linear_with_float_bias_and_gelu(verdicts, op, shape):
    verdict = verdicts(linear(shape, "float", "gelu", op))["fc"]
    check(verdict, "Gemm", reason="float bias without a direct QuantizeLinear")


def test_linear_with_float_bias_and_dynamic_rows_stays_a_matmul(verdicts):
    check(verdicts(linear(("N", "S", 16), "float", "gelu"))["fc"], "MatMulIntegerToFloat")


@pytest.mark.parametrize(("axis", "fires"), [(0, True), (1, False)])
def test_gemm_with_transposed_weight_wants_axis_0(verdicts, axis, fires):
    g, x = rows()
    w = g.weight("w", [32, 16], axis=axis)
    g.output(g.op("Gemm", x, w, g.bias("b", 32), name="fc", transB=1))
    check(verdicts(g)["fc"], reason=None if fires else "only the output axis, 0 here, works")


@pytest.mark.parametrize("name", ["alpha", "beta"])
def test_gemm_factors(verdicts, name):
    g, x = rows()
    w, b = g.weight("w", [16, 32], axis=1), g.bias("b", 32)
    g.output(g.op("Gemm", x, w, b, name="fc", **{name: 0.5}))
    check(verdicts(g)["fc"], reason=f"Gemm has {name}=0.5")


@pytest.mark.parametrize("shape", [[16, 32], [3, 16, 32]])
def test_matmul_per_channel_weights_that_fail_when_run(tmp_path, shape):
    g, x = rows(("N", 3, 5, 16))
    axis = 0 if len(shape) == 2 else 2
    g.output(g.op("MatMul", x, g.weight("w", shape, axis=axis), name="m"))
    loaded = get_runtime("onnxruntime").load(g.save(tmp_path / "m.onnx"))
    check(loaded.kernels()[0], "MatMulIntegerToFloat", reason="per-channel")
    with pytest.raises(RuntimeFailure, match=r"axis 1 of \[K, N\]"):
        loaded.run(g.feeds(N=1))


def test_transformer_block_of_the_portable_recipe(verdicts):
    found = verdicts(transformer_block())
    assert {name: (v.eligible, v.fired, v.reason) for name, v in found.items()} == dict.fromkeys(
        ["q", "k", "v", "qk", "pv", "proj", "up", "down"], (True, True, "")
    )


def test_matmul_of_two_activations(verdicts):
    g = Graph()
    a, b = (g.qdq(g.input(n, ["N", 8, 8])) for n in "ab")
    g.output(g.op("MatMul", a, b, name="m"))
    check(verdicts(g)["m"], "MatMulIntegerToFloat")


def test_matmul_with_a_float_side(verdicts):
    g, x = rows(("N", 8, 8))
    g.output(g.op("MatMul", x, g.input("b", ["N", 8, 8]), name="m"))
    verdict = verdicts(g)["m"]
    assert not verdict.eligible and not verdict.fired
    assert verdict.reason.startswith("input B is not quantized")


def test_float_node(verdicts):
    g = Graph()
    g.output(g.op("MatMul", g.input("a", ["N", 8]), g.floats("w", [8, 8]), name="m"))
    verdict = verdicts(g)["m"]
    assert not verdict.eligible and not verdict.fired
    assert verdict.reason == "not quantized in the file"


def test_sixteen_bit_activation_is_not_eligible(verdicts):
    g, x = image(opset=21, dtype=np.uint16, zero_point=0)
    g.output(g.conv(x, 4, 8, "c"))
    verdict = verdicts(g)["c"]
    assert not verdict.eligible and not verdict.fired
    assert verdict.reason.startswith("input A is quantized to UINT16")


def test_concat_of_different_scales(verdicts):
    g, x = image()
    a, b = (g.qdq(g.conv(x, 4, 8, n), s) for n, s in (("a", 0.05), ("b", 0.02)))
    y = g.qdq(g.op("Concat", a, b, axis=1))
    g.output(g.qdq(g.conv(y, 16, 8, "c")))
    assert all(v.fired for v in verdicts(g).values())


def test_max_pool_between(verdicts):
    g, x = image()
    y = g.op("MaxPool", g.qdq(g.conv(x, 4, 8, "a")), kernel_shape=[2, 2], strides=[2, 2])
    g.output(g.qdq(g.conv(y, 8, 8, "b")))
    found = verdicts(g)
    check(found["a"], "QLinearConv")
    check(found["b"], "QLinearConv")


def test_flatten_between(verdicts):
    g, x = rows(("N", 16, 1, 1))
    y = g.op("Gemm", g.op("Flatten", x), g.weight("w", [16, 32], 1), g.bias("b", 32), name="fc")
    g.output(y)
    check(verdicts(g)["fc"], reason="Flatten stands between DequantizeLinear and input A")


def test_gather_between_output_and_quantize(verdicts):
    g, x = image()
    y = g.op("Gather", g.conv(x, 4, 8, "c"), g.const("i", np.array([0, 2])), axis=1)
    g.output(g.qdq(y))
    check(verdicts(g)["c"], reason="the output has no QuantizeLinear, it goes to Gather")


def test_nodes_without_names_are_found_by_their_tensors(verdicts):
    g = transformer_block()
    for node in g.nodes:
        node.name = ""
    found = verdicts(g)
    assert list(found) == [f"{n}_out" for n in ("q", "k", "v", "qk", "pv", "proj", "up", "down")]
    assert all(v.fired for v in found.values())


def test_nodes_without_names_are_not_confused(verdicts):
    g, x = image()
    y = g.op("Sigmoid", g.conv(x, 4, 8, "a"))
    z = g.op("Relu", g.conv(x, 4, 8, "b"))
    g.output(g.qdq(y), g.qdq(z, zero_point=0))
    for node in g.nodes:
        node.name = ""
    found = verdicts(g)
    check(found["a_out"], reason="it goes to Sigmoid")
    check(found["b_out"], "QLinearConv")


def test_shared_weight(verdicts):
    g, x = rows()
    w = g.weight("w", [16, 16], axis=1)
    y = g.qdq(g.op("MatMul", x, w, name="m1"))
    g.output(g.op("MatMul", y, w, name="m2"))
    found = verdicts(g)
    check(found["m1"], "QLinearMatMul")
    check(found["m2"], "MatMulIntegerToFloat")


def test_external_weights(tmp_path):
    g, x = rows(("N", 64))
    y = g.op("MatMul", x, g.weight("w", [64, 64], axis=1), name="m")
    g.output(g.qdq(y))
    path = g.save(tmp_path / "m.onnx", external=True)
    loaded = get_runtime("onnxruntime").load(path, threads=1)
    check(loaded.kernels()[0], "QLinearMatMul")
    feeds = g.feeds(N=2)
    inner = run_with_outputs(path, feeds, ["q_4_out"])["q_4_out"]
    assert inner.dtype == np.uint8
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.bin", "m.onnx"]
    dequantized = (inner.astype(np.float32) - 128) * np.float32(0.05)
    np.testing.assert_array_equal(dequantized, loaded.run(feeds)["dq_5_out"])


def test_outputs_that_do_not_exist(tmp_path):
    g, x = rows()
    g.output(g.op("MatMul", x, g.weight("w", [16, 32]), name="m"))
    with pytest.raises(RuntimeFailure, match="no internal tensor 'nothing'"):
        run_with_outputs(g.save(tmp_path / "m.onnx"), g.feeds(N=2), ["nothing"])


def test_wrong_feeds_are_explained(tmp_path):
    g, x = rows()
    g.output(g.op("MatMul", x, g.weight("w", [16, 32]), name="m"))
    loaded = get_runtime("onnxruntime").load(g.save(tmp_path / "m.onnx"))
    with pytest.raises(RuntimeFailure, match=r"the model takes x: tensor\(float\)\['N', 16\]"):
        loaded.run({"y": np.zeros((2, 16), np.float32)})


def test_signed_activations_at_opset_21_load_or_say_what_to_change(tmp_path):
    g, x = rows(("N", 8, 16), opset=21, dtype=S8, zero_point=0)
    y = g.op("MatMul", g.op("Transpose", x, perm=[0, 2, 1]), g.weight("w", [8, 8]), name="m")
    g.output(y)
    try:
        get_runtime("onnxruntime").load(g.save(tmp_path / "m.onnx"))
    except RuntimeFailure as failure:
        assert "put Q/DQ after Reshape and Transpose" in failure.hint


@pytest.mark.parametrize("exposed", [True, False])
def test_exposing_a_uint8_tensor_keeps_the_kernels(tmp_path, exposed):
    g, x = image()
    inner = g.quantize(g.conv(x, 4, 8, "c"))
    g.output(g.dequantize(inner), *([inner] if exposed else []))
    loaded = get_runtime("onnxruntime").load(g.save(tmp_path / "m.onnx"))
    check(loaded.kernels()[0], "QLinearConv")


def test_missing_file(tmp_path):
    with pytest.raises(RuntimeFailure, match="check the path"):
        get_runtime("onnxruntime").load(tmp_path / "nothing.onnx")


def test_latency(tmp_path):
    g, x = rows()
    g.output(g.op("MatMul", x, g.weight("w", [16, 32]), name="m"))
    loaded = get_runtime("onnxruntime").load(g.save(tmp_path / "m.onnx"), threads=1)
    times = loaded.latency(g.feeds(N=2), repeats=5)
    assert len(times) == 5 and min(times) > 0
    assert len(loaded.latency(g.feeds(N=2), repeats=10**9, seconds=0.01)) >= 1


def test_nodes_inside_a_function_are_seen(tmp_path):
    g, x = rows()
    w = g.weight("w", [16, 32], axis=1)
    g.output(g.op("Product", x, w, name="call", domain="custom"))
    inner = onnx.helper.make_node("MatMul", ["a", "b"], ["y"], name="inner")
    opset = [onnx.helper.make_opsetid("", 17)]
    function = onnx.helper.make_function("custom", "Product", ["a", "b"], ["y"], [inner], opset)
    path = g.save(tmp_path / "m.onnx", functions=[function])
    (verdict,) = get_runtime("onnxruntime").load(path).kernels()
    check(verdict, "MatMulIntegerToFloat")
