"""One accepted market record applied to the market state: no decision is taken here.

`apply_record` returns which timeframes closed a bar of the instrument: bit t for timeframe t.
"""

from __future__ import annotations

import numpy as np

from engine.domain.bar_close import close_due_bars
from engine.domain.bars import LATE_GRACE_NS, apply_trade_to_bar, next_close
from engine.domain.book import BOOK_EMPTY, BOOK_SETTLED, apply_level, depth_imbalance
from engine.domain.codes import (
    BAR_FINAL,
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
from engine.domain.firewall_lanes import LANE_QUOTE, LANE_TRADE, forget_lane
from engine.domain.kernel import Records, inlined, kernel
from engine.domain.market_state import NEVER_NS, MarketState

_QUOTE = int(RecordType.QUOTE)
_TRADE = int(RecordType.TRADE)
_LEVEL = int(RecordType.LEVEL)
_BAR = int(RecordType.BAR)
_MARK = int(RecordType.MARK)
_LIQUIDATION = int(RecordType.LIQUIDATION)
_LIVENESS = int(RecordType.LIVENESS)
_GAP = int(RecordType.GAP)
_CHANNEL_TRADE = int(Channel.TRADE)
_CHANNEL_QUOTE = int(Channel.QUOTE)
_CHANNEL_BOOK = int(Channel.BOOK)


@inlined
def advance_flow(market: MarketState, i: int, venue_time_ns: int) -> None:
    """Move the flow windows on when the record opens a bucket, in place."""
    bucket = venue_time_ns >> BUCKET_SHIFT
    if bucket > market.hot["flow_bucket"][i]:
        roll_buckets(market.hot, market.flow_buckets, market.flow_sums, market.micro, i, bucket)


@inlined
def apply_quote(market: MarketState, i: int, slots: Records, slot_index: int) -> int:
    """Take over a quote; its venue time may close bars. Return the mask of timeframes closed."""
    hot = market.hot
    venue_time_ns = slots["venue_time_ns"][slot_index]
    closed = 0
    if venue_time_ns - LATE_GRACE_NS >= hot["next_close_ns"][i]:
        closed = close_due_bars(market, i, venue_time_ns - LATE_GRACE_NS)
    advance_flow(market, i, venue_time_ns)
    if hot["bid_price_ticks"][i] > 0:
        change = quote_change(hot, i, slots, slot_index)
        if change != 0:
            add_flow(hot, market.flow_buckets, market.flow_sums, i, QUOTE_SUM, float(change))
    hot["bid_price_ticks"][i] = slots["bid_price_ticks"][slot_index]
    hot["ask_price_ticks"][i] = slots["ask_price_ticks"][slot_index]
    hot["bid_qty_lots"][i] = slots["bid_qty_lots"][slot_index]
    hot["ask_qty_lots"][i] = slots["ask_qty_lots"][slot_index]
    hot["quote_receive_time_ns"][i] = slots["receive_time_ns"][slot_index]
    hot["quote_venue_time_ns"][i] = venue_time_ns
    refresh_quote(hot, market.flow_sums, market.micro, i)
    return closed


@inlined
def apply_trade(market: MarketState, i: int, slots: Records, slot_index: int) -> int:
    """Fold a trade into flow and bars; return the mask of timeframes it closed first."""
    hot = market.hot
    venue_time_ns = slots["venue_time_ns"][slot_index]
    price_ticks = slots["price_ticks"][slot_index]
    qty_lots = slots["qty_lots"][slot_index]
    is_buy = (slots["flags"][slot_index] & TRADE_BUYER_AGGRESSOR) != 0
    closed = 0
    if venue_time_ns >= hot["next_close_ns"][i]:
        closed = close_due_bars(market, i, venue_time_ns)
    advance_flow(market, i, venue_time_ns)
    signed_lots = qty_lots if is_buy else -qty_lots
    add_trade_flow(hot, market.flow_buckets, market.flow_sums, market.micro, i, signed_lots)
    opened = False
    late = False
    for t in range(market.timeframes_ns.shape[0]):
        opened |= market.forming["trade_count"][i, t] == 0
        late |= not apply_trade_to_bar(
            market.forming,
            i,
            t,
            market.timeframes_ns[t],
            venue_time_ns,
            price_ticks,
            qty_lots,
            is_buy,
        )
    if opened:
        hot["next_close_ns"][i] = next_close(market.forming, market.timeframes_ns, i, NEVER_NS)
    if late:
        hot["late_trade_count"][i] += 1
    hot["trade_count"][i] += 1
    hot["last_price_ticks"][i] = price_ticks
    hot["trade_venue_time_ns"][i] = venue_time_ns
    hot["trade_receive_time_ns"][i] = slots["receive_time_ns"][slot_index]
    return closed


@inlined
def apply_book_level(market: MarketState, i: int, slots: Records, slot_index: int) -> None:
    """Apply a level; at the end of a diff refresh the depth imbalance, in place."""
    state = apply_level(
        market.book_prices,
        market.book_quantities,
        market.book_counts,
        market.book_state,
        i,
        slots,
        slot_index,
    )
    if state == BOOK_SETTLED:
        market.micro[i, DEPTH_IMBALANCE] = depth_imbalance(
            market.book_quantities, market.book_counts, i
        )
    else:
        market.micro[i, DEPTH_IMBALANCE] = np.nan


@inlined
def apply_gap(market: MarketState, i: int, channel: int) -> None:
    """Forget what a loss of records made unknown, in place."""
    market.hot["gap_count"][i] += 1
    if channel == _CHANNEL_BOOK:
        market.book_state[i] = BOOK_EMPTY
        market.micro[i, DEPTH_IMBALANCE] = np.nan
    elif channel in (_CHANNEL_TRADE, _CHANNEL_QUOTE):
        forget_lane(market.anchors, i, LANE_QUOTE if channel == _CHANNEL_QUOTE else LANE_TRADE)
        forget_flow(market.flow_buckets, market.flow_sums, market.micro, i)


@kernel
def apply_rare(
    market: MarketState, record_type: int, i: int, slots: Records, slot_index: int
) -> None:
    """Apply a record of one of the slow channels, in place."""
    hot = market.hot
    if record_type == _MARK:
        hot["mark_price_e8"][i] = slots["mark_price_e8"][slot_index]
        hot["index_price_e8"][i] = slots["index_price_e8"][slot_index]
        hot["funding_rate_e8"][i] = slots["funding_rate_e8"][slot_index]
        hot["next_funding_time_ns"][i] = slots["next_funding_time_ns"][slot_index]
        hot["mark_receive_time_ns"][i] = slots["receive_time_ns"][slot_index]
    elif record_type == _LIQUIDATION:
        if slots["flags"][slot_index] & LIQUIDATION_BUY:
            hot["liquidation_buy_lots"][i] += slots["qty_lots"][slot_index]
        else:
            hot["liquidation_sell_lots"][i] += slots["qty_lots"][slot_index]
    elif record_type == _BAR:
        if slots["flags"][slot_index] & BAR_FINAL:
            close_ticks = slots["open_ticks"][slot_index] + slots["close_offset_ticks"][slot_index]
            hot["venue_bar_close_ticks"][i] = close_ticks
    elif record_type == _LIVENESS:
        market.liveness[i, slots["aux"][slot_index]] = slots["liveness"][slot_index]
    elif record_type == _GAP:
        apply_gap(market, i, slots["aux"][slot_index])


@inlined
def apply_record(market: MarketState, slots: Records, slot_index: int) -> int:
    """Apply one accepted record in place; return the mask of timeframes whose bar it closed."""
    record_type = slots["record_type"][slot_index]
    i = slots["instrument_index"][slot_index]
    if slots["flags"][slot_index] & CONFLATED:
        market.hot["conflated_count"][i] += 1
    if record_type < _LIVENESS:
        market.hot["receive_time_ns"][i] = slots["receive_time_ns"][slot_index]
    if record_type == _QUOTE:
        return apply_quote(market, i, slots, slot_index)
    if record_type == _TRADE:
        return apply_trade(market, i, slots, slot_index)
    if record_type == _LEVEL:
        apply_book_level(market, i, slots, slot_index)
        return 0
    apply_rare(market, record_type, i, slots, slot_index)
    return 0
