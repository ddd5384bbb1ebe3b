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
Select = Callable[[fx.Node, torch.Tensor], torch.Tensor]


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
        select: Select,
    ) -> None:
        super().__init__(program, device)
        self._candidates = candidates
        self._specs = specs
        self._select = select
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
        known: dict[tuple[float, float], float] = {}
        for name, bounds in self._candidates[group].items():
            if bounds not in known:
                rounded = _quantized(values[mark], bounds, self._specs[group])
                known[bounds] = self._cost(node, mark, rounded, values, result)
            self.costs[group][name] += known[bounds]

    def _cost(
        self,
        node: fx.Node,
        mark: fx.Node,
        rounded: torch.Tensor,
        values: dict[fx.Node, Any],
        result: Any,
    ) -> float:
        args, kwargs = map_arg(
            (node.args, node.kwargs), lambda n: rounded if n is mark else values[n]
        )
        changed = self.call(node.target, args, kwargs)
        pairs = zip(pytree.tree_leaves(result), pytree.tree_leaves(changed), strict=True)
        cost = 0.0
        for exact, other in pairs:
            if isinstance(exact, torch.Tensor) and exact.is_floating_point():
                wrong = self._select(node, other - exact)
                size = _squares(self._select(node, exact))
                cost += _squares(wrong) / (size or 1.0)
        return cost


def _quantized(values: torch.Tensor, bounds: tuple[float, float], spec: QuantSpec) -> torch.Tensor:
    scale, zero_point = spec.parameters(torch.tensor(bounds[0]), torch.tensor(bounds[1]))
    scale, zero_point = scale.to(values.device), zero_point.to(values.device)
    integers = QUANTIZE(values, scale, zero_point, spec.qmin, spec.qmax)
    return DEQUANTIZE(integers, scale, zero_point)  # type: ignore[no-any-return]


def _squares(values: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(values)) ** 2
