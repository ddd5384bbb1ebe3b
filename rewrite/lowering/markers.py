"""The ONNX translations of the marker operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx_ir as ir
import torch
from onnxscript import opset18, opset19, opset20, opset21
from torch import fx

from rewrite.errors import CheckError
from rewrite.program import Program
from rewrite.provenance import source_line
from rewrite.quantization.markers import DEQUANTIZE, DEQUANTIZE_BLOCKS, OBSERVE, QUANTIZE
from rewrite.schema import argument, is_call

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

    def quantize(
        x: Any, scale: Any, zero_point: Any, qmin: int, qmax: int, axis: int | None = None
    ) -> Any:
        attributes = {} if axis is None else {"axis": axis}
        result = op.QuantizeLinear(x, scale, zero_point, **attributes)
        if (qmin, qmax) == _FULL.get(zero_point.dtype):
            return result
        low = op.Constant(value=_scalar(qmin, zero_point.dtype))
        high = op.Constant(value=_scalar(qmax, zero_point.dtype))
        return op.Clip(result, low, high)

    def dequantize(x: Any, scale: Any, zero_point: Any, axis: int | None = None) -> Any:
        attributes = {} if axis is None else {"axis": axis}
        if x.dtype == ir.DataType.INT32:
            return op.DequantizeLinear(x, scale, **attributes)
        return op.DequantizeLinear(x, scale, zero_point, **attributes)

    def dequantize_blocks(
        x: Any, scale: Any, zero_point: Any, axis: int, block: int, bits: int
    ) -> Any:
        return op.DequantizeLinear(x, scale, zero_point, axis=axis, block_size=block)

    def observe(x: Any, spec: str, group: str) -> Any:
        return op.Identity(x)

    return {
        QUANTIZE: quantize,
        DEQUANTIZE: dequantize,
        DEQUANTIZE_BLOCKS: dequantize_blocks,
        OBSERVE: observe,
    }


def require_opset(program: Program, opset: int) -> None:
    """Hold an opset to what the quantizers of a program need.

    Raises:
        CheckError: for scales per block, or of float16, before ONNX has them.
    """
    for node in program.graph.nodes:
        needed, what = _need(node)
        if opset < needed:
            raise CheckError(
                f"{what} need opset {needed}, and {opset} was to be written",
                where=source_line(node) or None,
                hint="choose a target that writes it, see: rewrite targets; "
                f"or --opset {needed}, where the target takes it",
            )


def _need(node: fx.Node) -> tuple[int, str]:
    if is_call(node, DEQUANTIZE_BLOCKS):
        return _FIRST_BLOCKED, "scales per block"
    if is_call(node, QUANTIZE, DEQUANTIZE) and _is_half(argument(node, "scale")):
        return _FIRST_HALF, "float16 scales"
    return 0, ""


def _is_half(scale: fx.Node) -> bool:
    return bool(scale.meta["val"].dtype == torch.float16)


def _scalar(value: int, dtype: ir.DataType) -> ir.TensorProtocol:
    return ir.tensor(torch.tensor(value).numpy().astype(dtype.numpy()))
