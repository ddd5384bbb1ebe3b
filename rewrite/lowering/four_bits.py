"""Weights of four bits take half a byte in the file."""

from __future__ import annotations

import ml_dtypes
import onnx_ir as ir

from rewrite.program import Program
from rewrite.quantization.markers import DEQUANTIZE_BLOCKS
from rewrite.schema import arguments

_PACKED = {
    ir.DataType.INT8: (ir.DataType.INT4, ml_dtypes.int4),
    ir.DataType.UINT8: (ir.DataType.UINT4, ml_dtypes.uint4),
}


def pack_four_bits(model: ir.Model, program: Program) -> None:
    """Store the integers and zero points of 4-bit blocks as INT4 or UINT4 initializers, in place.

    They are stored by the names they have in the program, which holds them in 8-bit types.
    """
    names: set[str] = set()
    for node in program.graph.nodes:
        if node.target is DEQUANTIZE_BLOCKS and arguments(node)["bits"] == 4:
            names.update(str(arguments(node)[key].target) for key in ("x", "zero_point"))
    for name in names:
        value = model.graph.initializers.get(name)
        if value is None or value.const_value is None or value.dtype not in _PACKED:
            continue
        dtype, storage = _PACKED[value.dtype]
        packed = value.const_value.numpy().astype(storage)
        value.const_value = ir.Tensor(packed, dtype=dtype, name=name)
        value.type = ir.TensorType(dtype)
