"""One accepted market record applied to the market state: no decision is taken here.

`apply_record` returns which timeframes closed a bar of the instrument: bit t for timeframe t.
"""

from __future__ import annotations

import numpy as np

from engine.domain.bar_close import add_to_bars_by_trade, close_due_bars
from engine.domain.bars import LATE_GRACE_NS, apply_trade_to_bar, next_close
from engine.domain.book import BOOK_EMPTY, BOOK_SETTLED, apply_level, depth_imbalance
from engine.domain.codes import (
    CONFLATED,
    LIQUIDATION_BUY,
    TRADE_BUYER_AGGRESSOR,
    Channel,
    RecordType,
)
from engine.domain.features.micro import (
    BUCKET_SHIFT,
    DEPTH_IMBALANCE,
    QUOTE_SUM,
    add_flow,
    add_trade_flow,
    forget_flow,
    quote_change,
    refresh_quote,
    roll_buckets,
)
from engine.domain.filters import apply_filter
from engine.domain.firewall_lanes import LANE_QUOTE, LANE_TRADE, forget_lane
from engine.domain.firewall_memory import BOOK_DOUBTED, forget_bar, forget_book, note_book
from engine.domain.kernel import Record, Records, fused, kernel
from engine.domain.market_state import NEVER_NS, MarketState

_QUOTE = int(RecordType.QUOTE)
_TRADE = int(RecordType.TRADE)
_LEVEL = int(RecordType.LEVEL)
_MARK = int(RecordType.MARK)
_LIQUIDATION = int(RecordType.LIQUIDATION)
_LIVENESS = int(RecordType.LIVENESS)
_GAP = int(RecordType.GAP)
_FILTER = int(RecordType.FILTER)
_CHANNEL_TRADE = int(Channel.TRADE)
_CHANNEL_QUOTE = int(Channel.QUOTE)
_CHANNEL_BOOK = int(Channel.BOOK)
_CHANNEL_BAR = int(Channel.BAR)


@fused
def advance_flow(row: Record, venue_time_ns: int) -> None:
    """Move the flow windows on when the record opens a bucket, in place."""
    bucket = venue_time_ns >> BUCKET_SHIFT
    if bucket > row["flow_bucket"]:
        roll_buckets(row, bucket)


@kernel
def apply_quote(market: MarketState, i: int, slot: Record) -> int:
    """Take over a quote; its venue time may close bars. Return the mask of timeframes closed."""
    row = market.hot[i]
    venue_time_ns = slot["venue_time_ns"]
    closed = 0
    if venue_time_ns - LATE_GRACE_NS >= row["next_close_ns"]:
        closed = close_due_bars(market, i, venue_time_ns - LATE_GRACE_NS)
    advance_flow(row, venue_time_ns)
    if row["bid_price_ticks"] > 0:
        change = quote_change(row, slot)
        if change != 0:
            add_flow(row, QUOTE_SUM, float(change))
    row["bid_price_ticks"] = slot["bid_price_ticks"]
    row["ask_price_ticks"] = slot["ask_price_ticks"]
    row["bid_qty_lots"] = slot["bid_qty_lots"]
    row["ask_qty_lots"] = slot["ask_qty_lots"]
    row["quote_receive_time_ns"] = slot["receive_time_ns"]
    row["quote_venue_time_ns"] = venue_time_ns
    refresh_quote(row)
    return closed


@kernel
def apply_trade(market: MarketState, i: int, slot: Record) -> int:
    """Fold a trade into flow and bars; return the mask of the bars that it ended.

    Bars by the clock ended before it, those by what was traded end with it.
    """
    row = market.hot[i]
    venue_time_ns = slot["venue_time_ns"]
    price_ticks = slot["price_ticks"]
    qty_lots = slot["qty_lots"]
    is_buy = (slot["flags"] & TRADE_BUYER_AGGRESSOR) != 0
    closed = 0
    if venue_time_ns >= row["next_close_ns"]:
        closed = close_due_bars(market, i, venue_time_ns)
    advance_flow(row, venue_time_ns)
    signed_lots = qty_lots if is_buy else -qty_lots
    add_trade_flow(row, signed_lots)
    opened = False
    late = False
    for t in range(market.timeframes_ns.shape[0]):
        bar = market.forming[i, t]
        opened |= bar["trade_count"] == 0
        timeframe_ns = market.timeframes_ns[t]
        late |= not apply_trade_to_bar(
            bar, timeframe_ns, venue_time_ns, price_ticks, qty_lots, is_buy
        )
    if opened:
        row["next_close_ns"] = next_close(market.forming, market.timeframes_ns, i, NEVER_NS)
    if late:
        row["late_trade_count"] += 1
    row["trade_count"] += 1
    row["last_price_ticks"] = price_ticks
    row["trade_venue_time_ns"] = venue_time_ns
    row["trade_receive_time_ns"] = slot["receive_time_ns"]
    if market.bar_kinds.shape[0] > market.timeframes_ns.shape[0]:
        closed |= add_to_bars_by_trade(market, i, slot)
    return closed


@kernel
def apply_book_level(market: MarketState, i: int, slot: Record) -> None:
    """Apply a level; at the end of a diff refresh the depth imbalance, in place."""
    imbalance = np.nan
    row = market.hot[i]
    book = market.books[i]
    if apply_level(book, slot) == BOOK_SETTLED:
        note_book(row, book, slot["update_id"])
        if row["book_check"][BOOK_DOUBTED] == 0:
            imbalance = depth_imbalance(book)
    row["micro"][DEPTH_IMBALANCE] = imbalance


@kernel
def apply_gap(market: MarketState, i: int, channel: int) -> None:
    """Forget what a loss of records made unknown, in place."""
    row = market.hot[i]
    row["gap_count"] += 1
    if channel == _CHANNEL_BOOK:
        market.books[i]["state"] = BOOK_EMPTY
        row["micro"][DEPTH_IMBALANCE] = np.nan
        forget_book(row)
    elif channel == _CHANNEL_BAR:
        forget_bar(row)
    elif channel in (_CHANNEL_TRADE, _CHANNEL_QUOTE):
        forget_lane(row, LANE_QUOTE if channel == _CHANNEL_QUOTE else LANE_TRADE)
        forget_flow(row)


@kernel
def apply_rare(market: MarketState, record_type: int, i: int, slot: Record) -> None:
    """Apply a record of one of the slow channels, in place."""
    row = market.hot[i]
    if record_type == _MARK:
        row["mark_price_e8"] = slot["mark_price_e8"]
        row["index_price_e8"] = slot["index_price_e8"]
        row["funding_rate_e8"] = slot["funding_rate_e8"]
        row["next_funding_time_ns"] = slot["next_funding_time_ns"]
        row["mark_receive_time_ns"] = slot["receive_time_ns"]
    elif record_type == _LIQUIDATION:
        if slot["flags"] & LIQUIDATION_BUY:
            row["liquidation_buy_lots"] += slot["qty_lots"]
        else:
            row["liquidation_sell_lots"] += slot["qty_lots"]
    elif record_type == _LIVENESS:
        market.liveness[i, slot["aux"]] = slot["liveness"]
    elif record_type == _GAP:
        apply_gap(market, i, slot["aux"])
    elif record_type == _FILTER:
        apply_filter(market.instruments, i, slot)


@kernel
def apply_record(market: MarketState, slots: Records, slot_index: int) -> int:
    """Apply one accepted record in place; return the mask of timeframes whose bar it closed."""
    slot = slots[slot_index]
    record_type = slot["record_type"]
    i = slot["instrument_index"]
    row = market.hot[i]
    if slot["flags"] & CONFLATED:
        row["conflated_count"] += 1
    if record_type < _LIVENESS:
        row["receive_time_ns"] = slot["receive_time_ns"]
    if record_type == _QUOTE:
        return apply_quote(market, i, slot)
    if record_type == _TRADE:
        return apply_trade(market, i, slot)
    if record_type == _LEVEL:
        apply_book_level(market, i, slot)
        return 0
    apply_rare(market, record_type, i, slot)
    return 0
