"""Slots paired as sets."""

from __future__ import annotations

import time

import pytest
import torch

from rewrite.checks.matched_slots import match_slots


def shuffled(values: torch.Tensor, reach: int, noise: float) -> torch.Tensor:
    """Return rows that are moved by some places, and changed a little."""
    generator = torch.Generator().manual_seed(1)
    places = torch.arange(len(values)) + reach * torch.rand(len(values), generator=generator)
    return (values + noise * torch.randn(values.shape, generator=generator))[places.argsort()]


def one_by_one(expected: torch.Tensor, actual: torch.Tensor) -> list[tuple[int, int]]:
    """Pair the rows of least difference first, each once."""
    energy = expected.double().square().sum(1)
    least = 0.01 * energy.mean()
    noise = (expected[:, None] - actual[None]).double().square().sum(2)
    shares = noise / energy.clamp(min=least)[:, None]
    pairs: list[tuple[int, int]] = []
    for place in shares.flatten().argsort().tolist():
        row, column = divmod(place, len(actual))
        if all(row != r and column != c for r, c in pairs):
            pairs.append((row, column))
    return [(r, c) for r, c in pairs if shares[r, c] <= 0.1]


@pytest.mark.parametrize("seed", range(5))
def test_the_most_alike_are_paired_first(seed):
    torch.manual_seed(seed)
    expected = torch.randn(40, 3)
    actual = expected[torch.randperm(40)] + 0.1 * torch.randn(40, 3)
    matched = match_slots({"rows": (expected, actual)}, {"rows": 0})
    pairs = sorted(one_by_one(expected, actual))
    assert (matched.found, matched.total) == (len(pairs), 40)
    left, right = (value.reshape(-1, 3) for value in matched.outputs["rows"])
    assert torch.equal(left, expected[[row for row, _ in pairs]])
    assert torch.equal(right, actual[[column for _, column in pairs]])


@pytest.mark.parametrize("width", [1, 4])
def test_many_slots_are_paired_in_seconds(width):
    torch.manual_seed(0)
    expected = torch.randn(20_000, width)
    actual = shuffled(expected, 300, 1e-4)
    started = time.perf_counter()
    matched = match_slots({"rows": (expected, actual)}, {"rows": 0})
    assert time.perf_counter() - started < 30
    assert matched.total == 20_000
    assert matched.found >= 19_900


def test_many_slots_that_are_like_nothing_are_not_found():
    torch.manual_seed(0)
    expected = torch.randn(5_000, 4)
    matched = match_slots({"rows": (expected, torch.randn(5_000, 4) + 10)}, {"rows": 0})
    assert matched.found == 0
    assert matched.outputs["rows"][0].numel() == 0


def test_labels_go_with_their_scores():
    scores = torch.tensor([[3.0], [2.0], [1.0]])
    labels = torch.tensor([[7], [8], [9]])
    outputs = {"scores": (scores, scores[[1, 0, 2]]), "labels": (labels, labels[[1, 0, 2]])}
    matched = match_slots(outputs, {"scores": 0, "labels": 0})
    assert matched.found == 3
    assert all(torch.equal(*pair) for pair in matched.outputs.values())
    outputs["labels"] = (labels, labels)
    assert match_slots(outputs, {"scores": 0, "labels": 0}).found == 1
