"""The books a recorder knows are the books a reader of the ring would have."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import (
    LEVEL_BID,
    LEVEL_LAST_OF_DIFF,
    LEVEL_SNAPSHOT_FIRST,
    Channel,
    RecordType,
)
from engine.domain.records import MARKET_DTYPE
from engine.tapes.books import KnownBooks, Records
from engine.tapes.reader import joined
from tests.tape_builders import gap

Change = tuple[int, bool, int, int, bool]  # instrument, bid, price, quantity, fresh book


def levels(changes: list[Change]) -> Records:
    records = np.zeros(len(changes), dtype=MARKET_DTYPE)
    for place, (instrument, is_bid, price, quantity, is_fresh) in enumerate(changes):
        flags = LEVEL_BID * is_bid | LEVEL_SNAPSHOT_FIRST * is_fresh | LEVEL_LAST_OF_DIFF
        records["record_type"][place] = RecordType.LEVEL
        records["instrument_index"][place] = instrument
        records["flags"][place] = flags
        records["price_ticks"][place] = price
        records["qty_lots"][place] = quantity
        records["update_id"][place] = place + 1
    return records


def plain_books(changes: list[Change]) -> dict[int, dict[tuple[bool, int], int]]:
    """Return the books that plain dictionaries come to."""
    books: dict[int, dict[tuple[bool, int], int]] = {}
    for instrument, is_bid, price, quantity, is_fresh in changes:
        if is_fresh:
            books[instrument] = {}
        book = books.get(instrument)
        if book is None:
            continue
        if quantity:
            book[is_bid, price] = quantity
        else:
            book.pop((is_bid, price), None)
    return {instrument: book for instrument, book in books.items() if book}


def told(records: Records) -> dict[int, dict[tuple[bool, int], int]]:
    books: dict[int, dict[tuple[bool, int], int]] = {}
    for record in records:
        book = books.setdefault(int(record["instrument_index"]), {})
        is_bid = bool(record["flags"] & LEVEL_BID)
        book[is_bid, int(record["price_ticks"])] = int(record["qty_lots"])
    return books


change = st.tuples(
    st.integers(0, 2), st.booleans(), st.integers(1, 6), st.integers(0, 3), st.booleans()
)


@given(changes=st.lists(change, max_size=60), cuts=st.lists(st.integers(0, 60), max_size=5))
def test_they_are_what_dictionaries_come_to(changes: list[Change], cuts: list[int]) -> None:
    books = KnownBooks()
    records = levels(changes)
    for part in np.split(records, sorted(min(cut, len(records)) for cut in cuts)):
        books.apply(part)
    assert told(books.records(1, 1)) == plain_books(changes)


def test_each_book_is_told_as_one_snapshot() -> None:
    books = KnownBooks()
    books.apply(levels([(0, True, 5, 1, True), (0, False, 7, 2, False), (1, True, 9, 3, True)]))
    found = books.records(77, 88)
    firsts = (found["flags"] & LEVEL_SNAPSHOT_FIRST) != 0
    lasts = (found["flags"] & LEVEL_LAST_OF_DIFF) != 0
    assert firsts.tolist() == [True, False, True]
    assert lasts.tolist() == [False, True, True]
    assert set(found["sequence"].tolist()) == {77}
    assert set(found["receive_time_ns"].tolist()) == {88}
    assert found["update_id"].tolist() == [2, 2, 3]


def test_a_book_whose_snapshot_was_not_seen_is_not_told() -> None:
    books = KnownBooks()
    books.apply(levels([(0, True, 5, 1, False), (0, False, 7, 2, False)]))
    assert len(books.records(1, 1)) == 0


@pytest.mark.parametrize(("channel", "known"), [(Channel.BOOK, 0), (Channel.TRADE, 1)])
def test_a_gap_in_a_book_makes_it_unknown(channel: Channel, known: int) -> None:
    books = KnownBooks()
    books.apply(levels([(0, True, 5, 1, True)]))
    books.apply(joined([gap(0, channel), levels([(0, True, 6, 1, False)])]))
    assert len(told(books.records(1, 1))) == known


def test_what_was_forgotten_comes_back_with_a_snapshot() -> None:
    books = KnownBooks()
    books.apply(levels([(0, True, 5, 1, True)]))
    books.forget()
    books.apply(levels([(0, True, 6, 1, False)]))
    assert len(books.records(1, 1)) == 0
    books.apply(levels([(0, True, 8, 2, True)]))
    assert told(books.records(1, 1)) == {0: {(True, 8): 2}}
