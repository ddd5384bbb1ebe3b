"""Linear layers of one input feature, which are factors."""

from __future__ import annotations

import onnx_ir as ir

from rewrite.lowering.constants import constant


def multiply_one_feature(model: ir.Model) -> None:
    """Write x·W of x [M, 1] and a constant W [1, N] as their broadcast product, in place.

    OpenVINO 2026.4 takes linear layers in a row for one kernel, which it cannot compile on one
    thread where what is between them is one number and so is an end.
    """
    for node in list(model.graph):
        if node.op_type in ("Gemm", "MatMul") and _is_column(node.inputs[0]) and _is_plain(node):
            _multiply(model, node)


def _is_column(value: ir.Value | None) -> bool:
    if value is None or value.shape is None or value.dtype is not ir.DataType.FLOAT:
        return False
    return len(value.shape) == 2 and value.shape[1] == 1


def _is_plain(node: ir.Node) -> bool:
    """Tell whether a product is that of its input and a constant matrix, without factors."""
    tensor = _constant(node.inputs[1])
    if tensor is None or len(tensor.shape) != 2 or node.attributes.get_int("transA"):
        return False
    return all(node.attributes.get_float(name, 1.0) == 1.0 for name in ("alpha", "beta"))


def _constant(value: ir.Value | None) -> ir.TensorProtocol | None:
    return ir.convenience.get_const_tensor(value) if value is not None else None


def _multiply(model: ir.Model, node: ir.Node) -> None:
    weight, output = _constant(node.inputs[1]), node.outputs[0]
    assert weight is not None
    row = constant(model, f"{weight.name}_row", weight.numpy().reshape(1, -1))
    made = [ir.node("Mul", [node.inputs[0], row], name=node.name)]
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        product = made[0].outputs[0]
        product.name, product.type, product.shape = f"{node.name}_out", output.type, output.shape
        made.append(ir.node("Add", [product, node.inputs[2]], name=f"{node.name}_bias"))
    for each in made:
        each.meta.update(node.meta)
    ir.convenience.replace_nodes_and_values(
        model.graph, node, [node], made, node.outputs, made[-1].outputs
    )
