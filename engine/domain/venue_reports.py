"""Reports about the venue itself: connection, clock, fetches, funding, faults of the executor."""

from __future__ import annotations

from engine.domain.codes import EVENT_APPLIED, EVENT_DUPLICATE, EventType
from engine.domain.desk import Desk, Out, external_column, knows_instrument, net_column
from engine.domain.emit import emit_net_position
from engine.domain.equity import DIRTY_AT_ONCE, change_cash, check_losses, roll_day, trip
from engine.domain.fetch import (
    NOT_QUIET,
    begin_fetch,
    defer_fetch,
    fail_fetch,
    is_this_round,
    note_balance,
    note_position,
)
from engine.domain.kernel import Records, kernel
from engine.domain.market_state import (
    CLOCK_ANCHOR_NS,
    CLOCK_OFFSET_NS,
    CLOCK_RATE_PPB,
    CLOCK_VALID,
)
from engine.domain.reconcile import end_fetch
from engine.domain.risk_reasons import RiskReason
from engine.domain.stamps import NO_BOUND, lower_bounds, newest_bound
from engine.domain.trade_ids import KIND_FUNDING, is_known_trade, remember_trade
from engine.domain.words import FetchState, Tally, Word

FAULT_LEASE_LOST = int(RiskReason.LEASE_LOST)  # `reason` of an EXECUTOR_FAULT
FUNDING_MAX_E8 = 1_000_000_000_000_000  # ten million of the quote currency in one payment


@kernel
def connect(desk: Desk) -> None:
    """VENUE_CONNECTED: orders may leave again once everything was compared."""
    words = desk.words
    words[Word.CONNECTED] = 1
    words[Word.SYNCED] = 0
    words[Word.FETCH_STATE] = FetchState.IDLE
    words[Word.RECONCILE_REQUIRED] = 1
    words[Word.NEXT_FETCH_NS] = 0
    words[Word.ORDERS_DUE] = 1


@kernel
def disconnect(desk: Desk) -> None:
    """VENUE_DISCONNECTED: nothing more is known; a fetch under way is void."""
    words = desk.words
    words[Word.CONNECTED] = 0
    words[Word.SYNCED] = 0
    words[Word.FETCH_STATE] = FetchState.IDLE
    words[Word.RECONCILE_REQUIRED] = 1


@kernel
def set_clock(desk: Desk, events: Records, n: int, now_ns: int) -> None:
    """VENUE_CLOCK: the venue's time as a line over ours; the day may begin."""
    progress = desk.progress
    anchor_ns = events["clock_anchor_ns"][n]
    venue_ns = anchor_ns + events["clock_offset_ns"][n]
    before_ns = progress[CLOCK_ANCHOR_NS]
    said_ns = before_ns + progress[CLOCK_OFFSET_NS] if progress[CLOCK_VALID] != 0 else 0
    bound_ns = newest_bound(before_ns, said_ns, progress[CLOCK_RATE_PPB], anchor_ns, venue_ns)
    if bound_ns < NO_BOUND:
        lower_bounds(desk, bound_ns)
    progress[CLOCK_OFFSET_NS] = events["clock_offset_ns"][n]
    progress[CLOCK_RATE_PPB] = events["clock_rate_ppb"][n]
    progress[CLOCK_ANCHOR_NS] = anchor_ns
    progress[CLOCK_VALID] = 1
    roll_day(desk, now_ns)


@kernel
def apply_funding(desk: Desk, out: Out, n: int, now_ns: int) -> None:
    """FUNDING: a payment of an instrument, once per id, into the net and external columns."""
    events = out.events
    i = events["instrument_index"][n]
    amount = events["funding_e8"][n]
    if not knows_instrument(desk, i) or abs(amount) > FUNDING_MAX_E8:
        desk.counts[Tally.REPORTS_INVALID] += 1
        return
    if is_known_trade(desk, i, events["trade_id"][n], KIND_FUNDING):
        desk.counts[Tally.REPORTS_DUPLICATE] += 1
        events["flags"][n] |= EVENT_DUPLICATE
        return
    remember_trade(desk, i, events["trade_id"][n], KIND_FUNDING)
    desk.positions["funding_e8"][i, net_column(desk)] += amount
    desk.positions["funding_e8"][i, external_column(desk)] += amount
    desk.words[Word.FUNDING_E8] += amount
    desk.words[Word.DAY_REALISED_E8] += amount
    change_cash(desk, amount, now_ns)
    check_losses(desk)
    events["flags"][n] |= EVENT_APPLIED
    m = emit_net_position(desk, out, i, 0, 0)
    events["funding_e8"][m] = amount


@kernel
def apply_fault(desk: Desk, events: Records, n: int) -> None:
    """EXECUTOR_FAULT: state may be lost, so compare; a lost lease stops this engine for good."""
    desk.counts[Tally.EXECUTOR_FAULTS] += 1
    desk.words[Word.RECONCILE_REQUIRED] = 1
    if events["reason"][n] == FAULT_LEASE_LOST:
        desk.words[Word.LEASE_EPOCH] = 0
        desk.words[Word.LIMITS_DIRTY] = DIRTY_AT_ONCE
        trip(desk, FAULT_LEASE_LOST)


@kernel
def apply_fetch_failed(desk: Desk, events: Records, n: int, now_ns: int) -> None:
    """FETCH_FAILED: of one order, its next lookup comes by itself; of everything, count it."""
    if events["order_sequence"][n] > 0 or desk.words[Word.FETCH_STATE] == FetchState.IDLE:
        return
    if not is_this_round(desk, events, n):
        return
    if events["reason"][n] == NOT_QUIET:
        defer_fetch(desk, now_ns)
    else:
        fail_fetch(desk, now_ns)


@kernel
def apply_venue_report(desk: Desk, out: Out, n: int, now_ns: int) -> None:
    """Apply the echoed report about the venue at place `n` of the events."""
    events = out.events
    kind = events["event_type"][n]
    if kind == EventType.VENUE_POSITION:
        note_position(desk, events, n)
    elif kind == EventType.VENUE_BALANCE:
        note_balance(desk, events, n)
    elif kind == EventType.FETCH_BEGIN:
        begin_fetch(desk, events, n, now_ns)
    elif kind == EventType.FETCH_END:
        end_fetch(desk, out, n, now_ns)
    elif kind == EventType.FETCH_FAILED:
        apply_fetch_failed(desk, events, n, now_ns)
    elif kind == EventType.VENUE_CONNECTED:
        connect(desk)
    elif kind == EventType.VENUE_DISCONNECTED:
        disconnect(desk)
    elif kind == EventType.VENUE_CLOCK:
        set_clock(desk, events, n, now_ns)
    elif kind == EventType.FUNDING:
        apply_funding(desk, out, n, now_ns)
    elif kind == EventType.EXECUTOR_FAULT:
        apply_fault(desk, events, n)
