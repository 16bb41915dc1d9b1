"""Bars made of several bars are the bars that the same trades make."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.bars import BAR_MASK
from engine.domain.features.coarse import COARSE_BARS, COUNT, HELD, IS_OPEN, WORDS
from engine.domain.features.series import BAR_INPUTS, TIMEFRAME_S
from engine.domain.market_state import MarketState
from engine.domain.strategy_table import select_rows
from tests.builders import MS, START_VENUE_NS, joined, make_instruments, make_trade
from tests.feature_bars import (
    CATALOGUE,
    HOUR_S,
    batch,
    held,
    made_of,
    random_bars,
    random_context,
)
from tests.market_runs import play

ROWS = select_rows(["quote_imbalance"])
LAYERS = [int(every) for every in CATALOGUE.plan.coarse_bars]
BARS = random_bars(400, seed=11)
# (ms since the trade before; price; quantity; bought)
STEPS = st.lists(
    st.tuples(st.integers(0, 4_000), st.integers(1, 40), st.integers(1, 50), st.booleans()),
    min_size=1,
    max_size=80,
)


def traded(steps: list[tuple[int, int, int, bool]]) -> MarketState:
    """Return what a market knows after these trades, none of them late."""
    at_ms = 0
    rows = []
    for elapsed, price, qty, bought in steps:
        at_ms += elapsed
        venue_ns = START_VENUE_NS + at_ms * MS
        rows.append(make_trade(1_000 + price, qty, buy=bought, venue_time_ns=venue_ns))
    return play(joined(rows), make_instruments(1), ROWS, (1, *LAYERS)).market


def made(market: MarketState, layer: int) -> list[list[float]]:
    """Return the newest bars of a layer, as inputs of a bar, oldest first."""
    series = market.coarse[0, 0, layer]
    count = int(series[WORDS, COUNT])
    newest = COARSE_BARS + ((count - 1) & (COARSE_BARS - 1))
    shown = min(count, COARSE_BARS - 1)
    return series[:BAR_INPUTS, newest - shown + 1 : newest + 1].T.tolist()


def closed(market: MarketState, t: int, numbers: range) -> list[list[float]]:
    """Return closed bars of a timeframe by their numbers; volume bought counts less that sold."""
    rows = market.closed[0, t]
    names = ("open_ticks", "high_ticks", "low_ticks", "close_ticks", "volume_lots")
    net = 2 * rows["buy_lots"] - rows["volume_lots"]
    return [
        [
            *(float(rows[name][number & BAR_MASK]) for name in names),
            float(net[number & BAR_MASK]),
            float(rows["trade_count"][number & BAR_MASK]),
            rows["start_ns"][number & BAR_MASK] / 1e9,
        ]
        for number in numbers
    ]


@given(STEPS)
def test_bars_made_of_seconds_are_those_of_the_trades(
    steps: list[tuple[int, int, int, bool]],
) -> None:
    market = traded(steps)
    for layer in range(len(LAYERS)):
        count = int(market.coarse[0, 0, layer, WORDS, COUNT])
        assert market.closed_count[0, layer + 1] - 1 <= count <= market.closed_count[0, layer + 1]
        shown = made(market, layer)
        assert shown == closed(market, layer + 1, range(count - len(shown), count))


@given(STEPS)
def test_every_lot_is_in_one_bar(steps: list[tuple[int, int, int, bool]]) -> None:
    """Of each layer: what is closed, what is being put together, and the open second."""
    market = traded(steps)
    total = sum(qty for _, _, qty, _ in steps)
    open_second = int(market.forming["volume_lots"][0, 0])
    open_second *= int(market.forming["trade_count"][0, 0] > 0)
    for layer in range(len(LAYERS)):
        words = market.coarse[0, 0, layer, WORDS]
        if words[COUNT] >= COARSE_BARS:
            continue
        kept = sum(bar[4] for bar in made(market, layer)) + words[4] * words[IS_OPEN]
        assert kept + open_second == total


@pytest.mark.parametrize("every", LAYERS)
def test_a_stretch_whose_last_bar_never_came_is_closed_by_the_next(every: int) -> None:
    """Without the bars that end stretches, each stretch is closed one bar later, and by itself."""
    bars = [bar for k, bar in enumerate(BARS) if (k + 2) % every != 0]
    name = f"returns.change_1@{every}"
    column = CATALOGUE.bar_columns.index(name)
    whole = made_of(bars, every)
    closes = np.array([it.bar.close for it in whole])
    moved = held(whole, np.diff(closes, prepend=np.nan), len(bars))
    found = batch(bars)[:, column]
    known = ~np.isnan(found)
    assert known.any() or every == max(LAYERS)
    np.testing.assert_array_equal(np.sign(found[known]), np.sign(moved[known]))
    changes = np.flatnonzero(np.diff(moved[known])) + 1
    np.testing.assert_array_equal(np.flatnonzero(np.diff(found[known])) + 1, changes)


@pytest.mark.parametrize("shift_s", [0, 1_800, 3_599])
@pytest.mark.parametrize("every", LAYERS)
def test_a_stretch_ends_where_the_clock_says_whenever_bars_start(every: int, shift_s: int) -> None:
    bars = [bar._replace(start_s=bar.start_s - 5_400 + shift_s) for bar in BARS]
    column = CATALOGUE.bar_columns.index(f"volume.taker_balance_5@{every}")
    found = batch(bars)[:, column]
    whole = made_of(bars, every)
    groups = [whole[max(0, k - 4) : k + 1] for k in range(len(whole))]
    balances = [
        2 * sum(it.bar.bought for it in group) / sum(it.bar.volume for it in group) - 1
        if len(group) == 5
        else np.nan
        for group in groups
    ]
    expected = held(whole, np.array(balances), len(bars))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_bars_of_an_unknown_length_make_no_others() -> None:
    context = random_context(len(BARS))
    context[:, TIMEFRAME_S] = np.nan
    found = batch(BARS, context)
    for k, name in enumerate(CATALOGUE.bar_columns):
        if "@" in name:
            assert np.isnan(found[:, k]).all(), name


def test_what_is_held_fits_its_row() -> None:
    assert HELD == WORDS + 1
    assert CATALOGUE.plan.coarse_width.max() <= 2 * COARSE_BARS
    assert HOUR_S * max(LAYERS) < 2**53
