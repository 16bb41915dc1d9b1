"""Closed bars as columns: every window lies in one piece, and a bar costs one place a column."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.domain.features.series import (
    BALANCE,
    BAR_INPUTS,
    BOUGHT,
    CLOSE,
    SERIES_BARS,
    SERIES_COLUMNS,
    VOLUME,
    VOLUME_SUM,
    WINDOW_MAX,
    place_of,
    push_bar,
    stretch_of,
    window_volume,
)
from engine.domain.kernel import python_of
from tests.feature_bars import random_bars

BARS = np.array(random_bars(3 * SERIES_BARS + 9), dtype=np.float64)


def empty() -> np.ndarray:
    return np.zeros((SERIES_COLUMNS, 2 * SERIES_BARS))


def test_every_window_holds_the_newest_bars_oldest_first() -> None:
    series = empty()
    for number, bar in enumerate(BARS):
        assert push_bar(series, number, bar)
        place = place_of(series, number)
        bars = min(number + 1, WINDOW_MAX + 1)  # and the bar before the longest window
        found = series[:BAR_INPUTS, place - bars + 1 : place + 1]
        expected = BARS[number - bars + 1 : number + 1].T.copy()
        expected[BALANCE] = 2 * expected[BOUGHT] - expected[VOLUME]
        np.testing.assert_array_equal(found, expected)


def test_a_bar_writes_one_place_of_each_column_but_for_the_first_of_a_lap() -> None:
    series = empty()
    for number, bar in enumerate(BARS):
        before = series.copy()
        push_bar(series, number, bar)
        written = np.flatnonzero((series != before).any(axis=0))
        if number % SERIES_BARS or number == 0:
            assert written.tolist() == [place_of(series, number)]
        else:
            moved = before[:, SERIES_BARS:].copy()
            moved[VOLUME_SUM] -= moved[VOLUME_SUM, -1]  # counted from the lap's end now
            assert np.array_equal(series[:, :SERIES_BARS], moved)


@given(st.integers(1, WINDOW_MAX), st.integers(0, 3 * SERIES_BARS), st.booleans())
def test_the_volume_of_a_window_is_that_of_its_bars(
    bars: int, number: int, is_peeked: bool
) -> None:
    series, traded = empty(), BARS.copy()
    traded[number // 2 : number // 2 + 40, [VOLUME, BOUGHT]] = 0.0
    for k in range(number + 1):
        if is_peeked:  # the bar as it would have been, more than once
            push_bar(series, k, BARS[-1] + (traded[k] - BARS[-1]) * [0, 0, 0, 0, 0, 0, 0, 1])
        push_bar(series, k, traded[k])
    expected = traded[max(number - bars + 1, 0) : number + 1, VOLUME].sum()
    assert window_volume(series, place_of(series, number), bars) == expected
    assert python_of(window_volume)(series, place_of(series, number), bars) == expected


@given(st.lists(st.floats(0.0, 1e9), min_size=140, max_size=140), st.integers(1, WINDOW_MAX))
def test_the_volume_of_a_window_is_never_below_zero(lots: list[float], bars: int) -> None:
    series = empty()
    for number, volume in enumerate(lots):
        bar = BARS[number].copy()
        bar[VOLUME], bar[BOUGHT] = volume, 0.0
        push_bar(series, number, bar)
        found = python_of(window_volume)(series, place_of(series, number), bars)
        assert found >= 0.0
        if not any(lots[max(number - bars + 1, 0) : number + 1]):
            assert found == 0.0


@pytest.mark.parametrize("number", [5, SERIES_BARS, 2 * SERIES_BARS])
def test_what_is_no_bar_changes_nothing_and_begins_no_lap(number: int) -> None:
    series = empty()
    for k in range(number):
        push_bar(series, k, BARS[k])
    before = series.copy()
    broken = BARS[number].copy()
    broken[CLOSE] = np.nan
    assert not push_bar(series, number, broken)
    np.testing.assert_array_equal(series, before)


@given(time_s=st.floats(-1e9, 1e10), length_s=st.sampled_from([60, 900, 3_600, 86_400, 604_800]))
@example(time_s=math.nextafter(1_700_006_400, 0), length_s=86_400)
@example(time_s=1_700_006_400, length_s=86_400)
def test_a_stretch_is_that_of_the_floor(time_s: float, length_s: float) -> None:
    assert stretch_of(time_s, length_s) == time_s // length_s
