"""A day's volume, learned from minutes: its curve, what it expects, and when it says nothing."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.execution.algorithms import LiveVolume
from engine.domain.execution.asked import NS_PER_S, Asked, Least, Method
from engine.domain.execution.curve import WHOLE
from engine.domain.execution.parent import Look, Place, step
from engine.domain.execution.profile import (
    DAYS_MAX,
    DAYS_MIN,
    QUARTER_NS,
    QUARTERS,
    DayProfile,
    Shape,
    quarters,
)

MINUTE_NS = 60 * NS_PER_S
HOUR_NS = 3_600 * NS_PER_S
DAY_NS = 24 * HOUR_NS
MIDNIGHT = 20_000 * DAY_NS
CLOCK = 77_000_000_000  # of the curve, at the span's start


def u_shaped(minute: int) -> int:
    """Return the lots of a minute of the day: many at both ends, few at noon."""
    return 10 + (abs(minute - 720) // 60) ** 2


def heard(days: int, lots: Callable[[int], int] = u_shaped) -> DayProfile:
    """Return a profile that has heard so many days, and the bar after them."""
    profile = DayProfile()
    start = MIDNIGHT - days * DAY_NS - QUARTER_NS
    for time_ns in range(start, MIDNIGHT + MINUTE_NS, MINUTE_NS):
        minute = time_ns // MINUTE_NS % 1_440
        profile.add(time_ns, lots(minute))
    return profile


def shares(profile: DayProfile, parts: int) -> list[float]:
    """Return how much of a day's order is due in each part of the day."""
    curve = profile.curve(MIDNIGHT, MIDNIGHT + DAY_NS, CLOCK)
    due = [curve.share(CLOCK + DAY_NS * k // parts) for k in range(parts + 1)]
    return [(after - before) / WHOLE for before, after in pairwise(due)]


def test_a_u_shaped_day_gives_a_u_shaped_schedule() -> None:
    profile = heard(DAYS_MIN)
    assert profile.shape(MIDNIGHT, MIDNIGHT + DAY_NS) is Shape.LEARNED
    of_hours = shares(profile, 24)
    whole = sum(u_shaped(minute) for minute in range(1_440))
    for hour, share in enumerate(of_hours):
        lots = sum(u_shaped(minute) for minute in range(hour * 60, hour * 60 + 60))
        assert share == pytest.approx(lots / whole, abs=1e-6)
    assert of_hours[0] > 5 * of_hours[12] < of_hours[23]
    assert sum(of_hours) == pytest.approx(1.0)


def test_fewer_days_than_asked_for_say_nothing_of_any_span_they_miss() -> None:
    assert heard(DAYS_MIN - 1).shape(MIDNIGHT, MIDNIGHT + HOUR_NS) is Shape.EVEN_UNKNOWN
    profile = heard(DAYS_MIN)
    profile.days[40] -= 1
    ten = MIDNIGHT + 40 * QUARTER_NS
    assert profile.shape(MIDNIGHT, ten) is Shape.LEARNED
    assert profile.shape(MIDNIGHT, ten + 1) is Shape.EVEN_UNKNOWN


def test_a_span_in_which_nothing_ever_traded_is_silent() -> None:
    profile = heard(DAYS_MIN, lambda minute: 0 if minute < 60 else 5)
    assert profile.shape(MIDNIGHT, MIDNIGHT + HOUR_NS) is Shape.EVEN_SILENT
    assert profile.shape(MIDNIGHT, MIDNIGHT + 2 * HOUR_NS) is Shape.LEARNED


def test_a_quarter_that_was_not_heard_whole_is_not_learned() -> None:
    profile = DayProfile()
    minutes = [*range(5, 20), *range(65, 90), *range(90, 106)]
    learned = [m for m in minutes if profile.add(MIDNIGHT + m * MINUTE_NS, 1)]
    assert learned == [90, 105], "not from 5 on, not the one after a hole of three quarters"
    assert [place for place, days in enumerate(profile.days) if days] == [5, 6]
    assert profile.means[5] == 15.0


def test_a_bar_from_before_what_is_heard_changes_nothing() -> None:
    profile = heard(DAYS_MIN)
    before = list(profile.means)
    assert not profile.add(MIDNIGHT - DAY_NS, 10**9)
    profile.add(MIDNIGHT + QUARTER_NS, 0)
    assert profile.means[1:] == before[1:]


def test_the_mean_is_of_the_last_days() -> None:
    profile = heard(DAYS_MAX + 30, lambda _: 10)
    assert profile.days == [DAYS_MAX] * QUARTERS
    for time_ns in range(MIDNIGHT + MINUTE_NS, MIDNIGHT + DAY_NS + HOUR_NS, MINUTE_NS):
        profile.add(time_ns, 30)
    assert profile.means[1] == pytest.approx(150 + 300 / DAYS_MAX * (2 - 1 / DAYS_MAX))


def test_what_is_expected_has_the_pace_of_now_and_the_shape_of_the_day() -> None:
    profile = heard(DAYS_MIN, lambda minute: 10 if minute < 60 else 30)
    two = (MIDNIGHT, MIDNIGHT + 2 * HOUR_NS)
    assert profile.expected_lots(*two, 0) == 60 * 10 + 60 * 30
    # Today trades twice as much as usual: 20 a minute now, so 60 a minute later.
    assert profile.expected_lots(*two, 120 * 20) == 60 * 20 + 60 * 60


@given(st.integers(0, 10 * DAY_NS), st.integers(1, 7 * DAY_NS))
def test_quarters_are_the_span_whole(start_ns: int, length_ns: int) -> None:
    spans = quarters(start_ns, start_ns + length_ns)
    assert sum(length for _, length in spans) == length_ns
    assert all(0 < length <= QUARTER_NS and 0 <= place < QUARTERS for place, length in spans)


@given(
    st.lists(st.floats(0.0, 1e9), min_size=QUARTERS, max_size=QUARTERS).filter(any),
    st.integers(0, DAY_NS),
    st.integers(NS_PER_S, 2 * DAY_NS),
    st.integers(1, 10**9),
    st.integers(0, 10**11),
)
def test_any_day_makes_a_schedule_that_is_the_whole_order_and_keeps_its_cap(
    means: list[float], start_ns: int, span_ns: int, qty: int, volume: int
) -> None:
    profile = DayProfile(means, [DAYS_MIN] * QUARTERS)
    end_ns = start_ns + span_ns
    if profile.shape(start_ns, end_ns) is not Shape.LEARNED:
        return
    curve = profile.curve(start_ns, end_ns, CLOCK)
    assert (curve.times_ns[0], curve.times_ns[-1]) == (CLOCK, CLOCK + span_ns)
    assert (curve.due_lots(qty, CLOCK), curve.due_lots(qty, CLOCK + span_ns)) == (0, qty)
    assert list(curve.shares) == sorted(curve.shares)
    expected = profile.expected_lots(start_ns, end_ns, 0)
    for cap in (0.0, 0.1):
        asked = Asked(Method.VWAP, 1, qty, span_s=span_ns / NS_PER_S, patience_s=0.5, cap=cap)
        plan = asked.plan(Least(), CLOCK, curve=curve, expected_lots=expected)
        assert isinstance(plan.algorithm, LiveVolume)
        filled = 0
        for part in range(21):
            traded = volume * part // 20
            look = Look(CLOCK + span_ns * part // 20, 100, 101, filled, traded)
            intent = step(plan.parent, plan.algorithm, look)
            filled += intent.child.qty_lots if isinstance(intent, Place) else 0
            assert filled <= qty
            assert cap == 0.0 or filled <= traded // 10
        assert cap > 0.0 or filled == qty, "the whole order, whatever the market did"
