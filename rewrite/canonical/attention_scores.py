"""Reading attention from the second product back to queries, keys, masks and scale."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from rewrite.canonical.values import dtype, number, rank, same_shape, shape
from rewrite.pattern import only_user
from rewrite.rules import Reject
from rewrite.schema import argument, arguments, is_call

aten = torch.ops.aten
_DEPTH = 12
"""Operators between softmax and scores; real models have up to five."""


@dataclass(frozen=True)
class Mask:
    """Something added to the scores, or a condition that replaces them by -inf."""

    node: fx.Node
    added_to: fx.Node
    """Scores with the shape it is added in."""
    factor: float = 1.0
    boolean: bool = False
    keeps: bool = False
    """For a boolean mask: whether True keeps a score, and does not remove it."""


@dataclass
class Attention:
    """The parts of `softmax(scale·query·key_t + Σ masks)·value`."""

    weights: fx.Node
    """What the second product reads."""
    scores: fx.Node
    """What the softmax reads."""
    value: fx.Node
    regroup: list[Any] | None = None
    """Sizes of the reshape between first product and softmax, if there is one."""
    regroup_weights: list[Any] | None = None
    """Sizes of the reshape between softmax and second product, if there is one."""
    scale: float = 1.0
    masks: list[Mask] = field(default_factory=list)
    query: Any = None
    key_t: Any = None


def read_attention(product: fx.Node) -> Attention | Reject | str:
    """Return the parts of the attention that ends in `product`, or why it is none."""
    bound = arguments(product)
    weights, value = bound["self"], bound["other"]
    softmax, sizes = weights, None
    if is_call(weights, aten.reshape.default):
        softmax, sizes = argument(weights, "self"), list(argument(weights, "shape"))
    if not is_call(softmax, aten.softmax.int):
        return "its left factor is no softmax"
    scores = argument(softmax, "self")
    if argument(softmax, "dim") not in (-1, rank(scores) - 1):
        return Reject("the softmax does not run over the last dimension", softmax)
    if dtype(softmax) != dtype(scores):
        return Reject(f"the softmax changes the dtype to {dtype(softmax)}", softmax)
    if sizes is not None and not same_shape(shape(weights)[-2:], shape(softmax)[-2:]):
        return Reject("the weights are reshaped across queries or keys", weights)
    for node in (weights, softmax):
        if not only_user(node):
            return Reject("the attention weights are read elsewhere as well", node)
    found = Attention(weights, scores, value, regroup_weights=sizes)
    problem = _read_scores(scores, found)
    return problem or _read_factors(found)


def _read_scores(scores: fx.Node, found: Attention) -> Reject | None:
    """Walk from the softmax up to the first product, collecting scale and masks."""
    node: Any = scores
    for _ in range(_DEPTH):
        if not isinstance(node, fx.Node) or node.op != "call_function":
            break
        if not only_user(node):
            return Reject("the scores are read elsewhere as well", node)
        if is_call(node, aten.matmul.default):
            bound = arguments(node)
            found.query, found.key_t = bound["self"], bound["other"]
            return None
        following = _step(node, found)
        if isinstance(following, Reject):
            return following
        node = following
    return Reject("its scores come from no product", scores)


def _step(node: fx.Node, found: Attention) -> Any:
    """Take one operator into `found` and return the scores it works on."""
    scaled = literal_factor(node)
    if scaled is not None:
        found.scale *= scaled[0]
        return scaled[1]
    bound = arguments(node) if isinstance(node.target, torch._ops.OpOverload) else {}
    if is_call(node, aten.add.Tensor):
        for scores, mask in ((bound["self"], bound["other"]), (bound["other"], bound["self"])):
            if isinstance(mask, fx.Node) and _leads_to_product(scores, node):
                found.masks.append(Mask(mask, node, found.scale * float(bound["alpha"])))
                return scores
        return Reject("none of the two that are added comes from a product of that shape", node)
    if is_call(node, aten.masked_fill.Scalar, aten.where.ScalarOther):
        return _masked(node, bound, found)
    if is_call(node, aten.reshape.default):
        if found.regroup is not None or not same_shape(shape(bound["self"])[-2:], shape(node)[-2:]):
            return Reject("the scores are reshaped across queries or keys", node)
        found.regroup = list(bound["shape"])
        return bound["self"]
    return Reject("the scores are computed with more than a scale and masks", node)


def _masked(node: fx.Node, bound: dict[str, Any], found: Attention) -> Any:
    keeps = node.target is aten.where.ScalarOther
    condition = bound["condition" if keeps else "mask"]
    value = number(bound["other" if keeps else "value"])
    if value != -math.inf or found.scale <= 0:
        return Reject(
            f"masked scores become {value}, so that a row without any other is uniform; "
            "mask with -inf, or add the mask",
            node,
        )
    found.masks.append(Mask(condition, node, boolean=True, keeps=keeps))
    return bound["self"]


def _read_factors(found: Attention) -> Attention | Reject:
    """Move literal factors of queries and keys into the scale."""
    for name in ("query", "key_t"):
        scaled = literal_factor(getattr(found, name))
        if scaled is not None:
            found.scale *= scaled[0]
            setattr(found, name, scaled[1])
    if found.regroup is None and found.regroup_weights is not None:
        return Reject("the weights are reshaped, but not the scores", found.weights)
    if found.scale == 0:
        return Reject("its scale is 0", found.scores)
    return found


def literal_factor(node: Any) -> tuple[float, fx.Node] | None:
    """Return (c, x) for a node that computes c·x or x/c, c a literal."""
    if not is_call(node, aten.mul.Tensor, aten.div.Tensor):
        return None
    bound = arguments(node)
    value, factor = bound["self"], number(bound["other"])
    if factor is None and is_call(node, aten.mul.Tensor):
        value, factor = bound["other"], number(bound["self"])
    if factor is None or not isinstance(value, fx.Node) or factor == 0:
        return None
    return (factor if is_call(node, aten.mul.Tensor) else 1 / factor), value


def _leads_to_product(value: Any, total: fx.Node) -> bool:
    """Tell whether a value is a product of the shape of `total`, but for scale and masks."""
    if not isinstance(value, fx.Node) or not same_shape(shape(value), shape(total)):
        return False
    for _ in range(_DEPTH):
        if is_call(value, aten.matmul.default):
            return True
        if is_call(value, aten.add.Tensor):
            bound = arguments(value)
            nodes = [n for n in (bound["self"], bound["other"]) if isinstance(n, fx.Node)]
            return any(_leads_to_product(n, value) for n in nodes)
        if not is_call(
            value,
            aten.mul.Tensor,
            aten.div.Tensor,
            aten.reshape.default,
            aten.masked_fill.Scalar,
            aten.where.ScalarOther,
        ):
            return False
        value = arguments(value)["self"]
        if not isinstance(value, fx.Node):
            return False
    return False
