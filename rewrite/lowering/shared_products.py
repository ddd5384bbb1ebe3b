"""Int8 products without a bias that several nodes read."""

from __future__ import annotations

import onnx_ir as ir

from rewrite.lowering.barrier import put_behind, same
from rewrite.lowering.dequantized import is_dequantized, is_stored, is_zero

_SCALINGS = ("Div", "Identity", "Mul", "Neg")
_LAID_OUT = ("Reshape", "Squeeze", "Transpose", "Unsqueeze")


def hold_shared_products(model: ir.Model) -> None:
    """Put max(y, lowest) = y behind an int8 product without a bias that is read more than once.

    OpenVINO 2026.4 carries the scale s of the integers on to the readers of a convolution, or of a
    product of two activations, and multiplies by it in the product as well: of relu(y) and y, the
    first is too small by s. A bias, or a sum behind, keeps the scale where it is.
    """
    for node in list(model.graph):
        output = node.outputs[0]
        if not _is_bare_product(node) or output.dtype != ir.DataType.FLOAT:
            continue
        if not _is_shared(output):
            continue
        put_behind(model, same(model, output, f"{node.name}_held"))


def _is_bare_product(node: ir.Node) -> bool:
    if node.op_type == "Conv":
        biases = [bias for bias in node.inputs[2:] if bias is not None]
        return is_dequantized(node.inputs[0], _LAID_OUT) and all(map(is_zero, biases))
    if node.op_type != "MatMul":
        return False
    return all(is_dequantized(side, _LAID_OUT) and not is_stored(side) for side in node.inputs)


def _is_shared(value: ir.Value) -> bool:
    """Tell whether several nodes read a value, or it times a constant; an output counts as one."""
    readers = [use.node for use in value.uses()]
    if len(readers) + value.is_graph_output() > 1:
        return value.is_graph_output() or any(n.op_type != "QuantizeLinear" for n in readers)
    if not readers or readers[0].op_type not in _SCALINGS:
        return False
    others = [side for side in readers[0].inputs if side is not value]
    return all(map(is_stored, others)) and _is_shared(readers[0].outputs[0])
