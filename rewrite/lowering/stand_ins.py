"""A quantized program in fewer calls while the exporter traces it.

Half of the calls of a quantized program quantize and dequantize. Tracing and decomposing them again
is most of what lowering costs, and the exporter has nothing to add. So a dequantized weight becomes
a float stand-in that takes no memory and is put back in the ONNX model as integers; a pair of
quantize and dequantize becomes one call whose translation is the pair.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir
import torch
from onnx_ir.tensor_adapters import TorchTensor
from torch import fx

from rewrite.emitter import Emitter
from rewrite.program import Program
from rewrite.quantization.kinds import is_weight
from rewrite.quantization.markers import DEQUANTIZE, QUANTIZE, QUANTIZE_DEQUANTIZE
from rewrite.schema import arguments


@dataclass(frozen=True)
class StandIn:
    """A float weight of the traced program, and the integers it stands for."""

    name: str
    integers: str
    scale: str
    zero_point: str
    axis: int | None


def with_stand_ins(program: Program) -> tuple[Program, list[StandIn]]:
    """Return a copy with float weights for dequantized ones, and what they stand for."""
    if not any(n.target is DEQUANTIZE for n in program.graph.nodes):
        return program, []
    twin = program.clone()
    emit = Emitter(twin)
    found: dict[str, StandIn] = {}
    for call in [n for n in twin.graph.nodes if n.target is DEQUANTIZE]:
        if _is_constant(call):
            stand_in = _replace_weight(call, emit)
            found[stand_in.name] = stand_in
        elif _is_pair(call):
            _replace_pair(call, emit)
    return twin, list(found.values())


def _replace_weight(call: fx.Node, emit: Emitter) -> StandIn:
    bound = arguments(call)
    integers, scale, zero_point = (str(bound[k].target) for k in ("x", "scale", "zero_point"))
    val = call.meta["val"]
    blank = torch.zeros((), dtype=val.dtype).expand(tuple(val.shape))
    recipe = ("stand-in", integers, scale, zero_point, bound["axis"])
    weight = emit.weight(blank, source=f"{integers}_dequantized", recipe=recipe)
    emit.replace(call, weight)
    return StandIn(str(weight.target), integers, scale, zero_point, bound["axis"])


def _replace_pair(call: fx.Node, emit: Emitter) -> None:
    quantized = arguments(call)["x"]
    emit.replace(
        call,
        emit.call(QUANTIZE_DEQUANTIZE, like=call, val=call.meta["val"], **arguments(quantized)),
    )


def put_back(model: ir.Model, program: Program, stand_ins: list[StandIn]) -> None:
    """Replace every stand-in of an ONNX model by a DequantizeLinear of integer initializers."""
    graph = model.graph
    first = next(iter(graph), None)
    for stand_in in stand_ins:
        blank = graph.initializers.get(stand_in.name)
        if blank is None or first is None:
            continue
        integers = _initializer(model, program, stand_in.integers)
        inputs = [integers, _initializer(model, program, stand_in.scale)]
        # ONNX knows no zero point for int32.
        if integers.dtype != ir.DataType.INT32:
            inputs.append(_initializer(model, program, stand_in.zero_point))
        attributes = {} if stand_in.axis is None else {"axis": stand_in.axis}
        node = ir.node("DequantizeLinear", inputs, attributes=attributes, name=stand_in.name)
        node.outputs[0].name = f"{stand_in.name}_value"
        node.outputs[0].type, node.outputs[0].shape = blank.type, blank.shape
        ir.convenience.replace_all_uses_with(blank, node.outputs[0])
        graph.insert_before(first, node)
        graph.initializers.pop(stand_in.name)


def _is_pair(call: fx.Node) -> bool:
    bound = arguments(call)
    quantized = bound["x"]
    if quantized.target is not QUANTIZE or len(quantized.users) > 1:
        return False
    before = arguments(quantized)
    return all(before[key] == bound[key] for key in ("scale", "zero_point", "axis"))


def _is_constant(call: fx.Node) -> bool:
    return all(is_weight(arguments(call)[key]) for key in ("x", "scale", "zero_point"))


def _initializer(model: ir.Model, program: Program, name: str) -> ir.Value:
    known = model.graph.initializers.get(name)
    if known is not None:
        return known
    tensor = TorchTensor(program.weight(name), name=name)
    value = ir.Value(
        name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    model.graph.register_initializer(value)
    return value
