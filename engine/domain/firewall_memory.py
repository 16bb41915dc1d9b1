"""Laws that compare a record with other records of its instrument: bars, and book against quote.

    row["bar"]          the venue's bar as it was last said, and how often it was contradicted
    row["book_check"]   the best levels after the last diff, until the quotes go on beyond its id

A diff ends at an update id. A quote of the same id shows the same best levels; where quotes went on
beyond it, the last one before it stood at that id. The feed sends no book that its quotes deny, so
`DIVERGED_RUN` denials in a row mean that what lies in the ring is not what the feed had: the book
is not looked at until a quote agrees with it again. Quotes are taken all the while.
"""

from __future__ import annotations

import numpy as np

from engine.domain.codes import BAR_FINAL, CONFLATED
from engine.domain.features.micro import DEPTH_IMBALANCE
from engine.domain.firewall_lanes import LANE_QUOTE, RUN_TO_ACCEPT, ids_ahead
from engine.domain.firewall_reasons import FirewallReason
from engine.domain.kernel import Record, fused, kernel

# Words of row["bar"].
BAR_START_NS, BAR_INTERVAL_S, BAR_OPEN, BAR_HIGH, BAR_LOW, BAR_CLOSE = 0, 1, 2, 3, 4, 5
BAR_VOLUME, BAR_TRADES, BAR_IS_FINAL, BAR_REFUSED_RUN = 6, 7, 8, 9
BAR_WORDS = 12
# Words of row["book_check"].
BOOK_WAITS, BOOK_RUN, BOOK_DOUBTED, BOOK_ID = 0, 1, 2, 3
BOOK_BID, BOOK_ASK, BOOK_BID_LOTS, BOOK_ASK_LOTS = 4, 5, 6, 7
BOOK_WORDS = 8

DIVERGED_RUN = 32  # denials in a row; twice what the feed's own layer allows
NS_PER_S = 1_000_000_000

_BAR_HISTORY = int(FirewallReason.BAR_HISTORY)


@kernel
def follows_bar(kept: Record, slot: Record, interval_s: int, is_final: bool) -> bool:
    """Return whether a bar of the venue may come after the one that its stream said last."""
    words = kept["bar"]
    start_ns = slot["venue_time_ns"]
    if interval_s != words[BAR_INTERVAL_S] or start_ns > words[BAR_START_NS]:
        return True
    if start_ns < words[BAR_START_NS]:
        return False
    open_ticks = slot["open_ticks"]
    close_ticks = open_ticks + slot["close_offset_ticks"]
    volume = slot["volume_lots"]
    grows = (
        open_ticks == words[BAR_OPEN]
        and open_ticks + slot["high_offset_ticks"] >= words[BAR_HIGH]
        and open_ticks + slot["low_offset_ticks"] <= words[BAR_LOW]
        and volume >= words[BAR_VOLUME]
        and slot["bar_trade_count"] >= words[BAR_TRADES]
    )
    changed = close_ticks != words[BAR_CLOSE] or volume != words[BAR_VOLUME]
    is_over = words[BAR_IS_FINAL] != 0 and (not is_final or changed)
    return (grows or words[BAR_TRADES] == 0) and not is_over


@kernel
def judge_bar(row: Record, slot: Record) -> int:
    """Return BAR_HISTORY for a bar that contradicts what its stream said of it before, or 0.

    The late end of the bar before is true, and nothing to go on from. RUN_TO_ACCEPT contradictions
    in a row replace what is kept.
    """
    words = row["bar"]
    start_ns = slot["venue_time_ns"]
    interval_s = int(slot["aux"])
    is_final = (slot["flags"] & BAR_FINAL) != 0
    before_ns = words[BAR_START_NS] - interval_s * NS_PER_S
    if is_final and interval_s == words[BAR_INTERVAL_S] and start_ns == before_ns:
        return 0
    if not follows_bar(row, slot, interval_s, is_final):
        words[BAR_REFUSED_RUN] += 1
        if words[BAR_REFUSED_RUN] < RUN_TO_ACCEPT:
            return _BAR_HISTORY
    open_ticks = slot["open_ticks"]
    words[BAR_START_NS] = start_ns
    words[BAR_INTERVAL_S] = interval_s
    words[BAR_OPEN] = open_ticks
    words[BAR_HIGH] = open_ticks + slot["high_offset_ticks"]
    words[BAR_LOW] = open_ticks + slot["low_offset_ticks"]
    words[BAR_CLOSE] = open_ticks + slot["close_offset_ticks"]
    words[BAR_VOLUME] = slot["volume_lots"]
    words[BAR_TRADES] = slot["bar_trade_count"]
    words[BAR_IS_FINAL] = int(is_final)
    words[BAR_REFUSED_RUN] = 0
    return 0


@kernel
def forget_bar(row: Record) -> None:
    """Forget the bar that is kept, in place: the next one is judged on its own."""
    row["bar"][BAR_INTERVAL_S] = 0


@fused
def note_book(row: Record, book: Record, update_id: int) -> None:
    """Keep the best levels of a settled book until the quotes go on beyond its id, in place."""
    words = row["book_check"]
    if update_id == 0 or book["count"][0] == 0 or book["count"][1] == 0:
        words[BOOK_WAITS] = 0
        return
    words[BOOK_WAITS] = 1
    words[BOOK_ID] = update_id & 0xFFFFFFFF
    words[BOOK_BID] = book["price_ticks"][0, 0]
    words[BOOK_ASK] = book["price_ticks"][1, 0]
    words[BOOK_BID_LOTS] = book["qty_lots"][0, 0]
    words[BOOK_ASK_LOTS] = book["qty_lots"][1, 0]


@fused
def agrees_with(row: Record, quote: Record) -> bool:
    """Return whether the book that is kept shows what a quote, or a row's last one, does."""
    words = row["book_check"]
    return bool(
        quote["bid_price_ticks"] == words[BOOK_BID]
        and quote["ask_price_ticks"] == words[BOOK_ASK]
        and quote["bid_qty_lots"] == words[BOOK_BID_LOTS]
        and quote["ask_qty_lots"] == words[BOOK_ASK_LOTS]
    )


@kernel
def judge_book(row: Record, slot: Record, before_id: int) -> bool:
    """Compare the book that waits with an accepted quote; return whether it is in doubt by that.

    Args:
        row: the instrument's, with the quote before this one still in it; changed in place.
        slot: the quote.
        before_id: id of the quote before; 0: not known.
    """
    words = row["book_check"]
    if slot["flags"] & CONFLATED:
        words[BOOK_WAITS] = 0  # which quote stood at its id is not known any more
        return False
    ahead = ids_ahead(LANE_QUOTE, int(slot["aux"]), words[BOOK_ID])
    if ahead < 0:
        return False
    words[BOOK_WAITS] = 0
    if ahead == 0:
        agrees = agrees_with(row, slot)
    elif before_id == 0 or ids_ahead(LANE_QUOTE, words[BOOK_ID], before_id) < 0:
        return False
    else:
        agrees = agrees_with(row, row)
    if agrees:
        words[BOOK_RUN] = 0
        words[BOOK_DOUBTED] = 0
        return False
    words[BOOK_RUN] += 1
    if words[BOOK_RUN] < DIVERGED_RUN:
        return False
    words[BOOK_DOUBTED] = 1
    row["micro"][DEPTH_IMBALANCE] = np.nan
    return True


@kernel
def forget_book(row: Record) -> None:
    """Forget what was said against a book, in place: it begins anew, or its quotes do."""
    for k in range(BOOK_WORDS):
        row["book_check"][k] = 0
