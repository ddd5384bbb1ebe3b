"""Why ONNX Runtime's CPU provider keeps a quantized node in float, read from the source graph.

The rules restate the selectors of its QDQ transformer; each returns a sentence or None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from rewrite.runtimes import qdq_graph as qdq
from rewrite.runtimes.requantized import MOVED_PAST, requantized

# The bias check of the Conv selector: ORT accepts scales that are this close to s_x * s_w.
_BIAS_SCALE_TOLERANCE = 0.02

_FOLD = "give every reader a QuantizeLinear of its own, or quantize activations to uint8"


@dataclass(frozen=True)
class Site:
    """A quantized node as ONNX Runtime sees it when it looks for int8 kernels."""

    node: ir.Node
    kind: str
    """Conv, ConvTranspose, MatMul or Gemm; MatMul + Add is Gemm once the runtime merged it."""
    bias: ir.Value | None
    output: ir.Value
    activation: qdq.Dequantized
    weight: qdq.Dequantized


def why_float(node: ir.Node, kernel: str) -> str:
    """Return why `node`, which the file asks int8 for, became the float op `kernel`."""
    if not kernel:
        return "the node is gone: the runtime folded it or merged it into another"
    site = _site(node, merged=kernel.endswith("Gemm"))
    for rule in _RULES:
        reason = rule(site)
        if reason:
            return reason
    if kernel == "MatMulNBits":
        return "the weight-only kernel MatMulNBits took it: the activation is not quantized at it"
    return f"ONNX Runtime runs it as float {kernel}, for no reason known here"


def why_broken(node: ir.Node) -> str:
    """Return why the int8 kernel that the runtime chose fails when it runs, or nothing."""
    site = _site(node, merged=False)
    return _weight_axis(site) or ""


def why_not_weight_only(node: ir.Node) -> str:
    """Return why a product with blocked weights did not become MatMulNBits."""
    weight = qdq.dequantized(node.inputs[1])
    assert weight is not None, "only for weight-only nodes"
    if weight.path or qdq.attribute(node, "transB", 0):
        return "the weight is transposed at run time: store it as [K, N]"
    if len(qdq.readers(weight.node.outputs[0])) > 1:
        return "another node reads the dequantized weight too"
    block = int(qdq.attribute(weight.node, "block_size", 0))
    if block < 16 or block & (block - 1):
        return f"blocks of {block}: MatMulNBits takes powers of two from 16 on"
    if int(qdq.attribute(weight.node, "axis", 1)) != 0:
        return "the blocks lie along the outputs: they must lie along axis 0 of [K, N]"
    return "ONNX Runtime runs it in float, for no reason known here"


def _site(node: ir.Node, merged: bool) -> Site:
    activation, weight = (qdq.dequantized(value) for value in node.inputs[:2])
    assert activation is not None and weight is not None, "only for eligible nodes"
    kind, output = node.op_type, node.outputs[0]
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if kind == "MatMul" and merged:
        add = qdq.only_reader(output)
        if add is not None and add.op_type == "Add":
            bias = next(value for value in add.inputs if value is not output)
            kind, output = "Gemm", add.outputs[0]
    return Site(node, kind, bias, output, activation, weight)


def _conv_transpose(site: Site) -> str | None:
    if site.kind != "ConvTranspose":
        return None
    return "ConvTranspose has no int8 kernel in ONNX Runtime's CPU provider"


def _half_scale(site: Site) -> str | None:
    sides = (site.activation, site.weight)
    if any(s.scale is not None and s.scale.dtype == np.float16 for s in sides):
        return "its scales are float16: the int8 kernels of ONNX Runtime take float32 ones"
    return None


def _distance(site: Site) -> str | None:
    for name, side in (("A", site.activation), ("B", site.weight)):
        if side.is_weight:
            continue
        for op in side.path:
            if op.op_type not in MOVED_PAST:
                return (
                    f"{op.op_type} stands between DequantizeLinear and input {name}: "
                    f"put QuantizeLinear and DequantizeLinear after the {op.op_type}"
                )
    return None


def _weight_axis(site: Site) -> str | None:
    side = site.weight
    if side.path or side.scale is None or side.scale.size == 1 or side.scale.ndim != 1:
        return None
    shape = side.node.inputs[0].shape if side.node.inputs[0] is not None else None
    rank = len(shape) if shape is not None else (4 if "Conv" in site.kind else 2)
    axis = int(qdq.attribute(side.node, "axis", 1)) % rank
    if "Conv" in site.kind:
        if axis == 0 or site.kind == "ConvTranspose":
            return None
        return f"weight is per-channel along axis {axis}: a Conv needs axis 0"
    if rank != 2:
        return f"input B is per-channel and has {rank} axes: quantize it per tensor, or make it 2-D"
    wanted = 0 if qdq.attribute(site.node, "transB", 0) else 1
    if axis == wanted:
        return None
    return f"weight is per-channel along axis {axis}: only the output axis, {wanted} here, works"


def _gemm_factors(site: Site) -> str | None:
    for name in ("alpha", "beta"):
        factor = qdq.attribute(site.node, name, 1.0) if site.node.op_type == "Gemm" else 1.0
        if factor != 1.0:
            return f"Gemm has {name}={factor:g}: fold it into the weight or the bias"
    return None


def _signed_input(site: Site) -> str | None:
    side = site.activation
    if side.dtype is not ir.DataType.INT8:
        return None
    if side.quantize is None:
        return "activation is int8 and comes from no QuantizeLinear: use uint8 on x64"
    if site.kind == "Gemm" and requantized(site.output).node is None:
        return None
    count = _fan_out(side.quantize, side.path)
    if count == 1:
        return None
    return (
        f"activation is int8 and its QuantizeLinear has {count} consumers: ONNX Runtime on x64 "
        f"converts S8 to U8 only for single consumers; {_FOLD}"
    )


def _signed_output(site: Site) -> str | None:
    after = requantized(site.output).node
    if after is None or qdq.integer_type(after) is not ir.DataType.INT8:
        return None
    count = _fan_out(after, ())
    if count == 1:
        return None
    return (
        f"output is int8 and its QuantizeLinear has {count} consumers: ONNX Runtime on x64 "
        f"converts S8 to U8 only for single consumers; {_FOLD}"
    )


def _fan_out(quantize: ir.Node, path: tuple[ir.Node, ...]) -> int:
    """Count the readers of a QuantizeLinear after the runtime gave each its own DQ."""
    output = quantize.outputs[0]
    count = int(output.is_graph_output())
    for reader in qdq.readers(output):
        is_dq = reader.op_type == "DequantizeLinear"
        count += max(1, _uses(reader.outputs[0])) if is_dq else 1
    return max([count, *(_uses(op.outputs[0]) for op in path)])


def _uses(value: ir.Value) -> int:
    return len(qdq.readers(value)) + int(value.is_graph_output())


def _output(site: Site) -> str | None:
    after = requantized(site.output)
    if after.problem and (site.kind == "Conv" or after.blocks):
        return after.problem
    if after.node is None or after.clamp is None:
        return None
    return _clamp(after.clamp, after.node)


def _clamp(clamp: ir.Node, quantize: ir.Node) -> str | None:
    dtype = qdq.integer_type(quantize)
    zero_point = int(qdq.zero_points(quantize).reshape(-1)[0])
    if clamp.op_type == "Relu":
        if zero_point == qdq.QMIN.get(dtype, zero_point):
            return None
        return (
            f"Relu's consumer has zero point {zero_point}: only zero point at qmin "
            f"({qdq.QMIN[dtype]} for {dtype.name}) absorbs a Relu"
        )
    scale = qdq.constant(quantize.inputs[1])
    bounds = [qdq.constant(v) for v in (*clamp.inputs[1:3], None, None)[:2]]
    if scale is None or dtype not in qdq.QMIN:
        return None
    low, high = (
        infinite if b is None else float(np.rint(b / scale).reshape(-1)[0]) + zero_point
        for b, infinite in zip(bounds, (-np.inf, np.inf), strict=True)
    )
    if low <= qdq.QMIN[dtype] and high >= qdq.QMAX[dtype]:
        return None
    return (
        "Clip's bounds lie inside the range of its consumer's QuantizeLinear: choose scale and "
        "zero point so that the integer range ends at the bounds"
    )


def _bias(site: Site) -> str | None:
    if site.bias is None:
        return None
    side = qdq.dequantized(site.bias)
    if side is None:
        if site.kind == "Conv" or requantized(site.output).node is not None:
            return None
        return (
            "float bias without a direct QuantizeLinear after the node: store the bias as int32 "
            "behind a DequantizeLinear of scale s_x * s_w"
        )
    if side.dtype is not ir.DataType.INT32:
        return f"the bias is {side.dtype.name}: store it as int32 with scale s_x * s_w"
    scales = side.scale, site.activation.scale, site.weight.scale
    if site.kind != "Conv" or any(s is None for s in scales):
        return None
    bias, x, w = (np.asarray(s).reshape(-1) for s in scales)
    error = float(np.max(np.abs(bias / (x * w) - 1)))
    if error <= _BIAS_SCALE_TOLERANCE:
        return None
    return f"the bias' scale is off by {error:.0%}: it must be s_x * s_w"


_RULES: tuple[Callable[[Site], str | None], ...] = (
    _conv_transpose,
    _half_scale,
    _distance,
    _weight_axis,
    _gemm_factors,
    _signed_input,
    _signed_output,
    _bias,
    _output,
)
