"""The second layer of the data firewall: the same laws as the feed's, over the record.

`check_record` answers 0 or the FirewallReason of the first law broken; it changes only the counts
and anchors of the firewall. A refused record changes nothing else and is never traded on. Laws, in
order: sequence, what the record says by itself, its time, what its lane said before it
(`engine.domain.firewall_lanes`), what else its instrument said (`engine.domain.firewall_memory`).
One poisoned record must not make every later one look stale: jumps are bounded, and when a run of
refusals shows that the anchors were wrong, `resync_instrument` forgets them together with
everything built on them.
"""

from __future__ import annotations

from engine.domain.codes import Channel, Liveness, RecordType
from engine.domain.features.micro import forget_flow
from engine.domain.filters import check_filter
from engine.domain.firewall_lanes import (
    IDS,
    LANE_QUOTE,
    LANE_TRADE,
    REFERENCE_AGE_NS,
    STEPS_ALLOWED,
    extend_run,
    forget_lane,
    is_frozen,
    judge_lane,
)
from engine.domain.firewall_memory import BOOK_WAITS, forget_book, judge_bar, judge_book
from engine.domain.firewall_reasons import PRICE_TICKS_MAX, QTY_LOTS_MAX, FirewallReason
from engine.domain.kernel import Record, Records, fused, kernel
from engine.domain.market_state import (
    CLOCK_ANCHOR_NS,
    CLOCK_OFFSET_NS,
    CLOCK_RATE_PPB,
    CLOCK_VALID,
    INSTRUMENTS_KNOWN,
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
_FILTER = int(RecordType.FILTER)
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
_QUOTE_FROZEN = int(FirewallReason.QUOTE_FROZEN)
_BOOK_DIVERGED = int(FirewallReason.BOOK_DIVERGED)

MARK_PRICE_MAX_E8 = 1 << 60


@fused
def check_quote(slot: Record) -> int:
    """Return the law a QUOTE breaks by itself, or 0."""
    bid = slot["bid_price_ticks"]
    ask = slot["ask_price_ticks"]
    bid_lots = slot["bid_qty_lots"]
    ask_lots = slot["ask_qty_lots"]
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


@fused
def check_trade(slot: Record) -> int:
    """Return the law a TRADE breaks by itself, or 0."""
    price = slot["price_ticks"]
    qty = slot["qty_lots"]
    if price <= 0:
        return _PRICE_NOT_POSITIVE
    if qty <= 0:
        return _QTY_ZERO if qty == 0 else _QTY_NEGATIVE
    if price > PRICE_TICKS_MAX or qty > QTY_LOTS_MAX:
        return _NUMBER_RANGE
    return 0


@fused
def check_price_and_qty(slot: Record, qty_min: int) -> int:
    """Return the law that a LEVEL or a LIQUIDATION breaks, or 0."""
    price = slot["price_ticks"]
    qty = slot["qty_lots"]
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
def check_bar(slot: Record) -> int:
    """Return the law a BAR of the venue breaks, or 0."""
    open_ticks = slot["open_ticks"]
    high = slot["high_offset_ticks"]
    low = slot["low_offset_ticks"]
    close = slot["close_offset_ticks"]
    volume = slot["volume_lots"]
    trades = slot["bar_trade_count"]
    interval_s = int(slot["aux"])
    if open_ticks <= 0 or open_ticks + low <= 0:
        return _PRICE_NOT_POSITIVE
    if high < low:
        return _BAR_RANGE
    if high < 0 or low > 0 or close > high or close < low:
        return _BAR_OPEN_CLOSE
    if volume < 0:
        return _QTY_NEGATIVE
    if open_ticks > PRICE_TICKS_MAX or volume > QTY_LOTS_MAX:
        return _NUMBER_RANGE
    if trades < 0 or (trades == 0) != (volume == 0):
        return _BAR_VOLUME
    if interval_s <= 0 or slot["venue_time_ns"] % (interval_s * NS_PER_S) != 0:
        return _BAR_TIME
    return 0


@kernel
def check_mark(slot: Record) -> int:
    """Return the law a MARK breaks, or 0."""
    if slot["mark_price_e8"] <= 0 or slot["index_price_e8"] < 0:
        return _PRICE_NOT_POSITIVE
    if slot["mark_price_e8"] > MARK_PRICE_MAX_E8 or slot["index_price_e8"] > MARK_PRICE_MAX_E8:
        return _NUMBER_RANGE
    funding = slot["funding_rate_e8"]
    if funding > FUNDING_MAX_E8 or funding < -FUNDING_MAX_E8:
        return _FUNDING_RANGE
    return 0


@kernel
def check_state_record(record_type: int, slot: Record) -> int:
    """Return the law a LIVENESS, a GAP or a FILTER breaks, or 0."""
    if record_type == _FILTER:
        return check_filter(slot)
    channel = slot["aux"]
    if channel < 0 or channel >= _CHANNELS:
        return _NUMBER_RANGE
    if record_type == _LIVENESS:
        state = slot["liveness"]
        if state < 0 or state > _LIVENESS_MAX:
            return _NUMBER_RANGE
    return 0


@kernel
def check_time(market: MarketState, record_type: int, slot: Record) -> int:
    """Return the law a record's venue time breaks, or 0.

    With a venue clock the bound is the clock, wider by its rate where a tape plays faster; without
    one it is the newest venue time accepted.
    """
    progress = market.progress
    venue_time_ns = slot["venue_time_ns"]
    if progress[CLOCK_VALID] != 0:
        receive_ns = slot["receive_time_ns"]
        clock_ns = receive_ns + progress[CLOCK_OFFSET_NS]
        future_ns = clock_ns + TIME_FUTURE_NS
        past_ns = clock_ns - TIME_PAST_NS
        rate_ppb = progress[CLOCK_RATE_PPB]
        if rate_ppb != 0:
            rate = rate_ppb * 1e-9  # beyond 1
            clock_ns += int((receive_ns - progress[CLOCK_ANCHOR_NS]) * rate)
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
    row = market.hot[i]
    forget_lane(row, LANE_QUOTE)
    forget_lane(row, LANE_TRADE)
    forget_book(row)
    row["bid_price_ticks"] = 0
    row["ask_price_ticks"] = 0
    row["flow_bucket"] = 0
    row["next_close_ns"] = NEVER_NS
    for t in range(market.forming.shape[1]):
        market.forming["start_ns"][i, t] = 0
        market.forming["trade_count"][i, t] = 0
    forget_flow(row)


@kernel
def accept_run(
    market: MarketState, i: int, lane: int, column: int, record_id: int, price: int, is_newer: bool
) -> bool:
    """Note a refused record; when it completes a run, resynchronise and accept it."""
    if not extend_run(market.hot[i], lane, record_id, price, is_newer):
        return False
    resync_instrument(market, i)
    return judge_lane(market.hot[i], lane, column, record_id, price, False) == 0


@fused
def check_quote_lane(market: MarketState, i: int, slot: Record) -> int:
    """Return the law a QUOTE breaks against the quotes before it, or 0."""
    row = market.hot[i]
    if is_frozen(row, slot):
        return _QUOTE_FROZEN
    record_id = int(slot["aux"])
    bid = slot["bid_price_ticks"]
    price = bid + (slot["ask_price_ticks"] - bid) // 2
    age_ns = slot["receive_time_ns"] - row["quote_receive_time_ns"]
    is_fresh = age_ns <= REFERENCE_AGE_NS
    before_id = row["anchors"][LANE_QUOTE, IDS]
    reason = judge_lane(row, LANE_QUOTE, IDS, record_id, price, is_fresh)
    if reason == 0 and row["book_check"][BOOK_WAITS] != 0 and judge_book(row, slot, before_id):
        market.reject_counts[_BOOK_DIVERGED] += 1  # of the book: the quote is taken
    if reason != 0:
        is_newer = slot["venue_time_ns"] >= row["quote_venue_time_ns"]
        if accept_run(market, i, LANE_QUOTE, IDS, record_id, price, is_newer):
            return 0
    return reason


@fused
def check_trade_lane(market: MarketState, i: int, slot: Record) -> int:
    """Return the law a TRADE breaks against the trades of its kind before it, or 0."""
    row = market.hot[i]
    column = IDS + (int(slot["flags"]) & 3)
    record_id = slot["trade_id"]
    price = slot["price_ticks"]
    age_ns = slot["receive_time_ns"] - row["trade_receive_time_ns"]
    is_fresh = age_ns <= REFERENCE_AGE_NS
    reason = judge_lane(row, LANE_TRADE, column, record_id, price, is_fresh)
    if reason != 0:
        is_newer = slot["venue_time_ns"] >= row["trade_venue_time_ns"]
        if accept_run(market, i, LANE_TRADE, column, record_id, price, is_newer):
            return 0
    return reason


@kernel
def check_content(record_type: int, slot: Record) -> int:
    """Return the law the record breaks by itself, or 0."""
    if record_type == _QUOTE:
        return check_quote(slot)
    if record_type == _TRADE:
        return check_trade(slot)
    if record_type == _LEVEL:
        return check_price_and_qty(slot, 0)
    if record_type == _BAR:
        return check_bar(slot)
    if record_type == _MARK:
        return check_mark(slot)
    if record_type == _LIQUIDATION:
        return check_price_and_qty(slot, 1)
    return check_state_record(record_type, slot)


@kernel
def check_laws(market: MarketState, slot: Record) -> int:
    """Return the first law the record breaks, or 0."""
    record_type = slot["record_type"]
    if record_type < _QUOTE or record_type > _FILTER:
        return _RECORD_TYPE_UNKNOWN
    i = slot["instrument_index"]
    if i >= market.progress[INSTRUMENTS_KNOWN]:
        return _INSTRUMENT_UNKNOWN
    reason = check_content(record_type, slot)
    if reason != 0 or record_type >= _LIVENESS:
        return reason
    reason = check_time(market, record_type, slot)
    if reason == 0 and record_type == _QUOTE:
        return check_quote_lane(market, i, slot)
    if reason == 0 and record_type == _TRADE:
        return check_trade_lane(market, i, slot)
    if reason == 0 and record_type == _BAR:
        return judge_bar(market.hot[i], slot)
    return reason


@kernel
def check_record(market: MarketState, slots: Records, slot_index: int) -> int:
    """Return 0, or the FirewallReason for which the record must not be used; counts it.

    The sequence must follow the one before it; the first record after the start may have any.
    """
    slot = slots[slot_index]
    sequence = slot["sequence"]
    expected = market.progress[SEQUENCE_LAST] + 1
    market.progress[SEQUENCE_LAST] = sequence
    reason = _SEQUENCE_BROKEN
    if expected in (sequence, 0):
        reason = check_laws(market, slot)
    if reason != 0:
        market.reject_counts[reason] += 1
        return reason
    if slot["record_type"] < _BAR:
        venue_time_ns = slot["venue_time_ns"]
        newest_ns = market.progress[VENUE_TIME_NEWEST_NS]
        market.progress[VENUE_TIME_NEWEST_NS] = max(newest_ns, venue_time_ns)
    return 0
