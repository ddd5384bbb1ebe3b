"""Pass `flatten-tokens`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import fx

from rewrite import (
    Context,
    Emitter,
    Match,
    Op,
    Outcome,
    Program,
    Reject,
    Rule,
    RulePass,
    argument,
    arguments,
    is_call,
    option,
)
from rewrite.canonical.common_calls import merge_common_calls
from rewrite.canonical.no_ops import drop_no_ops
from rewrite.canonical.values import rank, same_shape, same_size, shape
from rewrite.canonical.views import ReshapeOfReshape
from rewrite.elementwise import ACTIVATIONS, SUMS_AND_PRODUCTS
from rewrite.quantization.markers import DEQUANTIZE, QUANTIZE

aten = torch.ops.aten
_UNARY = (*ACTIVATIONS, aten._to_copy.default, QUANTIZE, DEQUANTIZE)
_NORMS = (aten.layer_norm.default, aten.rms_norm.default)
_DIMS = {"matrix": 2, "batched": 3}


@dataclass(frozen=True)
class FlattenTokens(RulePass):
    """Keep activations as [tokens, channels] between Gemms, reshaping only where layout matters.

    Runtimes have better kernels for flat forms: ONNX Runtime's skip layer norm on three dimensions
    is several times slower than its Add and layer norm on two.
    """

    name = "flatten-tokens"
    equivalence = "exact"
    after = ("lay-out-linear", "flatten-maps")

    form: Literal["matrix", "batched"] = option(
        "matrix",
        help="matrix: [tokens, channels], between Gemms; batched: [batch, tokens, channels].",
    )

    def rules(self) -> list[Rule]:
        """Move un-flattening reshapes down, past whatever works on each token alone."""
        dims = _DIMS[self.form]
        rules: list[Rule] = [UnaryOfTokens(dims), BinaryOfTokens(dims), NormOfTokens(dims)]
        if self.form == "batched":
            rules.append(ProductOfTokens())
        return [*rules, ReshapeOfReshape()]

    def run(self, program: Program, context: Context) -> Outcome:
        """Apply the rules, then drop the reshapes that have become void or double."""
        outcome = super().run(program, context)
        outcome.rewrites += drop_no_ops(program) + merge_common_calls(program)
        return outcome


class TokenRule(Rule):
    """A rule that moves a reshape from tokens, of two or three dimensions, to more dimensions."""

    report_misses = False

    def __init__(self, dims: int) -> None:
        self.dims = dims

    def tokens(self, node: Any) -> fx.Node | None:
        """Return the tokens that a reshape un-flattens, if it does just that."""
        if not is_call(node, aten.reshape.default):
            return None
        source = argument(node, "self")
        before, after = shape(source), shape(node)
        if len(before) != self.dims or len(after) <= self.dims:
            return None
        kept = (0, -1) if self.dims == 3 else (-1,)
        if not all(same_size(before[i], after[i]) for i in kept):
            return None
        return source if all(isinstance(size, int) for size in before[1:]) else None


class UnaryOfTokens(TokenRule):
    """f(reshape(x)) = reshape(f(x)) for f that works on each element alone."""

    pattern = Op(_UNARY, "call")

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline silently unless the input is un-flattened tokens."""
        bound = arguments(match.root)
        if self.tokens(_first(bound)) is None or bound.get("axis") is not None:
            return "its input is not un-flattened tokens"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the call on tokens, then the reshape."""
        bound = arguments(match.root)
        name = next(iter(bound))
        reshape = bound[name]
        flat = argument(reshape, "self")
        call = emit.call(match.root.target, like=match.root, **{**bound, name: flat})
        return _unflatten(call, reshape, match.root, emit)


class NormOfTokens(TokenRule):
    """layer_norm(reshape(x)) = reshape(layer_norm(x)) when it normalises the last dimension."""

    pattern = Op(_NORMS, "norm")

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline unless it normalises each token alone."""
        bound = arguments(match.root)
        if self.tokens(bound["input"]) is None:
            return "its input is not un-flattened tokens"
        if len(bound["normalized_shape"]) != 1:
            return "it normalises more than the last dimension"
        # OpenVINO cannot compile a reshape of a two-dimensional norm's scaled output.
        if self.dims == 2 and not all(_takes_tokens(user) for user in match.root.users):
            return "a reader needs the un-flattened form"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the norm on tokens, then the reshape."""
        bound = arguments(match.root)
        reshape = bound["input"]
        flat = argument(reshape, "self")
        call = emit.call(match.root.target, like=match.root, **{**bound, "input": flat})
        return _unflatten(call, reshape, match.root, emit)


class BinaryOfTokens(TokenRule):
    """reshape(x) ∘ y = reshape(x ∘ flatten(y)) for y of the same shape, a scalar or a vector."""

    pattern = Op(SUMS_AND_PRODUCTS, "call")

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline unless one side is un-flattened tokens and the other fits it."""
        bound = arguments(match.root)
        left, right = bound["self"], bound["other"]
        if self.tokens(left) is None and self.tokens(right) is None:
            return "neither input is un-flattened tokens"
        reshape = left if self.tokens(left) is not None else right
        other = right if reshape is left else left
        if not _fits(reshape, other):
            return "the other input is broadcast over tokens"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the call on tokens, then the reshape."""
        root = match.root
        bound = arguments(root)
        reshape = next(v for v in (bound["self"], bound["other"]) if self.tokens(v) is not None)
        sizes = shape(argument(reshape, "self"))
        flat = {name: self._flat(bound[name], sizes, root, emit) for name in ("self", "other")}
        call = emit.call(root.target, like=root, **{**bound, **flat})
        return _unflatten(call, reshape, root, emit)

    def _flat(self, value: Any, sizes: tuple[Any, ...], root: fx.Node, emit: Emitter) -> Any:
        if rank(value) <= 1:
            return value
        source = self.tokens(value)
        if source is not None:
            return source
        return emit.call(aten.reshape.default, like=root, self=value, shape=[-1, *sizes[1:]])


class ProductOfTokens(TokenRule):
    """reshape(x)·W = reshape(x·W) for a matrix W of weights."""

    pattern = Op(aten.matmul.default, "product")

    def __init__(self) -> None:
        super().__init__(dims=3)

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline products of two activations, and of what is no un-flattened tokens."""
        if self.tokens(argument(match.root, "self")) is None:
            return "its input is not un-flattened tokens"
        return None if rank(argument(match.root, "other")) == 2 else "its weight is no matrix"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the product of tokens, then the reshape to as many channels as it gives."""
        bound, root = arguments(match.root), match.root
        flat = argument(bound["self"], "self")
        product = emit.call(aten.matmul.default, like=root, **{**bound, "self": flat})
        return _unflatten(product, bound["self"], root, emit)


def _takes_tokens(user: fx.Node) -> bool:
    if is_call(user, aten.reshape.default):
        return rank(user) == 2
    return is_call(user, *_UNARY, *SUMS_AND_PRODUCTS)


def _first(bound: dict[str, Any]) -> Any:
    return next(iter(bound.values()))


def _fits(reshape: fx.Node, other: Any) -> bool:
    wanted, given = shape(reshape), shape(other)
    if len(given) <= 1:
        return all(same_size(size, 1) or same_size(size, wanted[-1]) for size in given)
    return same_shape(given, wanted)


def _unflatten(call: fx.Node, reshape: fx.Node, root: fx.Node, emit: Emitter) -> fx.Node:
    *outer, _ = argument(reshape, "shape")
    return emit.call(
        aten.reshape.default,
        like=root,
        val=root.meta["val"],
        self=call,
        shape=[*outer, shape(root)[-1]],
    )
