"""Whether every node computes the dtype and shape that its `meta["val"]` announces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import fx

from rewrite.interpret import Interpreter
from rewrite.program import Program


def wrong_values(program: Program, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[str]:
    """Run a program and return one line for each node that yields something else."""
    checker = _Checker(program)
    checker.run_inputs(args, kwargs)
    return checker.wrong


class _Checker(Interpreter):
    """Compares each value with what its node announces, sizes bound by the actual inputs."""

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self.wrong: list[str] = []
        self._sizes: dict[Any, int] = {}

    def evaluate(self, node: fx.Node, values: dict[fx.Node, Any], inputs: Iterator[Any]) -> Any:
        """Evaluate one node and compare."""
        value = super().evaluate(node, values, inputs)
        if "val" not in node.meta:
            self.wrong.append(f"{node.name} has no meta['val']")
            return value
        announced = node.meta["val"]
        if node.op == "placeholder":
            self._bind(announced, value)
        self._compare(node.name, announced, value)
        return value

    def _bind(self, announced: Any, value: Any) -> None:
        if not isinstance(announced, torch.Tensor) or not isinstance(value, torch.Tensor):
            return
        sizes: tuple[Any, ...] = tuple(announced.shape)
        for size, actual in zip(sizes, value.shape, strict=False):
            if isinstance(size, torch.SymInt) and size.node.expr.is_Symbol:
                self._sizes[size.node.expr] = actual

    def _compare(self, name: str, announced: Any, value: Any) -> None:
        if isinstance(announced, (tuple, list)):
            for index, (one, actual) in enumerate(zip(announced, value, strict=False)):
                self._compare(f"{name}[{index}]", one, actual)
            return
        if not isinstance(value, torch.Tensor):
            return
        if not isinstance(announced, torch.Tensor):
            self.wrong.append(f"{name} announces {type(announced).__name__}, but is a tensor")
            return
        shape = tuple(self._size(s) for s in announced.shape)
        fits = len(shape) == value.dim() and all(
            s is None or s == actual for s, actual in zip(shape, value.shape, strict=True)
        )
        if announced.dtype != value.dtype or not fits:
            self.wrong.append(
                f"{name} announces {announced.dtype}{list(announced.shape)}, "
                f"but is {value.dtype}{list(value.shape)}"
            )

    def _size(self, size: Any) -> int | None:
        """Return a size under the actual inputs, None when they do not decide it."""
        if not isinstance(size, torch.SymInt):
            return int(size)
        bound = size.node.expr.subs(self._sizes)
        return int(bound) if bound.is_number else None
