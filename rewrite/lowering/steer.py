"""Writing a file around the known faults of the runtimes that are to run it."""

from __future__ import annotations

from collections.abc import Callable, Collection

import onnx_ir as ir

from rewrite.lowering.sizes import hide_sizes


def steer(model: ir.Model, avoids: Collection[str]) -> None:
    """Write a model around the faults that a target names, in place."""
    for fault in avoids:
        FAULTS[fault](model)


def free_products(model: ir.Model) -> None:
    """Write relu(y) as max(y, 0), and clip likewise, behind a product where it stays float.

    ONNX Runtime takes a Relu or Clip behind a quantized Gemm as the beginning of a QuantizeLinear,
    and keeps the Gemm float when none follows.
    """
    for node in list(model.graph):
        if node.op_type in ("Relu", "Clip") and _is_product(node) and not _is_quantized(node):
            _spell_out(model, node)


FAULTS: dict[str, Callable[[ir.Model], None]] = {
    "size-moved-to-conv": hide_sizes,
    "float-relu-behind-product": free_products,
}
"""What to do about each fault, by its name in a target."""


def _is_product(node: ir.Node) -> bool:
    """Tell whether a node reads a Gemm, a MatMul, or the sum of one with its bias."""
    source = node.inputs[0]
    producer = source.producer() if source is not None else None
    if producer is None:
        return False
    if producer.op_type != "Add":
        return producer.op_type in ("Gemm", "MatMul")
    makers = [v.producer() for v in producer.inputs if v is not None]
    return any(m is not None and m.op_type == "MatMul" for m in makers)


def _is_quantized(node: ir.Node) -> bool:
    uses = node.outputs[0].uses()
    readers = [use.node.op_type for use in uses]
    return set(readers) == {"QuantizeLinear"} and not node.outputs[0].is_graph_output()


def _spell_out(model: ir.Model, node: ir.Node) -> None:
    """Replace a Relu by Max with 0, a Clip by Max and Min with its bounds."""
    output, value = node.outputs[0], node.inputs[0]
    if node.op_type == "Relu":
        bounds: list[tuple[str, ir.Value | None]] = [("Max", _zero(model, output))]
    else:
        bounds = list(zip(("Max", "Min"), node.inputs[1:3], strict=False))
    made: list[ir.Node] = []
    for kind, bound in bounds:
        if bound is not None:
            made.append(ir.node(kind, [value, bound]))
            made[-1].name = f"{node.name}_{kind.lower()}"
            value = made[-1].outputs[0]
            value.name, value.type, value.shape = f"{made[-1].name}_out", output.type, output.shape
    if not made or value is None:
        return
    model.graph.insert_before(node, made)
    name = output.name
    ir.convenience.replace_all_uses_with(output, value, replace_graph_outputs=True)
    model.graph.remove(node, safe=True)
    value.name = name


def _zero(model: ir.Model, like: ir.Value) -> ir.Value:
    dtype = like.dtype or ir.DataType.FLOAT
    name = f"zero_{dtype.name.lower()}"
    known = model.graph.initializers.get(name)
    if known is not None:
        return known
    tensor = ir.tensor(0.0, dtype=dtype, name=name)
    value = ir.Value(name=name, shape=ir.Shape([]), type=ir.TensorType(dtype), const_value=tensor)
    model.graph.register_initializer(value)
    return value
