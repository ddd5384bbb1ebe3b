"""Scales: constant and positive, powers of two, one for each activation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from rewrite.lint.file import File, is_on_weight, scales
from rewrite.lint.rule import Finding, Rule
from rewrite.runtimes.qdq_graph import QMAX, QMIN, integer_type

LEAST_RANGE = 1e-4
"""In the tensor's own unit; ONNX Runtime's MinimumRealRange for QNN."""
_FIRST_HALF = 19


def _positive(file: File) -> Iterator[Finding]:
    for node in file.pairs:
        found = scales(node)
        if found is None:
            yield node, "computes its scale: make it a constant"
        elif not (np.isfinite(found) & (found > 0)).all():
            yield node, f"has scale {found.min():g}: it must be positive"


def _powers(file: File) -> Iterator[Finding]:
    for node in file.pairs:
        found = scales(node)
        if found is None:
            continue
        odd = found[np.frexp(found)[0] != 0.5]
        if odd.size:
            yield node, f"has scale {odd[0]:g}: use a power of two"


def _per_tensor(file: File) -> Iterator[Finding]:
    for node in file.pairs:
        found = scales(node)
        if found is not None and found.size > 1 and not is_on_weight(node):
            yield node, f"has {found.size} scales on an activation: use one"


def _one_for_all(file: File) -> Iterator[Finding]:
    for node in file.pairs:
        found = scales(node)
        if found is not None and found.size > 1:
            yield node, f"has {found.size} scales: use one"


def _single_precision(file: File) -> Iterator[Finding]:
    for node in file.pairs:
        if _is_half(node):
            yield node, "has a float16 scale: make it float32, and cast around the quantizer"


def _half_from_19(file: File) -> Iterator[Finding]:
    if file.opset >= _FIRST_HALF:
        return
    for node in file.pairs:
        if _is_half(node):
            yield (
                node,
                (
                    f"has a float16 scale, which ONNX has from opset {_FIRST_HALF} on "
                    f"(this file: {file.opset}): raise the opset"
                ),
            )


def _is_half(node: ir.Node) -> bool:
    scale = node.inputs[1]
    return scale is not None and scale.dtype is ir.DataType.FLOAT16


def _wide_enough(file: File) -> Iterator[Finding]:
    for node in file.quantizers:
        found, dtype = scales(node), integer_type(node)
        if found is None or dtype not in (ir.DataType.INT8, ir.DataType.UINT8):
            continue
        width = float(found.min()) * (QMAX[dtype] - QMIN[dtype])
        if width < LEAST_RANGE * (1 - 1e-6):
            yield node, f"covers a range of {width:.1e}: cover {LEAST_RANGE:g} at least"


RULES = (
    Rule(
        "positive-scales",
        "Scales are positive constants.",
        "NVIDIA TensorRT documentation, explicit quantization",
        _positive,
    ),
    Rule(
        "power-of-two-scales",
        "Every scale is a power of two.",
        "MQBench, Vitis AI backend: per-tensor symmetric with power-of-two scales; AMD Quark XINT8",
        _powers,
    ),
    Rule(
        "per-tensor-activations",
        "An activation has one scale.",
        "NVIDIA TensorRT documentation, explicit quantization: activations are per tensor",
        _per_tensor,
    ),
    Rule(
        "per-tensor",
        "Every tensor has one scale, weights too.",
        "MQBench, Vitis AI backend: 8 bit per-tensor symmetric",
        _one_for_all,
    ),
    Rule(
        "float32-scales",
        "Scales are float32.",
        "measured on ONNX Runtime 1.31: float16 ones stay float, and spoil float biases; its QNN "
        "execution provider, UnpackScales",
        _single_precision,
    ),
    Rule(
        "half-scales",
        "A float16 scale is of opset 19 or later.",
        "ONNX, changes of QuantizeLinear in opset 19",
        _half_from_19,
    ),
    Rule(
        "least-range",
        "A quantizer covers a range of 1e-4 or more.",
        "ONNX Runtime, get_qnn_qdq_config: MinimumRealRange",
        _wide_enough,
    ),
)
