"""Small models and contexts that the tests of the built-in passes share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from rewrite_plugins import rewrite_calibrators
from torch import nn

from rewrite import Context, Outcome, Pass, Program, Target, capture
from rewrite.pipeline import run_passes
from rewrite.plugin_host import PluginHost

GOLDEN = Path(__file__).parent / "golden"
CALIBRATORS = {calibrator.name: calibrator for calibrator in rewrite_calibrators()}


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return seeded normal values."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Call(nn.Module):
    """A module that calls a function with itself and its inputs; keywords become its members."""

    def __init__(self, function: Callable[..., Any], **members: Any) -> None:
        super().__init__()
        self.function = function
        for name, member in members.items():
            value = nn.Parameter(member) if isinstance(member, torch.Tensor) else member
            setattr(self, name, value)

    def forward(self, *inputs: Any) -> Any:
        return self.function(self, *inputs)


def target(name: str = "portable", **changes: str) -> Target:
    """Read a built-in target, after textual changes of the form old=new given as pairs."""
    text = (resources.files("rewrite_plugins") / "targets" / f"{name}.toml").read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return Target.parse(text, name).resolved(PluginHost().targets())


def context(data: Iterable[Any] | None = None, name: str = "portable") -> Context:
    """Return what a quantizing pass needs; `data` are calibration batches."""
    batches = None if data is None else list(data)
    return Context(
        target=target(name),
        calibration=None if batches is None else lambda: iter(batches),
        calibrators=dict(CALIBRATORS),
    )


def captured(model: nn.Module, *inputs: Any, dynamic: Any = None) -> Program:
    """Capture a seeded model in evaluation mode."""
    return capture(model.eval(), inputs, dynamic)


def run(program: Program, *passes: Pass, context: Context | None = None) -> Program:
    """Run passes with all checks and return the program."""
    return run_passes(program, passes, context or Context()).program


def outcome(program: Program, pass_: Pass, context: Context | None = None) -> Outcome:
    """Run one pass with all checks and return what it reports."""
    return run_passes(program, [pass_], context or Context()).reports[0].outcome


def lines(program: Program) -> list[str]:
    """Return the calls of a program as text, without types."""
    return [line.partition("  #")[0].strip() for line in program.text().splitlines()[1:-1]]


def ops(program: Program) -> list[str]:
    """Return the operators of a program in order."""
    return [line.partition(" = ")[2].partition("(")[0] for line in lines(program)]


def read_weights(program: Program) -> list[str]:
    """Return the names of the weights that calls read, in order of first use."""
    read = (n for call in program.graph.nodes for n in call.all_input_nodes if n.op == "get_attr")
    return list(dict.fromkeys(str(n.target) for n in read))
