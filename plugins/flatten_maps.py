"""Pass `flatten-maps`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from rewrite import (
    Emitter,
    Match,
    Op,
    Program,
    Reject,
    Rule,
    RulePass,
    argument,
    arguments,
    is_call,
)
from rewrite.canonical.values import positive_dims, rank, same_shape, same_size, shape
from rewrite.elementwise import ACTIVATIONS, SUMS_AND_PRODUCTS
from rewrite.quantization.markers import DEQUANTIZE, QUANTIZE

aten = torch.ops.aten
_NORMS = (aten.layer_norm.default, aten.rms_norm.default)
_UNARY = (*ACTIVATIONS, aten._to_copy.default, QUANTIZE)
_ELEMENTWISE = (*SUMS_AND_PRODUCTS, *_UNARY, DEQUANTIZE)


@dataclass(frozen=True)
class FlattenMaps(RulePass):
    """Turn maps of channels into tokens of them, and back, in three dimensions.

    The results of OpenVINO's convolutions lie channels last, so that flattening and transposing
    them costs nothing; a permute of four dimensions is carried out, twice. It has a kernel for the
    layer norm of [batch, tokens, channels], and takes that of maps apart.
    """

    name = "flatten-maps"
    equivalence = "exact"
    after = ("lay-out-linear",)

    def rules(self) -> list[Rule]:
        """Permutes to and from channels last, norms of maps, and what is better done on tokens."""
        return [ChannelsLast(), ChannelsFirst(), NormOfMap(), UnaryOfTurned(), BinaryOfTurned()]


class ChannelsLast(Rule):
    """permute(x, (0, 2, …, n-1, 1)) = reshape(permute(reshape(x), (0, 2, 1))), n > 3."""

    pattern = Op(aten.permute.default, "permute")
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline unless layers of tokens read channels last, of known sizes."""
        root, source = match.root, argument(match.root, "self")
        dims = rank(source)
        if dims < 4 or _order(root) != [0, *range(2, dims), 1]:
            return "it does not make channels the last of four or more dimensions"
        # A key of attention is such a permute too, which runtimes fuse with the product.
        if not _reaches(root, _readers, _works_on_tokens):
            return "no layer of tokens reads it"
        return _unknown_sizes(source)

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the reshape, the transposition of the last two dimensions, and the reshape back."""
        root, source = match.root, argument(match.root, "self")
        channels, *spatial = shape(source)[1:]
        flat = _reshape(source, [channels, math.prod(spatial)], root, emit)
        return _turn(flat, [*spatial, channels], root, emit)


class ChannelsFirst(Rule):
    """permute(x, (0, n-1, 1, …, n-2)) = reshape(permute(reshape(x), (0, 2, 1))), n > 3."""

    pattern = Op(aten.permute.default, "permute")
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline unless layers of tokens give channels last, of known sizes."""
        root, source = match.root, argument(match.root, "self")
        dims = rank(source)
        if dims < 4 or _order(root) != [0, dims - 1, *range(1, dims - 1)]:
            return "it does not make channels the first of four or more dimensions"
        if not _works_on_tokens(source) and not _reaches(source, _inputs, _works_on_tokens):
            return "no layer of tokens gives it"
        return _unknown_sizes(source)

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the reshape, the transposition of the last two dimensions, and the reshape back."""
        root, source = match.root, argument(match.root, "self")
        *spatial, channels = shape(source)[1:]
        flat = _reshape(source, [math.prod(spatial), channels], root, emit)
        return _turn(flat, [channels, *spatial], root, emit)


class NormOfMap(Rule):
    """layer_norm(x) = reshape(layer_norm(reshape(x))), [batch, tokens, channels] inside."""

    pattern = Op(aten.layer_norm.default, "norm")
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline unless it normalises the last of four or more dimensions of known sizes."""
        bound = arguments(match.root)
        if len(bound["normalized_shape"]) != 1:
            return "it normalises more than the last dimension"
        if rank(bound["input"]) < 4:
            return "it has no dimensions to flatten"
        return _unknown_sizes(bound["input"])

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the reshape, the norm, and the reshape back."""
        bound, root = arguments(match.root), match.root
        *outer, channels = shape(bound["input"])[1:]
        flat = _reshape(bound["input"], [math.prod(outer), channels], root, emit)
        norm = emit.call(root.target, like=root, **{**bound, "input": flat})
        return _reshape(norm, [*outer, channels], root, emit)


class UnaryOfTurned(Rule):
    """f(turn(x)) = turn(f(x)), turn(x) = reshape(permute(x, (0, 2, 1))), f elementwise."""

    pattern = Op(_UNARY, "call")
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline unless turned tokens are read here alone, or bytes are what is then turned."""
        bound = arguments(match.root)
        value = next(iter(bound.values()))
        if _turned(value) is None or bound.get("axis") is not None:
            return "its input is not turned tokens"
        if len(value.users) > 1 and not is_call(match.root, QUANTIZE):
            return "something else reads the turned tokens"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the call on tokens, and turn its result."""
        bound, root = arguments(match.root), match.root
        name, value = next(iter(bound.items()))
        call = emit.call(root.target, like=root, **{**bound, name: _turned(value)})
        return _turn(call, list(shape(root)[1:]), root, emit)


class BinaryOfTurned(Rule):
    """turn(x) ∘ turn(y) = turn(x ∘ y)."""

    pattern = Op(SUMS_AND_PRODUCTS, "call")
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline unless both sides are turned tokens of one shape."""
        bound = arguments(match.root)
        left, right = _turned(bound["self"]), _turned(bound["other"])
        if left is None or right is None:
            return "one of its inputs is not turned tokens"
        alike = same_shape(shape(left), shape(right)) and same_shape(
            shape(bound["self"]), shape(bound["other"])
        )
        return None if alike else "its inputs differ in shape"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the call on tokens, and turn its result."""
        bound, root = arguments(match.root), match.root
        tokens = {name: _turned(bound[name]) for name in ("self", "other")}
        call = emit.call(root.target, like=root, **{**bound, **tokens})
        return _turn(call, list(shape(root)[1:]), root, emit)


def _turned(value: Any) -> fx.Node | None:
    """Return the tokens that become a map of channels, if a value is that."""
    if not is_call(value, aten.reshape.default) or rank(value) < 4:
        return None
    permute = argument(value, "self")
    if not is_call(permute, aten.permute.default) or _order(permute) != [0, 2, 1]:
        return None
    if not all(same_size(shape(permute)[i], shape(value)[i]) for i in (0, 1)):
        return None
    tokens: Any = argument(permute, "self")
    known = all(isinstance(size, int) for size in shape(value)[1:])
    return tokens if known else None


def _order(permute: fx.Node) -> list[int]:
    return positive_dims(argument(permute, "dims"), argument(permute, "self"))


def _reaches(
    start: fx.Node,
    neighbours: Callable[[fx.Node], Iterable[fx.Node]],
    wanted: Callable[[fx.Node], bool],
) -> bool:
    """Tell whether a wanted node is a neighbour of the start, past what keeps each token apart."""
    pending, seen = [start], {start}
    while pending:
        for node in neighbours(pending.pop()):
            if wanted(node):
                return True
            if _keeps_tokens(node) and node not in seen:
                seen.add(node)
                pending.append(node)
    return False


def _readers(node: fx.Node) -> Iterable[fx.Node]:
    return node.users


def _inputs(node: fx.Node) -> Iterable[fx.Node]:
    return node.all_input_nodes if _keeps_tokens(node) else ()


def _keeps_tokens(node: fx.Node) -> bool:
    if is_call(node, aten.reshape.default):
        return same_size(shape(node)[-1], shape(argument(node, "self"))[-1])
    return is_call(node, *_ELEMENTWISE)


def _works_on_tokens(node: fx.Node) -> bool:
    if is_call(node, *_NORMS):
        return len(argument(node, "normalized_shape")) == 1
    return is_call(node, aten.matmul.default) and rank(argument(node, "other")) == 2


def _unknown_sizes(value: Any) -> str | None:
    known = all(isinstance(size, int) for size in shape(value)[1:])
    return None if known else "sizes other than the batch are unknown"


def _turn(flat: fx.Node, sizes: list[int], root: fx.Node, emit: Emitter) -> fx.Node:
    """Emit a transposition of the last two of three dimensions, and a reshape."""
    turned = emit.call(aten.permute.default, like=root, self=flat, dims=[0, 2, 1])
    return _reshape(turned, sizes, root, emit)


def _reshape(value: fx.Node, sizes: list[int], root: fx.Node, emit: Emitter) -> fx.Node:
    """Emit a reshape of all dimensions but the batch."""
    fake = value.meta["val"]
    batch = fake.shape[0]
    return emit.call(
        aten.reshape.default,
        like=root,
        val=fake.reshape(batch, *sizes),
        self=value,
        shape=[batch if isinstance(batch, int) else -1, *sizes],
    )
