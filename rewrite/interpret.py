"""Running a program node by node: in float64, or with a hand on chosen nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torch.utils import _pytree as pytree

from rewrite.program import Program

Intercept = Callable[[fx.Node, tuple[Any, ...], dict[str, Any]], Any]
NOT_HANDLED = object()
_LOW_PRECISION = (torch.float32, torch.float16, torch.bfloat16)


class Interpreter(fx.Interpreter):
    """Evaluates a program; `intercept` may compute a node itself or return NOT_HANDLED.

    Values are freed after their last use, so memory stays that of plain inference.
    """

    def __init__(self, program: Program, intercept: Intercept | None = None) -> None:
        super().__init__(program.module, garbage_collect_values=True)
        self._intercept = intercept
        self._program = program
        self.graph = program.graph

    def run_inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Evaluate on (args, kwargs) and return the flat outputs."""
        flat = self._program.signature.flatten_inputs(args, kwargs)
        with torch.no_grad():
            result = self.run(*flat, enable_io_processing=False)
        return list(result) if isinstance(result, (tuple, list)) else [result]

    def run_node(self, n: fx.Node) -> Any:
        """Evaluate one node, asking `intercept` first for calls."""
        if self._intercept is None or n.op != "call_function":
            return super().run_node(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        value = self._intercept(n, args, kwargs)
        return super().run_node(n) if value is NOT_HANDLED else value


class Float64Interpreter(Interpreter):
    """Evaluates a program in double precision: real arithmetic, as near as it gets."""

    def run_inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Widen the inputs, then evaluate."""
        args, kwargs = pytree.tree_map(_widen, (args, kwargs))
        return super().run_inputs(args, kwargs)

    def run_node(self, n: fx.Node) -> Any:
        """Evaluate one node with every low-precision float and dtype argument widened."""
        if n.op == "get_attr":
            return self._program.precise_weight(str(n.target))
        if n.op != "call_function":
            return super().run_node(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        args, kwargs = pytree.tree_map(_widen, (tuple(args), dict(kwargs)))
        return pytree.tree_map(_widen, self.call_function(n.target, args, kwargs))


def run_float64(program: Program, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """Return the flat outputs of a program computed in float64."""
    return Float64Interpreter(program).run_inputs(args, kwargs)


def _widen(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.dtype in _LOW_PRECISION:
        return value.double()
    if isinstance(value, torch.dtype) and value in _LOW_PRECISION:
        return torch.float64
    return value
