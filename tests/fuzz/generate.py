"""From a seed to a model."""

from __future__ import annotations

import random
from typing import Any

import torch

from .builder import Builder, Skip, Value
from .spec import Spec
from .steps.registry import load
from .themes import theme

_TRIES = 80
_LONGEST = 7
_MOST_OUTPUTS = 4


def generate(seed: int) -> Spec:
    """Return the model of a seed: always the same one."""
    rng = random.Random(f"model {seed}")
    groups = load()
    names = sorted(groups)
    # Every group leads in turn, and the rest of a model comes from anywhere.
    leading = names[seed % len(names)]
    torch.manual_seed(seed)
    builder = Builder(rng, *theme(rng))
    wanted = rng.randint(2, _LONGEST)
    for _ in range(_TRIES):
        if len(builder.steps) >= wanted:
            break
        group = leading if rng.random() < 0.4 else rng.choice(names)
        add_step(builder, group, rng.choice(sorted(groups[group])))
    positional = rng.random() < 0.4
    return builder.spec(seed, _outputs(rng, builder), positional)


def add_step(builder: Builder, group: str, op: str) -> bool:
    """Try one step."""
    builder.group, builder.op = group, op
    try:
        load()[group][op](builder)
    except Skip:
        return False
    return True


def _outputs(rng: random.Random, builder: Builder) -> Any:
    """Choose what comes out: mostly what nobody reads, in one of several structures."""
    made = [v for v in builder.values if v.made_by != "input"]
    unread = [v for v in made if not v.read]
    some = unread[-_MOST_OUTPUTS:] or made[-1:]
    if len(some) > 1 and rng.random() < 0.2:
        some = some[1:]
    if made and rng.random() < 0.2:
        some = _with(some, rng.choice(made))
    if rng.random() < 0.05:
        some = _with(some, builder.values[0])
    names = [v.name for v in some]
    if not names:
        return {"echo": builder.values[0].name}
    if len(names) == 1 and rng.random() < 0.7:
        return names[0]
    form = rng.choice(("tuple", "dict", "nested"))
    if form == "tuple":
        return names
    if form == "dict":
        return {f"out_{name}": name for name in names}
    return {"first": names[0], "rest": names[1:]} if len(names) > 1 else [names]


def _with(values: list[Value], more: Value) -> list[Value]:
    return values if more in values else [*values, more]
