"""Polynomials in one node, so that a formula is known in whatever order it was typed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import fx

from rewrite.canonical.values import near, number
from rewrite.schema import arguments, is_call

aten = torch.ops.aten
Polynomial = dict[int, float]
"""Coefficient by power."""

_DEPTH = 8
_HIGHEST_POWER = 4


def polynomial(value: Any, x: fx.Node, depth: int = _DEPTH) -> Polynomial | None:
    """Return `value` as a polynomial in `x`, None when it is none of a low degree."""
    if value is x:
        return {1: 1.0}
    constant = number(value)
    if constant is not None:
        return {0: constant}
    if depth == 0 or not isinstance(value, fx.Node) or value.op != "call_function":
        return None
    if is_call(value, aten.neg.default, aten.pow.Tensor_Scalar):
        return _unary(value, x, depth)
    if not is_call(value, aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor):
        return None
    bound = arguments(value)
    left = polynomial(bound["self"], x, depth - 1)
    right = polynomial(bound["other"], x, depth - 1) if left is not None else None
    if left is None or right is None:
        return None
    if is_call(value, aten.mul.Tensor):
        return _product(left, right)
    if is_call(value, aten.div.Tensor):
        divisor = right.get(0, 0.0)
        return _scaled(left, 1 / divisor) if set(right) == {0} and divisor != 0 else None
    sign = 1 if is_call(value, aten.add.Tensor) else -1
    return _sum(left, _scaled(right, sign * float(bound["alpha"])))


def is_polynomial(value: Any, x: fx.Node, wanted: Polynomial) -> bool:
    """Tell whether `value` is the given polynomial in `x`."""
    return _same(polynomial(value, x), wanted)


def is_product(factors: Sequence[Any], x: fx.Node, wanted: Polynomial) -> bool:
    """Tell whether the product of some values is the given polynomial in `x`."""
    total: Polynomial | None = {0: 1.0}
    for factor in factors:
        terms = polynomial(factor, x)
        total = _product(total, terms) if total is not None and terms is not None else None
    return _same(total, wanted)


def _same(found: Polynomial | None, wanted: Polynomial) -> bool:
    if found is None:
        return False
    powers = {p for p in {*found, *wanted} if found.get(p, 0.0) != 0 or wanted.get(p, 0.0) != 0}
    return all(near(found.get(p, 0.0), wanted.get(p, 0.0)) for p in powers)


def under_factors(value: Any) -> Iterator[fx.Node]:
    """Yield `value`, then what is under its literal factors, one by one."""
    for _ in range(_DEPTH):
        if not isinstance(value, fx.Node):
            return
        yield value
        if not is_call(value, aten.mul.Tensor, aten.div.Tensor):
            return
        bound = arguments(value)
        if number(bound["other"]) is not None:
            value = bound["self"]
        elif number(bound["self"]) is not None and is_call(value, aten.mul.Tensor):
            value = bound["other"]
        else:
            return


def _unary(value: fx.Node, x: fx.Node, depth: int) -> Polynomial | None:
    bound = arguments(value)
    base = polynomial(bound["self"], x, depth - 1)
    if base is None:
        return None
    if is_call(value, aten.neg.default):
        return _scaled(base, -1)
    exponent = number(bound["exponent"])
    if exponent is None or exponent not in range(1, _HIGHEST_POWER + 1):
        return None
    power: Polynomial | None = base
    for _ in range(int(exponent) - 1):
        power = _product(power, base) if power is not None else None
    return power


def _sum(left: Polynomial, right: Polynomial) -> Polynomial:
    return {p: left.get(p, 0.0) + right.get(p, 0.0) for p in {*left, *right}}


def _scaled(terms: Polynomial, factor: float) -> Polynomial:
    return {power: coefficient * factor for power, coefficient in terms.items()}


def _product(left: Polynomial, right: Polynomial) -> Polynomial | None:
    if max(left) + max(right) > _HIGHEST_POWER:
        return None
    result: Polynomial = {}
    for p, a in left.items():
        for q, b in right.items():
            result[p + q] = result.get(p + q, 0.0) + a * b
    return result
