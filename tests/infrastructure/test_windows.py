"""Slots and windows: what is counted where, with a clock of the test's own."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.windows import BOUNDS, SLOT_SECONDS, SLOTS, Distribution, Observed, Recent, merged, until_next_slot


def observed(*values: float) -> Distribution:
    one = Observed()
    for value in values:
        one.observe(value)
    return one.now()


@given(st.lists(st.floats(BOUNDS[0], BOUNDS[-1]), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_is_at_most_six_percent_off(values: list[float], share: float) -> None:
    ordered = sorted(values)
    rank = max(1, -int(-(share * len(values)) // 1))  # the nearest rank
    (found,) = observed(*values).percentiles((share,))
    assert found == pytest.approx(ordered[rank - 1], rel=0.06)


def test_nothing_has_no_percentile_and_no_mean() -> None:
    assert observed().percentiles((0.5, 0.99)) == [None, None]
    assert observed().mean is None


def test_what_is_beyond_the_bounds_is_counted_at_the_ends() -> None:
    assert observed(0.0, 1e9, 1e9).percentiles((0.1, 0.9)) == [BOUNDS[0], pytest.approx(BOUNDS[-1])]


def test_a_mean_is_exact() -> None:
    assert merged([observed(1.0, 2.0), observed(6.0)]).mean == 3.0


def test_an_hour_of_any_traffic_takes_the_same_room() -> None:
    recent, chance = Recent(("x",), 0.0), random.Random(1)
    for second in range(0, 3 * 3600, 5):
        recent.roll(float(second))
        for _ in range(20):
            recent.observed["x"].observe(chance.lognormvariate(0, 1))
            recent.count("asked")
    slots = recent.slots(1e9, 3 * 3600.0)
    assert len(slots) == SLOTS
    assert all(len(slot.seen["x"].buckets) <= 40 for slot in slots)
    window = recent.window(3600, 3 * 3600.0)
    assert window.count("asked") == window.seen["x"].count == 3600 / 5 * 20


def test_a_window_has_what_was_in_it_and_nothing_older() -> None:
    recent = Recent(("x",), 1000.0)
    for at in range(1000, 1300, 10):
        recent.roll(float(at))
        recent.count("asked")
        recent.observed["x"].observe(1.0 if at < 1200 else 2.0)
    minute, all_of_it = recent.window(60, 1299.0), recent.window(3600, 1299.0)
    assert (minute.count("asked"), minute.seconds) == (7, 69.0)
    assert minute.seen["x"].mean == 2.0
    assert (all_of_it.count("asked"), all_of_it.seconds) == (30, 299.0)
    assert all_of_it.a_minute("asked") == pytest.approx(30 * 60 / 299)


def test_after_a_pause_a_window_is_empty() -> None:
    recent = Recent(("x",), 0.0)
    recent.count("asked")
    recent.observed["x"].observe(1.0)
    window = recent.window(60, 500.0)
    assert (window.count("asked"), window.seen["x"].count, window.a_minute("asked")) == (0, 0, 0)
    assert recent.window(3600, 500.0).count("asked") == 1


def test_the_first_second_is_no_rate() -> None:
    recent = Recent((), 0.0)
    recent.count("asked")
    window = recent.window(60, 0.5)
    assert window.seconds == 1.0
    assert window.a_minute("asked") == 60 / SLOT_SECONDS


def test_totals_are_followed_by_what_they_grow() -> None:
    asked, total = 0, 40.0

    def counter() -> float:
        nonlocal asked
        asked += 1
        return total

    recent = Recent((), 0.0)
    recent.follow("hits", counter)
    total += 2
    assert recent.window(60, 5.0).count("hits") == 2
    recent.roll(10.0)
    total += 3
    assert recent.window(60, 11.0).count("hits") == 5
    assert [slot.counts for slot in recent.slots(60, 11.0)] == [{"hits": 2.0}]
    assert asked < 10


def test_levels_are_noted_at_the_end_of_a_slot() -> None:
    level = 1.0
    recent = Recent((), 0.0)
    recent.watch("memory", lambda: level)
    level = 7.0
    recent.roll(10.0)
    assert [(slot.ends_at, slot.levels) for slot in recent.slots(60, 10.0)] == [(10.0, {"memory": 7.0})]


@given(st.floats(0, 1e7))
def test_a_timer_that_is_a_millisecond_early_finds_its_slot_over(now: float) -> None:
    recent = Recent((), now)
    recent.roll(now + until_next_slot(now) - 0.001)
    assert len(recent.slots(60, now)) == 1
