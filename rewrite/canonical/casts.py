"""Every conversion is one _to_copy that says what changes, and nothing else."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from rewrite.canonical.values import device, dtype
from rewrite.emitter import Emitter
from rewrite.pattern import Match, Op
from rewrite.program import Program
from rewrite.rules import Rule
from rewrite.schema import arguments

aten = torch.ops.aten


class ToIsCopy(Rule):
    """to(x, …) = _to_copy(x, dtype or device or both, as far as they change)."""

    pattern = Op(
        (
            aten.to.dtype,
            aten.to.device,
            aten.to.dtype_layout,
            aten.to.other,
            aten.type_as.default,
            aten._to_copy.default,
        ),
        "to",
    )
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline what is in its form already, and other layouts than strided."""
        bound, wanted = arguments(match.root), _changes(match.root)
        if bound.get("layout") not in (None, torch.strided):
            return "it changes the layout"
        given = {name: value for name, value in bound.items() if value not in (None, False)}
        if match.root.target is aten._to_copy.default and given.keys() == {"self", *wanted}:
            return "it is in its one form"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the copy."""
        source = arguments(match.root)["self"]
        return emit.call(
            aten._to_copy.default,
            like=match.root,
            val=match.root.meta["val"],
            self=source,
            **_changes(match.root),
        )


class CopyOfWiderCopy(Rule):
    """to(to(x, wider), d) = to(x, d), and x itself where x is of d already.

    OpenVINO, which computes float64 as float32, drops such a pair and gives out the memory of x.
    """

    pattern = Op(aten._to_copy.default, "outer", self=Op(aten._to_copy.default, "inner"))
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline what loses digits, and copies to another device."""
        source = arguments(match["inner"])["self"]
        if device(match.root) != device(source):
            return "it is to another device"
        between, narrow = dtype(match["inner"]), dtype(source)
        kept = between is not None and narrow is not None and _holds(between, narrow)
        return None if kept else "the type between holds fewer values"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit one copy of the source, or return it."""
        source: fx.Node = arguments(match["inner"])["self"]
        if dtype(source) == dtype(match.root):
            return source
        return emit.call(
            aten._to_copy.default,
            like=match.root,
            val=match.root.meta["val"],
            self=source,
            dtype=dtype(match.root),
        )


class JoinOfOneType(Rule):
    """cat(x, y) = cat(x as the result, y as the result), stack alike: ONNX joins one type only."""

    pattern = Op((aten.cat.default, aten.stack.default), "join")
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline parts that have the type of the result."""
        parts = arguments(match.root)["tensors"]
        same = all(dtype(part) == dtype(match.root) for part in parts)
        return "its parts are of one type" if same else None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the casts and the join."""
        bound, wanted = arguments(match.root), dtype(match.root)
        parts = [
            part
            if dtype(part) == wanted
            else emit.call(aten._to_copy.default, like=match.root, self=part, dtype=wanted)
            for part in bound["tensors"]
        ]
        return emit.call(
            match.root.target,
            like=match.root,
            val=match.root.meta["val"],
            tensors=parts,
            dim=bound["dim"],
        )


class IndexOfOneType(Rule):
    """x[i, j] = x[i as int64, j as int64] for unlike integers: ONNX broadcasts one type."""

    pattern = Op((aten.index.Tensor, aten.index_put.default, aten._unsafe_index.Tensor), "index")
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline indices of one type; masks are no integers."""
        kinds = {dtype(index) for index in _integers(match.root)}
        return None if len(kinds) > 1 else "its indices are of one type"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the casts and the call."""
        bound, integers = arguments(match.root), _integers(match.root)
        indices = [
            emit.call(aten._to_copy.default, like=match.root, self=index, dtype=torch.int64)
            if index in integers and dtype(index) != torch.int64
            else index
            for index in bound["indices"]
        ]
        return emit.call(
            match.root.target,
            like=match.root,
            val=match.root.meta["val"],
            **{**bound, "indices": indices},
        )


def _holds(wider: torch.dtype, narrow: torch.dtype) -> bool:
    """Tell whether a type has every value of another one of its kind."""
    if wider.is_floating_point != narrow.is_floating_point or narrow.is_complex:
        return False
    if wider in (narrow, torch.bool):
        return False
    try:
        return torch.promote_types(wider, narrow) == wider
    except RuntimeError:  # of types that torch promotes to none: uint16, float8
        return False


def _integers(node: fx.Node) -> list[fx.Node]:
    given = [index for index in arguments(node)["indices"] if isinstance(index, fx.Node)]
    return [index for index in given if dtype(index) not in (torch.bool, torch.uint8)]


def _changes(node: fx.Node) -> dict[str, Any]:
    source = arguments(node)["self"]
    changes: dict[str, Any] = {}
    if dtype(node) != dtype(source):
        changes["dtype"] = dtype(node)
    if device(node) != device(source):
        changes["device"] = device(node)
    return changes


CAST_RULES: list[Rule] = [ToIsCopy(), CopyOfWiderCopy(), JoinOfOneType(), IndexOfOneType()]
