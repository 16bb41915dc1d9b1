"""Cycles: a wave is measured as long as it is, a line is no wave, and still prices have none."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from tests.feature_bars import CATALOGUE, Bar, batch, random_bars, timed

PERIOD, PHASE, SINE, LEAD, TREND, ANGLE = range(6)
FIRST = CATALOGUE.bar_columns.index("cycle.hilbert.period")
CYBER = CATALOGUE.bar_columns.index("cycle.cyber")
ROOFING = CATALOGUE.bar_columns.index("cycle.roofing_10_48")
ATR = CATALOGUE.bar_columns.index("volatility.atr_bps")
COUNT = 400
LEVEL = 100_000.0


def along(closes: Sequence[float]) -> list[Bar]:
    """Return bars that close there, each from the close before."""
    return timed(
        [
            Bar(before, max(before, close) + 1, min(before, close) - 1, close, 10, 5)
            for before, close in zip([closes[0], *closes], closes, strict=False)
        ]
    )


def wave(period: float, height: float = 200.0, count: int = COUNT) -> list[float]:
    """Return closes of a sine around a level."""
    return [LEVEL + height * math.sin(2 * math.pi * k / period) for k in range(count)]


def cycle(closes: Sequence[float]) -> np.ndarray:
    """Return float64[bars, 6] of the Hilbert row."""
    return batch(along(closes))[:, FIRST : FIRST + 6]


@pytest.mark.parametrize("period", [12, 16, 20, 25, 30, 36])
def test_the_period_of_a_wave_is_measured(period: int) -> None:
    found = cycle(wave(period))[200:, PERIOD] * 50
    assert np.abs(found / period - 1).max() < 0.15


@pytest.mark.parametrize("period", [16, 24, 32])
def test_sine_and_lead_sine_go_with_the_wave(period: int) -> None:
    found = cycle(wave(period))[200:]
    turns = 2 * np.pi * np.arange(200, COUNT) / period
    assert np.corrcoef(found[:, SINE], np.sin(turns))[0, 1] > 0.9
    assert np.corrcoef(found[:, LEAD], np.sin(turns + np.pi / 4))[0, 1] > 0.9


def test_a_wave_is_no_trend_and_a_rise_is_one() -> None:
    assert cycle(wave(20))[200:, TREND].mean() < 0.1
    rising = [LEVEL * 1.01**k for k in range(COUNT)]
    assert cycle(rising)[200:, TREND].mean() > 0.9


@pytest.mark.parametrize("seed", range(4))
def test_readings_stay_in_their_ranges(seed: int) -> None:
    found = batch(random_bars(1_000, seed))[86:, FIRST : FIRST + 6]
    assert (found[:, PERIOD] >= 6 / 50 - 1e-12).all()
    assert (found[:, PERIOD] <= 1 + 1e-12).all()
    assert (found[:, PHASE] > -0.25 - 1e-12).all()
    assert (found[:, PHASE] <= 1.75).all()
    assert (np.abs(found[:, [SINE, LEAD, ANGLE]]) <= 1).all()
    assert set(found[:, TREND]) <= {0.0, 1.0}


def test_sines_are_those_of_the_phase() -> None:
    found = batch(random_bars(500, 9))[86:, FIRST : FIRST + 6]
    turns = found[:, PHASE] * np.pi
    np.testing.assert_allclose(found[:, SINE], np.sin(turns), atol=1e-12)
    np.testing.assert_allclose(found[:, LEAD], np.sin(turns + np.pi / 4), atol=1e-12)


def test_the_period_changes_with_the_wave() -> None:
    closes = [*wave(16, count=240), *wave(32, count=320)]
    found = cycle(closes)[:, PERIOD] * 50
    assert abs(found[230] - 16) < 2.5
    assert abs(found[-1] - 32) < 5


def test_a_price_that_stands_has_no_cycle_and_moves_give_it_one_again() -> None:
    still = [*wave(20, count=150), *([LEVEL] * 120), *wave(20, count=250)]
    found = cycle(still)
    assert not np.isnan(found[100:150]).any()
    assert np.isnan(found[220:270]).all()
    assert not np.isnan(found[280:]).any()
    assert abs(found[-1, PERIOD] * 50 - 20) < 3


def test_a_phase_is_the_same_at_any_level_and_height() -> None:
    one = cycle(wave(20))
    other = cycle([it * 3 for it in wave(20)])
    np.testing.assert_allclose(one[86:], other[86:], rtol=1e-6, atol=1e-6)


def strength(period: float, column: int) -> float:
    """Return how much of a wave passes a filter, in heights of the wave."""
    found = batch(along(wave(period, count=600)))[300:]
    price = found[:, column] * found[:, ATR] / 1e4 * LEVEL
    return float(np.sqrt((price**2).mean()) * math.sqrt(2) / 200.0)


def test_the_roof_passes_what_lies_under_it() -> None:
    inside = strength(20, ROOFING)
    assert 0.5 < inside < 1.3
    assert strength(4, ROOFING) < inside / 5
    assert strength(200, ROOFING) < inside / 2


def test_the_cyber_cycle_follows_waves_and_not_lines() -> None:
    assert 0.5 < strength(15, CYBER) < 1.5
    line = batch(along([LEVEL + 5 * k for k in range(COUNT)]))
    assert abs(line[-1, CYBER]) < 1e-3
