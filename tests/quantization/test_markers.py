"""The arithmetic of the marker operators is that of ONNX, bit for bit."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from rewrite.quantization.markers import (
    DEQUANTIZE,
    OBSERVE,
    QUANTIZE,
    dequantize,
    observe,
    quantize,
)

RANGES = {torch.int8: (-128, 127), torch.uint8: (0, 255), torch.int16: (-32768, 32767)}
ONNX = {
    torch.int8: TensorProto.INT8,
    torch.uint8: TensorProto.UINT8,
    torch.int16: TensorProto.INT16,
    torch.int32: TensorProto.INT32,
}
OPSET = 21


def session(
    op: str,
    source: int,
    zero_point: int,
    result: int,
    axis: int | None,
    scale: int = TensorProto.FLOAT,
):
    node = helper.make_node(op, ["x", "s", "z"], ["y"], **({} if axis is None else {"axis": axis}))
    rank = None if axis is None else ["c"]
    graph = helper.make_graph(
        [node],
        op,
        [
            helper.make_tensor_value_info("x", source, ["a", "b"]),
            helper.make_tensor_value_info("s", scale, rank or []),
            helper.make_tensor_value_info("z", zero_point, rank or []),
        ],
        [helper.make_tensor_value_info("y", result, ["a", "b"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(model)
    return onnxruntime.InferenceSession(model.SerializeToString())


def hard_values(scale: float) -> torch.Tensor:
    """Return random values, ties between two steps, and values beyond every range."""
    generator = torch.Generator().manual_seed(0)
    ties = (torch.arange(-300, 300) + 0.5) * scale
    near = torch.nextafter(ties, torch.tensor(np.inf))
    huge = torch.tensor([0.0, -0.0, 3e38, -3e38, 1e-45, 1e20, -1e20, 33000 * scale])
    return torch.cat([torch.randn(1000, generator=generator) * 100 * scale, ties, near, huge])


def parameters(dtype: torch.dtype, channels: int | None):
    generator = torch.Generator().manual_seed(1)
    low, high = RANGES[dtype]
    size = (channels,) if channels else ()
    scale = torch.rand(size, generator=generator) * 0.1 + 0.01
    return scale, torch.randint(low, high + 1, size, generator=generator).to(dtype)


@pytest.mark.parametrize("dtype", RANGES)
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_quantize_is_quantize_linear(dtype, axis):
    scale, zero_point = parameters(dtype, None if axis is None else 4)
    rows = [hard_values(float(s)) for s in scale.reshape(-1)]
    x = torch.stack(rows)
    x = x.t().contiguous() if axis == 1 else x
    run = session("QuantizeLinear", TensorProto.FLOAT, ONNX[dtype], ONNX[dtype], axis)
    feeds = {"x": x.numpy(), "s": scale.numpy(), "z": zero_point.numpy()}
    expected = run.run(None, feeds)[0]
    actual = quantize(x, scale, zero_point, *RANGES[dtype], axis)
    np.testing.assert_array_equal(actual.numpy(), expected)
    assert {actual.min().item(), actual.max().item()} == set(RANGES[dtype])


@pytest.mark.parametrize("dtype", RANGES)
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_dequantize_is_dequantize_linear(dtype, axis):
    scale, zero_point = parameters(dtype, None if axis is None else 4)
    low, high = RANGES[dtype]
    steps = torch.linspace(low, high, 512).round().to(dtype).reshape(4, 128)
    steps = steps.t().contiguous() if axis == 1 else steps
    run = session("DequantizeLinear", ONNX[dtype], ONNX[dtype], TensorProto.FLOAT, axis)
    feeds = {"x": steps.numpy(), "s": scale.numpy(), "z": zero_point.numpy()}
    expected = run.run(None, feeds)[0]
    np.testing.assert_array_equal(dequantize(steps, scale, zero_point, axis).numpy(), expected)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8])
@pytest.mark.parametrize("scale", [1.0, 0.0173, 2**-14, 3.1])
def test_float16_is_quantized_and_dequantized_like_onnx(dtype, scale):
    x = torch.arange(2**16).to(torch.uint16).view(torch.float16)
    x = x[torch.isfinite(x)].reshape(2, -1)
    s, z = torch.tensor(scale).half(), torch.tensor(3).to(dtype)
    half = TensorProto.FLOAT16
    run = session("QuantizeLinear", half, ONNX[dtype], ONNX[dtype], None, half)
    steps = quantize(x, s, z, *RANGES[dtype])
    feeds = {"s": s.numpy(), "z": z.numpy()}
    np.testing.assert_array_equal(steps.numpy(), run.run(None, {"x": x.numpy(), **feeds})[0])
    run = session("DequantizeLinear", ONNX[dtype], ONNX[dtype], half, None, half)
    found = dequantize(steps, s, z)
    assert found.dtype == torch.float16
    np.testing.assert_array_equal(found.numpy(), run.run(None, {"x": steps.numpy(), **feeds})[0])


def test_int32_biases_dequantize_like_onnx():
    generator = torch.Generator().manual_seed(2)
    steps = torch.randint(-(2**31), 2**31 - 1, (4, 64), generator=generator).to(torch.int32)
    scale = torch.rand(4, generator=generator) * 1e-4
    zero_point = torch.zeros(4, dtype=torch.int32)
    run = session("DequantizeLinear", TensorProto.INT32, TensorProto.INT32, TensorProto.FLOAT, 0)
    feeds = {"x": steps.numpy(), "s": scale.numpy(), "z": zero_point.numpy()}
    actual = dequantize(steps, scale, zero_point, 0)
    np.testing.assert_array_equal(actual.numpy(), run.run(None, feeds)[0])


def test_a_narrow_range_saturates_earlier():
    x, scale, zero_point = (
        torch.tensor([-9.0, 9.0]),
        torch.tensor(1.0),
        torch.tensor(0).to(torch.int8),
    )
    assert quantize(x, scale, zero_point, -4, 3).tolist() == [-4, 3]


def test_half_goes_to_even():
    x = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    scale, zero_point = torch.tensor(1.0), torch.tensor(0).to(torch.int8)
    assert quantize(x, scale, zero_point, -128, 127).tolist() == [-2, -2, 0, 0, 2, 2]


def test_observe_passes_values_and_gradients_through():
    x = torch.randn(3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    y = observe(x, "activation", "group")
    assert torch.equal(y, x)
    (y * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("axis", [None, 0])
def test_operators_are_sound_for_the_exporter(axis):
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    scale, zero_point = parameters(torch.int8, None if axis is None else 4)
    steps = quantize(x, scale, zero_point, -128, 127, axis)
    tests = ("test_schema", "test_faketensor")
    torch.library.opcheck(QUANTIZE, (x, scale, zero_point, -128, 127, axis), test_utils=tests)
    torch.library.opcheck(DEQUANTIZE, (steps, scale, zero_point, axis), test_utils=tests)
    torch.library.opcheck(OBSERVE, (x, "activation", "group"), test_utils=tests)
