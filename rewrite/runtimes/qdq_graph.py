"""Read what a QDQ file asks for: which nodes have 8-bit data around them, and what is between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import InlinePass

from rewrite.runtimes import Array

COMPUTE = ("Conv", "ConvTranspose", "MatMul", "Gemm")
EIGHT_BIT = (ir.DataType.INT8, ir.DataType.UINT8)
QMIN = {ir.DataType.INT8: -128, ir.DataType.UINT8: 0}
QMAX = {ir.DataType.INT8: 127, ir.DataType.UINT8: 255}

# Ops that hand on the values of their first input: Q and DQ commute with them.
PASS_THROUGH = frozenset(
    {
        "DepthToSpace",
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "Identity",
        "MaxPool",
        "Reshape",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    }
)

_LOWEST = -3e38
"""What a maximum with is the value itself: of float32."""
NOT_QUANTIZED = "not quantized in the file"


@dataclass(frozen=True)
class Dequantized:
    """A float tensor that comes from a DequantizeLinear."""

    node: ir.Node
    dtype: ir.DataType
    path: tuple[ir.Node, ...]
    """The pass-through ops after the DequantizeLinear, the nearest to it last."""

    @property
    def scale(self) -> Array | None:
        """The scale, if it is a constant."""
        return constant(self.node.inputs[1])

    @property
    def quantize(self) -> ir.Node | None:
        """The QuantizeLinear that feeds it, if any."""
        source = self.node.inputs[0]
        producer = source.producer() if source is not None else None
        return producer if producer is not None and is_quantize(producer) else None

    @property
    def is_weight(self) -> bool:
        """Say whether the dequantized tensor is a constant."""
        source = self.node.inputs[0]
        if self.quantize is not None:
            source = self.quantize.inputs[0]
        return is_constant(source)


def read(path: str | Path) -> ir.Model:
    """Read a file, with its functions inlined as runtimes do; weights stay on disk."""
    model = ir.load(path)
    if model.functions:
        model = InlinePass()(model).model
    return model


def is_quantize(node: ir.Node) -> bool:
    """Say whether the node turns float into integers with a scale."""
    return node.op_type in ("QuantizeLinear", "DynamicQuantizeLinear")


def label(node: ir.Node) -> str:
    """Return a name for people, even for an unnamed node."""
    return node.name or node.outputs[0].name or node.op_type


def compute_nodes(model: ir.Model) -> list[ir.Node]:
    """Return the nodes that a runtime may have int8 kernels for."""
    return [n for n in model.graph if n.op_type in COMPUTE and n.domain in ("", "ai.onnx")]


def readers(value: ir.Value) -> list[ir.Node]:
    """Return the nodes that read a value, each as often as it reads it."""
    return [use.node for use in value.uses()]


def only_reader(value: ir.Value) -> ir.Node | None:
    """Return the single node that reads a value, or None if there are others."""
    nodes = readers(value)
    return nodes[0] if len(nodes) == 1 and not value.is_graph_output() else None


def is_constant(value: ir.Value | None) -> bool:
    """Say whether a value is an initializer or a Constant."""
    if value is None:
        return False
    producer = value.producer()
    if producer is not None:
        return producer.op_type == "Constant"
    return value.is_initializer()


def constant(value: ir.Value | None) -> Array | None:
    """Return a constant's contents, or None."""
    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return None if tensor is None else np.asarray(tensor.numpy())


def attribute(node: ir.Node, name: str, default: float) -> float:
    """Return a numeric attribute."""
    found = node.attributes.get(name)
    return default if found is None else float(found.value)


def integer_type(node: ir.Node) -> ir.DataType:
    """Return the integer type at a QuantizeLinear or DequantizeLinear."""
    if node.op_type == "DynamicQuantizeLinear":
        return ir.DataType.UINT8
    value = node.inputs[0] if node.op_type == "DequantizeLinear" else node.outputs[0]
    if value is not None and value.dtype is not None:
        return value.dtype
    zero_point = node.inputs[2] if len(node.inputs) > 2 else None
    if zero_point is not None and zero_point.dtype is not None:
        return zero_point.dtype
    declared = node.attributes.get("output_dtype")
    if declared is not None and declared.value and is_quantize(node):
        return ir.DataType(declared.value)
    producer = value.producer() if value is not None else None
    if not is_quantize(node) and producer is not None and is_quantize(producer):
        return integer_type(producer)
    return ir.DataType.UINT8


def zero_points(node: ir.Node) -> Array:
    """Return the zero points of a QuantizeLinear or DequantizeLinear; absent means 0."""
    found = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    return np.zeros((), np.int64) if found is None else found.astype(np.int64)


def dequantized(value: ir.Value | None) -> Dequantized | None:
    """Walk up through pass-through ops to the DequantizeLinear that a value comes from."""
    path: list[ir.Node] = []
    while value is not None:
        node = value.producer()
        if node is None:
            return None
        if node.op_type == "DequantizeLinear":
            return Dequantized(node, integer_type(node), tuple(path))
        if node.op_type not in PASS_THROUGH or not node.inputs:
            return None
        path.append(node)
        value = node.inputs[0]
    return None


def unheld(value: ir.Value | None) -> ir.Value | None:
    """Return what max(x, lowest) reads, which keeps runtimes off a weight; else the value."""
    node = value.producer() if value is not None else None
    if node is None or node.op_type != "Max" or len(node.inputs) != 2:
        return value
    lowest = constant(node.inputs[1])
    is_held = lowest is not None and lowest.size == 1 and lowest.item() <= _LOWEST
    return node.inputs[0] if is_held else value


def not_eligible(node: ir.Node) -> str:
    """Return why the file does not ask for int8 at this node, or nothing if it does."""
    found = [dequantized(value) for value in node.inputs[:2]]
    if not any(found):
        return NOT_QUANTIZED
    for name, one in zip("AB", found, strict=False):
        if one is None:
            return f"input {name} is not quantized: put QuantizeLinear and DequantizeLinear on it"
        if one.dtype not in EIGHT_BIT:
            return f"input {name} is quantized to {one.dtype.name}: int8 kernels take 8-bit data"
    return ""


def is_weight_only(node: ir.Node) -> bool:
    """Say whether a product reads float activations and a weight with scales per block."""
    first, second = (dequantized(value) for value in node.inputs[:2])
    blocked = second is not None and attribute(second.node, "block_size", 0) > 0
    return first is None and second is not None and blocked and second.is_weight


def upstream_constants(node: ir.Node) -> Iterator[str]:
    """Yield the names of the weights of a node: directly, or behind Q, DQ and pass-through ops."""
    for value in node.inputs[1:2]:
        while value is not None:
            producer = value.producer()
            if producer is None:
                if is_constant(value) and value.name:
                    yield value.name
                break
            if not (
                is_quantize(producer)
                or producer.op_type == "DequantizeLinear"
                or producer.op_type in PASS_THROUGH
            ):
                break
            value = producer.inputs[0]
