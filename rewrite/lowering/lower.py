"""The lowering stage: a rewritten program becomes an ONNX model in the target's layout."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
import torch
from torch import fx

from rewrite.file_metadata import METADATA_PREFIX
from rewrite.file_parts import PRODUCER
from rewrite.file_parts import save as save
from rewrite.lowering.convert_down import FIRST_WRITTEN, convert_down
from rewrite.lowering.export import export_onnx
from rewrite.lowering.four_bits import pack_four_bits
from rewrite.lowering.fuse import fuse
from rewrite.lowering.markers import require_opset
from rewrite.lowering.sixteen_bits import use_contributed_operators
from rewrite.lowering.spell import spell
from rewrite.lowering.steer import steer
from rewrite.lowering.tidy import drop_unused, tidy
from rewrite.program import Program
from rewrite.quantization.markers import DEQUANTIZE_BLOCKS, QUANTIZE
from rewrite.schema import argument

_MOVES = (torch.ops.aten._to_copy.default, torch.ops.aten.embedding.default)


@dataclass(frozen=True)
class Lowered:
    """An ONNX model, the program it came from, and how their quantized tensors correspond."""

    model: ir.Model
    program: Program
    opset: int

    @property
    def is_quantized(self) -> bool:
        """Whether the program quantizes any tensor.

        Products with blocked weights count: ONNX Runtime rounds their activations to 8 bits too.
        """
        markers = (QUANTIZE, DEQUANTIZE_BLOCKS)
        return any(node.target in markers for node in self.program.graph.nodes)

    @property
    def computes_half(self) -> bool:
        """Whether the program computes in float16, and does not just read weights that are."""
        return any(_computes_half(node) for node in self.program.graph.nodes)

    def ops(self) -> dict[str, int]:
        """Count the operators of the model, most frequent first."""
        return dict(Counter(node.op_type for node in self.model.graph).most_common())

    def quantized_tensors(self) -> dict[str, str]:
        """Return the ONNX name of what each `quantize` node of the program computes, by node.

        A node is found by the name of its scale and its place among the tensors that share it. What
        is quantized several times, in the program or in the file, is one tensor.
        """
        in_file: dict[str, dict[Any, str]] = {}
        for node in self.model.graph:
            scale = node.inputs[1] if len(node.inputs) > 1 else None
            if node.op_type == "QuantizeLinear" and scale is not None:
                in_file.setdefault(str(scale.name), {}).setdefault(
                    node.inputs[0], _after_clip(node)
                )
        in_program: dict[str, dict[Any, list[str]]] = {}
        for call in self.program.graph.nodes:
            if call.target is QUANTIZE:
                tensors = in_program.setdefault(str(argument(call, "scale").target), {})
                tensors.setdefault(argument(call, "x"), []).append(call.name)
        pairs: dict[str, str] = {}
        for scale_name, tensors in in_program.items():
            names = in_file.get(scale_name, {})
            if len(names) == len(tensors):
                for calls, name in zip(tensors.values(), names.values(), strict=True):
                    pairs.update(dict.fromkeys(calls, name))
        return pairs


def lower(
    program: Program,
    opset: int,
    translations: Mapping[Any, Callable[..., Any]],
    metadata: Mapping[str, Any],
    avoids: Collection[str] = (),
) -> Lowered:
    """Translate a legalized program to a tidy ONNX model with the user's names.

    Args:
        program: legalized for the target.
        opset: of the default domain.
        translations: ONNX translations by operator overload, over the exporter's own.
        metadata: stored in the file as JSON under `rewrite.NAME`.
        avoids: known faults of the target's runtimes to write around.

    Raises:
        CheckError: when an operator cannot be translated, or not to this opset.
    """
    require_opset(program, opset)
    model = export_onnx(program, max(opset, FIRST_WRITTEN), dict(translations))
    tidy(model)
    fuse(model)
    convert_down(model, opset)
    steer(model, avoids)
    spell(model)
    use_contributed_operators(model, opset)
    pack_four_bits(model, program)
    drop_unused(model)
    _name_inputs(model, program)
    _name_outputs(model, program)
    _name_dimensions(model, program)
    for key, value in metadata.items():
        model.metadata_props[METADATA_PREFIX + key] = json.dumps(value, default=str)
    model.producer_name = PRODUCER
    return Lowered(model, program, opset)


def feeds(program: Program, flat: Sequence[Any], wanted: Sequence[str]) -> dict[str, Any]:
    """Return numpy inputs by name for a runtime, leaving out what the file does not read."""
    given = zip(program.signature.input_names, flat, strict=True)
    return {
        name: value.detach().cpu().numpy()
        for name, value in given
        if isinstance(value, torch.Tensor) and name in wanted
    }


def _computes_half(node: fx.Node) -> bool:
    value = node.meta.get("val")
    if node.op != "call_function" or not isinstance(value, torch.Tensor):
        return False
    return value.dtype == torch.float16 and node.target not in _MOVES


def _after_clip(node: ir.Node) -> str:
    """Return the output of a QuantizeLinear, or of the Clip that narrows it."""
    output = node.outputs[0]
    users = [use.node for use in output.uses()]
    if len(users) == 1 and users[0].op_type == "Clip":
        return str(users[0].outputs[0].name)
    return str(output.name)


def _name_inputs(model: ir.Model, program: Program) -> None:
    """Give inputs the program's names: the exporter has its own for `input` and for returned ones.

    Inputs that are no tensors are part of the graph.
    """
    names = zip(program.signature.input_names, program.inputs(), strict=True)
    tensors = [n for n, node in names if isinstance(node.meta.get("val"), torch.Tensor)]
    for value, name in zip(model.graph.inputs, tensors, strict=True):
        _rename(model, value, name)


def _name_outputs(model: ir.Model, program: Program) -> None:
    """Give outputs the program's names; what is no tensor is not in the file."""
    names = zip(program.signature.output_names, program.outputs(), strict=True)
    tensors = [n for n, node in names if isinstance(node, fx.Node)]
    for value, name in zip(model.graph.outputs, tensors, strict=True):
        _rename(model, value, name)


def _rename(model: ir.Model, value: ir.Value, name: str) -> None:
    made = [v for n in model.graph for v in n.outputs]
    for other in (*made, *model.graph.initializers.values()):
        if other.name == name and other is not value:
            other.name = f"{name}_inner"
    value.name = name


def _name_dimensions(model: ir.Model, program: Program) -> None:
    """Write the user's dimension names over the exporter's symbols."""
    renamed: dict[str, str] = {}
    for value in model.graph.inputs:
        for index, dim in program.signature.dynamic.get(str(value.name), {}).items():
            size = value.shape[index] if value.shape is not None else None
            if isinstance(size, ir.SymbolicDim):
                renamed[str(size.value)] = dim.name
    for value in (*model.graph.inputs, *model.graph.outputs):
        if value.shape is None:
            continue
        dims = [
            renamed.get(str(d.value), d.value) if isinstance(d, ir.SymbolicDim) else d
            for d in value.shape
        ]
        value.shape = ir.Shape(dims)
