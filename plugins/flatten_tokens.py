"""Pass `flatten-tokens`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
)
from rewrite.canonical.common_calls import merge_common_calls
from rewrite.canonical.no_ops import drop_no_ops
from rewrite.canonical.views import ReshapeOfReshape
from rewrite.quantization.markers import DEQUANTIZE, QUANTIZE

aten = torch.ops.aten
_UNARY = (
    aten.gelu.default,
    aten.relu.default,
    aten.silu.default,
    aten.tanh.default,
    aten.sigmoid.default,
    aten.hardswish.default,
    aten._to_copy.default,
    QUANTIZE,
    DEQUANTIZE,
)
_BINARY = (aten.add.Tensor, aten.mul.Tensor, aten.sub.Tensor)


@dataclass(frozen=True)
class FlattenTokens(RulePass):
    """Keep activations as [tokens, channels] between Gemms, reshaping only where layout matters.

    Runtimes have better kernels for the two-dimensional form: ONNX Runtime's skip layer norm on
    three dimensions is several times slower than its Add and layer norm on two.
    """

    name = "flatten-tokens"
    equivalence = "exact"
    after = ("lay-out-linear",)

    def rules(self) -> list[Rule]:
        """Move un-flattening reshapes down, past whatever works on each token alone."""
        return [UnaryOfTokens(), BinaryOfTokens(), NormOfTokens(), ReshapeOfReshape()]

    def run(self, program: Program, context: Context) -> Outcome:
        """Apply the rules, then drop the reshapes that have become void or double."""
        outcome = super().run(program, context)
        outcome.rewrites += drop_no_ops(program) + merge_common_calls(program)
        return outcome


class UnaryOfTokens(Rule):
    """f(reshape(x)) = reshape(f(x)) for f that works on each element alone."""

    pattern = Op(_UNARY, "call")
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline silently unless the input is un-flattened tokens."""
        bound = arguments(match.root)
        if _tokens(_first(bound)) is None or bound.get("axis") is not None:
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


class NormOfTokens(Rule):
    """layer_norm(reshape(x)) = reshape(layer_norm(x)) when it normalises the last dimension."""

    pattern = Op((aten.layer_norm.default, aten.rms_norm.default), "norm")
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline unless it normalises each token alone."""
        bound = arguments(match.root)
        if _tokens(bound["input"]) is None:
            return "its input is not un-flattened tokens"
        if len(bound["normalized_shape"]) != 1:
            return "it normalises more than the last dimension"
        # OpenVINO cannot compile a reshape of a two-dimensional norm's scaled output.
        if not all(_takes_tokens(user) for user in match.root.users):
            return "a reader needs the un-flattened form"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the norm on tokens, then the reshape."""
        bound = arguments(match.root)
        reshape = bound["input"]
        flat = argument(reshape, "self")
        call = emit.call(match.root.target, like=match.root, **{**bound, "input": flat})
        return _unflatten(call, reshape, match.root, emit)


class BinaryOfTokens(Rule):
    """reshape(x) ∘ y = reshape(x ∘ flatten(y)) for y of the same shape, a scalar or a vector."""

    pattern = Op(_BINARY, "call")
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline unless one side is un-flattened tokens and the other fits it."""
        bound = arguments(match.root)
        left, right = bound["self"], bound["other"]
        if _tokens(left) is None and _tokens(right) is None:
            return "neither input is un-flattened tokens"
        tokens = left if _tokens(left) is not None else right
        other = right if tokens is left else left
        if not _fits(tokens, other):
            return "the other input is broadcast over tokens"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the call on tokens, then the reshape."""
        root = match.root
        bound = arguments(root)
        reshape = next(v for v in (bound["self"], bound["other"]) if _tokens(v) is not None)
        width = reshape.meta["val"].shape[-1]
        flat = {name: _flattened(bound[name], width, root, emit) for name in ("self", "other")}
        call = emit.call(root.target, like=root, **{**bound, **flat})
        return _unflatten(call, reshape, root, emit)


def _takes_tokens(user: fx.Node) -> bool:
    if is_call(user, aten.reshape.default):
        return bool(user.meta["val"].dim() == 2)
    return is_call(user, *_UNARY, *_BINARY)


def _first(bound: dict[str, Any]) -> Any:
    return next(iter(bound.values()))


def _tokens(node: Any) -> fx.Node | None:
    """Return the [tokens, channels] tensor that a reshape un-flattens, if it does just that."""
    if not is_call(node, aten.reshape.default):
        return None
    source = argument(node, "self")
    before, after = source.meta["val"].shape, node.meta["val"].shape
    if len(before) != 2 or len(after) <= 2:
        return None
    if not isinstance(before[-1], int) or before[-1] != after[-1]:
        return None
    return source if isinstance(source, fx.Node) else None


def _fits(tokens: fx.Node, other: Any) -> bool:
    if not isinstance(other, fx.Node):
        return True
    shape, wanted = other.meta["val"].shape, tokens.meta["val"].shape
    if len(shape) <= 1:
        return all(str(size) in ("1", str(wanted[-1])) for size in shape)
    return len(shape) == len(wanted) and all(
        str(a) == str(b) for a, b in zip(shape, wanted, strict=True)
    )


def _flattened(value: Any, width: int, root: fx.Node, emit: Emitter) -> Any:
    if not isinstance(value, fx.Node) or value.meta["val"].dim() <= 1:
        return value
    source = _tokens(value)
    if source is not None:
        return source
    return emit.call(aten.reshape.default, like=root, self=value, shape=[-1, width])


def _unflatten(call: fx.Node, reshape: fx.Node, root: fx.Node, emit: Emitter) -> fx.Node:
    return emit.call(
        aten.reshape.default,
        like=root,
        val=root.meta["val"],
        self=call,
        shape=argument(reshape, "shape"),
    )
