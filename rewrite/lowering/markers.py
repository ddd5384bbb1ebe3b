"""The ONNX translations of the marker operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx_ir as ir
import torch
from onnxscript import opset18, opset19, opset20, opset21

from rewrite.quantization.markers import DEQUANTIZE, DEQUANTIZE_BLOCKS, OBSERVE, QUANTIZE

_OPSETS = {18: opset18, 19: opset19, 20: opset20, 21: opset21}
_FIRST_BLOCKED = 21
_FIRST_HALF = 19
_FULL = {
    ir.DataType.INT8: (-128, 127),
    ir.DataType.UINT8: (0, 255),
    ir.DataType.INT16: (-32768, 32767),
    ir.DataType.UINT16: (0, 65535),
}


def marker_translations(opset: int) -> dict[Any, Callable[..., Any]]:
    """Return the translation table of the marker operators for one opset."""
    op: Any = _OPSETS[max(18, min(opset, 21))]

    def require_type(scale: Any) -> None:
        if scale.dtype == ir.DataType.FLOAT16 and opset < _FIRST_HALF:
            raise NotImplementedError(f"float16 scales need opset {_FIRST_HALF}")

    def quantize(
        x: Any, scale: Any, zero_point: Any, qmin: int, qmax: int, axis: int | None = None
    ) -> Any:
        require_type(scale)
        attributes = {} if axis is None else {"axis": axis}
        result = op.QuantizeLinear(x, scale, zero_point, **attributes)
        if (qmin, qmax) == _FULL.get(zero_point.dtype):
            return result
        low = op.Constant(value=_scalar(qmin, zero_point.dtype))
        high = op.Constant(value=_scalar(qmax, zero_point.dtype))
        return op.Clip(result, low, high)

    def dequantize(x: Any, scale: Any, zero_point: Any, axis: int | None = None) -> Any:
        require_type(scale)
        attributes = {} if axis is None else {"axis": axis}
        if x.dtype == ir.DataType.INT32:
            return op.DequantizeLinear(x, scale, **attributes)
        return op.DequantizeLinear(x, scale, zero_point, **attributes)

    def dequantize_blocks(
        x: Any, scale: Any, zero_point: Any, axis: int, block: int, bits: int
    ) -> Any:
        if opset < _FIRST_BLOCKED:
            raise NotImplementedError(f"scales per block need opset {_FIRST_BLOCKED}")
        return op.DequantizeLinear(x, scale, zero_point, axis=axis, block_size=block)

    def observe(x: Any, spec: str, group: str) -> Any:
        return op.Identity(x)

    return {
        QUANTIZE: quantize,
        DEQUANTIZE: dequantize,
        DEQUANTIZE_BLOCKS: dequantize_blocks,
        OBSERVE: observe,
    }


def _scalar(value: int, dtype: ir.DataType) -> ir.TensorProtocol:
    return ir.tensor(torch.tensor(value).numpy().astype(dtype.numpy()))
