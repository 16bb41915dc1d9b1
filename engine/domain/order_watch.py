"""Orders over time: timeouts, queries, cancels, flattening. Driven by now_ns, once per step.

An order in flight without an answer for `order_timeout_ns` becomes UNKNOWN and is queried with a
growing pause, never sent again. A strategy's working order that is older than
`resting_time_ns_max`, or one that somebody wants cancelled or that quotes an unfit market, is
cancelled; that request has a timeout of its own. An order closed by the venue whose fills have not
all arrived makes a reconciliation due.
"""

from __future__ import annotations

from engine.domain.codes import (
    EVENT_ENTRY,
    EVENT_POST_ONLY,
    EventType,
    OrderStatus,
    TradingState,
)
from engine.domain.desk import Desk, Out, is_outside, strategy_of
from engine.domain.emit import begin_event, command_room, copy_command, event_room
from engine.domain.equity import DIRTY_AT_ONCE, trip
from engine.domain.intent import REASON_FLATTEN, close_column
from engine.domain.kernel import kernel
from engine.domain.order_store import book, bracket_count, guards_position, unbook
from engine.domain.orders import CANCELS_MAX, TERMINAL, Stimulus, merge
from engine.domain.risk import INSTRUMENT_TRADING, channels_live
from engine.domain.risk_reasons import RiskReason
from engine.domain.words import Tally, Word

QUERIES_MAX = 10  # lookups of one order before a human must look
QUERY_PAUSE_NS = 250_000_000  # first pause between two lookups; doubles
QUERY_DOUBLINGS_MAX = 5
ORDER_CHECK_NS = 100_000_000
ROOM_PER_ORDER = 8  # events and commands kept free: two for the order, the rest for the step
FLATTEN_ORDERS_MAX = 1024  # orders of one flattening before it gives up

_LOST = int(Stimulus.LOST)
_CANCEL_ASKED = int(Stimulus.CANCEL_ASKED)
_REPLACE_ASKED = int(Stimulus.REPLACE_ASKED)
_COMMAND_CANCEL = int(EventType.COMMAND_CANCEL)
_COMMAND_REPLACE = int(EventType.COMMAND_REPLACE)
_COMMAND_CANCEL_ALL = int(EventType.COMMAND_CANCEL_ALL)
_COMMAND_FETCH = int(EventType.COMMAND_FETCH)
_ORDER_UNRESOLVED = int(RiskReason.ORDER_UNRESOLVED)
_CONSECUTIVE_FAILURES = int(RiskReason.CONSECUTIVE_FAILURES)


@kernel
def count_failure(desk: Desk) -> None:
    """Count a rejected or unknown outcome; trips the circuit breaker at its limit."""
    desk.words[Word.FAILURE_COUNT] += 1
    desk.words[Word.LIMITS_DIRTY] = DIRTY_AT_ONCE
    if desk.words[Word.FAILURE_COUNT] >= desk.limits["consecutive_failures_max"][0]:
        trip(desk, _CONSECUTIVE_FAILURES)


@kernel
def lose_order(desk: Desk, row: int, is_failure: bool, now_ns: int) -> bool:
    """An answer did not come or was ambiguous: UNKNOWN, to be queried. False: it was known."""
    before = desk.orders["status"][row]
    unbook(desk, row)
    merge(desk.orders, row, _LOST, 0, 0, now_ns)
    book(desk, row)
    if desk.orders["status"][row] != OrderStatus.UNKNOWN or before == OrderStatus.UNKNOWN:
        return False
    desk.orders["next_query_ns"][row] = now_ns
    desk.orders["query_count"][row] = 0
    desk.words[Word.ORDERS_DUE] = 1
    desk.counts[Tally.ORDERS_UNKNOWN] += 1
    if is_failure:
        count_failure(desk)
    return True


@kernel
def emit_order_command(desk: Desk, out: Out, row: int, command_type: int) -> None:
    """Write a command about an order to the events, then to the commands."""
    orders = desk.orders
    n = begin_event(desk, out, command_type)
    events = out.events
    events["instrument_index"][n] = orders["instrument_index"][row]
    events["strategy_index"][n] = strategy_of(desk, orders["column"][row])
    events["side"][n] = orders["side"][row]
    events["order_type"][n] = orders["order_type"][row]
    events["time_in_force"][n] = orders["time_in_force"][row]
    events["flags"][n] = orders["flags"][row]
    events["order_sequence"][n] = orders["order_sequence"][row]
    events["epoch_low"][n] = orders["epoch_low"][row]
    events["cause_sequence"][n] = orders["cause_sequence"][row]
    events["venue_order_id"][n] = orders["venue_order_id"][row]
    asked = orders["amended_ticks"][row] if command_type == _COMMAND_REPLACE else 0
    events["price_ticks"][n] = asked if asked != 0 else orders["price_ticks"][row]
    events["qty_lots"][n] = orders["qty_lots"][row]
    events["cum_qty_lots"][n] = orders["cum_qty_lots"][row]
    events["order_status_after"][n] = orders["status"][row]
    events["decision_time_ns"][n] = desk.words[Word.NOW_NS]
    copy_command(out, n, command_type)


@kernel
def cancel_order(desk: Desk, out: Out, row: int, now_ns: int) -> None:
    """Ask the venue to cancel an order; its state says so until the venue answers."""
    unbook(desk, row)
    merge(desk.orders, row, _CANCEL_ASKED, 0, 0, now_ns)
    desk.orders["cancel_count"][row] += 1
    desk.orders["asked_ns"][row] = now_ns
    book(desk, row)
    emit_order_command(desk, out, row, _COMMAND_CANCEL)
    desk.counts[Tally.CANCELS] += 1


@kernel
def amend_order(desk: Desk, out: Out, row: int, price_ticks: int, now_ns: int) -> None:
    """Ask the venue to move an order to another price; until it answers either may be its price.

    The order keeps its quantity, so what open orders may still do does not change.
    """
    unbook(desk, row)
    merge(desk.orders, row, _REPLACE_ASKED, 0, 0, now_ns)
    desk.orders["amended_ticks"][row] = price_ticks
    desk.orders["asked_ns"][row] = now_ns
    book(desk, row)
    emit_order_command(desk, out, row, _COMMAND_REPLACE)
    desk.counts[Tally.AMENDMENTS] += 1


@kernel
def query_order(desk: Desk, out: Out, row: int, now_ns: int) -> None:
    """Ask the venue what became of an order; after QUERIES_MAX times a human must look."""
    count = desk.orders["query_count"][row]
    pause_ns = QUERY_PAUSE_NS << min(count, QUERY_DOUBLINGS_MAX)
    desk.orders["next_query_ns"][row] = now_ns + pause_ns
    desk.orders["query_count"][row] = count + 1
    if count >= QUERIES_MAX:
        trip(desk, _ORDER_UNRESOLVED)
    emit_order_command(desk, out, row, _COMMAND_FETCH)
    desk.counts[Tally.QUERIES] += 1


@kernel
def wants_cancel(desk: Desk, row: int, now_ns: int) -> bool:
    """Return whether an order should leave the venue and may be asked to now."""
    orders = desk.orders
    status = orders["status"][row]
    if orders["cancel_count"][row] >= CANCELS_MAX:
        return False
    if status == OrderStatus.NEW or status == OrderStatus.PARTIALLY_FILLED:
        if orders["cancel_wanted"][row] != 0:
            return True
        age_ns = now_ns - orders["created_ns"][row]
        is_old = age_ns > desk.limits["resting_time_ns_max"][0]
        stays = is_outside(desk, orders["column"][row]) or guards_position(desk, row)
        return is_old and not stays
    # An unknown order may be at the venue: a cancel cannot hurt, and is asked for once per lookup.
    # The last one is kept for an order that turns up after all.
    unknown = status == OrderStatus.UNKNOWN and orders["cancel_wanted"][row] != 0
    count = orders["cancel_count"][row]
    return unknown and count < CANCELS_MAX - 1 and count <= orders["query_count"][row]


@kernel
def is_in_flight(status: int) -> bool:
    """Return whether an order awaits the answer to a request."""
    return (
        status == OrderStatus.PENDING_NEW
        or status == OrderStatus.PENDING_CANCEL
        or status == OrderStatus.PENDING_REPLACE
    )


@kernel
def withdraw_entry(desk: Desk, row: int) -> None:
    """Want an entry cancelled whose instrument winds down, in place; exits stay."""
    orders = desk.orders
    if orders["flags"][row] & EVENT_ENTRY == 0:
        return
    if desk.instruments["flags"][orders["instrument_index"][row]] & INSTRUMENT_TRADING == 0:
        orders["cancel_wanted"][row] = 1


@kernel
def withdraw_quote(desk: Desk, row: int, now_ns: int) -> None:
    """Want a quote of a strategy that makes markets cancelled once its market is unfit, in place.

    Unfit: its quote is older than the strategy or an entry allows, or a channel is not live; for
    one that may open a position also any trading state but ENABLED.
    """
    orders = desk.orders
    i, flags = orders["instrument_index"][row], orders["flags"][row]
    for m in range(desk.makers.shape[0]):
        if desk.makers[m, 0] != orders["column"][row] or flags & EVENT_POST_ONLY == 0:
            continue
        age_ns = now_ns - desk.hot["quote_receive_time_ns"][i]
        expiry_ns, most_ns = desk.makers[m, 1], desk.limits["price_age_ns_max"][0]
        stale = age_ns > most_ns or (expiry_ns > 0 and age_ns > expiry_ns)
        halted = desk.words[Word.EFFECTIVE_STATE] != TradingState.ENABLED
        if stale or not channels_live(desk, i) or (halted and flags & EVENT_ENTRY != 0):
            orders["cancel_wanted"][row] = 1


@kernel
def watch_order(desk: Desk, out: Out, row: int, now_ns: int) -> None:
    """Do what is due for one open order: at most two events and two commands."""
    orders = desk.orders
    status = orders["status"][row]
    waited_ns = now_ns - orders["asked_ns"][row]
    if TERMINAL[status]:
        # Closed at the venue, but a fill is missing: fetch the trades.
        if now_ns - orders["changed_ns"][row] > desk.limits["order_timeout_ns"][0]:
            desk.words[Word.RECONCILE_REQUIRED] = 1
        return
    if is_in_flight(status) and waited_ns > desk.limits["order_timeout_ns"][0]:
        lose_order(desk, row, status == OrderStatus.PENDING_NEW, now_ns)
    if desk.words[Word.CONNECTED] == 0:
        return
    withdraw_entry(desk, row)
    withdraw_quote(desk, row, now_ns)
    unknown = orders["status"][row] == OrderStatus.UNKNOWN
    spent = orders["cancel_wanted"][row] != 0 and orders["cancel_count"][row] >= CANCELS_MAX
    # What became of an unknown order is for its lookups to find, which are bounded themselves.
    if spent and not unknown:
        trip(desk, _ORDER_UNRESOLVED)
    elif wants_cancel(desk, row, now_ns):
        cancel_order(desk, out, row, now_ns)
    unknown = orders["status"][row] == OrderStatus.UNKNOWN
    if unknown and now_ns >= orders["next_query_ns"][row]:
        query_order(desk, out, row, now_ns)


@kernel
def want_cancels(desk: Desk, entries_only: bool, i: int) -> None:
    """Mark open orders to be cancelled: all, entries only, or (i >= 0) those of an instrument."""
    orders = desk.orders
    for place in range(desk.words[Word.OPEN_COUNT]):
        row = desk.open_rows[place]
        is_entry = orders["flags"][row] & EVENT_ENTRY != 0
        here = i < 0 or orders["instrument_index"][row] == i
        if here and (is_entry or not entries_only):
            if orders["cancel_wanted"][row] == 0 or not entries_only:
                orders["cancel_count"][row] = 0  # an operator who asks again starts over
            orders["cancel_wanted"][row] = 1
    desk.words[Word.ORDERS_DUE] = 1


@kernel
def settle_open(desk: Desk) -> None:
    """Have every open order withdrawn, and every doubt looked up now: nobody will do it later."""
    want_cancels(desk, False, -1)
    orders = desk.orders
    for place in range(desk.words[Word.OPEN_COUNT]):
        row = desk.open_rows[place]
        orders["query_count"][row] = 0
        orders["next_query_ns"][row] = 0


@kernel
def cancel_foreign(desk: Desk, out: Out) -> None:
    """The red button reaches orders that are not ours: one command for the whole account."""
    words = desk.words
    if words[Word.CANCEL_ALL_DUE] == 0 or words[Word.CONNECTED] == 0:
        return
    words[Word.CANCEL_ALL_DUE] = 0
    if words[Word.FOREIGN_OPEN] == 0:
        return
    n = begin_event(desk, out, _COMMAND_CANCEL_ALL)
    out.events["decision_time_ns"][n] = words[Word.NOW_NS]
    out.events["qty_lots"][n] = words[Word.FOREIGN_OPEN]
    copy_command(out, n, _COMMAND_CANCEL_ALL)
    words[Word.RECONCILE_REQUIRED] = 1


@kernel
def are_orders_due(desk: Desk, now_ns: int) -> bool:
    """Return whether every open order is to be looked at in this step."""
    words = desk.words
    return words[Word.ORDERS_DUE] != 0 or now_ns >= words[Word.NEXT_ORDER_CHECK_NS]


@kernel
def watch_orders(desk: Desk, out: Out, now_ns: int) -> bool:
    """Look at every open order when that is due; what does not fit into `out` waits a step.

    Returns whether they were due and all were looked at.
    """
    words = desk.words
    if not are_orders_due(desk, now_ns):
        return False
    words[Word.ORDERS_DUE] = 0
    words[Word.NEXT_ORDER_CHECK_NS] = now_ns + ORDER_CHECK_NS
    if event_room(out) < ROOM_PER_ORDER or command_room(out) < ROOM_PER_ORDER:
        words[Word.ORDERS_DUE] = 1
        return False
    cancel_foreign(desk, out)
    # From the end: a row that settles is replaced by the last one, which was looked at already.
    for place in range(words[Word.OPEN_COUNT] - 1, -1, -1):
        if event_room(out) < ROOM_PER_ORDER or command_room(out) < ROOM_PER_ORDER:
            words[Word.ORDERS_DUE] = 1
            return False
        watch_order(desk, out, desk.open_rows[place], now_ns)
    return True


@kernel
def flatten(desk: Desk, out: Out, now_ns: int) -> None:
    """Close what is held, column by column, once orders are cancelled; ends when all is flat."""
    words = desk.words
    if words[Word.FLATTEN_ACTIVE] == 0:
        return
    held = False
    for i in range(desk.ledger.shape[0]):
        for column in range(desk.positions.shape[1] - 1):
            if desk.positions["lots"][i, column] == 0:
                continue
            held = True
            if desk.pending[i, column, 0] + desk.pending[i, column, 1] > 0:
                continue
            if bracket_count(desk, i, column) > 0:
                continue
            if event_room(out) < ROOM_PER_ORDER or command_room(out) < ROOM_PER_ORDER:
                return
            if close_column(desk, out, i, column, REASON_FLATTEN, now_ns):
                words[Word.FLATTEN_ORDERS] += 1
    if not held or words[Word.FLATTEN_ORDERS] >= FLATTEN_ORDERS_MAX:
        words[Word.FLATTEN_ACTIVE] = 0
        words[Word.LIMITS_DIRTY] = DIRTY_AT_ONCE
