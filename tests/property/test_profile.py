"""Volume by price: what the value area holds, and what does not change it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.features import profile as kernels
from engine.domain.features.plan import PROFILE_BINS
from engine.domain.features.series import SERIES_BARS, SERIES_COLUMNS, place_of, push_bar
from engine.domain.kernel import python_of
from tests.feature_bars import CATALOGUE, Bar, batch, random_bars

WINDOW = 50
FIRST = CATALOGUE.bar_columns.index(f"profile.value_area_{WINDOW}.control")
ATR_BPS = CATALOGUE.bar_columns.index("volatility.atr_bps")
SEEDS = st.integers(0, 10_000)


def uncompiled() -> AbstractContextManager[Any]:
    """Return a stretch of time in which the profile's kernels, and theirs, are plain Python."""
    plain = {name: python_of(it) for name, it in vars(kernels).items() if hasattr(it, "py_func")}
    return patch.dict(vars(kernels), plain)


@pytest.mark.parametrize("form", [nullcontext, uncompiled], ids=["compiled", "plain"])
@given(SEEDS, st.integers(2, 40), st.sampled_from([1, 3, 40]), st.sampled_from([1, 2, 500]))
def test_bins_that_were_carried_over_hold_what_bins_filled_afresh_do(
    form: Callable[[], AbstractContextManager[Any]], seed: int, bars: int, step: int, most: int
) -> None:
    series = np.zeros((SERIES_COLUMNS, 2 * SERIES_BARS))
    carried, found, expected = np.zeros(PROFILE_BINS + 2), np.zeros(4), np.zeros(4)
    with form():
        for number, bar in enumerate(random_bars(SERIES_BARS + 50, seed, step=step)):
            volume = bar.volume % most  # of one lot: nothing trades at all
            push_bar(series, number, np.array(bar._replace(volume=volume, bought=0), dtype=float))
            place, afresh = place_of(series, number), np.zeros(PROFILE_BINS + 2)
            kernels.write_profile(series, place, number, bars, 0.5, carried, 0, found, 0)
            kernels.write_profile(series, place, number, bars, 0.5, afresh, 0, expected, 0)
            np.testing.assert_array_equal(found, expected)
            if afresh[-1] > 0.0:
                np.testing.assert_array_equal(carried, afresh)


def profile(bars: list[Bar]) -> tuple[float, float, float, float]:
    """Return point of control, upper and lower edge as prices, and the place, of the last bar."""
    last = batch(bars)[-1]
    close = bars[-1].close
    atr = last[ATR_BPS] / 1e4 * close
    control, upper, lower, place = last[FIRST : FIRST + 4]
    return close - control * atr, close + upper * atr, close - lower * atr, place


def typical(bar: Bar) -> float:
    return (bar.high + bar.low + bar.close) / 3


@given(SEEDS)
def test_the_value_area_holds_seven_tenths_of_the_volume_and_no_bin_too_many(seed: int) -> None:
    bars = random_bars(WINDOW + 20, seed)
    window = bars[-WINDOW:]
    control, upper, lower, _ = profile(bars)
    width = (max(bar.high for bar in window) - min(bar.low for bar in window)) / 24
    total = sum(bar.volume for bar in window)

    def held(low: float, high: float) -> float:
        slack = width * 1e-9
        inside = [bar for bar in window if low - slack <= typical(bar) <= high + slack]
        return sum(bar.volume for bar in inside) / total

    assert held(lower, upper) >= 0.7 - 1e-12
    assert lower < control < upper
    if upper - lower > 1.5 * width:
        one_less = max(held(lower + width, upper), held(lower, upper - width))
        assert one_less <= held(lower, upper)
        assert min(held(lower + width * 1.001, upper), held(lower, upper - width * 1.001)) < 0.7


@given(SEEDS, st.integers(0, WINDOW - 1))
def test_the_point_of_control_is_where_one_bar_traded_more_than_all_others(
    seed: int, at: int
) -> None:
    bars = random_bars(WINDOW + 20, seed)
    k = len(bars) - WINDOW + at
    bars[k] = bars[k]._replace(volume=10**7, bought=5)
    window = bars[-WINDOW:]
    width = (max(bar.high for bar in window) - min(bar.low for bar in window)) / 24
    control, upper, lower, _ = profile(bars)
    assert abs(control - typical(bars[k])) <= width / 2 * (1 + 1e-6)
    assert upper - lower == pytest.approx(width, rel=1e-6)


@given(SEEDS, st.integers(2, 1_000))
def test_more_of_everything_changes_nothing(seed: int, factor: int) -> None:
    bars = random_bars(WINDOW + 20, seed)
    more = [bar._replace(volume=bar.volume * factor, bought=bar.bought * factor) for bar in bars]
    np.testing.assert_allclose(profile(more), profile(bars), rtol=1e-12)


@given(SEEDS)
def test_what_traded_before_the_window_changes_nothing(seed: int) -> None:
    bars = random_bars(WINDOW + 40, seed)
    other = [bar._replace(volume=1, bought=1) for bar in bars[:40]] + bars[40:]
    np.testing.assert_array_equal(profile(other), profile(bars))


@given(SEEDS)
def test_the_place_says_on_which_side_of_the_area_the_close_lies(seed: int) -> None:
    bars = random_bars(WINDOW + 20, seed)
    _, upper, lower, place = profile(bars)
    close = bars[-1].close
    expected = (2 * close - upper - lower) / (upper - lower)
    assert place == pytest.approx(expected, abs=1e-6)
    assert (place > 1 + 1e-6) <= (close > upper)
    assert (place < -1 - 1e-6) <= (close < lower)
