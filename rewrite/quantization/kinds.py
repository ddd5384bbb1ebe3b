"""Kinds of operators, the vocabulary in which targets state their rules."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from rewrite.schema import arguments

aten = torch.ops.aten

_KINDS: dict[Any, str] = {
    aten.conv1d.default: "conv",
    aten.conv2d.default: "conv",
    aten.conv3d.default: "conv",
    aten.conv_transpose1d.default: "conv-transpose",
    aten.conv_transpose2d.input: "conv-transpose",
    aten.conv_transpose3d.input: "conv-transpose",
    aten.linear.default: "linear",
    aten.matmul.default: "matmul",
    aten.bmm.default: "matmul",
    aten.add.Tensor: "add",
    aten.mul.Tensor: "mul",
    aten.cat.default: "concat",
    aten.relu.default: "relu",
    aten.clamp.default: "clip",
    aten.clamp_min.default: "clip",
    aten.hardtanh.default: "clip",
    aten.relu6.default: "clip",
    aten.sigmoid.default: "sigmoid",
    aten.softmax.int: "softmax",
    aten._softmax.default: "softmax",
    aten.leaky_relu.default: "leaky-relu",
    aten.gelu.default: "gelu",
    aten.tanh.default: "tanh",
    aten.hardswish.default: "hard-swish",
    aten.silu.default: "silu",
    aten.elu.default: "elu",
    aten.mish.default: "mish",
    aten.softplus.default: "softplus",
    aten.hardsigmoid.default: "hard-sigmoid",
    aten.prelu.default: "prelu",
    aten.layer_norm.default: "layer-norm",
    aten.where.self: "where",
    aten.embedding.default: "embedding",
    aten.sub.Tensor: "sub",
    aten.div.Tensor: "div",
    aten.max_pool1d.default: "max-pool",
    aten.max_pool2d.default: "max-pool",
    aten.max_pool3d.default: "max-pool",
    aten.avg_pool1d.default: "average-pool",
    aten.avg_pool2d.default: "average-pool",
    aten.avg_pool3d.default: "average-pool",
    aten.upsample_nearest1d.vec: "nearest-resize",
    aten.upsample_nearest2d.vec: "nearest-resize",
    aten.upsample_nearest3d.vec: "nearest-resize",
    aten.split_with_sizes.default: "split",
    aten.split.Tensor: "split",
    aten.reshape.default: "layout",
    aten.permute.default: "layout",
    aten.transpose.int: "layout",
    aten.squeeze.dim: "layout",
    aten.squeeze.dims: "layout",
    aten.unsqueeze.default: "layout",
    aten.slice.Tensor: "layout",
    aten.select.int: "layout",
    aten.expand.default: "layout",
    aten.flatten.using_ints: "layout",
    aten.pixel_shuffle.default: "layout",
}
_SPACE = "global-average-pool"
KINDS = frozenset({*_KINDS.values(), _SPACE})


def kind(node: fx.Node) -> str:
    """Return the kind of a call, '' for one no target has rules for."""
    if node.op != "call_function":
        return ""
    if node.target is operator.getitem:
        return "split" if split_of(node) else ""
    if node.target is aten.mean.dim:
        return _SPACE if _covers_space(node) else ""
    return _KINDS.get(node.target, "")


def split_of(node: fx.Node) -> fx.Node | None:
    """Return the split that a call takes one part of, None for any other call."""
    if node.target is not operator.getitem:
        return None
    source = node.all_input_nodes[0]
    return source if _KINDS.get(source.target) == "split" else None


def _covers_space(node: fx.Node) -> bool:
    """Tell whether a mean runs over all dimensions of [N, C, …] behind the channels."""
    bound = arguments(node)
    rank = bound["self"].meta["val"].dim()
    dims = {d % rank for d in bound["dim"] or ()}
    return rank >= 3 and dims == set(range(2, rank))


def tensors_of(name: str) -> frozenset[str]:
    """Return the ATen names of the tensors that operators of a kind read."""
    targets = [op for op, given in _KINDS.items() if given == name]
    targets += [aten.mean.dim] if name == _SPACE else []
    return frozenset(
        argument.name
        for op in targets
        for argument in op._schema.arguments
        if "Tensor" in str(argument.type)
    )


def input_names(node: fx.Node) -> list[str]:
    """Return the ATen names of the tensor arguments of a call that are nodes."""
    return [
        name
        for name, value in arguments(node).items()
        if isinstance(value, fx.Node) and isinstance(value.meta.get("val"), torch.Tensor)
    ]


def is_weight(value: Any) -> bool:
    """Tell whether a value is a weight of the program."""
    return isinstance(value, fx.Node) and value.op == "get_attr"


def reads_table(node: fx.Node) -> bool:
    """Tell whether a call is a layer: it mixes what it reads with a weight of several dimensions.

    What is computed element by element, or only moves values, is none: masks and positions are
    no layers.
    """
    if node.op != "call_function" or _is_elementwise(node) or kind(node) in _MOVES:
        return False
    weights = [source for source in node.all_input_nodes if is_weight(source)]
    return any(_is_table(source.meta.get("val")) for source in weights)


_MOVES = ("layout", "concat", "split", "where", "add", "sub", "mul", "div", "max-pool", "prelu")
_MOVERS = (aten.stack.default, aten.flip.default, aten.repeat.default, aten.roll.default)


def _is_elementwise(node: fx.Node) -> bool:
    tags = getattr(node.target, "tags", ())
    return torch.Tag.pointwise in tags or node.target in (*_MOVERS, operator.getitem)


def _is_table(value: Any) -> bool:
    if not isinstance(value, torch.Tensor) or not value.is_floating_point():
        return False
    return sum(1 for size in value.shape if isinstance(size, int) and size > 1) >= 2
