"""What an earlier session knew, fed back before anything else: RESTORE_* reports into the state.

    RESTORE_ORDER     an order, and in `reason` why it was sent; with trade_id > 0 instead: one id
                      that was applied (`reason`: 1 for funding, 2 for a request from outside
                      and, in `cum_qty_lots`, the key of its order)
    RESTORE_POSITION  one column (-1 external, -2 net); trade_id: ids up to it were applied,
                      venue_time_ns: an adjustment covers fills up to it; what its entry
                      promised; how far its stop trailed
    RESTORE_LIMITS    money, day, peak, tripped limits, next order number; a flattening
    RESTORE_BOUNDS    the day of one strategy, or of the venue (-2)
    RESTORE_MODE      what an operator allows a part of the engine; of an instrument that comes in
                      later too, and then a more severe mode that it has meanwhile stays
    RESTORE_END       now ask the venue

An order that awaited an answer is UNKNOWN now: whoever would have heard the answer is gone. Entries
that rest are withdrawn, because the strategy that wanted them no longer knows why.
`engine.domain.fold` makes these records from a journal.
"""

from __future__ import annotations

from engine.domain.bounds import restore_bounds, set_mode, touch_all
from engine.domain.codes import (
    EVENT_APPLIED,
    EVENT_ENTRY,
    EventType,
    ModeScope,
    OrderStatus,
)
from engine.domain.desk import (
    STRATEGY_NET,
    Desk,
    Out,
    column_of,
    knows_instrument,
    net_column,
)
from engine.domain.equity import DIRTY_AT_ONCE, refresh_mark
from engine.domain.kernel import Records, kernel
from engine.domain.order_store import (
    EPOCH_PLACES,
    NO_ROW,
    book,
    find_order,
    insert_order,
    order_key,
    refresh_exposure,
)
from engine.domain.order_watch import is_in_flight
from engine.domain.orders import TERMINAL
from engine.domain.outside import KIND_REQUEST, remember_request
from engine.domain.reports import ORDER_FLAGS
from engine.domain.trade_ids import KIND_FILL, KIND_FUNDING, is_known_trade, remember_trade
from engine.domain.trading_state import LEASE_MASK
from engine.domain.trailing import restore_trail
from engine.domain.words import Tally, Word

_UNKNOWN = int(OrderStatus.UNKNOWN)
_RESTORE_MODE = int(EventType.RESTORE_MODE)
_SCOPE_INSTRUMENT = int(ModeScope.INSTRUMENT)


@kernel
def restore_order(desk: Desk, events: Records, n: int, now_ns: int) -> bool:
    """Put an order back as it was last known; False: it cannot be one of ours."""
    i = events["instrument_index"][n]
    key = order_key(events["order_sequence"][n], events["epoch_low"][n])
    status = events["order_status"][n]
    known = status > OrderStatus.NONE and status <= OrderStatus.UNKNOWN
    if not knows_instrument(desk, i) or key < 0 or events["qty_lots"][n] <= 0 or not known:
        return False
    if find_order(desk, events["order_sequence"][n], events["epoch_low"][n]) != NO_ROW:
        return False
    row = insert_order(desk, key, i, column_of(desk, events["strategy_index"][n]), now_ns)
    if row == NO_ROW:
        return False
    orders = desk.orders
    for_entry = events["flags"][n] & EVENT_ENTRY != 0
    orders["cause_sequence"][row] = events["cause_sequence"][n]
    orders["venue_order_id"][row] = events["venue_order_id"][n]
    orders["venue_time_ns"][row] = events["venue_time_ns"][n]
    orders["price_ticks"][row] = events["price_ticks"][n]
    orders["qty_lots"][row] = events["qty_lots"][n]
    orders["cum_qty_lots"][row] = events["cum_qty_lots"][n]
    orders["filled_lots"][row] = events["last_qty_lots"][n]
    orders["side"][row] = 1 if events["side"][n] > 0 else -1
    orders["order_type"][row] = events["order_type"][n]
    orders["time_in_force"][row] = events["time_in_force"][n]
    orders["flags"][row] = events["flags"][n] & ORDER_FLAGS
    orders["entry_counted"][row] = 1 if for_entry else 0  # in the day's count, if it was today
    orders["entry_day_low"][row] = desk.words[Word.DAY_NUMBER] % EPOCH_PLACES
    works = status == OrderStatus.NEW or status == OrderStatus.PARTIALLY_FILLED
    numbered = events["venue_order_id"][n] > 0  # a conditional order has no number of an order
    orders["acknowledged"][row] = 1 if works or numbered else 0
    orders["status"][row] = _UNKNOWN if is_in_flight(status) else status
    orders["next_query_ns"][row] = now_ns
    if not TERMINAL[status]:
        orders["cancel_wanted"][row] = 1 if for_entry else 0
        desk.words[Word.ORDERS_DUE] = 1
    book(desk, row)
    events["order_status_after"][n] = orders["status"][row]
    following = max(desk.words[Word.NEXT_ORDER_SEQUENCE], events["order_sequence"][n] + 1)
    desk.words[Word.NEXT_ORDER_SEQUENCE] = following
    return True


@kernel
def restore_trade(desk: Desk, events: Records, n: int) -> bool:
    """Remember a trade id, or a request, that an earlier session applied."""
    i = events["instrument_index"][n]
    trade_id = events["trade_id"][n]
    if events["reason"][n] == KIND_REQUEST:
        remember_request(desk, trade_id, events["cum_qty_lots"][n], 0)
        return True
    kind = KIND_FUNDING if events["reason"][n] == KIND_FUNDING else KIND_FILL
    if not knows_instrument(desk, i) or is_known_trade(desk, i, trade_id, kind):
        return False
    remember_trade(desk, i, trade_id, kind)
    return True


@kernel
def restore_position(desk: Desk, events: Records, n: int, now_ns: int) -> bool:
    """Put one column of an instrument back."""
    i = events["instrument_index"][n]
    if not knows_instrument(desk, i):
        return False
    strategy = events["strategy_index"][n]
    column = net_column(desk) if strategy == STRATEGY_NET else column_of(desk, strategy)
    rows = desk.positions
    # Strategies that no longer exist share the external column: add, never overwrite.
    rows["lots"][i, column] += events["position_lots"][n]
    rows["cost_e8"][i, column] += events["position_cost_e8"][n]
    rows["realised_e8"][i, column] += events["realised_pnl_e8"][n]
    rows["fee_e8"][i, column] += events["fee_e8"][n]
    rows["funding_e8"][i, column] += events["funding_e8"][n]
    rows["entry_time_ns"][i, column] = now_ns
    if column < desk.holdings.shape[1]:
        desk.holdings["move_bps"][i, column] = events["expected_move_bps"][n]
        desk.holdings["confidence"][i, column] = events["confidence"][n]
        restore_trail(desk, events, n, i, column, now_ns)
    floor = max(desk.ledger["trade_floor"][i], events["trade_id"][n])
    desk.ledger["trade_floor"][i] = floor
    adjusted_ns = max(desk.venue["adjusted_venue_ns"][i], events["venue_time_ns"][n])
    desk.venue["adjusted_venue_ns"][i] = adjusted_ns
    refresh_exposure(desk, i, column)
    return True


@kernel
def restore_limits(desk: Desk, events: Records, n: int) -> bool:
    """Put money, day and tripped limits back, and a flattening that was not done yet.

    `qty_lots` says whether cash was known, `cum_qty_lots` whether everything was being closed.
    """
    words = desk.words
    words[Word.FLATTEN_ACTIVE] = events["cum_qty_lots"][n]
    words[Word.LAST_FILL_VENUE_NS] = events["venue_time_ns"][n]
    words[Word.OPERATOR_STATE] = events["trading_state"][n]
    words[Word.TRIPPED] = events["refusal_mask"][n]
    words[Word.TRIPPED] &= ~LEASE_MASK
    words[Word.FAILURE_COUNT] = events["failure_count"][n]
    words[Word.CASH_E8] = events["cash_e8"][n]
    words[Word.CASH_KNOWN] = events["qty_lots"][n]
    words[Word.REALISED_E8] = events["realised_pnl_e8"][n]
    words[Word.FEE_E8] = events["fee_e8"][n]
    words[Word.FUNDING_E8] = events["funding_e8"][n]
    words[Word.DAY_REALISED_E8] = events["day_realised_pnl_e8"][n]
    words[Word.DAY_ENTRY_COUNT] = events["day_entry_count"][n]
    words[Word.DAY_NUMBER] = events["day_number"][n]
    words[Word.PEAK_EQUITY_E8] = events["peak_equity_e8"][n]
    words[Word.DAY_START_EQUITY_E8] = events["day_start_equity_e8"][n]
    following = max(words[Word.NEXT_ORDER_SEQUENCE], events["order_sequence"][n])
    words[Word.NEXT_ORDER_SEQUENCE] = following
    words[Word.LIMITS_DIRTY] = DIRTY_AT_ONCE
    return True


@kernel
def finish_restore(desk: Desk) -> bool:
    """RESTORE_END: sums are made again, and the venue is asked."""
    words = desk.words
    words[Word.RESTORED] = 1
    words[Word.RECONCILE_REQUIRED] = 1
    words[Word.EQUITY_E8] = words[Word.CASH_E8]
    for i in range(desk.ledger.shape[0]):
        refresh_mark(desk, i)
    touch_all(desk)
    return True


@kernel
def mode_of_newcomer(desk: Desk, events: Records, n: int) -> bool:
    """Return whether record `n` gives an instrument that came in a more severe mode than it has."""
    place = events["cause_sequence"][n]
    if events["event_type"][n] != _RESTORE_MODE or events["order_type"][n] != _SCOPE_INSTRUMENT:
        return False
    if place < 0 or place >= desk.instrument_limits.shape[0]:
        return False
    return bool(events["time_in_force"][n] > desk.instrument_limits["mode"][place])


@kernel
def apply_restore(desk: Desk, out: Out, n: int, now_ns: int) -> None:
    """Apply the echoed RESTORE_* record at place `n`; once the restore has ended: newcomers' modes.

    Everything else is refused then.
    """
    events = out.events
    kind = events["event_type"][n]
    applied = False
    if desk.words[Word.RESTORED] != 0 and mode_of_newcomer(desk, events, n):
        applied = set_mode(desk, events, n)
    elif desk.words[Word.RESTORED] != 0:
        desk.counts[Tally.REPORTS_INVALID] += 1
    elif kind == EventType.RESTORE_ORDER and events["trade_id"][n] > 0:
        applied = restore_trade(desk, events, n)
    elif kind == EventType.RESTORE_ORDER:
        applied = restore_order(desk, events, n, now_ns)
    elif kind == EventType.RESTORE_POSITION:
        applied = restore_position(desk, events, n, now_ns)
    elif kind == EventType.RESTORE_LIMITS:
        applied = restore_limits(desk, events, n)
    elif kind == EventType.RESTORE_BOUNDS:
        applied = restore_bounds(desk, events, n)
    elif kind == EventType.RESTORE_MODE:
        applied = set_mode(desk, events, n)
    elif kind == EventType.RESTORE_END:
        applied = finish_restore(desk)
    if applied:
        events["flags"][n] |= EVENT_APPLIED
