"""The public book: snapshot and diffs by their ids, quotes on top, and liquidity we took."""

import pytest

from exchange.book import BUY, SELL, Book


def synced() -> Book:
    book = Book()
    book.apply_snapshot(100, [(990, 5), (980, 6)], [(1000, 4), (1010, 7)])
    return book


def test_book_without_snapshot_is_not_synced() -> None:
    book = Book()
    book.apply_diff((1, 2, 0, [(990, 1)], []))
    assert not book.synced
    assert book.best(BUY) == 0
    assert book.levels(SELL) == []


def test_snapshot_takes_in_earlier_diffs_that_are_newer() -> None:
    book = Book()
    book.apply_diff((90, 95, 89, [(990, 1)], []))
    book.apply_diff((96, 103, 95, [(990, 9)], [(1000, 0)]))
    book.apply_diff((104, 105, 103, [], [(1020, 3)]))
    book.apply_snapshot(100, [(990, 5)], [(1000, 4)])
    assert book.levels(BUY) == [(990, 9)]
    assert book.levels(SELL) == [(1020, 3)]
    assert book.update_id == 105


def test_diff_older_than_the_book_changes_nothing() -> None:
    book = synced()
    book.apply_diff((80, 99, 79, [(990, 77)], []))
    assert book.displayed(BUY, 990) == 5
    assert book.update_id == 100


def test_diff_sets_absolute_quantities_and_zero_removes() -> None:
    book = synced()
    book.apply_diff((101, 105, 100, [(990, 0), (970, 3)], [(1000, 9), (1234, 0)]))
    assert book.levels(BUY) == [(980, 6), (970, 3)]
    assert book.levels(SELL) == [(1000, 9), (1010, 7)]
    assert book.gap_count == 0


def test_gap_in_the_ids_is_counted() -> None:
    book = synced()
    book.apply_diff((150, 155, 149, [], []))
    assert book.gap_count == 1


def test_newer_quote_rules_the_top() -> None:
    book = synced()
    book.apply_quote((101, 980, 2, 1010, 3))
    assert book.levels(BUY) == [(980, 2)]
    assert book.levels(SELL) == [(1010, 3)]
    assert book.displayed(BUY, 990) == 0
    assert book.displayed(SELL, 1000) == 0
    assert (book.best(BUY), book.best(SELL)) == (980, 1010)


def test_quote_can_improve_the_top() -> None:
    book = synced()
    book.apply_quote((101, 995, 1, 999, 2))
    assert book.levels(BUY) == [(995, 1), (990, 5), (980, 6)]
    assert book.levels(SELL) == [(999, 2), (1000, 4), (1010, 7)]


def test_older_quote_is_ruled_by_the_diff() -> None:
    book = synced()
    book.apply_quote((99, 985, 1, 1005, 1))
    assert (book.best(BUY), book.best(SELL)) == (990, 1000)
    assert book.levels(BUY) == [(990, 5), (980, 6)]


def test_quote_alone_makes_a_one_level_book() -> None:
    book = Book()
    book.apply_quote((5, 990, 5, 1000, 4))
    assert book.levels(BUY) == [(990, 5)]
    assert book.levels(SELL) == [(1000, 4)]


def test_taken_liquidity_is_gone_until_the_level_changes() -> None:
    book = synced()
    book.take(SELL, 1000, 3)
    assert book.available(SELL) == [(1000, 1), (1010, 7)]
    book.take(SELL, 1000, 1)
    assert book.available(SELL) == [(1010, 7)]
    book.apply_diff((101, 101, 100, [], [(1000, 6)]))
    assert book.available(SELL) == [(1000, 6), (1010, 7)]
    assert book.taken == {}


def test_taken_liquidity_stays_gone_while_the_tape_repeats_the_level() -> None:
    book = synced()
    book.take(SELL, 1000, 3)
    book.apply_quote((101, 990, 5, 1000, 4))
    assert book.available(SELL)[0] == (1000, 1)
    book.apply_quote((102, 990, 5, 1000, 2))
    assert book.available(SELL)[0] == (1000, 2)


def test_taken_liquidity_of_another_side_and_price_is_untouched() -> None:
    book = synced()
    book.take(BUY, 990, 5)
    book.apply_diff((101, 101, 100, [(980, 1)], [(1000, 1)]))
    assert book.available(BUY) == [(980, 1)]


def test_taking_more_than_displayed_is_a_programmer_error() -> None:
    book = synced()
    with pytest.raises(AssertionError):
        book.take(SELL, 1000, 5)
