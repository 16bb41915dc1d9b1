"""Books: sorted levels from changes, their states, and the depth imbalance."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.book import (
    BOOK_CROSSED,
    BOOK_EMPTY,
    BOOK_FILLING,
    BOOK_LEVELS,
    BOOK_SETTLED,
    IMBALANCE_LEVELS,
)
from engine.domain.codes import Channel
from engine.domain.features.micro import DEPTH_IMBALANCE
from engine.domain.market_state import MarketState
from engine.domain.strategy_table import select_rows
from tests.builders import joined, make_book, make_gap, make_instruments, make_level
from tests.market_runs import play

BIDS = [(99, 5), (98, 6), (97, 7)]
ASKS = [(101, 1), (102, 2), (103, 3)]


def played(records: Sequence[np.ndarray]) -> MarketState:
    return play(joined(records), make_instruments(1), select_rows(["quote_imbalance"])).market


def side_of(market: MarketState, side: int) -> list[tuple[int, int]]:
    count = int(market.books["count"][0, side])
    prices = market.books["price_ticks"][0, side, :count]
    quantities = market.books["qty_lots"][0, side, :count]
    return [(int(price), int(qty)) for price, qty in zip(prices, quantities, strict=True)]


def test_a_snapshot_fills_both_sides_best_first() -> None:
    market = played([make_book(BIDS[::-1], ASKS[::-1])])
    assert side_of(market, 0) == BIDS
    assert side_of(market, 1) == ASKS
    assert market.books["state"][0] == BOOK_SETTLED


def test_a_level_before_the_first_snapshot_is_ignored() -> None:
    market = played([make_level(99, 5, bid=True)])
    assert market.books["state"][0] == BOOK_EMPTY
    assert side_of(market, 0) == []


def test_a_level_is_inserted_changed_and_removed() -> None:
    book = make_book(BIDS, ASKS)
    inserted = played([book, make_level(100, 9, bid=True)])
    assert side_of(inserted, 0) == [(100, 9), *BIDS]
    changed = played([book, make_level(98, 60, bid=True)])
    assert side_of(changed, 0) == [(99, 5), (98, 60), (97, 7)]
    removed = played([book, make_level(101, 0, bid=False)])
    assert side_of(removed, 1) == ASKS[1:]


def test_removing_an_unknown_level_changes_nothing() -> None:
    market = played([make_book(BIDS, ASKS), make_level(50, 0, bid=True)])
    assert side_of(market, 0) == BIDS


def test_a_side_keeps_its_best_levels_only() -> None:
    many = [(1_000 - k, k + 1) for k in range(BOOK_LEVELS)]
    worse = make_level(500, 3, bid=True)
    better = make_level(1_001, 4, bid=True)
    market = played([make_book(many, [(2_000, 1)]), worse, better])
    assert side_of(market, 0) == [(1_001, 4), *many[:-1]]


def test_a_snapshot_clears_what_was_there() -> None:
    market = played([make_book(BIDS, ASKS), make_book([(90, 1)], [(110, 1)])])
    assert side_of(market, 0) == [(90, 1)]
    assert side_of(market, 1) == [(110, 1)]


def test_a_book_is_not_looked_at_in_the_middle_of_a_diff() -> None:
    market = played([make_book(BIDS, ASKS), make_level(100, 9, bid=True, last=False)])
    assert market.books["state"][0] == BOOK_FILLING
    assert math.isnan(market.hot["micro"][0, DEPTH_IMBALANCE])


def test_a_crossed_book_is_not_valid_until_it_uncrosses() -> None:
    crossed = [make_book(BIDS, ASKS), make_level(101, 9, bid=True)]
    assert played(crossed).books["state"][0] == BOOK_CROSSED
    assert math.isnan(played(crossed).hot["micro"][0, DEPTH_IMBALANCE])
    assert played([*crossed, make_level(101, 0, bid=False)]).books["state"][0] == BOOK_SETTLED


@pytest.mark.parametrize(
    ("channel", "state"), [(Channel.BOOK, BOOK_EMPTY), (Channel.TRADE, BOOK_SETTLED)]
)
def test_a_gap_of_its_channel_empties_the_book(channel: Channel, state: int) -> None:
    market = played([make_book(BIDS, ASKS), make_gap(channel)])
    assert market.books["state"][0] == state


def test_after_a_gap_only_a_snapshot_fills_the_book() -> None:
    records = [make_book(BIDS, ASKS), make_gap(Channel.BOOK), make_level(98, 1, bid=True)]
    assert played(records).books["state"][0] == BOOK_EMPTY
    assert played([*records, make_book(BIDS, ASKS)]).books["state"][0] == BOOK_SETTLED


def test_depth_imbalance_sums_the_best_levels_of_each_side() -> None:
    bids = [(99 - k, 10) for k in range(IMBALANCE_LEVELS + 2)]
    asks = [(101 + k, 6) for k in range(IMBALANCE_LEVELS + 2)]
    market = played([make_book(bids, asks)])
    assert market.hot["micro"][0, DEPTH_IMBALANCE] == pytest.approx(0.25, abs=0)


def test_depth_imbalance_of_an_empty_side_is_unknown() -> None:
    market = played([make_book(BIDS, [(101, 1)]), make_level(101, 0, bid=False)])
    assert math.isnan(market.hot["micro"][0, DEPTH_IMBALANCE])


class PlainBook:
    """The same book as two dictionaries: every level that was ever among the best."""

    def __init__(self) -> None:
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})

    def top(self, side: int) -> list[tuple[int, int]]:
        levels = sorted(self.sides[side].items(), reverse=side == 0)
        return levels[:BOOK_LEVELS]

    def apply(self, side: int, price: int, qty: int) -> None:
        self.sides[side].pop(price, None)
        if qty:
            self.sides[side][price] = qty
        for kept in (self.top(side),):
            self.sides[side].clear()
            self.sides[side].update(kept)


CHANGES = st.lists(
    st.tuples(st.integers(0, 1), st.integers(1, 45), st.integers(0, 3)), min_size=1, max_size=120
)


def change_records(changes: Sequence[tuple[int, int, int]]) -> Iterator[np.ndarray]:
    yield make_level(1, 0, bid=True, first_of_snapshot=True)
    for side, price, qty in changes:
        yield make_level(price, qty, bid=side == 0)


@given(CHANGES)
def test_levels_agree_with_a_plain_book(changes: list[tuple[int, int, int]]) -> None:
    market = played(list(change_records(changes)))
    plain = PlainBook()
    for side, price, qty in changes:
        plain.apply(side, price, qty)
    assert side_of(market, 0) == plain.top(0)
    assert side_of(market, 1) == plain.top(1)
