"""Shared scales: operators that only move values keep the integers as they are."""

from __future__ import annotations

from collections.abc import Iterator

from rewrite.lint.file import File, parameters, quantizers_of
from rewrite.lint.rule import Finding, Rule
from rewrite.runtimes.qdq_graph import PASS_THROUGH, readers


def _moved(file: File) -> Iterator[Finding]:
    for node in file.nodes(*PASS_THROUGH):
        source = node.inputs[0].producer() if node.inputs[0] is not None else None
        if source is None or source.op_type != "DequantizeLinear":
            continue
        for output in node.outputs:
            for quantizer in quantizers_of(output):
                if parameters(quantizer) != parameters(source):
                    yield node, "has another scale or zero point behind it than in front: share one"


def _concat(file: File) -> Iterator[Finding]:
    for node in file.nodes("Concat"):
        sources = [v.producer() for v in node.inputs if v is not None]
        before = [n for n in sources if n is not None and n.op_type == "DequantizeLinear"]
        after = quantizers_of(node.outputs[0])
        whole = len(after) == len(readers(node.outputs[0]))
        if after and whole and len(before) < len(sources):
            yield node, "is quantized behind and float in front: quantize its inputs at that scale"
        elif len({parameters(n) for n in [*before, *after]}) > 1:
            yield node, "has several scales around it: give its inputs and its output one"


RULES = (
    Rule(
        "shared-scale",
        "An operator that only moves values has one scale and zero point, before and behind it.",
        "ONNX Runtime, qdq_selectors.cc: DropQDQNodesSelector",
        _moved,
    ),
    Rule(
        "concat-scale",
        "The inputs of a Concat and its output have one scale.",
        "NVIDIA ModelOpt 0.47, concat elimination",
        _concat,
    ),
)
