"""The top of each book: the quote, and the best levels per side with their validity.

The feed keeps the full book and sends what changed in its best `BOOK_LEVELS` levels: absolute
quantities, 0 removes, the last record of a diff flagged. Levels are kept sorted, best first:

    books[i]["price_ticks"][side, 0] is the best, ["count"][side] are in use; side 0 bid, 1 ask

`flow_lots` counts what changes of the best `FLOW_LEVELS` prices added to the bids less what they
added to the asks, a level that goes counting what it held; `flow_run` counts how often the book
became known anew, and what one run counts says nothing of another. A book that is sent whole again
while it is known moves nothing.

A book is valid from the end of its first snapshot until a gap of its channel; it is looked at only
between diffs (`BOOK_SETTLED`), and a crossed book is not valid until it uncrosses.
"""

from __future__ import annotations

import numpy as np

from engine.domain.codes import LEVEL_BID, LEVEL_LAST_OF_DIFF, LEVEL_SNAPSHOT_FIRST
from engine.domain.kernel import Record, fused

BOOK_LEVELS = 20
PLACE_MASK = 31  # every place lies within it, so that it is known not to be negative
IMBALANCE_LEVELS = 5  # levels per side that the depth imbalance sums
FLOW_LEVELS = 10  # levels per side whose changes are flow

# States of a book.
BOOK_EMPTY = 0  # no snapshot yet, or a gap since
BOOK_FILLING = 1  # a diff is half applied
BOOK_SETTLED = 2  # whole and uncrossed
BOOK_CROSSED = 3  # whole, best bid at or above best ask
BOOK_REFILLING = 4  # a snapshot is half applied

BOOK_DTYPE = np.dtype(
    [
        ("count", "<u4", (2,)),  # unsigned: an index below it is known not to be negative
        ("state", "<i8"),
        ("flow_lots", "<i8"),
        ("flow_run", "<i8"),  # 0: it was never known
        ("unused", "<i8", (4,)),
        ("price_ticks", "<i8", (2, BOOK_LEVELS)),
        ("qty_lots", "<i8", (2, BOOK_LEVELS)),
    ]
)
assert BOOK_DTYPE.itemsize == 11 * 64, "a book fills whole cache lines"


@fused
def find_level(book: Record, side: int, price: int, count: int) -> int:
    """Return how many levels of a sorted side are better than a price."""
    prices = book["price_ticks"]
    if side == 1:
        for k in range(count):
            if prices[1, k] >= price:
                return k
    else:
        for k in range(count):
            if prices[0, k] <= price:
                return k
    return count


@fused
def set_level(book: Record, side: int, price: int, qty: int) -> int:
    """Insert, change or remove (`qty` 0) one level of a sorted side, in place; return its flow.

    A level worse than `BOOK_LEVELS` better ones is dropped; the feed sends it again.

    Returns:
        Lots by which it grew, if it is one of the best `FLOW_LEVELS`, else 0.
    """
    prices = book["price_ticks"]
    quantities = book["qty_lots"]
    count = int(book["count"][side])
    k = find_level(book, side, price, count) & PLACE_MASK
    found = k < count and prices[side, k] == price
    grown = (qty - quantities[side, k] if found else qty) if k < FLOW_LEVELS else 0
    if qty == 0:
        if found:
            for j in range(k, count - 1):
                prices[side, j] = prices[side, j + 1]
                quantities[side, j] = quantities[side, j + 1]
            book["count"][side] = count - 1
        return grown
    if not found:
        if k == BOOK_LEVELS:
            return grown
        last = min(count, BOOK_LEVELS - 1)
        book["count"][side] = last + 1
        for j in range(k, last + 1):  # each level takes the place of the next
            price_before, qty_before = prices[side, j], quantities[side, j]
            prices[side, j], quantities[side, j] = price, qty
            price, qty = price_before, qty_before
        return grown
    quantities[side, k] = qty
    return grown


@fused
def depth_imbalance(book: Record) -> float:
    """Return (bid - ask) / sum over the best `IMBALANCE_LEVELS` levels; NaN if a side is empty."""
    bid_lots = 0
    for k in range(min(book["count"][0], IMBALANCE_LEVELS)):
        bid_lots += book["qty_lots"][0, k]
    ask_lots = 0
    for k in range(min(book["count"][1], IMBALANCE_LEVELS)):
        ask_lots += book["qty_lots"][1, k]
    if bid_lots == 0 or ask_lots == 0:
        return np.nan
    return (bid_lots - ask_lots) / (bid_lots + ask_lots)


@fused
def apply_level(book: Record, slot: Record) -> int:
    """Apply one LEVEL record in place; return the book's state after it."""
    flags = slot["flags"]
    state = book["state"]
    if flags & LEVEL_SNAPSHOT_FIRST:
        book["flow_run"] += int(state == BOOK_EMPTY)
        book["count"][0] = 0
        book["count"][1] = 0
        state = BOOK_REFILLING
    if state == BOOK_EMPTY:
        return BOOK_EMPTY
    side = 0 if flags & LEVEL_BID else 1
    grown = set_level(book, side, slot["price_ticks"], slot["qty_lots"])
    if state != BOOK_REFILLING:
        book["flow_lots"] += grown if side == 0 else -grown
        state = BOOK_FILLING
    if flags & LEVEL_LAST_OF_DIFF:
        prices = book["price_ticks"]
        both = book["count"][0] > 0 and book["count"][1] > 0
        crossed = both and prices[0, 0] >= prices[1, 0]
        state = BOOK_CROSSED if crossed else BOOK_SETTLED
    book["state"] = state
    return state
