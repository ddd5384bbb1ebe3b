"""An einsum of two factors is a linear or a matmul between permutes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from rewrite.canonical.values import is_weight, rank, shape
from rewrite.emitter import Emitter
from rewrite.pattern import Match, Op
from rewrite.program import Program
from rewrite.rules import Reject, Rule
from rewrite.schema import argument

aten = torch.ops.aten


@dataclass(frozen=True)
class Letters:
    """The letters of `left,right->result`, by what happens to them."""

    left: str
    right: str
    result: str

    @classmethod
    def of(cls, equation: str) -> Letters | None:
        """Read an equation with two factors, no ellipsis and no repeated letter."""
        inputs, arrow, result = equation.replace(" ", "").partition("->")
        factors = inputs.split(",")
        words = [*factors, result]
        if not arrow or len(factors) != 2 or any(len(set(w)) != len(w) for w in words):
            return None
        if not all(w.isalpha() or not w for w in words):
            return None
        letters = cls(factors[0], factors[1], result)
        kept = letters.batch + letters.rows + letters.columns
        return letters if sorted(kept) == sorted(result) else None

    @property
    def batch(self) -> str:
        """Letters of both factors and of the result."""
        return "".join(c for c in self.result if c in self.left and c in self.right)

    @property
    def summed(self) -> str:
        """Letters of both factors that the result lacks."""
        return "".join(c for c in self.left if c in self.right and c not in self.result)

    @property
    def rows(self) -> str:
        """Letters of the left factor and the result."""
        return "".join(c for c in self.left if c not in self.right)

    @property
    def columns(self) -> str:
        """Letters of the right factor and the result."""
        return "".join(c for c in self.right if c not in self.left)


class EinsumOfMany(Rule):
    """Σ a·b·c·… = Σ (Σ a·b)·c·…, the inner sum over letters that stand nowhere else.

    Pairs are taken in the order of the path, from left to right where there is none, as torch does.
    """

    pattern = Op(aten.einsum.default, "einsum")
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline one or two factors, an ellipsis, and a result that is not named."""
        equation = argument(match.root, "equation")
        if len(argument(match.root, "tensors")) < 3:
            return "it has two factors or one"
        return None if "->" in equation and "." not in equation else "it does not name its letters"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit an einsum for each pair."""
        inputs, _, result = argument(match.root, "equation").replace(" ", "").partition("->")
        factors = list(zip(inputs.split(","), argument(match.root, "tensors"), strict=True))
        path = list(argument(match.root, "path") or [])
        while len(factors) > 2:
            first, second = path[:2] or (0, 1)
            pair = [factors.pop(place) for place in sorted((first, second), reverse=True)][::-1]
            others = result + "".join(word for word, _ in factors)
            both = dict.fromkeys("".join(word for word, _ in pair))
            kept = "".join(letter for letter in both if letter in others)
            product = (kept, self._call(match.root, pair, kept, emit))
            factors.insert(len(factors) if path else 0, product)
            path = path[2:]
        return self._call(match.root, factors, result, emit)

    @staticmethod
    def _call(like: fx.Node, factors: list[tuple[str, Any]], result: str, emit: Emitter) -> fx.Node:
        equation = f"{','.join(word for word, _ in factors)}->{result}"
        tensors = [tensor for _, tensor in factors]
        return emit.call(aten.einsum.default, like=like, equation=equation, tensors=tensors)


class EinsumIsLinear(Rule):
    """Σₖ x[r…, k…]·W[k…, c…] = reshape(linear(reshape(x, (r…, K)), Wᵀ), (r…, c…)), W a weight."""

    pattern = Op(aten.einsum.default, "einsum")
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline two computed factors, batch letters, and what is no product of two."""
        letters = _letters(match.root)
        if isinstance(letters, str):
            return letters
        if not is_weight(argument(match.root, "tensors")[1]):
            return "its right factor is computed, not a weight"
        if letters.batch or not letters.summed:
            return "its weight is no matrix: a letter is in both factors and the result"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit permute, reshape, linear, reshape, permute; what changes nothing goes later."""
        letters = _letters(match.root)
        assert isinstance(letters, Letters)
        x, weight = argument(match.root, "tensors")
        sizes = dict(zip(letters.right, shape(weight), strict=True))
        order = [letters.right.index(c) for c in letters.columns + letters.summed]
        outputs = math.prod(sizes[c] for c in letters.columns)
        matrix = emit.weight(
            lambda: emit.tensor(weight).permute(order).reshape(outputs, -1).contiguous(),
            source=str(weight.target),
            recipe=("matrix", letters.right, tuple(order)),
        )
        inputs = math.prod(sizes[c] for c in letters.summed)
        like = match.root
        turned = _turn(emit, like, x, letters.left, letters.rows + letters.summed)
        rows: list[Any] = []
        if len(letters.summed) != 1 or len(letters.columns) != 1:
            rows = [_size(emit, like, turned, i) for i in range(len(letters.rows))]
        if len(letters.summed) != 1:
            turned = emit.call(aten.reshape.default, like=like, self=turned, shape=[*rows, inputs])
        product = emit.call(aten.linear.default, like=like, input=turned, weight=matrix)
        if len(letters.columns) != 1:
            split = [*rows, *(sizes[c] for c in letters.columns)]
            product = emit.call(aten.reshape.default, like=like, self=product, shape=split)
        return _turn(emit, like, product, letters.rows + letters.columns, letters.result)


class EinsumIsMatmul(Rule):
    """Σₖ a[b…, r, k]·c[b…, k, s] = matmul(a, c), up to the order of dimensions."""

    pattern = Op(aten.einsum.default, "einsum")
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline what has not one row, one column and one summed letter."""
        letters = _letters(match.root)
        if isinstance(letters, str):
            return letters
        groups = {"row": letters.rows, "column": letters.columns, "summed": letters.summed}
        for name, group in groups.items():
            if len(group) != 1:
                return f"it has {len(group)} {name} letters, not one"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the matmul between permutes."""
        letters = _letters(match.root)
        assert isinstance(letters, Letters)
        left, right = argument(match.root, "tensors")
        like, batch = match.root, letters.batch
        a = _turn(emit, like, left, letters.left, batch + letters.rows + letters.summed)
        b = _turn(emit, like, right, letters.right, batch + letters.summed + letters.columns)
        product = emit.call(aten.matmul.default, like=like, self=a, other=b)
        return _turn(emit, like, product, batch + letters.rows + letters.columns, letters.result)


def _letters(einsum: fx.Node) -> Letters | str:
    tensors = argument(einsum, "tensors")
    letters = Letters.of(argument(einsum, "equation"))
    if letters is None or len(tensors) != 2:
        return f"'{argument(einsum, 'equation')}' is no plain product of two factors"
    if rank(tensors[0]) != len(letters.left) or rank(tensors[1]) != len(letters.right):
        return "its letters do not name every dimension"
    return letters


def _turn(emit: Emitter, like: fx.Node, value: fx.Node, now: str, then: str) -> fx.Node:
    if now == then:
        return value
    dims = [now.index(c) for c in then]
    return emit.call(aten.permute.default, like=like, self=value, dims=dims)


def _size(emit: Emitter, like: fx.Node, value: fx.Node, dim: int) -> Any:
    size = shape(value)[dim]
    if isinstance(size, int):
        return size
    return emit.call(aten.sym_size.int, like=like, self=value, dim=dim)


EINSUM_RULES: list[Rule] = [EinsumIsLinear(), EinsumIsMatmul(), EinsumOfMany()]
