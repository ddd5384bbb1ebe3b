"""The quantizers between a program's calls and its outputs, which no layer reads."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx
from torch.fx.node import map_arg

from rewrite.interpret import Interpreter
from rewrite.program import Program
from rewrite.quantization.markers import MARKERS
from rewrite.schema import argument


class OutputQuantizers:
    """What rounds a call's result on the way to an output.

    Args:
        program: with quantizers, simulated.
    """

    def __init__(self, program: Program) -> None:
        self._interpreter = Interpreter(program)
        self._chains: dict[str, list[fx.Node]] = {}
        for node in program.outputs():
            chain: list[fx.Node] = []
            while isinstance(node, fx.Node) and node.target in MARKERS:
                chain.insert(0, node)
                node = argument(node, "x")
            if chain and isinstance(node, fx.Node):
                self._chains[node.name] = chain

    def round(self, name: str, value: Any) -> Any:
        """Return what the output is where the call of this name gives `value`: often the same."""
        for marker in self._chains.get(name, ()):
            value = self._apply(marker, value)
        return value

    def _apply(self, marker: fx.Node, value: Any) -> Any:
        source = argument(marker, "x")

        def look_up(node: fx.Node) -> Any:
            return value if node is source else self._interpreter.attribute(str(node.target))

        args, kwargs = map_arg((marker.args, marker.kwargs), look_up)
        with torch.no_grad():
            return self._interpreter.call(marker.target, args, kwargs)
