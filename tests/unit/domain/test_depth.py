"""Features of the book's levels: what the brain's book says, and nothing where it is not known."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.bar_close import read_depth, update_features
from engine.domain.book import BOOK_LEVELS, BOOK_SETTLED, FLOW_LEVELS
from engine.domain.codes import Channel
from engine.domain.features.series import CONTEXT_WORDS, DEPTH_FIRST, DEPTH_FLOW, DEPTH_RUN
from engine.domain.firewall_memory import BOOK_DOUBTED
from engine.domain.market_state import MarketState
from engine.domain.strategy_table import select_rows
from tests.builders import joined, make_book, make_gap, make_instruments, make_level
from tests.feature_bars import (
    CATALOGUE,
    batch,
    fresh_market,
    push_bar,
    random_bars,
    random_context,
)
from tests.market_runs import play

BIDS = [(990 - k, 10 + k) for k in range(12)]
ASKS = [(1_010 + 2 * k, 20 + k) for k in range(12)]
WHOLE = make_book(BIDS, ASKS)
DEPTH_COLUMNS = [k for k, name in enumerate(CATALOGUE.bar_columns) if name.startswith("depth.")]


def played(records: Sequence[np.ndarray]) -> MarketState:
    return play(joined(records), make_instruments(1), select_rows(["quote_imbalance"])).market


def depth_of(market: MarketState) -> np.ndarray:
    """Return the words of the context about the book of instrument 0."""
    context = np.full(CONTEXT_WORDS, np.nan)
    read_depth(market.hot[0], market.books[0], context)
    return context[DEPTH_FLOW:]


def flow_of(records: Sequence[np.ndarray]) -> tuple[int, int]:
    """Return what was added since the run began, and which run it is."""
    book = played(records).books[0]
    return int(book["flow_lots"]), int(book["flow_run"])


def column(name: str) -> int:
    return CATALOGUE.bar_columns.index(name)


# ---- levels ----


def test_the_context_holds_both_sides_best_first() -> None:
    words = depth_of(played([WHOLE]))
    levels = words[DEPTH_FIRST - DEPTH_FLOW :].reshape(2, 2, BOOK_LEVELS)
    for side, expected in enumerate((BIDS, ASKS)):
        np.testing.assert_array_equal(levels[side, :, :12].T, expected)
        assert np.isnan(levels[side, :, 12:]).all()


@pytest.mark.parametrize(
    "records",
    [
        [make_gap(Channel.BOOK)],
        [WHOLE, make_gap(Channel.BOOK)],
        [WHOLE, make_level(1_005, 3, bid=False, last=False)],
        [WHOLE, make_level(1_200, 3, bid=True)],
    ],
    ids=["never known", "lost", "in the middle of a diff", "crossed"],
)
def test_a_book_that_is_not_whole_says_nothing(records: list[np.ndarray]) -> None:
    assert np.isnan(depth_of(played(records))).all()


def test_a_doubted_book_says_nothing() -> None:
    market = played([WHOLE])
    assert not np.isnan(depth_of(market)[0])
    market.hot["book_check"][0, BOOK_DOUBTED] = 1
    assert np.isnan(depth_of(market)).all()


def test_what_the_brain_computes_of_its_book_is_what_a_batch_does_of_the_same_levels() -> None:
    bars = random_bars(60, seed=11)
    context = np.full((len(bars), CONTEXT_WORDS), np.nan)
    context[:, DEPTH_FLOW:] = random_context(len(bars))[:, DEPTH_FLOW:]
    market = fresh_market()
    found = []
    for bar, words in zip(bars, context, strict=True):
        book = market.books[0]
        book["flow_lots"], book["flow_run"] = words[DEPTH_FLOW], words[DEPTH_RUN]
        levels = words[DEPTH_FIRST:].reshape(2, 2, BOOK_LEVELS)
        book["count"] = (~np.isnan(levels[:, 0])).sum(axis=1)
        book["price_ticks"], book["qty_lots"] = np.nan_to_num(levels).swapaxes(0, 1)
        book["state"] = BOOK_SETTLED
        update_features(market, 0, 0, push_bar(market, bar))
        found.append(market.bar_features[0, 0, DEPTH_COLUMNS].copy())
    expected = batch(bars, context)[:, DEPTH_COLUMNS]
    np.testing.assert_array_equal(np.array(found), expected)
    assert np.isfinite(expected).any(axis=0).all(), "each is known of some bar"


# ---- what rows say ----


def beside(bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> np.ndarray:
    """Return the features after 25 bars beside one book that never moves."""
    bars = random_bars(25)
    context = np.full((len(bars), CONTEXT_WORDS), np.nan)
    context[:, DEPTH_FLOW:] = depth_of(played([make_book(bids, asks)]))
    return batch(bars, context)[-1]


def test_the_same_on_both_sides_is_balanced_and_equally_steep() -> None:
    found = beside(BIDS, [(2_000 - price, lots) for price, lots in BIDS])
    assert found[column("depth.imbalance_10")] == 0.0
    assert found[column("depth.slope_10.bid")] == pytest.approx(found[column("depth.slope_10.ask")])


def test_what_stands_nearer_is_steeper() -> None:
    found = beside([(990 - 5 * k, 10) for k in range(10)], [(1_010 + k, 10) for k in range(10)])
    assert found[column("depth.slope_10.ask")] > found[column("depth.slope_10.bid")] > 0


def test_one_price_a_side_holds_all_of_it_within_half_a_spread() -> None:
    found = beside([(999, 7)], [(1_001, 21)])
    assert found[column("depth.slope_10.bid")] == found[column("depth.slope_10.ask")] == 2.0
    assert found[column("depth.imbalance_20")] == -0.5


def test_how_much_is_near_is_not_told_by_levels_that_end_before() -> None:
    short = beside([(100_000, 7)], [(100_001, 7)])
    assert np.isnan(short[column("depth.within_2")])
    bids = [(100_000, 7), (99_990, 5), (99_000, 99)]
    asks = [(100_001, 3), (100_015, 2), (101_000, 99)]
    found = beside(bids, asks)
    assert found[column("depth.within_2")] == pytest.approx((12 - 5) / 17)
    volume = np.mean([bar.volume for bar in random_bars(25)[-20:]])
    assert found[column("depth.cover_10_20")] == pytest.approx(17 / volume)


def test_a_book_that_does_not_move_has_no_flow() -> None:
    found = beside(BIDS, ASKS)
    assert found[column("depth.flow_20.newest")] == found[column("depth.flow_20.mean")] == 0.0


# ---- flow ----


def test_flow_counts_what_is_added_and_taken_on_both_sides() -> None:
    records = [WHOLE]
    expected = 0
    for change, lots in [
        (make_level(990, 25, bid=True), 15),  # 15 more bid
        (make_level(1_010, 0, bid=False), 20),  # 20 fewer for sale
        (make_level(1_000, 4, bid=False), -4),  # a better ask
        (make_level(990 - FLOW_LEVELS, 1_000, bid=True), 0),  # too far off to count
        (make_level(500, 0, bid=True), 0),  # there was none
    ]:
        records.append(change)
        expected += lots
        assert flow_of(records) == (expected, 1)


def test_a_book_sent_whole_again_moves_nothing_and_one_after_a_gap_begins_a_run() -> None:
    moved = [WHOLE, make_level(990, 25, bid=True)]
    assert flow_of([*moved, make_book(BIDS[1:], ASKS)]) == (15, 1)
    assert flow_of([*moved, make_gap(Channel.BOOK), WHOLE]) == (15, 2)


def test_a_bar_in_which_the_book_was_lost_has_no_flow_and_the_next_one_has() -> None:
    bars = random_bars(6)
    context = np.full((len(bars), CONTEXT_WORDS), np.nan)
    context[:, DEPTH_FLOW:] = depth_of(played([WHOLE]))
    context[:, DEPTH_FLOW] = [0, 40, 40, 70, 75, 77]
    context[:, DEPTH_RUN] = [1, 1, np.nan, 1, 2, 2]
    newest = batch(bars, context)[:, column("depth.flow_20.newest")]
    both = sum(lots for _, lots in (*BIDS[:FLOW_LEVELS], *ASKS[:FLOW_LEVELS]))
    expected = [np.nan, 40 / both, np.nan, np.nan, np.nan, 2 / both]
    np.testing.assert_allclose(newest, expected)


CHANGES = st.lists(
    st.tuples(st.integers(0, 1), st.integers(1, 45), st.integers(0, 3)), min_size=1, max_size=150
)


@given(CHANGES)
def test_flow_equals_a_plain_count(changes: list[tuple[int, int, int]]) -> None:
    records = [make_level(100, 0, bid=True, first_of_snapshot=True)]
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})  # lots by distance from 100
    expected = 0
    for side, away, lots in changes:
        price = 100 - away if side == 0 else 100 + away
        records.append(make_level(price, lots, bid=side == 0))
        levels = sides[side]
        better = sum(it < away for it in levels)
        if better < FLOW_LEVELS:
            expected += (lots - levels.get(away, 0)) * (1 if side == 0 else -1)
        levels.pop(away, None)
        if lots:
            levels[away] = lots
        for far in sorted(levels)[BOOK_LEVELS:]:
            del levels[far]
    assert flow_of(records) == (expected, 1)
