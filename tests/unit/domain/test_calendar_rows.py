"""Days, weeks and months over a year of hours: what runs, what was before, and the day's delta.

Compared with a plain pass over the bars by `datetime`, which keeps the spans it saw whole.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from tests.feature_bars import CATALOGUE, Bar, batch, random_bars

BARS = random_bars(6_000, seed=41)
Key = Callable[[datetime], object]
SPANS: dict[str, Key] = {
    "day": lambda at: at.date(),
    "week": lambda at: (at - timedelta(days=at.weekday())).date(),
    "month": lambda at: (at.year, at.month),
}
Row = tuple[float, float]
NAN = float("nan")


def at_utc(bar: Bar) -> datetime:
    return datetime.fromtimestamp(bar.start_s, UTC)


def spans(key: Key) -> tuple[list[Row], list[Row]]:
    """Return, for each bar, high and low of the running span and of the last whole one.

    A span is seen whole when a bar of another span came before it.
    """
    running: list[Row] = []
    before: list[Row] = []
    newest: object = None
    inside: list[Bar] = []
    is_whole = False
    last: Row = (NAN, NAN)
    for bar in BARS:
        name = key(at_utc(bar))
        if name != newest:
            if is_whole:
                last = max(it.high for it in inside), min(it.low for it in inside)
            is_whole = newest is not None
            newest, inside = name, []
        inside.append(bar)
        extremes = max(it.high for it in inside), min(it.low for it in inside)
        running.append(extremes if is_whole else (NAN, NAN))
        before.append(last)
    return running, before


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return batch(BARS)


def in_prices(features: np.ndarray, name: str) -> np.ndarray:
    """Return float64[bars, 2]: the high and the low that a row speaks of."""
    closes = np.array([bar.close for bar in BARS])
    atr = features[:, CATALOGUE.bar_columns.index("volatility.atr_bps")] / 1e4 * closes
    high, low = (CATALOGUE.bar_columns.index(f"{name}.{it}") for it in ("high", "low"))
    return np.stack([closes + features[:, high] * atr, closes - features[:, low] * atr], axis=1)


@pytest.mark.parametrize("span", SPANS)
def test_the_running_span_has_the_extremes_of_its_bars_so_far(
    span: str, features: np.ndarray
) -> None:
    expected = np.array(spans(SPANS[span])[0])
    expected[:14] = np.nan
    found = in_prices(features, f"calendar.{span}_running")
    np.testing.assert_allclose(found, expected, rtol=1e-9, equal_nan=True)


@pytest.mark.parametrize("span", SPANS)
def test_the_span_before_has_the_extremes_of_all_its_bars(span: str, features: np.ndarray) -> None:
    expected = np.array(spans(SPANS[span])[1])
    expected[:14] = np.nan
    found = in_prices(features, f"calendar.{span}_before")
    np.testing.assert_allclose(found, expected, rtol=1e-9, equal_nan=True)


@pytest.mark.parametrize("span", SPANS)
def test_the_close_lies_within_the_running_span(span: str, features: np.ndarray) -> None:
    for side in ("high", "low"):
        column = CATALOGUE.bar_columns.index(f"calendar.{span}_running.{side}")
        known = features[~np.isnan(features[:, column]), column]
        assert len(known) > 4_000
        assert (known >= 0).all()


def test_the_days_delta_is_of_the_day_alone(features: np.ndarray) -> None:
    found = features[:, CATALOGUE.bar_columns.index("volume.day_delta")]
    bought, volume, newest = 0.0, 0.0, at_utc(BARS[0]).date()
    first = newest
    for k, bar in enumerate(BARS):
        day = at_utc(bar).date()
        if day != newest:
            bought, volume, newest = 0.0, 0.0, day
        bought += bar.bought
        volume += bar.volume
        if day == first:
            assert np.isnan(found[k])
        else:
            assert found[k] == pytest.approx((2 * bought - volume) / volume, abs=1e-12)


def test_a_day_bought_whole_has_a_delta_of_one_from_its_first_bar_on() -> None:
    bars = [bar._replace(bought=bar.volume) for bar in BARS[:60]]
    found = batch(bars)[:, CATALOGUE.bar_columns.index("volume.day_delta")]
    known = found[~np.isnan(found)]
    assert len(known) > 30
    assert (known == 1.0).all()


def test_fractals_are_the_newest_of_a_year(features: np.ndarray) -> None:
    found = in_prices(features, "trend.fractals_2")
    highs, lows = (np.array([getattr(bar, it) for bar in BARS]) for it in ("high", "low"))
    newest: list[float] = [NAN, NAN]
    for k in range(4, len(BARS)):
        others = [k - 4, k - 3, k - 1, k]
        if highs[k - 2] > highs[others].max():
            newest[0] = highs[k - 2]
        if lows[k - 2] < lows[others].min():
            newest[1] = lows[k - 2]
        if k >= 14:
            np.testing.assert_allclose(found[k], newest, rtol=1e-9, equal_nan=True)
