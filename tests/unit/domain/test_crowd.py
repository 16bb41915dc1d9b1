"""The crowd's mood: extremes of what is known, bar by bar, and nothing made of what is not."""

import numpy as np
import pytest

from engine.domain.features.series import (
    FUNDING_RATE_BPS,
    LIQUIDATED_BUYS,
    LIQUIDATED_SELLS,
    MARK_BASIS_BPS,
    NEWS_WEIGHT,
    OPEN_INTEREST_LOTS,
)
from tests.feature_bars import CATALOGUE, Bar, batch, random_bars, random_context, timed

COUNT = 300
BARS = random_bars(COUNT, seed=31)
COLUMNS = {name: k for k, name in enumerate(CATALOGUE.bar_columns)}
EXTREMES = {
    "crowd.funding_extreme_90": FUNDING_RATE_BPS,
    "crowd.basis_extreme_90": MARK_BASIS_BPS,
}


def read(name: str, context: np.ndarray, bars: list[Bar] = BARS) -> np.ndarray:
    """Return one column over the bars."""
    return batch(bars, context)[:, COLUMNS[name]]


def known(**words: object) -> np.ndarray:
    """Return a context; words are numbers of its columns."""
    context = random_context(COUNT)
    for word, values in words.items():
        context[:, int(word.removeprefix("w"))] = values
    return context


@pytest.mark.parametrize(("name", "word"), EXTREMES.items())
def test_a_reading_that_never_changes_is_never_extreme(name: str, word: int) -> None:
    assert np.isnan(read(name, known(**{f"w{word}": 1.25}))).all()


@pytest.mark.parametrize(("name", "word"), EXTREMES.items())
@pytest.mark.parametrize("side", [1, -1])
def test_a_jump_is_extreme_to_its_side(name: str, word: int, side: int) -> None:
    context = random_context(COUNT)
    usual = read(name, context)[120:200]
    context[200, word] += side * 40 * context[:200, word].std()
    found = read(name, context)
    assert found[200] * side > 20
    assert np.abs(usual).max() < 8


@pytest.mark.parametrize(("name", "word"), EXTREMES.items())
def test_bars_without_a_reading_are_waited_for(name: str, word: int) -> None:
    """A hole leaves NaN, and behind it the readings go on as if it had not been."""
    context = random_context(COUNT)
    hole = np.zeros(COUNT, dtype=bool)
    hole[140:160] = True
    gapped = context.copy()
    gapped[hole, word] = np.nan
    found = read(name, gapped)
    assert np.isnan(found[hole]).all()
    closed_up = read(name, context[~hole], timed([BARS[k] for k in np.flatnonzero(~hole)]))
    np.testing.assert_array_equal(found[~hole], closed_up)


@pytest.mark.parametrize(("name", "word"), EXTREMES.items())
def test_an_extreme_is_judged_by_the_bars_before_it(name: str, word: int) -> None:
    """Two runs that differ in the newest reading alone measure it by the same deviations."""
    context = random_context(COUNT)
    found = []
    for reading in (-3.0, 0.0, 6.0):
        context[-1, word] = reading
        found.append(read(name, context)[-1])
    assert (found[2] - found[1]) == pytest.approx(2 * (found[1] - found[0]))


def test_forced_trades_of_a_bar_are_extreme_and_totals_are_not() -> None:
    name = "crowd.liquidation_extreme_60"
    context = random_context(COUNT)
    calm = read(name, context)
    context[200:, LIQUIDATED_BUYS] += 5_000
    burst = read(name, context)
    assert burst[200] > 50
    np.testing.assert_array_equal(calm[:200], burst[:200])
    assert burst[201] < 2, "the total stays high, the bar after it is a calm one"


@pytest.mark.parametrize("word", [LIQUIDATED_BUYS, LIQUIDATED_SELLS])
def test_both_sides_of_forced_trades_count(word: int) -> None:
    context = random_context(COUNT)
    context[200:, word] += 5_000
    assert read("crowd.liquidation_extreme_60", context)[200] > 50


def test_open_interest_is_compared_with_the_last_that_was_known() -> None:
    lots = np.full(COUNT, 1_000.0)
    lots[50:] = 1_010.0
    lots[80:90] = np.nan
    lots[90:] = 1_111.0
    found = read("crowd.open_interest_60.bps", known(**{f"w{OPEN_INTEREST_LOTS}": lots}))
    assert found[50] == pytest.approx(100.0)
    assert np.isnan(found[80:90]).all()
    assert found[90] == pytest.approx(1_000.0)
    assert np.isnan(found[0])
    assert (found[91:] == 0.0).all()


def test_a_venue_without_open_interest_has_no_reading_of_it() -> None:
    context = known(**{f"w{OPEN_INTEREST_LOTS}": np.nan})
    for output in ("bps", "extreme"):
        assert np.isnan(read(f"crowd.open_interest_60.{output}", context)).all()


def test_news_are_told_as_they_were_given() -> None:
    flags = np.where(np.arange(COUNT) % 7 == 0, 1.0, 0.0)
    flags[100:110] = np.nan
    found = read("crowd.news", known(**{f"w{NEWS_WEIGHT}": flags}))
    np.testing.assert_array_equal(found, flags)


def one_sided(side: int) -> list[Bar]:
    """Return bars that go one way, taken by that side alone."""
    bars = []
    for k in range(COUNT):
        start, end = 10_000 + side * 10 * k, 10_000 + side * 10 * (k + 1)
        bought = 20 if side > 0 else 0
        bars.append(Bar(start, max(start, end), min(start, end), end, 20, bought))
    return timed(bars)


@pytest.mark.parametrize("side", [1, -1])
def test_greed_and_fear_have_their_ends(side: int) -> None:
    context = random_context(COUNT)
    context[-1, FUNDING_RATE_BPS] = side * 100.0
    assert read("crowd.greed_50", context, one_sided(side))[-1] == pytest.approx(side)


def test_greed_stays_within_its_ends() -> None:
    context = random_context(COUNT)
    context[::10, FUNDING_RATE_BPS] *= 50
    found = read("crowd.greed_50", context)[60:]
    assert (np.abs(found) <= 1).all()
    assert found.std() > 0.05


@pytest.mark.parametrize("word", [FUNDING_RATE_BPS])
def test_greed_is_unknown_while_a_part_of_it_is(word: int) -> None:
    context = random_context(COUNT)
    context[200:, word] = np.nan
    found = read("crowd.greed_50", context)
    assert not np.isnan(found[60:200]).any()
    assert np.isnan(found[200:]).all()
