"""What torch.export assumes about sizes, and the user's lines that made it do so."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import sympy
import torch
from torch import fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._sympy.printers import PythonPrinter

from rewrite.provenance import innermost

aten = torch.ops.aten
_ASSERTS = (aten._assert_scalar.default, aten.sym_constrain_range_for_size.default)
_EXPORT = str(Path(__file__).with_name("export.py"))
_MOST_SIZES = 2000
"""Combinations of sizes on which one assumption is tried."""

Sizes = dict[Any, int]
"""By symbol."""


@dataclass(frozen=True)
class Assumption:
    """A condition on sizes under which a graph was captured."""

    expression: Any
    line: str | None
    """The user's line that needed it."""

    def failing(self, ranges: Mapping[Any, list[int]]) -> list[Sizes]:
        """Return sizes for which it does not hold, the smallest first.

        Args:
            ranges: sizes to try of every symbol.
        """
        symbols = sorted(self.expression.free_symbols, key=str)
        if not symbols or not all(symbol in ranges for symbol in symbols):
            return []
        holds = _function(self.expression, symbols)
        tried = itertools.islice(itertools.product(*(ranges[s] for s in symbols)), _MOST_SIZES)
        return [dict(zip(symbols, sizes, strict=True)) for sizes in tried if not holds(*sizes)]


@contextlib.contextmanager
def with_lines() -> Iterator[None]:
    """Let torch.export note the user's line for everything that it assumes about sizes."""
    original: Callable[..., Any] = ShapeEnv._get_sloc

    def noted(env: ShapeEnv, *args: Any, **kwargs: Any) -> Any:
        found = original(env, *args, **kwargs)
        line = _line(traceback.extract_stack(sys._getframe(1)))
        return dataclasses.replace(found, maybe_user_loc=line)

    with mock.patch.object(ShapeEnv, "_get_sloc", noted):
        yield


def environment(error: BaseException) -> ShapeEnv | None:
    """Return what torch.export knew about sizes when it raised an error."""
    cause: BaseException | None = error
    while cause is not None:
        for frame, _ in traceback.walk_tb(cause.__traceback__):
            for value in frame.f_locals.values():
                env = getattr(value, "shape_env", None)
                if isinstance(env, ShapeEnv):
                    return env
        cause = cause.__cause__ or cause.__context__
    return None


def assumptions(env: ShapeEnv) -> list[Assumption]:
    """Return what was assumed about sizes: what fixed one, then guards, then deferred ones."""
    fixed = [
        Assumption(sympy.Eq(symbol, size), sloc.maybe_user_loc)
        for symbol, sloc in env.replacements_slocs.items()
        if (size := env.replacements.get(symbol)) is not None and size.is_number
    ]
    guards = [Assumption(guard.expr, guard.sloc.maybe_user_loc) for guard in env.guards]
    deferred = [
        Assumption(each.expr, _line(each.stack.summary()))  # type: ignore[no-untyped-call]
        for group in env.deferred_runtime_asserts.values()
        for each in group
    ]
    return [*fixed, *guards, *deferred]


def _line(frames: Sequence[traceback.FrameSummary]) -> str | None:
    """Return the user's line inside of the model, not that of whoever captures it."""
    inside = itertools.takewhile(lambda f: f.filename != _EXPORT, reversed(frames))
    return innermost(list(inside)[::-1])


def drop_asserts(module: fx.GraphModule) -> None:
    """Erase the calls that do nothing but stop a program of other sizes or values."""
    calls = [n for n in module.graph.nodes if n.op == "call_function" and n.target in _ASSERTS]
    for node in calls:
        module.graph.erase_node(node)
    if calls:
        module.graph.eliminate_dead_code()


_KNOWN = {"math": math, "torch": torch}
"""What printed conditions call."""


def _function(expression: Any, symbols: list[Any]) -> Callable[..., bool]:
    """Compile a condition; one that cannot be evaluated at some sizes does not hold there."""
    code = compile(PythonPrinter().doprint(expression), "<condition>", "eval")
    names = [str(symbol) for symbol in symbols]

    def holds(*sizes: int) -> bool:
        try:
            return bool(
                eval(code, {"math": math, "torch": torch}, dict(zip(names, sizes, strict=True)))
            )
        except ArithmeticError:
            return False

    return holds
