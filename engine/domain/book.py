"""The top of each book: the quote, and the best levels per side with their validity.

The feed keeps the full book and sends what changed in its best `BOOK_LEVELS` levels: absolute
quantities, 0 removes, the last record of a diff flagged. Levels are kept sorted, best first:

    price_ticks[i, side, 0] is the best, level_count[i, side] are in use; side 0 bid, 1 ask

A book is valid from the end of its first snapshot until a gap of its channel; it is looked at only
between diffs (`BOOK_SETTLED`), and a crossed book is not valid until it uncrosses.
"""

from __future__ import annotations

import numpy as np

from engine.domain.codes import LEVEL_BID, LEVEL_LAST_OF_DIFF, LEVEL_SNAPSHOT_FIRST
from engine.domain.kernel import Integers, Records, kernel

BOOK_LEVELS = 20
IMBALANCE_LEVELS = 5  # levels per side that the depth imbalance sums

# States of a book, in `book_state`.
BOOK_EMPTY = 0  # no snapshot yet, or a gap since
BOOK_FILLING = 1  # a snapshot or a diff is half applied
BOOK_SETTLED = 2  # whole and uncrossed
BOOK_CROSSED = 3  # whole, best bid at or above best ask


@kernel
def set_level(
    prices: Integers,
    quantities: Integers,
    counts: Integers,
    i: int,
    side: int,
    price: int,
    qty: int,
) -> None:
    """Insert, change or remove (`qty` 0) one level of a sorted side, in place.

    A level worse than `BOOK_LEVELS` better ones is dropped; the feed sends it again.
    """
    count = counts[i, side]
    direction = 1 if side == 1 else -1
    k = 0
    while k < count and prices[i, side, k] * direction < price * direction:
        k += 1
    found = k < count and prices[i, side, k] == price
    if qty == 0:
        if found:
            for j in range(k, count - 1):
                prices[i, side, j] = prices[i, side, j + 1]
                quantities[i, side, j] = quantities[i, side, j + 1]
            counts[i, side] = count - 1
        return
    if not found:
        if k == BOOK_LEVELS:
            return
        last = min(count, BOOK_LEVELS - 1)
        for j in range(last, k, -1):
            prices[i, side, j] = prices[i, side, j - 1]
            quantities[i, side, j] = quantities[i, side, j - 1]
        counts[i, side] = last + 1
        prices[i, side, k] = price
    quantities[i, side, k] = qty


@kernel
def depth_imbalance(quantities: Integers, counts: Integers, i: int) -> float:
    """Return (bid - ask) / sum over the best `IMBALANCE_LEVELS` levels; NaN if a side is empty."""
    bid_lots = 0
    for k in range(min(counts[i, 0], IMBALANCE_LEVELS)):
        bid_lots += quantities[i, 0, k]
    ask_lots = 0
    for k in range(min(counts[i, 1], IMBALANCE_LEVELS)):
        ask_lots += quantities[i, 1, k]
    if bid_lots == 0 or ask_lots == 0:
        return np.nan
    return (bid_lots - ask_lots) / (bid_lots + ask_lots)


@kernel
def apply_level(
    prices: Integers,
    quantities: Integers,
    counts: Integers,
    state: Integers,
    i: int,
    slots: Records,
    slot_index: int,
) -> int:
    """Apply one LEVEL record in place; return the book's state after it."""
    flags = slots["flags"][slot_index]
    if flags & LEVEL_SNAPSHOT_FIRST:
        counts[i, 0] = 0
        counts[i, 1] = 0
        state[i] = BOOK_FILLING
    if state[i] == BOOK_EMPTY:
        return BOOK_EMPTY
    side = 0 if flags & LEVEL_BID else 1
    price = slots["price_ticks"][slot_index]
    set_level(prices, quantities, counts, i, side, price, slots["qty_lots"][slot_index])
    state[i] = BOOK_FILLING
    if flags & LEVEL_LAST_OF_DIFF:
        both = counts[i, 0] > 0 and counts[i, 1] > 0
        crossed = both and prices[i, 0, 0] >= prices[i, 1, 0]
        state[i] = BOOK_CROSSED if crossed else BOOK_SETTLED
    return int(state[i])
