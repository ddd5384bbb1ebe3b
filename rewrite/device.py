"""Computing on a device: programs are on the CPU, and evaluated where the user wants it."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from rewrite.errors import UsageError
from rewrite.interpret import Intercept, Interpreter
from rewrite.program import Program

DEVICES = ("cpu", "cuda")


def check_device(name: str) -> None:
    """Make sure that a device can be used.

    Raises:
        UsageError: when torch does not find it.
    """
    if torch.device(name).type == "cuda" and not torch.cuda.is_available():
        why = "torch finds no GPU" if torch.version.cuda else "this torch is built for the CPU"
        raise UsageError(f"there is no device '{name}': {why}", hint="--device cpu")


class DeviceInterpreter(Interpreter):
    """Evaluates a program on a device; each weight is copied there once."""

    def __init__(self, program: Program, device: str, intercept: Intercept | None = None) -> None:
        super().__init__(program, intercept)
        check_device(device)
        self.device = torch.device(device)
        self._moved: dict[str, Any] = {}

    def run_inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Move the inputs, then evaluate."""
        args, kwargs = pytree.tree_map(self.move, (args, kwargs))
        return super().run_inputs(args, kwargs)

    def attribute(self, name: str) -> Any:
        """Return a weight, or the module of a subgraph, on the device."""
        if name not in self._moved:
            self._moved[name] = self.move(super().attribute(name))
        return self._moved[name]

    def call(self, overload: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Evaluate one call, on the device even if it names the one it was captured on."""
        args, kwargs = pytree.tree_map(self.move, (args, kwargs))
        return super().call(overload, args, kwargs)

    def forget(self) -> None:
        """Free what was copied to the device."""
        self._moved.clear()

    def move(self, value: Any) -> Any:
        """Return a tensor, a module or the name of a device as it is on the device."""
        if isinstance(value, torch.Tensor):
            return value.to(self.device)
        if isinstance(value, torch.device):
            return self.device
        if isinstance(value, nn.Module) and self.device.type != "cpu":
            return copy.deepcopy(value).to(self.device)
        return value
