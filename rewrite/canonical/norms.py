"""What hand-written norms have in common: a root of a mean of squares plus eps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from rewrite.canonical.values import dtype, is_weight, number, positive_dims, rank, same_size, shape
from rewrite.emitter import Emitter
from rewrite.schema import argument, arguments, is_call

aten = torch.ops.aten


@dataclass(frozen=True)
class Scaled:
    """value / √(spread + eps)."""

    value: fx.Node
    spread: fx.Node
    eps: float


def scaled_by_root(node: fx.Node) -> Scaled | str:
    """Read value·rsqrt(spread + eps) or value/√(spread + eps); say why it is neither."""
    bound = arguments(node)
    sides = [(bound["self"], bound["other"])]
    if is_call(node, aten.mul.Tensor):
        sides.append((bound["other"], bound["self"]))
    for value, root in sides:
        inside = _under_root(root, inverse=is_call(node, aten.mul.Tensor))
        if inside is None or not isinstance(value, fx.Node):
            continue
        parts = _plus_eps(inside)
        if parts is None:
            return "no literal eps is added under the root"
        return Scaled(value, *parts)
    if is_call(node, aten.div.Tensor) and _eps_outside(bound["other"]):
        return "eps is added to the deviation, outside the root"
    return "it is not divided by a root"


def mean_of(node: Any) -> tuple[fx.Node, list[int]] | None:
    """Return (x, dims) for mean(x, dims, keepdim=True)."""
    if not is_call(node, aten.mean.dim):
        return None
    bound = arguments(node)
    if not bound["keepdim"] or bound["dtype"] is not None:
        return None
    dims = bound["dim"] if bound["dim"] else list(range(rank(bound["self"])))
    return bound["self"], sorted(positive_dims(dims, bound["self"]))


def square_of(node: Any) -> fx.Node | None:
    """Return x for x² written as a power or a product."""
    if is_call(node, aten.pow.Tensor_Scalar) and number(argument(node, "exponent")) == 2:
        base: fx.Node = argument(node, "self")
        return base
    if is_call(node, aten.mul.Tensor):
        bound = arguments(node)
        if bound["self"] is bound["other"] and isinstance(bound["self"], fx.Node):
            return bound["self"]
    return None


def normalised_last(dims: list[int], x: fx.Node) -> bool:
    """Tell whether `dims` are the last dimensions of `x`, of known sizes."""
    last = list(range(rank(x) - len(dims), rank(x)))
    return dims == last and all(isinstance(shape(x)[d], int) for d in dims)


def channel_vector(value: Any, x: fx.Node, dims: list[int], emit: Emitter | None) -> Any:
    """Return a weight that varies along `dims` of `x` only, in the shape of these dimensions.

    A kernel takes none of another type: whole numbers, as places are, count for none.

    Without an emitter, say whether there is one by True or False.
    """
    if not is_weight(value) or rank(value) > rank(x) or dtype(value) != dtype(x):
        return False
    offset = rank(x) - rank(value)
    sizes = shape(value)
    for d in range(rank(x)):
        size = sizes[d - offset] if d >= offset else 1
        if not same_size(size, shape(x)[d] if d in dims else 1):
            return False
    if emit is None:
        return True
    wanted = [shape(x)[d] for d in dims]
    if list(sizes) == wanted:
        return value
    return emit.weight(
        lambda: emit.tensor(value).reshape(wanted),
        source=str(value.target),
        recipe=("vector", *wanted),
    )


def _under_root(node: Any, *, inverse: bool) -> fx.Node | None:
    names = (aten.rsqrt.default,) if inverse else (aten.sqrt.default,)
    inside: Any = None
    if is_call(node, *names):
        inside = argument(node, "self")
    elif is_call(node, aten.pow.Tensor_Scalar):
        power = -0.5 if inverse else 0.5
        inside = argument(node, "self") if argument(node, "exponent") == power else None
    elif inverse and is_call(node, aten.reciprocal.default):
        return _under_root(argument(node, "self"), inverse=False)
    return inside if isinstance(inside, fx.Node) else None


def _plus_eps(node: fx.Node) -> tuple[fx.Node, float] | None:
    if not is_call(node, aten.add.Tensor):
        return None
    bound = arguments(node)
    for spread, eps in ((bound["self"], bound["other"]), (bound["other"], bound["self"])):
        literal = number(eps)
        if isinstance(spread, fx.Node) and literal is not None and bound["alpha"] == 1:
            return spread, literal
    return None


def _eps_outside(node: Any) -> bool:
    if not is_call(node, aten.add.Tensor):
        return False
    bound = arguments(node)
    return any(
        is_call(side, aten.sqrt.default, aten.std, aten.pow.Tensor_Scalar)
        for side in (bound["self"], bound["other"])
    )
