"""Nodes of a file that read weights: what is not among the products counts as well."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from rewrite.runtimes import KernelVerdict, qdq_graph

_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE)
_INTEGERS = (
    ir.DataType.INT8,
    ir.DataType.UINT8,
    ir.DataType.INT4,
    ir.DataType.UINT4,
    ir.DataType.INT2,
    ir.DataType.UINT2,
)
_NO_LAYERS = frozenset(
    {
        "Add",
        "And",
        "BatchNormalization",
        "Cast",
        "Clip",
        "Concat",
        "DequantizeLinear",
        "Div",
        "Equal",
        "Expand",
        "Greater",
        "GreaterOrEqual",
        "Identity",
        "If",
        "LayerNormalization",
        "Less",
        "LessOrEqual",
        "Loop",
        "Max",
        "Min",
        "Mul",
        "Or",
        "PRelu",
        "Pad",
        "Pow",
        "QuantizeLinear",
        "Reshape",
        "Resize",
        "Scan",
        "Slice",
        "Split",
        "Squeeze",
        "Sub",
        "Tile",
        "Transpose",
        "Unsqueeze",
        "Where",
    }
)
"""They read tables element by element, or hand them on: masks, positions, factors."""


def has_weight(node: ir.Node) -> bool:
    """Say whether a node reads a weight of two or more dimensions."""
    return any(_is_table(value) for value in node.inputs)


def other_layers(model: ir.Model) -> list[KernelVerdict]:
    """Return verdicts on what reads weights and is no product of the main graph.

    Recurrent layers, einsums and lookups, and everything inside branches and loops.
    """
    verdicts = [
        _verdict(node)
        for node in model.graph
        if node.op_type not in (*_NO_LAYERS, *qdq_graph.COMPUTE) and has_weight(node)
    ]
    for node in model.graph:
        verdicts += [
            KernelVerdict(
                qdq_graph.label(inner),
                inner.op_type,
                False,
                False,
                "",
                f"it is inside '{node.op_type}', where nothing is quantized",
                has_weight=True,
            )
            for inner in _inside(node)
            if inner.op_type not in _NO_LAYERS and has_weight(inner)
        ]
    return verdicts


def _inside(node: ir.Node) -> Iterator[ir.Node]:
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            graphs = [attribute.value]
        elif attribute.type == ir.AttributeType.GRAPHS:
            graphs = list(attribute.value)
        else:
            continue
        for graph in graphs:
            for inner in graph:
                yield inner
                yield from _inside(inner)


def _verdict(node: ir.Node) -> KernelVerdict:
    stored = all(_is_stored_in_integers(value) for value in node.inputs if _is_table(value))
    reason = "" if stored else f"'{node.op_type}' reads its weight in float"
    return KernelVerdict(
        qdq_graph.label(node), node.op_type, False, stored, "", reason, has_weight=True
    )


def _is_table(value: ir.Value | None) -> bool:
    return any(_is_wide(constant) for constant in _constants_behind(value))


def _is_wide(constant: ir.Value) -> bool:
    if constant.shape is None or constant.dtype not in (*_FLOATS, *_INTEGERS):
        return False
    return sum(1 for size in constant.shape if isinstance(size, int) and size > 1) >= 2


def _is_stored_in_integers(value: ir.Value | None) -> bool:
    return all(constant.dtype in _INTEGERS for constant in _constants_behind(value))


def _constants_behind(value: ir.Value | None) -> Iterator[ir.Value]:
    """Yield the constants that a value is made of, behind Q, DQ, and what joins and moves them."""
    waiting = [qdq_graph.unheld(value)]
    while waiting:
        each = waiting.pop()
        if each is None:
            continue
        if qdq_graph.is_constant(each):
            yield each
            continue
        producer = each.producer()
        if producer is None:
            continue
        if producer.op_type == "Concat":
            waiting += producer.inputs
        elif producer.op_type in _BETWEEN or qdq_graph.is_quantize(producer):
            waiting += producer.inputs[:1]


_BETWEEN = (qdq_graph.PASS_THROUGH - {"Gather", "GatherElements"}) | {"DequantizeLinear", "Cast"}
