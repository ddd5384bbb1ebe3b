"""Running a program node by node: in float64, or with a hand on chosen nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import fx
from torch.fx.node import map_arg
from torch.utils import _pytree as pytree

from rewrite.program import Program

Intercept = Callable[[fx.Node, tuple[Any, ...], dict[str, Any]], Any]
NOT_HANDLED = object()
_LOW_PRECISION = (torch.float32, torch.float16, torch.bfloat16)


class Interpreter:
    """Evaluates a program; `intercept` may compute a node itself or return NOT_HANDLED.

    Values are freed after their last use, so memory stays that of plain inference.
    """

    def __init__(self, program: Program, intercept: Intercept | None = None) -> None:
        self._intercept = intercept
        self._program = program
        self.node: fx.Node | None = None
        """The one that is evaluated, or that failed."""
        self._dying = _last_uses(program.graph)

    def run_inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Evaluate on (args, kwargs) and return the flat outputs."""
        inputs = iter(self._program.signature.flatten_inputs(args, kwargs))
        values: dict[fx.Node, Any] = {}
        with torch.no_grad():
            for node in self._program.graph.nodes:
                if node.op == "output":
                    result = map_arg(node.args[0], values.__getitem__)
                    return list(result) if isinstance(result, (tuple, list)) else [result]
                self.node = node
                values[node] = self.evaluate(node, values, inputs)
                for dead in self._dying[node]:
                    del values[dead]
        raise ValueError("the graph has no output")

    def evaluate(self, node: fx.Node, values: dict[fx.Node, Any], inputs: Iterator[Any]) -> Any:
        """Evaluate one node, given the values before it and the inputs not yet taken."""
        if node.op == "placeholder":
            return next(inputs)
        if node.op == "get_attr":
            return self.attribute(str(node.target))
        args, kwargs = map_arg((node.args, node.kwargs), values.__getitem__)
        if self._intercept is not None:
            value = self._intercept(node, args, kwargs)
            if value is not NOT_HANDLED:
                return value
        return self.call(node.target, args, kwargs)

    def attribute(self, name: str) -> Any:
        """Return a weight, or the module of a subgraph, by its dotted name."""
        return self._program.attribute(name)

    def call(self, overload: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Evaluate one call."""
        return _AS_RUNTIMES.get(overload, overload)(*args, **kwargs)


class Float64Interpreter(Interpreter):
    """Evaluates a program in double precision: real arithmetic, as near as it gets."""

    def run_inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Widen the inputs, then evaluate."""
        args, kwargs = pytree.tree_map(_widen, (args, kwargs))
        return [_widen(output) for output in super().run_inputs(args, kwargs)]

    def attribute(self, name: str) -> Any:
        """Return a weight as it was before rounding; where it was not, the call widens it."""
        value = self._program.attribute(name)
        return self._program.unrounded_weight(name) if isinstance(value, torch.Tensor) else value

    def call(self, overload: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Evaluate one call with every low-precision float and dtype argument widened."""
        if overload not in _PICK:  # of a table that some rows are taken from, these are enough
            args, kwargs = pytree.tree_map(_widen, (args, kwargs))
        return pytree.tree_map(_widen, super().call(overload, args, kwargs))


def run_float64(program: Program, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """Return the flat outputs of a program computed in float64."""
    return Float64Interpreter(program).run_inputs(args, kwargs)


def _top(
    x: torch.Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the k greatest, the first of equal values first; torch promises no order of these."""
    values, places = torch.sort(x, dim=dim, descending=largest, stable=True)
    return (
        (values, places) if x.dim() == 0 else (values.narrow(dim, 0, k), places.narrow(dim, 0, k))
    )


_AS_RUNTIMES: dict[Any, Callable[..., Any]] = {torch.ops.aten.topk.default: _top}
"""What torch leaves open, computed as ONNX has it."""

_PICK = {torch.ops.aten.embedding.default, torch.ops.aten.index_select.default}
"""Calls that copy values of one tensor and compute with none."""


def _last_uses(graph: fx.Graph) -> dict[fx.Node, list[fx.Node]]:
    """Return the values that nobody reads after a node, by that node."""
    dying: dict[fx.Node, list[fx.Node]] = {}
    seen: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        if node.op == "output":
            seen.update(node.all_input_nodes)
            continue
        ends = [n for n in (*node.all_input_nodes, node) if n not in seen]
        seen.update(ends)
        dying[node] = ends
    return dying


def _widen(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.dtype in _LOW_PRECISION:
        return value.double()
    if isinstance(value, torch.dtype) and value in _LOW_PRECISION:
        return torch.float64
    return value
