"""Who drops out of a race, and when."""

import pytest

from rewrite.quantization.race import Race


def run(parts, names=("a", "b", "c")):
    race = Race(names)
    for costs in parts:
        race.add(dict(zip(names, costs, strict=True)))
    return race


def test_what_is_worse_on_every_part_drops_out_after_four():
    parts = [(1.0, 1.5, 9.0), (2.0, 2.6, 18.0), (1.0, 1.5, 9.5)]
    assert run(parts).running == ["a", "b", "c"]
    decided = run([*parts, (3.0, 3.5, 28.0)])
    assert decided.running == [] and decided.best == "a"


def test_parts_are_paired():
    """A part that is ten times as hard for both says nothing against either."""
    hard = [(1.0, 1.1), (10.0, 11.0), (1.0, 1.1), (10.0, 11.1)]
    assert run(hard, ("a", "b")).running == []
    assert run(hard, ("a", "b")).best == "a"


def test_differences_that_vary_keep_a_race_open():
    parts = [(1.0, 1.3), (1.0, 1.01), (1.0, 1.4), (1.0, 0.95)]
    assert run(parts, ("a", "b")).running == ["a", "b"]
    assert run(parts * 8, ("a", "b")).running == []


def test_what_is_better_on_some_parts_stays():
    race = run([(1.0, 2.0), (2.0, 1.2), (1.0, 2.0), (2.0, 1.2)], ("a", "b"))
    assert race.running == ["a", "b"]
    race.add({"a": 9.0, "b": 1.0})
    assert race.best == "b"


@pytest.mark.parametrize(("share", "open_"), [(0.015, False), (0.03, True)])
def test_what_is_as_good_is_not_told_apart(share, open_):
    parts = [(1.0, 1.0 + 2 * share), (1.0, 1.0)] * 2
    race = run(parts, ("a", "b"))
    assert (race.running == ["a", "b"]) is open_
    assert race.best == "a"


def test_of_equals_the_first_is_best_and_one_alone_has_won():
    assert run([(1.0, 1.0, 2.0)]).best == "a"
    assert run([(3.0,)] * 4, ("a",)).running == []
    assert Race(("a", "b")).best == "a"
