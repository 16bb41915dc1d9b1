"""Schedules of a parent order: identities of every curve, and the published trajectory."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.execution.algorithms import live_curve
from engine.domain.execution.curve import (
    WHOLE,
    Curve,
    Risk,
    by_volume,
    curve_of,
    even,
    shortfall,
    urgency,
)

START_NS = 1_800_000_000_000_000_000
MINUTE_NS = 60_000_000_000
WEIGHTS = st.lists(st.integers(0, 10**12), min_size=1, max_size=40).filter(any)
LOTS = st.integers(1, 10**15)
PUBLISHED = Risk(volatility=0.95, temporary=2.5e-6, permanent=2.5e-7, aversion=1e-6)


def minutes(count: int) -> list[int]:
    return [START_NS + k * MINUTE_NS for k in range(count + 1)]


@given(WEIGHTS, LOTS, st.lists(st.integers(-(10**6), 50 * MINUTE_NS), max_size=20))
def test_what_is_due_rises_from_nothing_to_everything(
    weights: list[int], qty: int, offsets: list[int]
) -> None:
    curve = curve_of(minutes(len(weights)), weights)
    assert curve.due_lots(qty, START_NS) == 0
    assert curve.due_lots(qty, curve.times_ns[-1]) == qty
    due = [curve.due_lots(qty, START_NS + offset) for offset in sorted(offsets)]
    assert due == sorted(due)
    assert all(0 <= lots <= qty for lots in due)


@given(WEIGHTS, LOTS)
def test_slices_sum_to_the_order_and_are_in_proportion(weights: list[int], qty: int) -> None:
    curve = curve_of(minutes(len(weights)), weights)
    due = [curve.due_lots(qty, time_ns) for time_ns in curve.times_ns]
    slices = [after - before for before, after in pairwise(due)]
    assert sum(slices) == qty
    for lots, weight in zip(slices, weights, strict=True):
        exact = Fraction(qty * weight, sum(weights))
        assert abs(lots - exact) <= 1 + Fraction(qty, WHOLE)


@given(LOTS, st.integers(1, 10**15), st.integers(0, 10**15))
def test_twap_is_linear_in_time(qty: int, span_ns: int, offset_ns: int) -> None:
    curve = even(START_NS, START_NS + span_ns)
    offset_ns = min(offset_ns, span_ns)
    exact = Fraction(qty * offset_ns, span_ns)
    due = curve.due_lots(qty, START_NS + offset_ns)
    assert exact - 1 - Fraction(qty, WHOLE) <= due <= exact


@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=30), st.data())
def test_vwap_follows_the_bars_that_lie_in_its_time(lots: list[int], data: st.DataObject) -> None:
    bars = [(START_NS + k * MINUTE_NS, volume) for k, volume in enumerate(lots)]
    first = data.draw(st.integers(0, len(lots) - 1))
    last = data.draw(st.integers(first + 1, len(lots)))
    start_ns, end_ns = START_NS + first * MINUTE_NS, START_NS + last * MINUTE_NS
    curve = by_volume(start_ns, end_ns, bars)
    # The last bar lasts until the order ends, so it lies wholly in its time.
    inside = lots[first:last]
    for k, seen in enumerate(range(1, len(inside) + 1)):
        share = curve.share(start_ns + (k + 1) * MINUTE_NS)
        assert abs(Fraction(share, WHOLE) - Fraction(sum(inside[:seen]), sum(inside))) < 1e-8


def test_a_bar_that_opened_before_counts_by_what_is_left_of_it() -> None:
    bars = [(START_NS, 100), (START_NS + MINUTE_NS, 100)]
    start_ns = START_NS + MINUTE_NS // 2
    curve = by_volume(start_ns, START_NS + 2 * MINUTE_NS, bars)
    assert curve.share(START_NS + MINUTE_NS) == WHOLE // 3


def test_the_published_trajectory() -> None:
    kappa = urgency(PUBLISHED, 1.0)
    assert kappa == pytest.approx(0.607, abs=5e-4)
    curve = shortfall(START_NS, START_NS + 5 * MINUTE_NS, 5 * kappa, 5)
    held = [10**6 - curve.due_lots(10**6, time_ns) for time_ns in curve.times_ns]
    assert held == pytest.approx([10**6, 541_956, 289_854, 147_897, 62_142, 0], abs=1)


def test_without_aversion_a_shortfall_schedule_is_twap() -> None:
    kappa = urgency(PUBLISHED._replace(aversion=0.0), 1.0)
    assert kappa == 0.0
    curve, plain = shortfall(0, 600, kappa, 6), even(0, 600)
    for now_ns in range(0, 601, 7):
        assert abs(curve.share(now_ns) - plain.share(now_ns)) <= 1


@given(st.floats(0.01, 20.0), st.floats(1.05, 5.0), st.integers(2, 60))
def test_the_dearer_the_risk_the_earlier_it_trades(kappa: float, more: float, steps: int) -> None:
    span_ns = 10**13  # a nanosecond of rounding in a time is far below the tolerance
    slow, fast = (shortfall(0, span_ns, k, steps) for k in (kappa, kappa * more))
    for time_ns in slow.times_ns[1:-1]:
        assert fast.share(time_ns) >= slow.share(time_ns)
        assert slow.share(time_ns) >= even(0, span_ns).share(time_ns) - 1
        exact = 1 - math.sinh(kappa * (1 - time_ns / span_ns)) / math.sinh(kappa)
        assert slow.share(time_ns) / WHOLE == pytest.approx(exact, abs=1e-8)


@given(WEIGHTS, st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 100))
def test_a_live_curve_is_a_curve_that_begins_with_what_traded(
    weights: list[int], traded: int, expected: int, place: int
) -> None:
    curve = curve_of(minutes(len(weights)), weights)
    now_ns = START_NS + place * (curve.times_ns[-1] - START_NS) // 100
    live = live_curve(curve, now_ns, traded, expected)
    assert live.shares[0] == 0
    assert live.shares[-1] == WHOLE
    assert list(live.shares) == sorted(live.shares)
    assert list(live.times_ns) == sorted(set(live.times_ns))
    if live is not curve:
        rest = expected * (WHOLE - curve.share(now_ns)) // WHOLE
        assert live.share(now_ns) == WHOLE * traded // (traded + rest)


def test_twice_the_volume_seen_makes_the_rest_of_the_day_worth_less() -> None:
    curve = even(0, 1_000)
    live = live_curve(curve, 500, traded_lots=1_000, expected_lots=1_000)
    assert live.share(500) == WHOLE * 1_000 // 1_500
    assert live.share(750) == pytest.approx(WHOLE * 1_250 // 1_500, abs=2)


@pytest.mark.parametrize(
    ("times", "weights"),
    [
        ((0,), ()),
        ((0, 1), (1, 2)),
        ((0, 0), (1,)),
        ((1, 0), (1,)),
        ((0, 1, 2), (0, 0)),
        ((0, 1, 2), (2, -1)),
        (tuple(range(2_000)), (1,) * 1_999),
    ],
)
def test_what_is_no_curve_is_refused(times: tuple[int, ...], weights: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected|must"):
        curve_of(times, weights)


def test_schedules_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="weight"):
        by_volume(0, 10, [])
    with pytest.raises(ValueError, match="steps"):
        shortfall(0, 10, 1.0, 0)
    with pytest.raises(ValueError, match="urgency"):
        shortfall(0, 10, -1.0, 3)
    with pytest.raises(ValueError, match="temporary"):
        urgency(PUBLISHED._replace(temporary=1e-7), 1.0)


def test_before_the_start_nothing_and_after_the_end_everything_is_due() -> None:
    curve = Curve((10, 20), (0, WHOLE))
    assert (curve.share(9), curve.share(10), curve.share(20), curve.share(99)) == (
        0, 0, WHOLE, WHOLE
    )  # fmt: skip
