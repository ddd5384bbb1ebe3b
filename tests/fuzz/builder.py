"""A model while it is made: each step is run at once, at several sizes, and kept if it can be."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .spec import Dim, Input, Spec, Step

LARGEST = 20_000
"""Of numbers in a tensor: models are small."""
HIGHEST = 1e4
"""Of a value: what grows without end says nothing."""


class Skip(Exception):
    """A step does not fit here."""


@dataclass
class Value:
    """A tensor of the model, as it is at each of the sizes that are tried."""

    name: str
    tensors: list[Tensor]
    read: bool = False
    made_by: str = ""

    @property
    def rank(self) -> int:
        return self.tensors[0].dim()

    @property
    def dtype(self) -> torch.dtype:
        return self.tensors[0].dtype

    @property
    def is_float(self) -> bool:
        return self.dtype.is_floating_point

    @property
    def dims(self) -> list[int | None]:
        """Sizes; None where they differ between draws."""
        shapes = zip(*(t.shape for t in self.tensors), strict=True)
        return [sizes[0] if len(set(sizes)) == 1 else None for sizes in shapes]

    def size(self, index: int) -> str:
        """Return code for a size: a number, or a question to the tensor."""
        fixed = self.dims[index]
        return f"{self.name}.shape[{index}]" if fixed is None else str(fixed)

    def least(self, index: int) -> int:
        """Return the smallest size of a dimension."""
        return min(t.shape[index] for t in self.tensors)


@dataclass
class Builder:
    """Makes a spec step by step."""

    rng: random.Random
    inputs: list[Input]
    dims: list[Dim]
    values: list[Value] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    group: str = ""
    op: str = ""
    _count: int = 0

    def __post_init__(self) -> None:
        self.module = nn.Module()
        count = max([len(dim.sizes) for dim in self.dims], default=1)
        self._names: list[dict[str, Any]] = []
        for turn in range(count):
            sizes = {dim.name: dim.sizes[turn % len(dim.sizes)] for dim in self.dims}
            drawn = {each.name: _draw(each, sizes, turn) for each in self.inputs}
            self._names.append({"self": self.module, "torch": torch, "nn": nn, "F": F} | drawn)
        for each in self.inputs:
            tensors = [names[each.name] for names in self._names]
            self.values.append(Value(each.name, tensors, made_by="input"))

    # What steps choose from.

    def pick(
        self,
        rank: int | Sequence[int] | None = None,
        fits: Callable[[Value], bool] = lambda value: True,
        kind: str = "float",
    ) -> Value:
        """Choose a value; those that nobody has read yet are likelier."""
        ranks = (rank,) if isinstance(rank, int) else rank
        found = [v for v in self.values if _is(v, kind) and (ranks is None or v.rank in ranks)]
        found = [v for v in found if fits(v)]
        if not found:
            raise Skip(self.op)
        weights = [(1 if v.read else 6) * (1 + place) for place, v in enumerate(found)]
        return self.rng.choices(found, weights)[0]

    def channels(self, value: Value, index: int) -> int:
        """Return a size that must be fixed, as that of channels."""
        size = value.dims[index]
        if size is None:
            raise Skip(f"{self.op}: a dynamic number of channels")
        return size

    def choose(self, *choices: Any) -> Any:
        return self.rng.choice(choices)

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def number(self, low: float = 0.2, high: float = 2.0) -> float:
        return round(self.rng.uniform(low, high), 3)

    def seed(self) -> int:
        return self.rng.randrange(10_000)

    # What steps write.

    def layer(self, made: str, *reads: Value, tail: str = "") -> Value:
        """Add a module and its call."""
        name = self.fresh("m")
        given = ", ".join(v.name for v in reads)
        return self.block([f"{{0}} = self.{name}({given}){tail}"], reads, [f"self.{name} = {made}"])

    def weight(self, *shape: int, scale: float = 1.0) -> tuple[str, str]:
        """Return (code that reads a new weight, statement that makes it)."""
        name = self.fresh("w")
        sizes = ", ".join(map(str, shape))
        made = f"self.{name} = nn.Parameter({scale} * torch.randn({sizes}))"
        return f"self.{name}", made

    def call(self, code: str, *reads: Value, init: Sequence[str] = ()) -> Value:
        """Add a statement of one result."""
        return self.block([f"{{0}} = {code}"], reads, init)

    def block(
        self, code: Sequence[str], reads: Sequence[Value], init: Sequence[str] = (), makes: int = 1
    ) -> Any:
        """Add statements; `{0}`, `{1}` … stand for the names of what they make."""
        names = [self.fresh("v") for _ in range(makes)]
        lines = [line.replace(f"{{{i}}}", n) for line in code for i, n in [(0, names[0])]]
        for i, name in enumerate(names[1:], start=1):
            lines = [line.replace(f"{{{i}}}", name) for line in lines]
        step = Step(self.op, self.group, [v.name for v in reads], names, lines, list(init))
        made = self._run(step)
        self.steps.append(step)
        self.values += made
        for value in reads:
            value.read = True
        return made[0] if makes == 1 else made

    def fresh(self, letter: str) -> str:
        self._count += 1
        return f"{letter}{self._count}"

    def _run(self, step: Step) -> list[Value]:
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                exec("\n".join(step.init), self._names[0])
                self.module.eval()
                for names in self._names:
                    exec("\n".join(step.code), names)
        except Exception as error:
            raise Skip(f"{step.op}: {type(error).__name__}: {error}") from error
        return [Value(name, self._made(name), made_by=step.op) for name in step.makes]

    def _made(self, name: str) -> list[Tensor]:
        tensors = [names[name] for names in self._names]
        for tensor in tensors:
            if not isinstance(tensor, Tensor) or tensor.is_complex():
                raise Skip(f"{self.op}: {name} is {type(tensor).__name__}")
            if not 0 < tensor.numel() <= LARGEST or tensor.dim() > 6:
                raise Skip(f"{self.op}: {name} has {tensor.numel()} numbers")
            if not bool(tensor.isfinite().all()) or float(tensor.double().abs().max()) > HIGHEST:
                raise Skip(f"{self.op}: {name} has no end")
        if len({(t.dim(), t.dtype) for t in tensors}) > 1:
            raise Skip(f"{self.op}: {name} has another rank at another size")
        return tensors

    def spec(self, seed: int, outputs: Any, positional: bool) -> Spec:
        return Spec(seed, self.inputs, self.dims, self.steps, outputs, positional)


def _is(value: Value, kind: str) -> bool:
    if kind == "any":
        return True
    if kind == "float":
        return value.is_float
    return (value.dtype == torch.bool) == (kind == "bool") and not value.is_float


def _draw(each: Input, sizes: dict[str, int], turn: int) -> Tensor:
    shape = [sizes[s] if isinstance(s, str) else s for s in each.shape]
    generator = torch.Generator().manual_seed(turn)
    if each.kind == "float":
        return torch.randn(shape, generator=generator)
    if each.kind == "int":
        return torch.randint(0, each.high, shape, generator=generator)
    return torch.rand(shape, generator=generator) < 0.7
