"""An ONNX file as rules see it: its quantizers, its layers with weight and bias, its readers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from rewrite.errors import UsageError, first_line
from rewrite.onnx_file import open_onnx
from rewrite.runtimes import Array, qdq_graph
from rewrite.runtimes.qdq_graph import Dequantized, constant, dequantized, readers, unheld
from rewrite.target import Target

CLAMPS = ("Relu", "Clip")


@dataclass(frozen=True)
class Layer:
    """A Conv, ConvTranspose, Gemm or MatMul, and the Add of its bias if that stands apart."""

    node: ir.Node
    activation: Dequantized | None
    weight: Dequantized | None
    bias: ir.Value | None
    output: ir.Value
    """Behind the bias."""

    @property
    def is_quantized(self) -> bool:
        """Whether both factors are quantized."""
        return self.activation is not None and self.weight is not None

    @property
    def has_weight(self) -> bool:
        """Whether the second factor is a constant."""
        return self.weight is not None and self.weight.is_weight


@dataclass(frozen=True)
class File:
    """A file beside the target that it is held to."""

    model: ir.Model
    target: Target

    @classmethod
    def read(cls, path: Path, target: Target) -> File:
        """Read a file, its functions inlined and its types inferred.

        Raises:
            UsageError: for a file that is missing, no ONNX, or without the data beside it.
        """
        proto = open_onnx(path)
        try:
            model = qdq_graph.read(path)
            nodes = model.graph.all_nodes()
            if any(value.dtype is None for node in nodes for value in node.outputs):
                inferred = ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(proto))
                ir.external_data.set_base_dir(inferred.graph, path.parent)
                model = model if inferred.functions else inferred
        except Exception as error:
            raise UsageError(
                f"'{path}' is not an ONNX file: {first_line(error)}",
                hint="give a file ending in .onnx",
            ) from error
        return cls(model, target)

    @property
    def opset(self) -> int:
        """The version of the default domain."""
        return self.model.opset_imports.get("", 0)

    @cached_property
    def every_node(self) -> list[ir.Node]:
        """The nodes of the graph and of those inside it: branches, and bodies of loops."""
        return list(self.model.graph.all_nodes())

    @cached_property
    def quantizers(self) -> list[ir.Node]:
        """Every QuantizeLinear, in order."""
        return list(self.nodes("QuantizeLinear"))

    @cached_property
    def dequantizers(self) -> list[ir.Node]:
        """Every DequantizeLinear, in order."""
        return list(self.nodes("DequantizeLinear"))

    @cached_property
    def pairs(self) -> list[ir.Node]:
        """Quantizers and dequantizers alike."""
        return [*self.quantizers, *self.dequantizers]

    @cached_property
    def layers(self) -> list[Layer]:
        """Every node that multiplies matrices, in order."""
        nodes = self.nodes(*qdq_graph.COMPUTE)
        return [_layer(node) for node in nodes if node.domain in ("", "ai.onnx")]

    def nodes(self, *kinds: str) -> Iterator[ir.Node]:
        """Yield the nodes of some kinds."""
        return (node for node in self.every_node if node.op_type in kinds)

    @cached_property
    def weight_range(self) -> tuple[int, int] | None:
        """The widest range of the target's weights, None where it has none."""
        names = {
            rule.inputs["weight"] for rule in self.target.ops.values() if "weight" in rule.inputs
        }
        names |= {self.target.ends[name] for name in names if name in self.target.ends}
        specs = [self.target.specs[name] for name in names]
        if not specs:
            return None
        return min(s.qmin for s in specs), max(s.qmax for s in specs)


def _layer(node: ir.Node) -> Layer:
    activation, weight = dequantized(node.inputs[0]), dequantized(unheld(node.inputs[1]))
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    output = node.outputs[0]
    if node.op_type == "MatMul" and weight is not None and weight.is_weight:
        add = qdq_graph.only_reader(output)
        other = _other(add, output) if add is not None and add.op_type == "Add" else None
        if add is not None and other is not None and is_stored(other):
            bias, output = other, add.outputs[0]
    return Layer(node, activation, weight, bias, output)


def _other(add: ir.Node, value: ir.Value) -> ir.Value | None:
    return next((v for v in add.inputs if v is not value), None)


def is_stored(value: ir.Value | None) -> bool:
    """Tell whether a value is a constant, or a dequantized one."""
    if qdq_graph.is_constant(value):
        return True
    side = dequantized(value)
    return side is not None and side.is_weight


def scales(node: ir.Node) -> Array | None:
    """Return the scales of a quantizer or dequantizer, flat; None where they are computed."""
    found = constant(node.inputs[1])
    return None if found is None else found.reshape(-1)


def parameters(node: ir.Node) -> tuple[tuple[float, ...], tuple[int, ...]] | None:
    """Return (scales, zero points) of a quantizer or dequantizer, to compare with others."""
    found = scales(node)
    if found is None:
        return None
    points = np.broadcast_to(qdq_graph.zero_points(node).reshape(-1), found.shape)
    return tuple(found.tolist()), tuple(points.tolist())


def is_on_weight(node: ir.Node) -> bool:
    """Tell whether a quantizer or dequantizer works on a constant."""
    if node.op_type == "QuantizeLinear":
        return qdq_graph.is_constant(node.inputs[0])
    return Dequantized(node, qdq_graph.integer_type(node), ()).is_weight


def integers(side: Dequantized) -> Array | None:
    """Return the integers of a dequantized constant; a float one is quantized as its file says."""
    if side.quantize is None:
        return constant(side.node.inputs[0])
    values, step = constant(side.quantize.inputs[0]), scales(side.quantize)
    if values is None or step is None:
        return None
    shape = [1] * values.ndim
    if step.size > 1:
        shape[int(qdq_graph.attribute(side.quantize, "axis", 1)) % values.ndim] = step.size
    points = qdq_graph.zero_points(side.quantize).reshape(-1)
    steps = np.rint(values / step.reshape(shape)) + np.broadcast_to(points, step.shape).reshape(
        shape
    )
    low, high = qdq_graph.QMIN.get(side.dtype, -(2**31)), qdq_graph.QMAX.get(side.dtype, 2**31 - 1)
    return np.asarray(np.clip(steps, low, high))


def behind_clamp(value: ir.Value) -> tuple[ir.Node | None, ir.Value]:
    """Return (the Relu or Clip that alone reads a value, its output), (None, value) without one."""
    reader = qdq_graph.only_reader(value)
    if reader is not None and reader.op_type in CLAMPS:
        return reader, reader.outputs[0]
    return None, value


def quantizers_of(value: ir.Value) -> list[ir.Node]:
    """Return the quantizers that read a value."""
    return [node for node in readers(value) if qdq_graph.is_quantize(node)]
