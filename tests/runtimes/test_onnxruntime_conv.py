"""Where int8 convolutions of ONNX Runtime fire, and the reason given where they do not."""

from __future__ import annotations

import platform

import numpy as np
import onnxruntime
import pytest

from rewrite.runtimes import RuntimeFailure, get_runtime

from .graphs import S8, U8, Graph, conv_residual_block
from .verdicts import check, image, rows

x64 = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"),
    reason="on ARM, ONNX Runtime keeps int8 activations as they are",
)


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


def half_conv(bias: bool) -> Graph:
    """Return a convolution between quantizers whose scales are float16."""
    g = Graph(opset=19)
    small = [g.const("x_scale", np.float16(0.002)), g.const("x_zp", U8(0))]
    x = g.op("QuantizeLinear", g.op("Cast", g.input("x", ["N", 4, 8, 8]), to=10), *small)
    x = g.op("DequantizeLinear", x, *small)
    values = g.const("w", g.random.integers(-100, 100, [8, 4, 3, 3]).astype(S8))
    scale = [g.const("w_scale", np.float16(0.001)), g.const("w_zp", S8(0))]
    w = g.op("DequantizeLinear", values, *scale)
    b = [g.const("b", np.linspace(-1, 1, 8).astype(np.float16))] if bias else []
    y = g.op("Conv", x, w, *b, name="c")
    out = [g.const("y_scale", np.float16(0.02)), g.const("y_zp", U8(128))]
    y = g.op("DequantizeLinear", g.op("QuantizeLinear", y, *out), *out)
    g.output(g.op("Cast", y, to=1))
    return g


def test_float16_scales_stay_float(verdicts):
    check(verdicts(half_conv(bias=False))["c"], reason="its scales are float16")


@pytest.mark.parametrize("bias", [False, True])
def test_float16_scales_spoil_a_float_bias(bias, tmp_path):
    # It stores the bias as int32 at the product of the scales, 2e-6 in float16, and that product is
    # off by a tenth or is 0.
    graph = half_conv(bias)
    path = graph.save(tmp_path / "model.onnx")
    given = graph.feeds(N=2)
    results = []
    for level in ("ORT_DISABLE_ALL", "ORT_ENABLE_ALL"):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        results.append(session.run(None, given)[0])
    difference = float(np.abs(results[0] - results[1]).max())
    assert difference > 0.05 if bias else difference <= 0.02 + 1e-3
