"""Slots of two results paired as sets: each with the one that is most like it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rewrite.checks.ordered_slots import Slots

_LEAST = 1e-30
_FOUND = 0.1
"""A slot is found where its error has no more than this share of its energy (10 dB)."""

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Matched:
    """Outputs of one order, their slots in pairs."""

    outputs: dict[str, Pair]
    """(expected, actual) by name, of the slots that were found, flat."""
    found: int
    total: int


def match_slots(outputs: Mapping[str, Pair], slots: Slots) -> Matched:
    """Pair the slots of two results, the most alike first, whatever their places are.

    Args:
        outputs: (expected, actual), of the same shape, by name.
        slots: the axis along which they lie, for each of these outputs.
    """
    rows = {name: [_rows(t, axis, _batches(outputs, slots)) for t in outputs[name]]
            for name, axis in slots.items()}  # fmt: skip
    total = found = 0
    kept: dict[str, tuple[list[Tensor], list[Tensor]]] = {name: ([], []) for name in slots}
    count = next(iter(rows.values()))[0].shape[0]
    for batch in range(count):
        pairs = {name: (left[batch], right[batch]) for name, (left, right) in rows.items()}
        places, alike = _assign(_distances(pairs))
        total += len(places)
        found += int(alike.sum())
        for name, (left, right) in pairs.items():
            kept[name][0].append(left[alike].flatten())
            kept[name][1].append(right[places][alike].flatten())
    merged = {name: (torch.cat(left), torch.cat(right)) for name, (left, right) in kept.items()}
    return Matched(merged, found, total)


def _batches(outputs: Mapping[str, Pair], slots: Slots) -> bool:
    """Tell whether all outputs have rows of their own order: a first axis in front of the slots."""
    sizes = {outputs[name][0].shape[0] for name, axis in slots.items() if axis > 0}
    return len(sizes) == 1 and all(axis > 0 for axis in slots.values())


def _rows(value: Tensor, axis: int, batched: bool) -> Tensor:
    """Return a tensor as [batch, slots, the rest]."""
    if batched:
        moved = value.movedim(axis, 1)
        return moved.reshape(moved.shape[0], moved.shape[1], -1)
    moved = value.movedim(axis, 0)
    return moved.reshape(1, moved.shape[0], -1)


def _distances(pairs: Mapping[str, Pair]) -> Tensor:
    """Return how unlike slots are: [expected, actual], the worst output counts; 0 is equal.

    Of floats it is the energy of the difference, as a share of the slot's or, where that is larger,
    a hundredth of what slots of that output have on average; of integers, 1 where they differ.
    """
    worst: Tensor | None = None
    for left, right in pairs.values():
        if left.is_floating_point():
            a, b = left.double().nan_to_num(), right.double().nan_to_num()
            energy = a.square().sum(1)
            least = 0.01 * energy.mean().clamp(min=_LEAST)
            noise = energy[:, None] + b.square().sum(1)[None] - 2 * a @ b.T
            found = noise.clamp(min=0) / energy.clamp(min=float(least))[:, None]
        else:
            found = (left[:, None] != right[None]).double().mean(-1)
        worst = found if worst is None else torch.maximum(worst, found)
    assert worst is not None
    return worst


def _assign(distances: Tensor) -> tuple[Tensor, Tensor]:
    """Return the place of the actual slot for each expected one, and which are alike."""
    count = distances.shape[0]
    places = torch.arange(count)
    alike = torch.zeros(count, dtype=torch.bool)
    steps = torch.arange(count)
    nearest = distances + 1e-12 * (steps[:, None] - steps[None]).abs()
    left, right = set(range(count)), set(range(count))
    for place in nearest.flatten().argsort().tolist():
        row, column = divmod(place, count)
        if row in left and column in right:
            left.discard(row)
            right.discard(column)
            places[row] = column
            alike[row] = bool(distances[row, column] <= _FOUND)
            if not left:
                break
    return places, alike
