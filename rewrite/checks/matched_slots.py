"""Slots of two results paired as sets: each with the one that is most like it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rewrite.checks.ordered_slots import Slots

_LEAST = 1e-30
_FOUND = 0.1
"""A slot is found where its error has no more than this share of its energy (10 dB)."""
_STAYED = 1e-4
"""One that is as like as this (40 dB) to what is in its place needs no other."""
_AT_ONCE = 1024
"""Slots that are compared each with each; those that are not found go with the next ones."""

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
        places, alike = _pair_up(pairs)
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


def _pair_up(pairs: Mapping[str, Pair]) -> tuple[Tensor, Tensor]:
    """Return the place of the actual slot for each expected one, and which are alike.

    Those that are not alike have no place.

    Args:
        pairs: (expected, actual) by name, each [slots, values].
    """
    least = {name: _least_energy(left) for name, (left, _) in pairs.items()}
    count = next(iter(pairs.values()))[0].shape[0]
    places = torch.arange(count)
    alike = _unlike(pairs, least, places, places) <= _STAYED
    left = right = torch.empty(0, dtype=torch.long)
    moved = (~alike).nonzero().flatten()
    by_size = _is_one_number(pairs) and len(moved) > _AT_ONCE
    step = len(moved) if by_size else _AT_ONCE
    for start in range(0, len(moved), step):
        new = moved[start : start + step]
        left, right = (torch.cat([old[-_AT_ONCE:], new]) for old in (left, right))
        if by_size:
            rows, columns = _by_size(pairs, left, right)
        else:
            rows, columns = _most_alike_first(_distances(pairs, least, left, right))
        found = _unlike(pairs, least, left[rows], right[columns]) <= _FOUND
        rows, columns = rows[found], columns[found]
        places[left[rows]], alike[left[rows]] = right[columns], True
        left, right = _without(left, rows), _without(right, columns)
    return places, alike


def _without(values: Tensor, places: Tensor) -> Tensor:
    """Return the values that are not at some places."""
    kept = torch.ones(len(values), dtype=torch.bool)
    kept[places] = False
    return values[kept]


def _is_one_number(pairs: Mapping[str, Pair]) -> bool:
    values = [left for left, _ in pairs.values()]
    return len(values) == 1 and values[0].shape[1] == 1 and values[0].is_floating_point()


def _by_size(pairs: Mapping[str, Pair], left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Pair single numbers: the smallest with the smallest, which moves them least in all."""
    ((expected, actual),) = pairs.values()
    return expected[left].flatten().argsort(), actual[right].flatten().argsort()


def _least_energy(left: Tensor) -> float:
    """Return a hundredth of what slots of an output have on average."""
    if not left.is_floating_point():
        return 1.0
    return float(0.01 * left.double().nan_to_num().square().sum(1).mean().clamp(min=_LEAST))


def _unlike(
    pairs: Mapping[str, Pair], least: Mapping[str, float], left: Tensor, right: Tensor
) -> Tensor:
    """Return how unlike slots are, one by one, as `_distances` does."""
    worst = torch.zeros(len(left), dtype=torch.float64)
    for name, (expected, actual) in pairs.items():
        one, other = expected[left], actual[right]
        if expected.is_floating_point():
            a, b = one.double().nan_to_num(), other.double().nan_to_num()
            found = (a - b).square().sum(1) / a.square().sum(1).clamp(min=least[name])
        else:
            found = (one != other).double().mean(1)
        worst = torch.maximum(worst, found)
    return worst


def _distances(
    pairs: Mapping[str, Pair], least: Mapping[str, float], left: Tensor, right: Tensor
) -> Tensor:
    """Return how unlike slots are: [expected, actual], the worst output counts; 0 is equal.

    Of floats it is the energy of the difference, as a share of the slot's or, where that is larger,
    of the least one; of integers, the share that differs.
    """
    worst = 1e-12 * (left[:, None] - right[None]).abs().double()
    for name, (expected, actual) in pairs.items():
        one, other = expected[left], actual[right]
        if expected.is_floating_point():
            a, b = one.double().nan_to_num(), other.double().nan_to_num()
            energy = a.square().sum(1)
            noise = energy[:, None] + b.square().sum(1)[None] - 2 * a @ b.T
            found = noise.clamp(min=0) / energy.clamp(min=least[name])[:, None]
        else:
            # Each with each at once would take as much memory again for every value of a slot.
            found = torch.cdist(one.double(), other.double(), p=0) / max(one.shape[1], 1)
        worst = torch.maximum(worst, found)
    return worst


def _most_alike_first(distances: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows and columns in pairs, as if the smallest distance of all was taken in turn.

    A row and a column each of which is nearest to the other are a pair of that order, whatever is
    taken before: all of these are taken at once. What is not alike is no pair.
    """
    open_ = torch.where(distances <= _FOUND, distances, math.inf)
    left, right = (torch.arange(size) for size in open_.shape)
    rows, columns = ([torch.empty(0, dtype=torch.long)] for _ in range(2))
    while True:
        # What is like nothing that is left is out.
        some, other = (open_.isfinite().any(dim) for dim in (1, 0))
        open_, left, right = open_[some][:, other], left[some], right[other]
        if not len(left):
            return torch.cat(rows), torch.cat(columns)
        nearest = open_.argmin(1)
        mutual = open_.argmin(0)[nearest] == torch.arange(len(left))
        rows.append(left[mutual])
        columns.append(right[nearest[mutual]])
        open_[mutual] = math.inf
        open_[:, nearest[mutual]] = math.inf
