"""Where int8 kernels of OpenVINO fire, and the reason given where they do not."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from rewrite.runtimes import RuntimeFailure, get_runtime
from rewrite.runtimes.openvino import OpenVino, _message

from .graphs import S8, U8, Graph, conv_residual_block, transformer_block
from .verdicts import needs_vnni

openvino = pytest.importorskip("openvino")
pytestmark = pytest.mark.skipif(
    "INT8" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"),
    reason="OpenVINO has no int8 kernels for this CPU",
)

F32 = np.float32
# Two runtimes round differently by at most a level here and there.
SAME_FUNCTION_COSINE = 0.999


@pytest.fixture
def ov(verdicts):
    return lambda graph, **dims: verdicts(graph, "openvino", **dims)


def image(**qdq) -> tuple[Graph, str]:
    graph = Graph()
    return graph, graph.qdq(graph.input("x", ["N", 4, 8, 8]), **qdq)


def check(verdict, layer: str, reason: str | None = None) -> None:
    assert verdict.eligible
    assert verdict.fired is (reason is None), verdict
    assert verdict.kernel.startswith(f"{layer}:")
    assert (reason or "") in verdict.reason
    assert bool(verdict.reason) is not verdict.fired


def test_residual_block_of_the_portable_recipe(ov):
    found = ov(conv_residual_block())
    check(found["c1"], "Convolution")
    check(found["c2"], "Convolution")
    check(found["fc"], "FullyConnected")


@pytest.mark.parametrize("opset", [17, 20, 21])
@pytest.mark.parametrize("named", [True, False])
def test_transformer_block_of_the_portable_recipe(ov, opset, named):
    g = transformer_block(opset)
    if not named:
        for node in g.nodes:
            node.name = ""
    found = ov(g)
    suffix = "" if named else "_out"
    for name in ("q", "k", "v", "proj", "up", "down"):
        check(found[name + suffix], "FullyConnected")
    # Whether attention becomes one kernel depends on the CPU; that it is int8 does not.
    for name in ("qk", "pv"):
        assert found[name + suffix].fired, found[name + suffix]


@pytest.mark.parametrize("block", [conv_residual_block, transformer_block])
def test_both_runtimes_compute_the_same(tmp_path, block):
    g = block()
    path, feeds = g.save(tmp_path / "m.onnx"), g.feeds(N=3)
    a, b = (get_runtime(n).load(path, threads=1).run(feeds) for n in ("onnxruntime", "openvino"))
    assert list(a) == list(b) == g.outputs
    for name in g.outputs:
        x, y = a[name].ravel(), b[name].ravel()
        assert x @ y / np.sqrt((x @ x) * (y @ y)) > SAME_FUNCTION_COSINE


def layers_of(path) -> list[list[str]]:
    """Return the nodes of the file that each layer of the compiled model stands for."""
    config = {"INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(str(path), "CPU", config).get_runtime_model()
    infos, key = [op.get_rt_info() for op in model.get_ordered_ops()], "originalLayersNames"
    return [str(info[key].value).split(",") for info in infos if key in info]


def residual(inner: float | None, batch: int | str = "N", step: float = 0.05) -> Graph:
    """Return relu(conv(conv(x)) + x), the branch quantized at a scale or left float."""
    g = Graph()
    x = g.qdq(g.input("x", [batch, 16, 8, 8]), scale=0.015, zero_point=0)
    y = g.qdq(g.op("Relu", g.conv(x, 16, 16, "first", kernel=1)), scale=0.02, zero_point=0)
    y = g.conv(y, 16, 16, "second", kernel=1)
    y = y if inner is None else g.qdq(y, scale=inner)
    g.output(g.qdq(g.op("Relu", g.op("Add", y, x)), scale=step, zero_point=0))
    return g


@pytest.mark.parametrize("batch", ["N", 3])
@pytest.mark.parametrize("inner", [0.1, None])
def test_residual_branch_left_float(inner, batch, tmp_path):
    origins = layers_of(residual(inner, batch).save(tmp_path / "m.onnx"))
    (second,) = [names for names in origins if "second" in names]
    fused = any(name.startswith("add") for name in second)
    assert fused is not (inner is None and batch == 3)


@needs_vnni
def test_quantizer_between_a_convolution_and_an_addition_may_not_round(tmp_path):
    """Behind another convolution the sum is as without that quantizer, to a level in a hundred."""
    step, sums = 0.05, []
    for inner in (None, 0.1):
        g = residual(inner, step=step)
        path, feeds = g.save(tmp_path / f"{inner}.onnx"), g.feeds(N=3)
        loaded = [get_runtime(n).load(path, threads=1) for n in ("openvino", "onnxruntime")]
        sums.append([next(iter(each.run(feeds).values())) for each in loaded])
    (plain, plain_elsewhere), (with_inner, rounded) = sums
    assert share_that_differs(plain, plain_elsewhere, step) < 0.01
    assert share_that_differs(with_inner, plain, step) < 0.01
    assert share_that_differs(with_inner, rounded, step) > 0.1


def share_that_differs(one, other, step) -> float:
    return float((np.abs(one - other) > step / 2).mean())


ACTIVATIONS = {
    "clip": lambda g, y: g.op("Clip", y, g.const("lo", F32(-2)), g.const("hi", F32(2)), name="a"),
    "elu": lambda g, y: g.op("Elu", y, name="a"),
    "gelu": lambda g, y: g.op("Gelu", y, name="a"),
    "hard-swish": lambda g, y: g.op("HardSwish", y, name="a"),
    "leaky-relu": lambda g, y: g.op("LeakyRelu", y, name="a"),
    "mish": lambda g, y: g.op("Mish", y, name="a"),
    "prelu": lambda g, y: g.op("PRelu", y, g.floats("slope", [16, 1, 1]), name="a"),
    "sigmoid": lambda g, y: g.op("Sigmoid", y, name="a"),
    "silu": lambda g, y: g.op("Mul", y, g.op("Sigmoid", y), name="a"),
    "softplus": lambda g, y: g.op("Softplus", y, name="a"),
    "tanh": lambda g, y: g.op("Tanh", y, name="a"),
}


def activated(kind: str, between: bool) -> Graph:
    """Return conv(act(conv(x))), with a quantizer in front of the activation or none."""
    g = Graph(opset=20)
    y = g.conv(g.qdq(g.input("x", ["N", 8, 12, 12])), 8, 16, "first")
    y = ACTIVATIONS[kind](g, g.qdq(y) if between else y)
    g.output(g.conv(g.qdq(y), 16, 16, "second"))
    return g


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activation_behind_a_convolution_is_computed_in_its_kernel(kind, tmp_path):
    """A clip goes into the rounding itself."""
    layers = layers_of(activated(kind, between=False).save(tmp_path / "m.onnx"))
    where = [names for names in layers if "a" in names]
    assert where == [] if kind == "clip" else ["first" in names for names in where] == [True]


def test_activation_behind_a_quantizer_is_not(tmp_path):
    layers = layers_of(activated("silu", between=True).save(tmp_path / "m.onnx"))
    assert not any({"a", "first"} <= set(names) for names in layers)


def test_conv_needs_no_quantize_after_it(ov):
    g, x = image()
    g.output(g.op("Sigmoid", g.conv(x, 4, 8, "c")))
    check(ov(g)["c"], "Convolution")


def test_linear_with_float_bias_and_gelu(ov):
    g = Graph()
    x = g.qdq(g.input("x", ["N", "S", 16]))
    y = g.op("MatMul", x, g.weight("w", [16, 32], axis=1), name="m")
    y = g.op("Add", y, g.floats("b", [32]))
    g.output(g.op("Mul", y, g.op("Sigmoid", y)))
    check(ov(g)["m"], "FullyConnected")


@pytest.mark.parametrize(
    ("dtype", "zero_point", "reason"),
    [(U8, 128, "weight is uint8"), (S8, 3, "weight has a zero point")],
)
def test_conv_with_a_weight_that_is_not_symmetric(ov, dtype, zero_point, reason):
    g, x = image()
    w = g.weight("w", [8, 4, 3, 3], dtype=dtype, zero_point=zero_point)
    g.output(g.qdq(g.op("Conv", x, w, name="c")))
    check(ov(g)["c"], "Convolution", reason=reason)


def test_conv_weight_per_channel_along_the_input(ov):
    g, x = image()
    g.output(g.op("Conv", x, g.weight("w", [8, 4, 3, 3], axis=1), name="c"))
    check(ov(g)["c"], "Convolution", reason="per-channel along axis 1")


def test_matmul_weight_per_channel_along_the_input(ov):
    g = Graph()
    x = g.qdq(g.input("x", ["N", 16]))
    g.output(g.op("MatMul", x, g.weight("w", [16, 32], axis=0), name="m"))
    check(ov(g)["m"], "FullyConnected", reason="only the output axis, 1 here, works")


@needs_vnni
@pytest.mark.parametrize(
    ("dtype", "zero_point", "reason"),
    [(U8, 0, None), (S8, 0, None), (U8, 128, "activation has zero point 128")],
)
@pytest.mark.parametrize("axis", [None, 1])
def test_conv_transpose(ov, dtype, zero_point, reason, axis):
    g, x = image(dtype=dtype, zero_point=zero_point)
    w = g.weight("w", [4, 8, 2, 2], axis=axis)
    g.output(g.qdq(g.op("ConvTranspose", x, w, name="c", strides=[2, 2])))
    check(ov(g)["c"], "Deconvolution", reason=reason)


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        ((U8, 0), (S8, 0), None),
        ((S8, 0), (S8, 0), None),
        ((U8, 0), (U8, 128), None),
        ((U8, 128), (S8, 0), "input A has zero point 128"),
        ((S8, 0), (U8, 0), "input B is UINT8 with zero point 0"),
    ],
)
def test_matmul_of_two_activations(ov, a, b, reason):
    g = Graph()
    left, right = (
        g.qdq(g.input(name, ["N", 2, *shape]), dtype=dtype, zero_point=zero_point)
        for name, (dtype, zero_point), shape in (("a", a, ["S", 16]), ("b", b, [16, "S"]))
    )
    g.output(g.op("MatMul", left, right, name="m"))
    check(ov(g)["m"], "MatMul", reason=reason)


@needs_vnni
@pytest.mark.parametrize("rows", [1, 16])
def test_attention_whose_first_product_is_float(ov, rows):
    g = Graph()
    q, k, v = (
        g.input(n, ["N", 4, *s]) for n, s in (("q", [rows, 16]), ("k", [16] * 2), ("v", [16] * 2))
    )
    scores = g.op("Mul", g.op("MatMul", q, k, name="qk"), g.const("scale", np.float32(0.25)))
    found = g.qdq(g.op("Softmax", scores, axis=-1), scale=1 / 255, zero_point=0)
    g.output(g.op("MatMul", found, g.qdq(v, dtype=S8, zero_point=0), name="pv"))
    check(ov(g)["pv"], "Subgraph", reason="the type of its first product only, which is float")


def test_weight_only_is_not_int8(ov):
    g = Graph()
    g.output(g.op("MatMul", g.input("x", ["N", 16]), g.weight("w", [16, 32]), name="m"))
    verdict = ov(g)["m"]
    assert not verdict.eligible and not verdict.fired
    assert verdict.reason.startswith("input A is not quantized")


def test_wrong_feeds_are_explained(tmp_path):
    g, x = image()
    g.output(g.conv(x, 4, 8, "c"))
    loaded = get_runtime("openvino").load(g.save(tmp_path / "m.onnx"), threads=1)
    loaded.run(g.feeds(N=1))
    with pytest.raises(RuntimeFailure, match=r"the model takes x: f32"):
        loaded.run({})
    with pytest.raises(RuntimeFailure, match=r"the model takes x: f32"):
        loaded.run({"x": np.zeros((1, 5, 8, 8), np.float32)})


def test_missing_file(tmp_path):
    with pytest.raises(RuntimeFailure, match="check the path"):
        get_runtime("openvino").load(tmp_path / "nothing.onnx")


def test_operators_it_does_not_take_are_named(tmp_path):
    g, x = image()
    wrapped = g.op("Pad", x, g.const("pads", np.array([0, 0, 1, 1] * 2)), mode="wrap")
    g.opset = 19
    g.output(g.conv(wrapped, 4, 8, "c"))
    with pytest.raises(RuntimeFailure, match=r"Unsupported padding mode: \[wrap\]"):
        get_runtime("openvino").load(g.save(tmp_path / "m.onnx"))


def test_latency(tmp_path):
    g, x = image()
    g.output(g.conv(x, 4, 8, "c"))
    loaded = get_runtime("openvino").load(g.save(tmp_path / "m.onnx"), threads=1)
    times = loaded.latency(g.feeds(N=2), repeats=5)
    assert len(times) == 5 and min(times) > 0


def test_what_cannot_be_read_is_named(tmp_path):
    g = Graph()
    pads = g.const("pads", np.array([0, 0, 1, 0, 0, 1]))
    g.output(g.op("Pad", g.input("x", [1, 2, 5]), pads, name="around", mode="reflect"))
    path = g.save(tmp_path / "m.onnx")
    model = onnx.load(path)
    model.graph.node[0].attribute[0].s = b"wrap"
    model.opset_import[0].version = 19
    onnx.save(model, path)
    with pytest.raises(RuntimeFailure) as raised:
        OpenVino().load(path)
    assert "Pad 'around_out': Unsupported padding mode: [wrap]" in raised.value.what
    model.graph.node[0].op_type, model.graph.node[0].domain = "Strange", "com.example"
    model.opset_import.add(domain="com.example", version=1)
    onnx.save(model, path)
    with pytest.raises(RuntimeFailure, match=r"no translation of com\.example\.Strange"):
        OpenVino().load(path)


def test_an_error_that_is_all_headings_tells_the_last():
    error = RuntimeError(
        "Exception from src/inference/src/cpp/core.cpp:132:\n"
        "Check 'convert->constant_fold()' failed at src/core/src/pass/constant_folding.cpp:71\n\n"
    )
    assert _message(error).startswith("Check 'convert->constant_fold()' failed")
