"""Weights: the axis of their scales, the range they use, the layout they are stored in."""

from __future__ import annotations

from collections.abc import Iterator

from rewrite.lint.file import File, Layer, integers
from rewrite.lint.rule import Finding, Rule
from rewrite.runtimes.qdq_graph import attribute

LEAST_BLOCK = 16
"""Inputs of one output that share a scale."""
_CONVOLUTION_AXES = {"Conv": 0, "ConvTranspose": 1}


def _per_channel(file: File) -> Iterator[tuple[Layer, int, int]]:
    """Yield the layers whose weight has a scale per channel, its rank and its axis."""
    for layer in file.layers:
        side = layer.weight
        if side is None or not side.is_weight or side.scale is None or side.scale.size == 1:
            continue
        if side.scale.ndim > 1:
            continue  # blocks
        source = side.node.inputs[0]
        shape = source.shape if source is not None else None
        rank = len(shape) if shape is not None else 2
        yield layer, rank, int(attribute(side.node, "axis", 1)) % rank


def _axis(file: File) -> Iterator[Finding]:
    for layer, rank, axis in _per_channel(file):
        kind = layer.node.op_type
        if kind in _CONVOLUTION_AXES:
            wanted = _CONVOLUTION_AXES[kind]
        elif rank != 2:
            yield layer.node, f"has a weight of {rank} axes with a scale per channel: make it 2-D"
            continue
        else:
            turned = attribute(layer.node, "transB", 0) or _is_transposed(layer)
            wanted = 0 if turned else 1
        if axis != wanted:
            yield layer.node, f"has scales along axis {axis} of its weight: use axis {wanted}"


def _is_transposed(layer: Layer) -> bool:
    assert layer.weight is not None
    return sum(node.op_type == "Transpose" for node in layer.weight.path) % 2 == 1


def _range(file: File) -> Iterator[Finding]:
    if file.weight_range is None:
        return
    low, high = file.weight_range
    for layer in file.layers:
        if layer.weight is None or not layer.weight.is_weight:
            continue
        values = integers(layer.weight)
        if values is None or not values.size:
            continue
        least, most = int(values.min()), int(values.max())
        if least < low or most > high:
            yield layer.node, f"has weights in [{least}, {most}]: quantize them to [{low}, {high}]"


def _whole_matrix(file: File) -> Iterator[Finding]:
    for layer, _, _ in _per_channel(file):
        if layer.node.op_type == "MatMul":
            yield layer.node, "has a scale per channel of its weight: quantize it per tensor"


def _layout(file: File) -> Iterator[Finding]:
    for layer in file.layers:
        if layer.node.op_type != "MatMul" or not layer.has_weight:
            continue
        assert layer.weight is not None
        between = next((n for n in layer.weight.path if n.op_type == "Transpose"), None)
        if between is not None:
            yield layer.node, "reads its weight through a Transpose: store it as [in, out]"


def _blocks(file: File) -> Iterator[Finding]:
    for layer in file.layers:
        side = layer.weight
        if side is None or side.scale is None or side.scale.ndim < 2:
            continue
        size = int(attribute(side.node, "block_size", 0))
        if layer.node.op_type not in ("MatMul", "Gemm") or attribute(layer.node, "transB", 0):
            yield layer.node, "has blocks in a weight that is no [K, N]: transpose it in the file"
        elif side.path or int(attribute(side.node, "axis", 1)) != 0:
            yield layer.node, "has blocks along another axis than the inputs: store [K, N], axis 0"
        elif size < LEAST_BLOCK or size & (size - 1):
            yield layer.node, f"has blocks of {size}: use a power of two from {LEAST_BLOCK} on"
        elif layer.activation is not None:
            yield layer.node, "reads an int8 activation beside blocks: leave it float"


def _factors(file: File) -> Iterator[Finding]:
    for layer in file.layers:
        if layer.node.op_type != "Gemm" or not layer.is_quantized:
            continue
        for name in ("alpha", "beta"):
            factor = attribute(layer.node, name, 1.0)
            if factor != 1.0:
                yield layer.node, f"has {name} = {factor:g}: fold it into the weight or the bias"


RULES = (
    Rule(
        "weight-axis",
        "Scales per channel run along the outputs: axis 0 of Conv, 1 of ConvTranspose and [K, N].",
        "measured on ONNX Runtime 1.31: another axis stays float, or fails when it runs",
        _axis,
    ),
    Rule(
        "weight-range",
        "Weights stay in the range that the target gives them.",
        "vpmaddubsw saturates where there is no VNNI: ONNX Runtime, reduce_range; "
        "TensorRT: [-127, 127]",
        _range,
    ),
    Rule(
        "per-tensor-matmul",
        "The weight of a MatMul has one scale.",
        "ONNX Runtime, get_qnn_qdq_config",
        _whole_matrix,
    ),
    Rule(
        "matmul-layout",
        "The weight of a MatMul is stored as [K, N], with no Transpose behind its dequantizer.",
        "AIMET#4105; ONNX Runtime, MatMulNBits and QLinearMatMul selectors",
        _layout,
    ),
    Rule(
        "weight-blocks",
        "Scales per block run along the inputs of a [K, N] weight, by powers of two from 16 on.",
        "ONNX Runtime, DQMatMulNodeGroupSelector: MatMulNBits",
        _blocks,
    ),
    Rule(
        "gemm-factors",
        "The factors alpha and beta of a quantized Gemm are 1.",
        "ONNX Runtime, qdq_selectors.cc: GemmNodeGroupSelector",
        _factors,
    ),
)
