"""Weights: the axis of their scales, the range they use, the layout they are stored in."""

from __future__ import annotations

from collections.abc import Iterator

from rewrite.lint.file import File, Layer, integers
from rewrite.lint.rule import Finding, Rule
from rewrite.runtimes.qdq_graph import attribute

_CONVOLUTION_AXES = {"Conv": 0, "ConvTranspose": 1}


def _per_channel(file: File) -> Iterator[tuple[Layer, int, int]]:
    """Yield the layers whose weight has a scale per channel, its rank and its axis."""
    for layer in file.layers:
        side = layer.weight
        if side is None or not side.is_weight or side.scale is None or side.scale.size == 1:
            continue
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
)
