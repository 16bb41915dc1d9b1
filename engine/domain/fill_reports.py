"""Fills the executor reports: once per (instrument, trade id), whoever reports them how often.

A fill of our order moves the order, its strategy's position and the money. A foreign fill moves the
position all the same, because the venue's position moved; while an order of ours in its instrument
waits for its first answer a fill that names no order may be its own, and is left to the next fetch.
"""

from __future__ import annotations

from engine.domain.codes import (
    EVENT_APPLIED,
    EVENT_DUPLICATE,
    EVENT_ENTRY,
    EventType,
    OrderStatus,
)
from engine.domain.desk import Desk, Out, external_column
from engine.domain.emit import show_position
from engine.domain.equity import DIRTY_AT_ONCE
from engine.domain.fills import fill_covered, fill_external, fill_strategy, fits_everywhere
from engine.domain.kernel import Records, kernel
from engine.domain.order_store import NO_ROW, find_order
from engine.domain.orders import STIMULUS_OF_STATUS, TERMINAL, Stimulus
from engine.domain.reports import (
    apply_cancel_rejected,
    apply_order_sent,
    apply_order_unknown,
    apply_order_update,
    apply_venue_order,
    is_readable,
    mark_foreign,
    merge_report,
    told_quantity,
)
from engine.domain.trade_ids import KIND_FILL, is_known_trade, remember_trade
from engine.domain.words import Tally, Word

NOT_DUPLICATE = 255 - EVENT_DUPLICATE
_PARTIAL = int(Stimulus.VENUE_PARTIALLY_FILLED)


@kernel
def fill_stimulus(events: Records, n: int) -> int:
    """Return what a fill's order status says; a fill without one says the order works."""
    status = events["order_status"][n]
    if status == OrderStatus.NONE or status == OrderStatus.UNKNOWN:
        return _PARTIAL
    return STIMULUS_OF_STATUS[status]


@kernel
def is_covered(desk: Desk, events: Records, n: int, i: int) -> bool:
    """Return whether an adjustment took a fill from the venue before its report came."""
    adjusted_ns = desk.venue["adjusted_venue_ns"][i]
    return adjusted_ns > 0 and 0 < events["venue_time_ns"][n] <= adjusted_ns


@kernel
def note_fill_time(desk: Desk, events: Records, n: int) -> None:
    """Remember the newest venue time of a fill: the next fetch asks for trades from there."""
    newest = max(desk.words[Word.LAST_FILL_VENUE_NS], events["venue_time_ns"][n])
    desk.words[Word.LAST_FILL_VENUE_NS] = newest


@kernel
def row_by_venue_id(desk: Desk, i: int, venue_order_id: int) -> int:
    """Return the row of an order by the venue's number (some trade lists carry no other)."""
    if venue_order_id <= 0:
        return NO_ROW
    orders = desk.orders
    for row in range(orders.shape[0]):
        if orders["venue_order_id"][row] == venue_order_id and orders["key"][row] > 0:
            if orders["instrument_index"][row] == i:
                return row
    return NO_ROW


@kernel
def may_be_ours(desk: Desk, i: int) -> bool:
    """Return whether an order of ours in an instrument awaits its number from the venue."""
    orders = desk.orders
    for place in range(desk.words[Word.OPEN_COUNT]):
        row = desk.open_rows[place]
        if orders["instrument_index"][row] == i and orders["acknowledged"][row] == 0:
            return True
    return False


@kernel
def apply_foreign_fill(desk: Desk, out: Out, n: int, now_ns: int) -> None:
    """A fill at the venue that is no order of ours: it moved the position all the same."""
    events = out.events
    i = events["instrument_index"][n]
    qty = events["last_qty_lots"][n]
    price = events["last_price_ticks"][n]
    mark_foreign(desk, events, n)
    if events["side"][n] == 0 or not fits_everywhere(desk, i, price, qty):
        desk.counts[Tally.REPORTS_INVALID] += 1
        return
    if may_be_ours(desk, i):
        # WHY: it may be the fill of an order not acknowledged yet; the next fetch shows it again.
        # Until then position and wallet differ for a known reason: no comparison may count it.
        desk.words[Word.RECONCILE_REQUIRED] = 1
        desk.words[Word.CASH_CHANGED_NS] = now_ns
        desk.ledger["changed_ns"][i] = now_ns
        return
    note_fill_time(desk, events, n)
    remember_trade(desk, i, events["trade_id"][n], KIND_FILL)
    desk.counts[Tally.FILLS_FOREIGN] += 1
    events["flags"][n] |= EVENT_APPLIED
    if is_covered(desk, events, n, i):
        return  # an adjustment took it from the venue already
    side = 1 if events["side"][n] > 0 else -1
    fill_external(desk, out, i, side, qty, price, events["fee_e8"][n], now_ns)
    show_position(desk, out, n, i, external_column(desk), 0)


@kernel
def recount_entry(desk: Desk, row: int) -> None:
    """Count an entry again whose place in the day was given back before this fill came."""
    orders = desk.orders
    if orders["flags"][row] & EVENT_ENTRY != 0 and orders["filled_lots"][row] == 0:
        if orders["entry_counted"][row] == 0 and TERMINAL[orders["status"][row]]:
            desk.words[Word.DAY_ENTRY_COUNT] += 1
            desk.words[Word.LIMITS_DIRTY] = DIRTY_AT_ONCE


@kernel
def apply_own_fill(desk: Desk, out: Out, n: int, row: int, now_ns: int) -> None:
    """A fill of our order that was not seen before: order, position and money."""
    events = out.events
    orders = desk.orders
    i = orders["instrument_index"][row]
    column = orders["column"][row]
    side = 1 if orders["side"][row] > 0 else -1
    qty = events["last_qty_lots"][n]
    price = events["last_price_ticks"][n]
    if not fits_everywhere(desk, i, price, qty):
        desk.counts[Tally.REPORTS_INVALID] += 1
        return
    remember_trade(desk, i, events["trade_id"][n], KIND_FILL)
    asked = max(orders["qty_lots"][row], told_quantity(events, n))
    overfilled = orders["filled_lots"][row] + qty > asked
    if overfilled and not is_covered(desk, events, n, i):
        desk.counts[Tally.OVERFILLS] += 1
        desk.words[Word.RECONCILE_REQUIRED] = 1
    note_fill_time(desk, events, n)
    recount_entry(desk, row)
    covered = is_covered(desk, events, n, i)
    missing = orders["cum_qty_lots"][row] - orders["filled_lots"][row]
    counted = min(qty, missing) if covered else qty  # a written-off fill is in the total already
    merge_report(desk, events, n, row, fill_stimulus(events, n), counted, now_ns)
    # The trade is news even when it changed nothing of the order (written off before).
    events["flags"][n] = (events["flags"][n] & NOT_DUPLICATE) | EVENT_APPLIED
    if covered:
        desk.counts[Tally.FILLS_LATE] += 1
        realised = fill_covered(desk, out, i, column, side, qty, price, now_ns)
    else:
        fee = events["fee_e8"][n]
        realised = fill_strategy(desk, out, i, column, side, qty, price, fee, now_ns)
    show_position(desk, out, n, i, column, realised)
    desk.counts[Tally.FILLS] += 1


@kernel
def apply_fill_report(desk: Desk, out: Out, n: int, now_ns: int) -> None:
    """FILL: one execution, once per (instrument, trade id), whoever reports it how often."""
    events = out.events
    if events["last_qty_lots"][n] == 0:
        apply_order_update(desk, events, n, now_ns)
        return
    i = events["instrument_index"][n]
    row = find_order(desk, events["order_sequence"][n], events["epoch_low"][n])
    if row == NO_ROW:
        row = row_by_venue_id(desk, i, events["venue_order_id"][n])
    if row != NO_ROW and desk.orders["instrument_index"][row] != i:
        desk.counts[Tally.REPORTS_INVALID] += 1
        desk.words[Word.RECONCILE_REQUIRED] = 1
        mark_foreign(desk, events, n)
        return
    if is_known_trade(desk, i, events["trade_id"][n], KIND_FILL):
        desk.counts[Tally.FILLS_DUPLICATE] += 1
        if row == NO_ROW:
            events["flags"][n] |= EVENT_DUPLICATE
            return
        merge_report(desk, events, n, row, fill_stimulus(events, n), 0, now_ns)
        events["flags"][n] |= EVENT_DUPLICATE
    elif row == NO_ROW:
        apply_foreign_fill(desk, out, n, now_ns)
    else:
        apply_own_fill(desk, out, n, row, now_ns)


@kernel
def apply_order_report(desk: Desk, out: Out, n: int, now_ns: int) -> None:
    """Apply the echoed report about an order or a fill at place `n` of the events."""
    events = out.events
    kind = events["event_type"][n]
    if not is_readable(desk, events, n):
        desk.counts[Tally.REPORTS_INVALID] += 1
        mark_foreign(desk, events, n)
    elif kind == EventType.FILL:
        apply_fill_report(desk, out, n, now_ns)
    elif kind == EventType.ORDER_UPDATE:
        apply_order_update(desk, events, n, now_ns)
    elif kind == EventType.ORDER_SENT:
        apply_order_sent(desk, events, n, now_ns)
    elif kind == EventType.ORDER_UNKNOWN:
        apply_order_unknown(desk, events, n, now_ns)
    elif kind == EventType.CANCEL_REJECTED:
        apply_cancel_rejected(desk, events, n, now_ns)
    else:
        apply_venue_order(desk, events, n, now_ns)
