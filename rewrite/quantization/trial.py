"""Trying ranges: what each one costs at the outputs of whatever reads the tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import fx
from torch.fx.node import map_arg
from torch.utils import _pytree as pytree

from rewrite.device import DeviceInterpreter
from rewrite.program import Program
from rewrite.quantization.markers import DEQUANTIZE, OBSERVE, QUANTIZE
from rewrite.quantization.spec import QuantSpec
from rewrite.schema import argument

Ranges = Mapping[str, tuple[float, float]]
Where = Callable[[fx.Node, torch.Tensor], torch.Tensor | None]
_PIECE = 1 << 20
"""Values compared at a time, so that comparing takes no memory to speak of."""


class Trial(DeviceInterpreter):
    """Runs a marked program in float and measures each candidate range of each group on its own.

    For every call that reads a marked tensor x, its output y is computed again with Q(x) in place
    of x; a candidate costs ‖y' - y‖²/‖y‖², summed over the readers. One output is held at a time.
    """

    def __init__(
        self,
        program: Program,
        device: str,
        candidates: Mapping[str, Ranges],
        specs: Mapping[str, QuantSpec],
        where: Where,
    ) -> None:
        super().__init__(program, device)
        self._candidates = candidates
        self._specs = specs
        self._where = where
        self.costs = {group: dict.fromkeys(ranges, 0.0) for group, ranges in candidates.items()}

    def evaluate(self, node: fx.Node, values: dict[fx.Node, Any], inputs: Iterator[Any]) -> Any:
        """Evaluate one node; where it reads marks, once more for each of their ranges."""
        if node.target is OBSERVE:
            return values[node.all_input_nodes[0]]
        result = super().evaluate(node, values, inputs)
        for mark in node.all_input_nodes:
            if mark.target is OBSERVE and argument(mark, "group") in self._candidates:
                self._measure(node, mark, values, result)
        return result

    def _measure(
        self, node: fx.Node, mark: fx.Node, values: dict[fx.Node, Any], result: Any
    ) -> None:
        group = argument(mark, "group")
        sizes = [_squares(y, None, self._where(node, y)) or 1.0 for y in _floats(result)]
        known: dict[tuple[float, float], float] = {}
        for name, bounds in self._candidates[group].items():
            if bounds not in known:
                rounded = _quantized(values[mark], bounds, self._specs[group])
                errors = self._errors(node, mark, rounded, values, result)
                known[bounds] = sum(e / size for e, size in zip(errors, sizes, strict=True))
            self.costs[group][name] += known[bounds]

    def _errors(
        self,
        node: fx.Node,
        mark: fx.Node,
        rounded: torch.Tensor,
        values: dict[fx.Node, Any],
        result: Any,
    ) -> list[float]:
        """Return ‖y' - y‖² of each output when a mark's value is replaced."""
        args, kwargs = map_arg(
            (node.args, node.kwargs), lambda n: rounded if n is mark else values[n]
        )
        changed = _floats(self.call(node.target, args, kwargs))
        pairs = zip(changed, _floats(result), strict=True)
        return [_squares(other, exact, self._where(node, exact)) for other, exact in pairs]


def _quantized(values: torch.Tensor, bounds: tuple[float, float], spec: QuantSpec) -> torch.Tensor:
    scale, zero_point = spec.parameters(torch.tensor(bounds[0]), torch.tensor(bounds[1]))
    scale, zero_point = scale.to(values.device), zero_point.to(values.device)
    integers = QUANTIZE(values, scale, zero_point, spec.qmin, spec.qmax)
    return DEQUANTIZE(integers, scale, zero_point)  # type: ignore[no-any-return]


def _floats(result: Any) -> list[torch.Tensor]:
    leaves = pytree.tree_leaves(result)
    return [v for v in leaves if isinstance(v, torch.Tensor) and v.is_floating_point()]


def _squares(values: torch.Tensor, exact: torch.Tensor | None, where: torch.Tensor | None) -> float:
    """Return the sum of the squares of values, or of their difference, where it counts."""
    if values.dim() == 0 or values.numel() == 0:
        return float(((values - (0 if exact is None else exact)) ** 2).sum())
    rows = max(_PIECE * len(values) // values.numel(), 1)
    total = 0.0
    for start in range(0, len(values), rows):
        piece = values[start : start + rows]
        if exact is not None:
            piece = piece - exact[start : start + rows]
        if where is not None:
            there = where[start : start + rows] if len(where) > 1 else where
            piece = piece.masked_fill(~there, 0.0)
        total += float(torch.linalg.vector_norm(piece)) ** 2
    return total
