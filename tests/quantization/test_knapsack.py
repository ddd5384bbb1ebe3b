"""One point for each item: against all choices there are."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from rewrite.knapsack import Point, least_noise, least_room

SETTINGS = settings(max_examples=200, deadline=None, derandomize=True, database=None)
SMALL = st.lists(
    st.lists(st.builds(Point, st.integers(0, 40), st.integers(0, 1000).map(float)), min_size=1)
    .map(lambda points: points[:4]),
    min_size=1,
    max_size=5,
)  # fmt: skip
UNITS = 2**16


def totals(items, picked):
    points = [points[index] for points, index in zip(items, picked, strict=True)]
    return sum(p.bytes for p in points), sum(p.noise for p in points)


def best(items, room):
    """Return (noise, bytes) of the best choice, by trying all; None when nothing fits."""
    tried = [
        (sum(p.noise for p in chosen), sum(p.bytes for p in chosen))
        for chosen in itertools.product(*items)
    ]
    return min((each for each in tried if each[1] <= room), default=None)


@SETTINGS
@given(SMALL, st.integers(0, 160))
def test_it_is_the_best_of_all_choices(items, room):
    picked = least_noise(items, room)
    expected = best(items, room)
    if expected is None:
        assert picked is None
        return
    size, noise = totals(items, picked)
    assert (noise, size) == expected


@SETTINGS
@given(SMALL, st.integers(0, 160), st.integers(2000, 100_000))
def test_a_wide_room_costs_at_most_a_unit_for_each_item(items, room, factor):
    """Bytes that are no multiple of the unit: what is rounded up is bounded."""
    wide = [[Point(p.bytes * factor + 1, p.noise) for p in points] for points in items]
    room *= factor
    picked = least_noise(wide, room)
    slack = room - sum(min(p.bytes for p in points) for points in wide)
    if slack < 0:
        assert picked is None
        return
    size, noise = totals(wide, picked)
    assert size <= room
    narrower = best(wide, room - len(wide) * (slack // UNITS + 1))
    if narrower is not None:
        assert noise <= narrower[0]


def test_what_a_multiplier_cannot_reach():
    """The middle point lies inside the convex hull, and is the best that fits."""
    item = [Point(0, 10.0), Point(6, 9.0), Point(10, 0.0)]
    assert least_noise([item], 8) == [1]


def test_of_equal_noise_the_fewest_bytes():
    assert least_noise([[Point(8, 1.0), Point(4, 1.0), Point(6, 1.0)]], 100) == [1]


@SETTINGS
@given(SMALL, st.integers(0, 4000))
def test_the_least_room_is_enough(items, noise):
    room = least_room(items, noise)
    if room is None:
        assert best(items, 10**6)[0] > noise
        return
    assert best(items, room)[0] <= noise
    low = sum(min(p.bytes for p in points) for points in items)
    tolerance = sum(max(p.bytes for p in points) for points in items) // 256 + 1
    smaller = best(items, room - tolerance - 1)
    assert room == low or smaller is None or smaller[0] > noise
