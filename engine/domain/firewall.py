"""The second layer of the data firewall: the same laws as the feed's, over the record.

`check_record` answers 0 or the FirewallReason of the first law broken; it changes only the counts
and anchors of the firewall. A refused record changes nothing else and is never traded on. Laws, in
order: sequence, what the record says by itself, its time, what its lane said before it
(`engine.domain.firewall_lanes`). One poisoned record must not make every later one look stale:
jumps are bounded, and when a run of refusals shows that the anchors were wrong,
`resync_instrument` forgets them together with everything built on them.
"""

from __future__ import annotations

from engine.domain.codes import Channel, Liveness, RecordType
from engine.domain.features.micro import forget_flow
from engine.domain.firewall_lanes import (
    IDS,
    LANE_QUOTE,
    LANE_TRADE,
    REFERENCE_AGE_NS,
    STEPS_ALLOWED,
    extend_run,
    forget_lane,
    judge_lane,
)
from engine.domain.firewall_reasons import FirewallReason
from engine.domain.kernel import Records, inlined, kernel
from engine.domain.market_state import (
    CLOCK_ANCHOR_NS,
    CLOCK_OFFSET_NS,
    CLOCK_RATE_PPB,
    CLOCK_VALID,
    NEVER_NS,
    SEQUENCE_LAST,
    VENUE_TIME_NEWEST_NS,
    MarketState,
)

TIME_FUTURE_NS = 10_000_000_000  # ahead of the venue clock; twice the feed's, which knows its error
TIME_PAST_NS = 60_000_000_000  # older than any delivery; bars carry their open time, exempt
TIME_LEAP_NS = 3_600_000_000_000  # without a venue clock: further than any silence
SPREAD_DIVISOR = 10  # a spread is at most a tenth of the bid
FUNDING_MAX_E8 = 5_000_000  # 5 % per interval; the venue caps at 3 %
NS_PER_S = 1_000_000_000

_QUOTE = int(RecordType.QUOTE)
_TRADE = int(RecordType.TRADE)
_LEVEL = int(RecordType.LEVEL)
_BAR = int(RecordType.BAR)
_MARK = int(RecordType.MARK)
_LIQUIDATION = int(RecordType.LIQUIDATION)
_LIVENESS = int(RecordType.LIVENESS)
_GAP = int(RecordType.GAP)
_CHANNELS = len(Channel)
_LIVENESS_MAX = max(int(state) for state in Liveness)

_PRICE_NOT_POSITIVE = int(FirewallReason.PRICE_NOT_POSITIVE)
_QTY_NEGATIVE = int(FirewallReason.QTY_NEGATIVE)
_QTY_ZERO = int(FirewallReason.QTY_ZERO)
_NUMBER_RANGE = int(FirewallReason.NUMBER_RANGE)
_QUOTE_CROSSED = int(FirewallReason.QUOTE_CROSSED)
_QUOTE_LOCKED = int(FirewallReason.QUOTE_LOCKED)
_SPREAD_WIDE = int(FirewallReason.SPREAD_WIDE)
_TIME_FUTURE = int(FirewallReason.TIME_FUTURE)
_TIME_PAST = int(FirewallReason.TIME_PAST)
_BAR_RANGE = int(FirewallReason.BAR_RANGE)
_BAR_OPEN_CLOSE = int(FirewallReason.BAR_OPEN_CLOSE)
_BAR_TIME = int(FirewallReason.BAR_TIME)
_BAR_VOLUME = int(FirewallReason.BAR_VOLUME)
_FUNDING_RANGE = int(FirewallReason.FUNDING_RANGE)
_RECORD_TYPE_UNKNOWN = int(FirewallReason.RECORD_TYPE_UNKNOWN)
_INSTRUMENT_UNKNOWN = int(FirewallReason.INSTRUMENT_UNKNOWN)
_SEQUENCE_BROKEN = int(FirewallReason.SEQUENCE_BROKEN)

PRICE_TICKS_MAX = 1 << 40  # keeps every product below in range of an int64
QTY_LOTS_MAX = 1 << 50


@kernel
def check_quote(slots: Records, slot_index: int) -> int:
    """Return the law a QUOTE breaks by itself, or 0."""
    bid = slots["bid_price_ticks"][slot_index]
    ask = slots["ask_price_ticks"][slot_index]
    bid_lots = slots["bid_qty_lots"][slot_index]
    ask_lots = slots["ask_qty_lots"][slot_index]
    if bid <= 0 or ask <= 0:
        return _PRICE_NOT_POSITIVE
    if bid_lots < 0 or ask_lots < 0:
        return _QTY_NEGATIVE
    if bid_lots == 0 or ask_lots == 0:
        return _QTY_ZERO
    if max(bid, ask) > PRICE_TICKS_MAX or max(bid_lots, ask_lots) > QTY_LOTS_MAX:
        return _NUMBER_RANGE
    if bid >= ask:
        return _QUOTE_LOCKED if bid == ask else _QUOTE_CROSSED
    if ask - bid > STEPS_ALLOWED and (ask - bid) * SPREAD_DIVISOR > bid:
        return _SPREAD_WIDE
    return 0


@kernel
def check_trade(slots: Records, slot_index: int) -> int:
    """Return the law a TRADE breaks by itself, or 0."""
    price = slots["price_ticks"][slot_index]
    qty = slots["qty_lots"][slot_index]
    if price <= 0:
        return _PRICE_NOT_POSITIVE
    if qty <= 0:
        return _QTY_ZERO if qty == 0 else _QTY_NEGATIVE
    if price > PRICE_TICKS_MAX or qty > QTY_LOTS_MAX:
        return _NUMBER_RANGE
    return 0


@kernel
def check_price_and_qty(slots: Records, slot_index: int, qty_min: int) -> int:
    """Return the law that a LEVEL or a LIQUIDATION breaks, or 0."""
    price = slots["price_ticks"][slot_index]
    qty = slots["qty_lots"][slot_index]
    if price <= 0:
        return _PRICE_NOT_POSITIVE
    if qty < 0:
        return _QTY_NEGATIVE
    if qty < qty_min:
        return _QTY_ZERO
    if price > PRICE_TICKS_MAX or qty > QTY_LOTS_MAX:
        return _NUMBER_RANGE
    return 0


@kernel
def check_bar(slots: Records, slot_index: int) -> int:
    """Return the law a BAR of the venue breaks, or 0."""
    open_ticks = slots["open_ticks"][slot_index]
    high = slots["high_offset_ticks"][slot_index]
    low = slots["low_offset_ticks"][slot_index]
    close = slots["close_offset_ticks"][slot_index]
    volume = slots["volume_lots"][slot_index]
    trades = slots["bar_trade_count"][slot_index]
    interval_s = int(slots["aux"][slot_index])
    if open_ticks <= 0 or open_ticks + low <= 0:
        return _PRICE_NOT_POSITIVE
    if high < low:
        return _BAR_RANGE
    if high < 0 or low > 0 or close > high or close < low:
        return _BAR_OPEN_CLOSE
    if volume < 0:
        return _QTY_NEGATIVE
    if trades < 0 or (trades == 0) != (volume == 0):
        return _BAR_VOLUME
    if interval_s <= 0 or slots["venue_time_ns"][slot_index] % (interval_s * NS_PER_S) != 0:
        return _BAR_TIME
    return 0


@kernel
def check_mark(slots: Records, slot_index: int) -> int:
    """Return the law a MARK breaks, or 0."""
    if slots["mark_price_e8"][slot_index] <= 0 or slots["index_price_e8"][slot_index] < 0:
        return _PRICE_NOT_POSITIVE
    if abs(slots["funding_rate_e8"][slot_index]) > FUNDING_MAX_E8:
        return _FUNDING_RANGE
    return 0


@kernel
def check_state_record(record_type: int, slots: Records, slot_index: int) -> int:
    """Return the law a LIVENESS or a GAP breaks, or 0."""
    channel = slots["aux"][slot_index]
    if channel < 0 or channel >= _CHANNELS:
        return _NUMBER_RANGE
    if record_type == _LIVENESS:
        state = slots["liveness"][slot_index]
        if state < 0 or state > _LIVENESS_MAX:
            return _NUMBER_RANGE
    return 0


@inlined
def check_time(market: MarketState, record_type: int, slots: Records, slot_index: int) -> int:
    """Return the law a record's venue time breaks, or 0.

    With a venue clock the bound is the clock, wider by its rate where a tape plays faster; without
    one it is the newest venue time accepted.
    """
    progress = market.progress
    venue_time_ns = slots["venue_time_ns"][slot_index]
    if progress[CLOCK_VALID] != 0:
        receive_ns = slots["receive_time_ns"][slot_index]
        since_ns = receive_ns - progress[CLOCK_ANCHOR_NS]
        rate = progress[CLOCK_RATE_PPB] * 1e-9  # beyond 1
        clock_ns = receive_ns + progress[CLOCK_OFFSET_NS] + int(since_ns * rate)
        wider = max(1.0, 1.0 + rate)
        future_ns = clock_ns + int(TIME_FUTURE_NS * wider)
        past_ns = clock_ns - int(TIME_PAST_NS * wider)
    else:
        clock_ns = progress[VENUE_TIME_NEWEST_NS]
        if clock_ns == 0:
            return 0
        future_ns = clock_ns + TIME_LEAP_NS
        past_ns = clock_ns - TIME_LEAP_NS
    if venue_time_ns > future_ns:
        return _TIME_FUTURE
    if record_type != _BAR and venue_time_ns < past_ns:
        return _TIME_PAST
    return 0


@kernel
def resync_instrument(market: MarketState, i: int) -> None:
    """Forget the anchors of an instrument and what was built on them, in place."""
    hot = market.hot
    forget_lane(market.anchors, i, LANE_QUOTE)
    forget_lane(market.anchors, i, LANE_TRADE)
    hot["bid_price_ticks"][i] = 0
    hot["ask_price_ticks"][i] = 0
    hot["flow_bucket"][i] = 0
    hot["next_close_ns"][i] = NEVER_NS
    for t in range(market.timeframes_ns.shape[0]):
        market.forming["start_ns"][i, t] = 0
        market.forming["trade_count"][i, t] = 0
    forget_flow(market.flow_buckets, market.flow_sums, market.micro, i)


@inlined
def check_lane(
    market: MarketState, record_type: int, i: int, slots: Records, slot_index: int
) -> int:
    """Return the law a QUOTE or TRADE breaks against its lane, or 0.

    The record that completes a run of refusals is accepted, after a resynchronisation.
    """
    hot = market.hot
    receive_ns = slots["receive_time_ns"][slot_index]
    venue_time_ns = slots["venue_time_ns"][slot_index]
    if record_type == _QUOTE:
        lane = LANE_QUOTE
        column = IDS
        record_id = int(slots["aux"][slot_index])
        bid = slots["bid_price_ticks"][slot_index]
        price = bid + (slots["ask_price_ticks"][slot_index] - bid) // 2
        is_fresh = receive_ns - hot["quote_receive_time_ns"][i] <= REFERENCE_AGE_NS
        is_newer = venue_time_ns >= hot["quote_venue_time_ns"][i]
    else:
        lane = LANE_TRADE
        column = IDS + (int(slots["flags"][slot_index]) & 3)
        record_id = slots["trade_id"][slot_index]
        price = slots["price_ticks"][slot_index]
        is_fresh = receive_ns - hot["trade_receive_time_ns"][i] <= REFERENCE_AGE_NS
        is_newer = venue_time_ns >= hot["trade_venue_time_ns"][i]
    reason = judge_lane(market.anchors, i, lane, column, record_id, price, is_fresh)
    if reason != 0 and extend_run(market.anchors, i, lane, record_id, price, is_newer):
        resync_instrument(market, i)
        return judge_lane(market.anchors, i, lane, column, record_id, price, False)
    return reason


@inlined
def check_content(record_type: int, slots: Records, slot_index: int) -> int:
    """Return the law the record breaks by itself, or 0."""
    if record_type == _QUOTE:
        return check_quote(slots, slot_index)
    if record_type == _TRADE:
        return check_trade(slots, slot_index)
    if record_type == _LEVEL:
        return check_price_and_qty(slots, slot_index, 0)
    if record_type == _BAR:
        return check_bar(slots, slot_index)
    if record_type == _MARK:
        return check_mark(slots, slot_index)
    if record_type == _LIQUIDATION:
        return check_price_and_qty(slots, slot_index, 1)
    return check_state_record(record_type, slots, slot_index)


@inlined
def check_laws(market: MarketState, slots: Records, slot_index: int) -> int:
    """Return the first law the record breaks, or 0."""
    record_type = slots["record_type"][slot_index]
    if record_type < _QUOTE or record_type > _GAP:
        return _RECORD_TYPE_UNKNOWN
    i = slots["instrument_index"][slot_index]
    if i >= market.hot.shape[0]:
        return _INSTRUMENT_UNKNOWN
    reason = check_content(record_type, slots, slot_index)
    if reason != 0 or record_type >= _LIVENESS:
        return reason
    reason = check_time(market, record_type, slots, slot_index)
    if reason == 0 and record_type <= _TRADE:
        reason = check_lane(market, record_type, i, slots, slot_index)
    return reason


@inlined
def check_record(market: MarketState, slots: Records, slot_index: int) -> int:
    """Return 0, or the FirewallReason for which the record must not be used; counts it.

    The sequence must follow the one before it; the first record after the start may have any.
    """
    sequence = slots["sequence"][slot_index]
    expected = market.progress[SEQUENCE_LAST] + 1
    market.progress[SEQUENCE_LAST] = sequence
    reason = 0
    if expected not in (sequence, 0):
        reason = _SEQUENCE_BROKEN
    else:
        reason = check_laws(market, slots, slot_index)
    if reason != 0:
        market.reject_counts[reason] += 1
        return reason
    if slots["record_type"][slot_index] < _BAR:
        venue_time_ns = slots["venue_time_ns"][slot_index]
        newest_ns = market.progress[VENUE_TIME_NEWEST_NS]
        market.progress[VENUE_TIME_NEWEST_NS] = max(newest_ns, venue_time_ns)
    return 0
