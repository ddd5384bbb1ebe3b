"""What follows an output: the QuantizeLinear that ONNX Runtime's CPU kernels fuse with."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from rewrite.runtimes import qdq_graph as qdq

# QDQPropagation moves Q and DQ past these (no-op ones are dropped before); other movers stay put.
MOVED_PAST = frozenset(
    {"Identity", "MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}
)


@dataclass(frozen=True)
class Requantized:
    """What follows an output: its QuantizeLinear, or why there is none to fuse with."""

    node: ir.Node | None = None
    clamp: ir.Node | None = None
    problem: str = ""
    blocks: bool = False
    """The problem also stops kernels that can do without a QuantizeLinear."""


def requantized(value: ir.Value) -> Requantized:
    """Follow an output to its QuantizeLinear, past what the runtime moves quantizers past."""
    clamp: ir.Node | None = None
    while True:
        nodes = qdq.readers(value)
        quantizers = [n for n in nodes if qdq.is_quantize(n)]
        if value.is_graph_output() and nodes:
            blocks = clamp is None and any(_leads_to_quantize(n) for n in nodes)
            problem = "the output is also a graph output: quantize it, or keep its reader apart"
            return Requantized(problem=problem, blocks=blocks)
        if quantizers and len(quantizers) == len(nodes):
            return Requantized(quantizers[0], clamp)
        if len(nodes) > 1 and any(_leads_to_quantize(n) for n in nodes):
            other = next((n.op_type for n in nodes if not _leads_to_quantize(n)), nodes[0].op_type)
            problem = (
                f"the output is read by QuantizeLinear and, in float, by {other}: "
                f"let {other} read the DequantizeLinear"
            )
            return Requantized(problem=problem, blocks=clamp is None)
        if len(nodes) != 1:
            return Requantized(problem=_no_quantize(nodes))
        if nodes[0].op_type in ("Relu", "Clip") and clamp is None:
            clamp = nodes[0]
        elif nodes[0].op_type not in MOVED_PAST:
            return Requantized(problem=_no_quantize(nodes))
        value = nodes[0].outputs[0]


def _leads_to_quantize(node: ir.Node) -> bool:
    if node.op_type in ("Relu", "Clip"):
        nodes = qdq.readers(node.outputs[0])
        return bool(nodes) and all(qdq.is_quantize(n) for n in nodes)
    return qdq.is_quantize(node)


def _no_quantize(nodes: list[ir.Node]) -> str:
    found = ", ".join(sorted({n.op_type for n in nodes})) or "a graph output"
    return f"the output has no QuantizeLinear, it goes to {found}: add Q/DQ right after the node"
