"""What decides whether two results agree: the worst part of the worst output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rewrite.checks.channel_scales import channel_axes, unlike_channels
from rewrite.checks.joined_parts import Box, joined_parts
from rewrite.checks.matched_slots import match_slots
from rewrite.checks.ordered_slots import ordered_slots
from rewrite.program import Program

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Judged:
    """Two results, taken apart into what is compared on its own."""

    pairs: list[tuple[str, Tensor, Tensor]]
    """(name, expected, actual): outputs, or parts of them as `boxes[:, 0:4]`."""
    found: int = 0
    """Of the slots that a sort orders: those that are in the other result too."""
    slots: int = 0
    lost: str = ""
    """The output in whose order most of the others are, '' where none is missing."""


class Judge:
    """Takes the results of one program apart; every comparison of its outputs goes by it."""

    def __init__(self, program: Program) -> None:
        self.names = program.signature.output_names
        self._parts = joined_parts(program)
        self._orders = ordered_slots(program)
        self._channels = channel_axes(program)
        self._unlike: dict[str, list[list[int]]] = {}
        self._inputs = [node.meta.get("val") for node in program.inputs()]

    def take_apart(self, outputs: Mapping[str, Pair], inputs: Sequence[Any]) -> Judged:
        """Return what is to be compared, each on its own.

        Args:
            outputs: (expected, actual) by name, each pair of one shape.
            inputs: the flat inputs that they were computed from: sizes of parts depend on them.
        """
        sizes = self._sizes(inputs)
        waiting, pairs, found, slots = dict(outputs), [], 0, 0
        missing: dict[str, int] = {}
        for order in self._orders:
            given = {name: axis for name, axis in order.items() if name in waiting}
            values = [waiting[name][0] for name in given]
            # As a set the places of a sort alone are all there, whatever their order is.
            tells = any(value.is_floating_point() for value in values)
            if not tells or any(value.numel() == 0 for value in values):
                continue
            matched = match_slots(waiting, given)
            found, slots = found + matched.found, slots + matched.total
            missing[next(iter(given))] = matched.total - matched.found
            pairs += [(name, *pair) for name, pair in matched.outputs.items()]
            waiting = {name: pair for name, pair in waiting.items() if name not in given}
        for name, (expected, actual) in waiting.items():
            pairs += [
                (label, expected[index], actual[index])
                for label, index in self._cuts(name, expected, sizes)
            ]
        order_of = {name: place for place, name in enumerate(outputs)}
        pairs.sort(key=lambda pair: order_of[pair[0].partition("[")[0]])
        lost = max(missing, key=missing.__getitem__) if slots > found else ""
        return Judged(pairs, found, slots, lost)

    def _cuts(self, name: str, value: Tensor, sizes: dict[Any, int]) -> list[tuple[str, Any]]:
        boxes = [_bound(box, sizes) for box in self._parts.get(name, [])]
        if boxes and all(box is not None and _fits(box, value) for box in boxes):
            indices = [_index(box, value.dim()) for box in boxes if box is not None]
            return [(f"{name}[{_text(index)}]", index) for index in indices]
        axis = self._channels.get(name)
        if axis is None or not value.is_floating_point():
            return [(name, ...)]
        groups = self._unlike.setdefault(name, unlike_channels(value, axis))
        if len(groups) < 2 or max(map(max, groups)) >= value.shape[axis]:
            return [(name, ...)]
        before = (slice(None),) * axis
        return [
            (f"{name}[{':, ' * axis}{_channels_text(group)}]", (*before, torch.tensor(group)))
            for group in groups
        ]

    def _sizes(self, inputs: Sequence[Any]) -> dict[Any, int]:
        found: dict[Any, int] = {}
        for val, given in zip(self._inputs, inputs, strict=True):
            if not isinstance(val, Tensor) or not isinstance(given, Tensor):
                continue
            for symbolic, size in zip(val.shape, given.shape, strict=True):
                if hasattr(symbolic, "node"):
                    found[symbolic.node.expr] = size
        return found


def _bound(box: Box, sizes: dict[Any, int]) -> dict[int, tuple[int, int]] | None:
    bound = {}
    for axis, span in box.items():
        ends = [end.subs(sizes) if hasattr(end, "subs") else end for end in span]
        if any(hasattr(end, "is_number") and not end.is_number for end in ends):
            return None
        bound[axis] = (int(ends[0]), int(ends[1]))
    return bound


def _fits(box: Mapping[int, tuple[int, int]], value: Tensor) -> bool:
    return all(0 <= low <= high <= value.shape[axis] for axis, (low, high) in box.items())


def _index(box: Mapping[int, tuple[int, int]], rank: int) -> tuple[slice, ...]:
    return tuple(slice(*box[axis]) if axis in box else slice(None) for axis in range(rank))


def _text(index: Sequence[slice]) -> str:
    """Write an index as Python does, without the axes at the end that are taken whole."""
    spans = [":" if s == slice(None) else f"{s.start}:{s.stop}" for s in index]
    while spans and spans[-1] == ":":
        spans.pop()
    return ", ".join(spans)


def _channels_text(group: Sequence[int]) -> str:
    if len(group) == group[-1] - group[0] + 1:
        return f"{group[0]}:{group[-1] + 1}"
    return f"{group[0]} and {len(group) - 1} more"
