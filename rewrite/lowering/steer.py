"""Writing a file around the known faults of the runtimes that are to run it."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import onnx_ir as ir

from rewrite.lowering.barrier import same
from rewrite.lowering.booleans import choose_numbers
from rewrite.lowering.concats import hold_concats
from rewrite.lowering.constants import constant
from rewrite.lowering.dequantized import is_dequantized
from rewrite.lowering.flat_volumes import hold_flat_volumes
from rewrite.lowering.gathers import hold_gathers
from rewrite.lowering.gelus import hold_gelus
from rewrite.lowering.norms import hold_norms
from rewrite.lowering.one_feature import multiply_one_feature
from rewrite.lowering.passed_inputs import hold_passed_inputs
from rewrite.lowering.pools import merge_squeezes
from rewrite.lowering.quotients import divide_integers, divide_whole_numbers
from rewrite.lowering.reductions import hold_reductions
from rewrite.lowering.reshapes import hide_shapes
from rewrite.lowering.shared_products import hold_shared_products
from rewrite.lowering.silus import join_silus
from rewrite.lowering.sizes import hide_sizes
from rewrite.lowering.wide_products import hold_wide_products

_MOVED_PAST = ("Identity", "MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")
"""What ONNX Runtime moves a QuantizeLinear up past."""
_WITH_WEIGHT = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_MERGED = ("Clip", "Relu")
"""What ONNX Runtime takes into the QuantizeLinear behind it."""


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
        if node.op_type not in ("Relu", "Clip") or node.outputs[0].dtype != ir.DataType.FLOAT:
            continue
        if _is_product(node) and not _is_quantized(node):
            _spell_out(model, node)


def split_readers(model: ir.Model) -> None:
    """Put max(y, lowest) = y between a product and its quantizers where others read it as well.

    ONNX Runtime asks that either only a QuantizeLinear reads a quantized Gemm or none does, and
    moves the QuantizeLinear up past Reshape and the like.
    """
    for node in list(model.graph):
        output = node.outputs[0]
        if node.op_type not in ("Gemm", "MatMul", "Add") or output.dtype != ir.DataType.FLOAT:
            continue
        uses = list(output.uses())
        quantized = [use for use in uses if _becomes_quantized(use.node)]
        shared = output.is_graph_output() or len(quantized) < len(uses)
        if not quantized or not shared or not _ends_product(node):
            continue
        copy = same(model, output, f"{node.name}_quantized")
        model.graph.insert_after(node, copy)
        for use in quantized:
            use.node.replace_input_with(use.idx, copy.outputs[0])


def keep_weights(model: ir.Model) -> None:
    """Write max(x, lowest) = x in front of a layer that is float between quantized tensors.

    ONNX Runtime quantizes a float weight, with one scale, where the input comes from a
    DequantizeLinear and a QuantizeLinear reads the result.
    """
    for node in list(model.graph):
        if node.op_type not in _WITH_WEIGHT:
            continue
        value, weight = node.inputs[:2]
        if weight is None or ir.convenience.get_const_tensor(weight) is None:
            continue
        if (
            value is None
            or value.dtype != ir.DataType.FLOAT
            or not is_dequantized(value, _MOVED_PAST)
        ):
            continue
        if not _reaches_quantizer(_with_bias(node)):
            continue
        copy = same(model, value, f"{node.name}_float")
        model.graph.insert_before(node, copy)
        node.replace_input_with(0, copy.outputs[0])


def hold_products(model: ir.Model) -> None:
    """Put max(y, lowest) = y behind a product of fixed size without a bias that is quantized next.

    OpenVINO 2026.4 makes one kernel of such layers in a row, which computes anything but them.
    """
    for node in list(model.graph):
        output = node.outputs[0]
        if node.op_type not in ("Gemm", "MatMul") or output.dtype != ir.DataType.FLOAT:
            continue
        if output.is_graph_output() or not _is_fixed_matrix(output) or _has_bias(node):
            continue
        if not _reaches_quantizer(node):
            continue
        readers = list(output.uses())
        copy = same(model, output, f"{node.name}_held")
        model.graph.insert_after(node, copy)
        for use in readers:
            use.node.replace_input_with(use.idx, copy.outputs[0])


def hold_pools(model: ir.Model) -> None:
    """Put max(y, lowest) = y between a max pool of floats and its quantizers.

    ONNX Runtime moves a QuantizeLinear up past a MaxPool, whose kernel of integers takes several
    times as long as the one of floats, unless a quantized convolution lays them out for it.
    """
    for node in list(model.graph):
        output = node.outputs[0]
        if node.op_type != "MaxPool" or output.dtype != ir.DataType.FLOAT:
            continue
        readers = [use for use in output.uses() if use.node.op_type != "MaxPool"]
        quantized = [use for use in readers if _becomes_quantized(use.node)]
        if not quantized or is_dequantized(node.inputs[0], _MOVED_PAST):
            continue
        copy = same(model, output, f"{node.name}_held")
        model.graph.insert_after(node, copy)
        for use in quantized:
            use.node.replace_input_with(use.idx, copy.outputs[0])


def hold_outputs(model: ir.Model) -> None:
    """Put max(y, lowest) = y between an output of the model and the layout of a quantizer's input.

    ONNX Runtime moves a QuantizeLinear up past a Transpose in front of what gives the output, and
    its DequantizeLinear with it: the output gets rounded too.
    """
    for value in list(model.graph.outputs):
        node, uses = value.producer(), list(value.uses())
        if node is None or value.dtype != ir.DataType.FLOAT or len(uses) != 1:
            continue
        reader = uses[0].node
        if reader.op_type == "QuantizeLinear" or not _becomes_quantized(reader):
            continue
        copy = same(model, value, f"{node.name}_held")
        model.graph.insert_after(node, copy)
        reader.replace_input_with(uses[0].idx, copy.outputs[0])


FAULTS: dict[str, Callable[[ir.Model], None]] = {
    "size-moved-to-conv": hide_sizes,
    "float-relu-behind-product": free_products,
    "product-read-twice": split_readers,
    "float-weight-quantized": keep_weights,
    "quantizer-moved-past-pool": hold_pools,
    "zero-point-behind-concat": hold_concats,
    "quantizer-moved-past-output": hold_outputs,
    "reshape-of-scales": hide_shapes,
    "gather-of-scales": hold_gathers,
    "boolean-in-arithmetic": choose_numbers,
    "gelu-of-near-factors": hold_gelus,
    "products-of-one-feature": multiply_one_feature,
    "norm-of-integers": hold_norms,
    "squeezed-pool": merge_squeezes,
    "product-without-bias": hold_products,
    "silu-behind-dequantizer": join_silus,
    "sixteen-bits-rounded": hold_wide_products,
    "channels-behind-reduction": hold_reductions,
    "product-read-again": hold_shared_products,
    "cast-input-given-out": hold_passed_inputs,
    "flat-volume-of-one-channel": hold_flat_volumes,
    "quotient-by-reciprocal": divide_whole_numbers,
    "integers-divided-as-floats": divide_integers,
}
"""What to do about each fault, by its name in a target."""


def _is_product(node: ir.Node) -> bool:
    """Tell whether a node reads a product."""
    source = node.inputs[0]
    producer = source.producer() if source is not None else None
    return producer is not None and _ends_product(producer)


def _ends_product(node: ir.Node) -> bool:
    """Tell whether a node is a Gemm, a MatMul, or the sum of one with its bias."""
    if node.op_type != "Add":
        return node.op_type in ("Gemm", "MatMul")
    sides = [v.producer() for v in node.inputs if v is not None]
    product = any(m is not None and m.op_type == "MatMul" for m in sides)
    bias = any(m is None or m.op_type == "DequantizeLinear" for m in sides)
    return product and bias


def _becomes_quantized(node: ir.Node) -> bool:
    while node.op_type in _MOVED_PAST and not node.outputs[0].is_graph_output():
        uses = list(node.outputs[0].uses())
        if len(uses) != 1:
            return all(_becomes_quantized(use.node) for use in uses) and bool(uses)
        node = uses[0].node
    return node.op_type == "QuantizeLinear"


def _with_bias(node: ir.Node) -> ir.Node | None:
    """Return what ends a layer: a MatMul is one with the Add of its bias, none without."""
    if node.op_type != "MatMul":
        return node
    readers = [use.node for use in node.outputs[0].uses()]
    return next((reader for reader in readers if _ends_product(reader)), None)


def _has_bias(node: ir.Node) -> bool:
    if node.op_type == "Gemm":
        return len(node.inputs) > 2 and node.inputs[2] is not None
    return _with_bias(node) is not None


def _is_fixed_matrix(value: ir.Value) -> bool:
    sizes = [] if value.shape is None else list(value.shape)
    return len(sizes) == 2 and all(isinstance(size, int) for size in sizes)


def _reaches_quantizer(node: ir.Node | None) -> bool:
    """Tell whether a QuantizeLinear reads a result, maybe behind a ReLU or a clip."""
    if node is None:
        return False
    readers = [use.node for use in node.outputs[0].uses()]
    return any(
        _becomes_quantized(reader) or (reader.op_type in _MERGED and _reaches_quantizer(reader))
        for reader in readers
    )


def _is_quantized(node: ir.Node) -> bool:
    uses = node.outputs[0].uses()
    readers = [use.node.op_type for use in uses]
    return set(readers) == {"QuantizeLinear"} and not node.outputs[0].is_graph_output()


def _spell_out(model: ir.Model, node: ir.Node) -> None:
    """Replace a Relu by Max with 0, a Clip by Max and Min with its bounds."""
    output, value = node.outputs[0], node.inputs[0]
    if node.op_type == "Relu":
        bounds: list[tuple[str, ir.Value | None]] = [
            ("Max", constant(model, "zero", np.array(0.0, np.float32)))
        ]
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
