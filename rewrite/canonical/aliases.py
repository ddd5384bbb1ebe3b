"""One name for functions that torch has under several."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from rewrite.canonical.values import rank
from rewrite.emitter import Emitter
from rewrite.pattern import Match, Op
from rewrite.program import Program
from rewrite.rules import Rule
from rewrite.schema import argument, argument_names, arguments

aten = torch.ops.aten
_NAMES = {
    "absolute": "abs",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctan2": "atan2",
    "arctanh": "atanh",
    "clip": "clamp",
    "concat": "cat",
    "concatenate": "cat",
    "divide": "div",
    "fix": "trunc",
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "linalg_matmul": "matmul",
    "negative": "neg",
    "not_equal": "ne",
    "special_digamma": "digamma",
    "special_erf": "erf",
    "special_erfc": "erfc",
    "special_erfinv": "erfinv",
    "special_exp2": "exp2",
    "special_expit": "sigmoid",
    "special_expm1": "expm1",
    "special_gammaln": "lgamma",
    "special_log1p": "log1p",
    "special_logit": "logit",
    "special_logsumexp": "logsumexp",
    "special_psi": "digamma",
    "special_sinc": "sinc",
}


def _overloads() -> dict[Any, Any]:
    """Return the overload that says the same as each overload of an alias."""
    found: dict[Any, Any] = {
        aten.special_softmax.default: aten.softmax.int,
        aten.special_log_softmax.default: aten.log_softmax.int,
    }
    for alias, name in _NAMES.items():
        packet, other = getattr(aten, alias), getattr(aten, name)
        for overload in set(packet.overloads()) & set(other.overloads()):
            pair = getattr(packet, overload), getattr(other, overload)
            if argument_names(pair[0]) == argument_names(pair[1]):
                found[pair[0]] = pair[1]
    return found


_OVERLOADS = _overloads()


class OneName(Rule):
    """f(x) = g(x), f another name of g: clip of clamp, concat of cat."""

    pattern = Op(tuple(_OVERLOADS), "call")
    report_misses = False

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the same arguments under the name that later stages know."""
        return emit.call(
            _OVERLOADS[match.root.target],
            like=match.root,
            val=match.root.meta["val"],
            **arguments(match.root),
        )


_JOINED_AXIS: dict[Any, int] = {
    aten.hstack.default: 1,
    aten.column_stack.default: 1,
    aten.vstack.default: 0,
    aten.row_stack.default: 0,
}


class StackIsJoin(Rule):
    """hstack(x, …) = cat(x, …) over dimension 1, 0 where that is the only one; vstack alike.

    Vectors become rows of vstack and columns of column_stack.
    """

    pattern = Op(tuple(_JOINED_AXIS), "call")
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline numbers, and vectors beside matrices."""
        ranks = {rank(each) for each in argument(match.root, "tensors")}
        return None if len(ranks) == 1 and ranks != {0} else "its tensors differ in dimensions"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the join, or the stack of vectors."""
        tensors, axis = argument(match.root, "tensors"), _JOINED_AXIS[match.root.target]
        vectors = rank(tensors[0]) == 1
        if vectors and match.root.target is aten.hstack.default:
            axis = 0
        stacked = vectors and match.root.target is not aten.hstack.default
        return emit.call(
            aten.stack.default if stacked else aten.cat.default,
            like=match.root,
            val=match.root.meta["val"],
            tensors=tensors,
            dim=axis,
        )


ALIAS_RULES: list[Rule] = [OneName(), StackIsJoin()]
