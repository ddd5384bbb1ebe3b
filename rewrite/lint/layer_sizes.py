"""Layers too small for int8 kernels."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from rewrite.lint.file import File, Layer
from rewrite.lint.rule import Finding, Rule
from rewrite.runtimes.qdq_graph import attribute

LEAST_CHANNELS = 16
_STEP = 8


def _wide(file: File) -> Iterator[Finding]:
    first = next((layer.node for layer in file.layers if "Conv" in layer.node.op_type), None)
    for layer in file.layers:
        shape = _shape(layer)
        if shape is None:
            continue
        small = min(shape[:2]) < LEAST_CHANNELS
        if small and not _fits(layer.node, shape, layer.node is first):
            yield layer.node, f"has a weight of {shape[0]} × {shape[1]} channels: leave it float"


def _shape(layer: Layer) -> list[int] | None:
    """Return [out, in/groups, ...], None for what is no int8 layer."""
    if not layer.is_quantized or layer.weight is None or not layer.weight.is_weight:
        return None
    value = layer.weight.node.inputs[0]
    if value is None or value.shape is None or len(value.shape) < 2:
        return None
    shape = [int(size) for size in value.shape if isinstance(size, int)]
    if layer.node.op_type != "ConvTranspose":
        return shape
    groups = int(attribute(layer.node, "group", 1))
    return [shape[1] * groups, shape[0] // groups, *shape[2:]]


def _fits(node: ir.Node, shape: list[int], is_first: bool) -> bool:
    """Tell whether a small convolution has a kernel all the same."""
    if "Conv" not in node.op_type or len(set(shape[2:])) != 1:
        return False
    aligned = any(size % _STEP == 0 for size in shape[:2])
    return aligned and (is_first or max(shape[:2]) >= LEAST_CHANNELS)


RULES = (
    Rule(
        "wide-layers",
        "Int8 layers have 16 channels in and out; a convolution of a multiple of 8 by 16 will do.",
        "NVIDIA ModelOpt 0.47: exclusion of small convolutions, GEMV and small GEMM",
        _wide,
    ),
)
