"""SiLUs behind integers, as ONNX Runtime's own operator."""

from __future__ import annotations

import onnx_ir as ir

from rewrite.lowering.dequantized import is_dequantized

_DOMAIN = "com.microsoft"


def join_silus(model: ir.Model) -> None:
    """Write x·σ(x) of what comes from a DequantizeLinear as QuickGelu(x, α = 1), in place.

    ONNX Runtime makes one kernel of Sigmoid and Mul where both read the same tensor. A
    DequantizeLinear with two readers it copies for each of them, before it looks for such pairs.
    """
    for node in list(model.graph):
        sigmoid = _sigmoid_of(node)
        if sigmoid is None or node.outputs[0].dtype is not ir.DataType.FLOAT:
            continue
        if not is_dequantized(sigmoid.inputs[0]):
            continue
        joined = ir.node(
            "QuickGelu",
            sigmoid.inputs,
            {"alpha": 1.0},
            domain=_DOMAIN,
            name=node.name,
        )
        ir.convenience.replace_nodes_and_values(
            model.graph, node, [sigmoid, node], [joined], node.outputs, joined.outputs
        )
        model.opset_imports[_DOMAIN] = 1


def _sigmoid_of(node: ir.Node) -> ir.Node | None:
    """Return the Sigmoid of x that only this product x·σ(x) reads."""
    if node.op_type != "Mul":
        return None
    for x, gate in (node.inputs, node.inputs[::-1]):
        made = gate.producer() if gate is not None else None
        if made is None or gate is None or made.op_type != "Sigmoid" or made.inputs[0] is not x:
            continue
        alone = len(gate.uses()) == 1 and not gate.is_graph_output()
        return made if alone else None
    return None
