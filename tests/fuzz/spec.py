"""A random model as data: what goes in, which statements run, what comes out."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any

Outputs = Any
"""The name of a value, or a list or dict of these."""


@dataclass
class Dim:
    """A dynamic size."""

    name: str
    low: int
    high: int
    sizes: list[int]
    """The first is the example's; the file is also run at the others."""


@dataclass
class Input:
    """One tensor that the model takes."""

    name: str
    kind: str
    """float, int or bool."""
    shape: list[int | str]
    """Fixed sizes, and names of dynamic ones."""
    high: int = 0
    """Integers are below it."""


@dataclass
class Step:
    """A few statements: what they read, and what they make."""

    op: str
    group: str
    reads: list[str]
    makes: list[str]
    code: list[str]
    init: list[str] = field(default_factory=list)

    def renamed(self, old: str, new: str) -> Step:
        """Return a step that reads another value."""
        code = [re.sub(rf"\b{old}\b", new, line) for line in self.code]
        reads = [new if name == old else name for name in self.reads]
        return Step(self.op, self.group, reads, self.makes, code, self.init)


@dataclass
class Spec:
    """A model; the same text makes the same model."""

    seed: int
    inputs: list[Input]
    dims: list[Dim]
    steps: list[Step]
    outputs: Outputs
    positional: bool = False
    """Whether inputs are a tuple, not a dict."""

    def as_text(self) -> str:
        """Return JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Spec:
        """Read what `as_text` wrote."""
        found = json.loads(text)
        return cls(
            found["seed"],
            [Input(**each) for each in found["inputs"]],
            [Dim(**each) for each in found["dims"]],
            [Step(**each) for each in found["steps"]],
            found["outputs"],
            found["positional"],
        )

    @property
    def ops(self) -> list[str]:
        """What the model is made of."""
        return [step.op for step in self.steps]


def leaves(outputs: Outputs) -> list[str]:
    """Return the names in a structure of outputs."""
    if isinstance(outputs, str):
        return [outputs]
    parts = outputs.values() if isinstance(outputs, dict) else outputs
    return [name for part in parts for name in leaves(part)]
