"""From a seed to a model."""

from __future__ import annotations

import random
from typing import Any

import torch

from .builder import Builder, Skip, Value
from .registry import load
from .spec import Spec
from .themes import theme

_TRIES = 80
_THEMES = 8
"""Tried until the leading step fits."""
_STRIDE = 37
"""Shares no factor with the number of steps, so that neighbouring seeds are of unlike groups."""
Kind = tuple[str, str]
"""A group, and one of its steps."""
_LONGEST = 7
_WIDE, _EVERY = 16, 4
"""Steps of a wide model, of which all results come out; and every which model is one."""
_MOST_OUTPUTS = 4


def generate(seed: int, lead: Kind | None = None) -> Spec:
    """Return the model of a seed: always the same one; `lead` is a step that it is to have."""
    every = [(group, op) for group, ops in sorted(load().items()) for op in sorted(ops)]
    # Every kind of step leads in turn, its group behind it; the rest comes from anywhere.
    leading = lead or every[seed * _STRIDE % len(every)]
    is_wide = seed % _EVERY == _EVERY - 1
    for attempt in range(_THEMES):
        rng = random.Random(f"model {seed}, {attempt}")
        torch.manual_seed(seed)
        builder = Builder(rng, *theme(rng))
        _grow(builder, leading, every, _WIDE if is_wide else rng.randint(2, _LONGEST))
        if any((step.group, step.op) == leading for step in builder.steps):
            break
    outputs = _all(builder) if is_wide else _outputs(rng, builder)
    return builder.spec(seed, outputs, rng.random() < 0.4)


def _grow(builder: Builder, leading: Kind, every: list[Kind], wanted: int) -> None:
    """Add steps; the leading one as soon as it fits."""
    rng, group = builder.rng, [each for each in every if each[0] == leading[0]]
    for _ in range(_TRIES):
        if len(builder.steps) >= wanted:
            break
        is_in = any(step.op == leading[1] for step in builder.steps)
        kinds = [rng.choice(group), rng.choice(every), rng.choice(every)]
        add_step(builder, *rng.choice(kinds if is_in else [leading, *kinds]))


def add_step(builder: Builder, group: str, op: str) -> bool:
    """Try one step."""
    builder.group, builder.op = group, op
    try:
        load()[group][op](builder)
    except Skip:
        return False
    return True


def _all(builder: Builder) -> Any:
    return [v.name for v in builder.values if v.made_by != "input"] or [builder.values[0].name]


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
