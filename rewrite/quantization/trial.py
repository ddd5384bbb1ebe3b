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
from rewrite.quantization.race import Race
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
    Every run is one part of the data in a race for each group.
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
        self._costs: dict[str, dict[str, float]] = {}
        self._races = {group: Race(_unlike(ranges)) for group, ranges in candidates.items()}

    @property
    def decided(self) -> bool:
        """Whether no race is open."""
        return not any(race.running for race in self._races.values())

    @property
    def chosen(self) -> dict[str, str]:
        """The candidate of each group that costs least so far."""
        return {group: race.best for group, race in self._races.items()}

    def run_inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Evaluate one part of the data, and let what costs too much drop out."""
        self._costs = {g: dict.fromkeys(r.running, 0.0) for g, r in self._races.items()}
        outputs = super().run_inputs(args, kwargs)
        for group, race in self._races.items():
            if race.running:
                race.add(self._costs[group])
        return outputs

    def evaluate(self, node: fx.Node, values: dict[fx.Node, Any], inputs: Iterator[Any]) -> Any:
        """Evaluate one node; where it reads marks, once more for each of their ranges."""
        if node.target is OBSERVE:
            return values[node.all_input_nodes[0]]
        result = super().evaluate(node, values, inputs)
        for mark in node.all_input_nodes:
            if mark.target is OBSERVE and self._costs.get(argument(mark, "group")):
                self._measure(node, mark, values, result)
        return result

    def _measure(
        self, node: fx.Node, mark: fx.Node, values: dict[fx.Node, Any], result: Any
    ) -> None:
        group = argument(mark, "group")
        exact = [(y, self._where(node, y)) for y in _floats(result)]
        sizes = [_squares(y, None, there) or 1.0 for y, there in exact]
        for name in self._costs[group]:
            bounds = self._candidates[group][name]
            rounded = _quantized(values[mark], bounds, self._specs[group])
            given = {**{n: values[n] for n in node.all_input_nodes}, mark: rounded}
            args, kwargs = map_arg((node.args, node.kwargs), given.__getitem__)
            changed = _floats(self.call(node.target, args, kwargs))
            for other, (y, there), size in zip(changed, exact, sizes, strict=True):
                self._costs[group][name] += _squares(other, y, there) / size


def _unlike(ranges: Ranges) -> list[str]:
    """Return the names of ranges, the first one of those that are equal."""
    first = {bounds: name for name, bounds in reversed(list(ranges.items()))}
    return [name for name, bounds in ranges.items() if first[bounds] == name]


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
            piece = _kept(piece, there)
        total += float(torch.linalg.vector_norm(piece)) ** 2
    return total


def _kept(piece: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    """Return what has the norm of the values that count.

    A mask over whole rows is laid over their norms, which are fewer than the values by far.
    """
    if there.shape[-1] == 1:
        piece, there = torch.linalg.vector_norm(piece, dim=-1), there.squeeze(-1)
    return piece.masked_fill(~there, 0.0)
