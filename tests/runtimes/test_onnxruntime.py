"""Where int8 kernels of ONNX Runtime fire, and the reason given where they do not."""

from __future__ import annotations

import platform

import numpy as np
import onnx
import pytest

from rewrite.runtimes import RuntimeFailure, get_runtime
from rewrite.runtimes.onnxruntime import run_with_outputs

from .graphs import S8, U8, Graph, conv_residual_block, transformer_block

x64 = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"),
    reason="on ARM, ONNX Runtime keeps int8 activations as they are",
)


def image(opset: int = 17, **qdq) -> tuple[Graph, str]:
    graph = Graph(opset)
    return graph, graph.qdq(graph.input("x", ["N", 4, 8, 8]), **qdq)


def rows(shape=("N", 16), opset: int = 17, **qdq) -> tuple[Graph, str]:
    graph = Graph(opset)
    return graph, graph.qdq(graph.input("x", list(shape)), **qdq)


def check(verdict, kernel: str | None = None, reason: str | None = None) -> None:
    """Assert that it fired with this kernel, or did not for this reason."""
    assert verdict.eligible
    assert verdict.fired is (reason is None), verdict
    if kernel is not None:
        assert verdict.kernel == kernel
    assert (reason or "") in verdict.reason
    assert bool(verdict.reason) is not verdict.fired


@pytest.mark.parametrize("opset", range(17, 22))
def test_conv_between_q_and_dq_fires_at_every_opset(verdicts, opset):
    g, x = image(opset)
    g.output(g.qdq(g.conv(x, 4, 8, "c")))
    check(verdicts(g)["c"], "QLinearConv")


@pytest.mark.parametrize("attributes", [{"group": 4}, {"strides": [2, 2]}, {"dilations": [2, 2]}])
def test_conv_variants_fire(verdicts, attributes):
    g, x = image()
    group = attributes.get("group", 1)
    g.output(g.qdq(g.conv(x, 4 // group, 8, "c", **attributes)))
    check(verdicts(g)["c"], "QLinearConv")


def test_conv_without_output_quantize(verdicts):
    g, x = image()
    g.output(g.op("Sigmoid", g.conv(x, 4, 8, "c")))
    check(verdicts(g)["c"], reason="the output has no QuantizeLinear, it goes to Sigmoid")


def test_conv_that_is_the_graph_output(verdicts):
    g, x = image()
    g.output(g.conv(x, 4, 8, "c"))
    check(verdicts(g)["c"], reason="the output has no QuantizeLinear, it goes to a graph output")


def test_conv_whose_output_is_also_a_graph_output(verdicts):
    g, x = image()
    y = g.conv(x, 4, 8, "c")
    g.output(y, g.qdq(y))
    check(verdicts(g)["c"], reason="the output is also a graph output")


def test_conv_whose_output_is_read_in_float_too(verdicts):
    g, x = image()
    y = g.conv(x, 4, 8, "c")
    g.output(g.qdq(y), g.op("Exp", y))
    check(verdicts(g)["c"], reason="read by QuantizeLinear and, in float, by Exp")


@pytest.mark.parametrize(("zero_point", "dtype"), [(0, U8), (-128, S8)])
def test_relu_before_a_zero_point_at_qmin_is_absorbed(verdicts, zero_point, dtype):
    g, x = image()
    y = g.op("Relu", g.conv(x, 4, 8, "c"))
    g.output(g.qdq(y, zero_point=zero_point, dtype=dtype))
    check(verdicts(g)["c"], "QLinearConv")


@pytest.mark.parametrize(("zero_point", "dtype"), [(128, U8), (0, S8)])
def test_relu_before_another_zero_point(verdicts, zero_point, dtype):
    g, x = image()
    y = g.op("Relu", g.conv(x, 4, 8, "c"))
    g.output(g.qdq(y, zero_point=zero_point, dtype=dtype))
    reason = f"Relu's consumer has zero point {zero_point}: only zero point at qmin"
    check(verdicts(g)["c"], reason=reason)


@pytest.mark.parametrize(("scale", "fires"), [(6 / 255, True), (0.05, False)])
def test_clip_is_absorbed_if_the_integer_range_ends_at_its_bounds(verdicts, scale, fires):
    g, x = image()
    bounds = [g.const(n, np.float32(v)) for n, v in (("low", 0), ("high", 6))]
    y = g.op("Clip", g.conv(x, 4, 8, "c"), *bounds)
    g.output(g.qdq(y, scale, zero_point=0))
    check(verdicts(g)["c"], reason=None if fires else "Clip's bounds lie inside the range")


def test_residual_block_of_the_portable_recipe(verdicts, tmp_path):
    found = verdicts(conv_residual_block())
    assert list(found) == ["c1", "c2", "fc"]
    check(found["c1"], "QLinearConv")
    check(found["c2"], "QLinearConv")
    check(found["fc"], "QGemm")


def test_conv_that_feeds_a_float_add(verdicts):
    g, x = image()
    skip = g.qdq(g.input("skip", ["N", 8, 8, 8]))
    g.output(g.qdq(g.op("Add", g.conv(x, 4, 8, "c"), skip)))
    check(verdicts(g)["c"], reason="the output has no QuantizeLinear, it goes to Add")


def two_convs(dtype, zero_point):
    """The output of c1 is read by c2 and by the residual Add."""
    options = {"dtype": dtype, "zero_point": zero_point}
    g, x = image(**options)
    skip = g.qdq(g.conv(x, 4, 8, "c1"), **options)
    y = g.qdq(g.conv(skip, 8, 8, "c2"), **options)
    g.output(g.qdq(g.op("Add", y, skip), **options))
    return g


def test_unsigned_fan_out_fires(verdicts):
    found = verdicts(two_convs(U8, 128))
    check(found["c1"], "QLinearConv")
    check(found["c2"], "QLinearConv")


@x64
def test_signed_fan_out_loses_both_sides(verdicts):
    found = verdicts(two_convs(S8, 0))
    check(found["c1"], reason="output is int8 and its QuantizeLinear has 2 consumers")
    check(found["c2"], reason="activation is int8 and its QuantizeLinear has 2 consumers")


@x64
def test_signed_graph_output_that_is_read_too(verdicts):
    g, x = image()
    y = g.qdq(g.conv(x, 4, 8, "c"), dtype=S8, zero_point=0)
    g.output(y, g.op("Exp", y))
    check(verdicts(g)["c"], reason="output is int8 and its QuantizeLinear has 2 consumers")


@x64
def test_signed_chain_is_converted_and_fires(verdicts):
    g, x = image(dtype=S8, zero_point=0)
    y = g.qdq(g.conv(x, 4, 8, "c1"), dtype=S8, zero_point=0)
    g.output(g.qdq(g.conv(y, 8, 8, "c2"), dtype=S8, zero_point=0))
    found = verdicts(g)
    check(found["c1"], "QLinearConv")
    check(found["c2"], "QLinearConv")


@x64
def test_signed_fan_out_spares_a_gemm_with_float_output(verdicts):
    g, x = rows(dtype=S8, zero_point=0)
    for name in ("a", "b"):
        weight = g.weight(f"{name}_w", [16, 32], axis=1)
        g.output(g.op("Gemm", x, weight, g.bias(f"{name}_b", 32, axis=0), name=name))
        g.output(g.op("MatMul", x, weight, name=f"{name}_mm"))
    found = verdicts(g)
    check(found["a"], "QGemm")
    check(found["a_mm"], reason="activation is int8 and its QuantizeLinear has 4 consumers")


@pytest.mark.parametrize(("factor", "fires"), [(1.0, True), (1.2, False)])
def test_conv_bias_scale(verdicts, factor, fires):
    g, x = image()
    bias = g.bias("b", 8, axis=0, factor=factor)
    g.output(g.qdq(g.op("Conv", x, g.weight("w", [8, 4, 3, 3], 0), bias, name="c")))
    check(verdicts(g)["c"], reason=None if fires else "the bias' scale is off by 20%")


def test_conv_with_float_bias_fires_before_a_quantize(verdicts):
    g, x = image()
    y = g.op("Conv", x, g.weight("w", [8, 4, 3, 3], 0), g.floats("b", [8]), name="c")
    g.output(g.qdq(y))
    check(verdicts(g)["c"], "QLinearConv")


def test_conv_weight_per_channel_along_the_input(tmp_path):
    g, x = image()
    g.output(g.qdq(g.op("Conv", x, g.weight("w", [8, 4, 3, 3], axis=1), name="c")))
    loaded = get_runtime("onnxruntime").load(g.save(tmp_path / "m.onnx"))
    check(loaded.kernels()[0], "QLinearConv", reason="per-channel along axis 1: a Conv needs axis")
    with pytest.raises(RuntimeFailure, match="per channel along axis 0"):
        loaded.run(g.feeds(N=1))


def test_conv_transpose(verdicts):
    g, x = image()
    y = g.op("ConvTranspose", x, g.weight("w", [4, 8, 2, 2]), name="c", strides=[2, 2])
    g.output(g.qdq(y))
    check(verdicts(g)["c"], "ConvTranspose", reason="no int8 kernel in ONNX Runtime's CPU")


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
