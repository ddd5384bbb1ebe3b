"""Which of two files is faster is said only where noise cannot have made it so."""

from __future__ import annotations

import itertools

import pytest

from rewrite.duel import Duel, fight


class File:
    """A file whose runs take the times given, in ms, over and over."""

    def __init__(self, *times):
        self.times = itertools.cycle(times)
        self.runs = 0

    def run(self, feeds):
        return {}

    def kernels(self):
        return []

    def latency(self, feeds, repeats=30, seconds=None):
        self.runs += repeats
        return [next(self.times) for _ in range(repeats)]


def test_a_clear_gain_is_won():
    duel = fight(File(2.0), File(1.5), {})
    assert duel.is_won
    assert duel.ratio == pytest.approx(0.75)


@pytest.mark.parametrize("times", [(2.0,), (1.97,), (2.5,)])
def test_what_is_as_fast_or_slower_or_barely_faster_is_not(times):
    assert not fight(File(2.0), File(*times), {}).is_won


def test_a_better_median_is_not_enough_where_turns_disagree():
    champion = (2.0, 1.0, 2.0, 1.0, 2.0)
    challenger = (1.5, 1.4, 1.5, 1.4, 1.5)
    duel = Duel(champion, challenger)
    assert duel.ratio < 0.98
    assert not duel.is_won


def test_slow_files_get_fewer_turns():
    slow, fast = File(1000.0), File(0.5)
    assert len(fight(slow, slow, {}).champion) < len(fight(fast, fast, {}).champion)
