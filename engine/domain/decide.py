"""The one step: records in, decisions and orders out, in one kernel call.

    controls -> reports -> what time makes due -> market records

Pure: no clock, no I/O, no allocation; the same state and arguments give the same bytes. Every
control and report is echoed into the events with its derived fields filled in, so the events of a
session contain its inputs (`engine.domain.derived` takes them out again). The step ends early,
between two records, when the next one's worst case might not fit into `out`.
"""

from __future__ import annotations

from engine.domain.approvals import expire_held
from engine.domain.brackets import keep_brackets
from engine.domain.codes import EventType, RecordType
from engine.domain.desk import (
    OUT_COMMANDS,
    OUT_CONTROLS_CONSUMED,
    OUT_EVENTS,
    OUT_REPORTS_CONSUMED,
    Desk,
    Out,
    create_out,
)
from engine.domain.emit import begin_event, command_room, echo, event_room
from engine.domain.equity import mark_all
from engine.domain.fetch import ask_fetch
from engine.domain.fill_reports import apply_order_report
from engine.domain.intent import EVENTS_PER_OPPORTUNITY, book_order
from engine.domain.kernel import Records, kernel, python_of
from engine.domain.market_state import SCORER_FAULT_NS, USES_BRACKETS, MarketState
from engine.domain.order_watch import are_orders_due, flatten, watch_orders
from engine.domain.outside import apply_outside
from engine.domain.quoting import make_quotes
from engine.domain.reconcile import ADJUSTMENTS_PER_ROUND_MAX
from engine.domain.restore import apply_restore
from engine.domain.rotation import ROTATION_EVENTS, end_rotation, take_opportunity
from engine.domain.state import State, create_state
from engine.domain.strategy import apply_market
from engine.domain.trading_state import (
    CONTROL_EVENTS_MAX,
    apply_control,
    flush_limits,
    refresh_trading_state,
)
from engine.domain.trailing import tell_trails
from engine.domain.venue_reports import apply_venue_report
from engine.domain.words import Tally, Word

REJECT_SHOWN_NS = 60_000_000_000  # one RECORD_REJECTED per reason and minute
EVENTS_RESERVED = 8  # trading state, limits, a fetch: what a step may add by itself

_ORDER_SENT = int(EventType.ORDER_SENT)
_VENUE_ORDER = int(EventType.VENUE_ORDER)
_RESTORE_ORDER = int(EventType.RESTORE_ORDER)
_RESTORE_LIMITS = int(EventType.RESTORE_LIMITS)
_RESTORE_END = int(EventType.RESTORE_END)
_RESTORE_BOUNDS = int(EventType.RESTORE_BOUNDS)
_FETCH_END = int(EventType.FETCH_END)
_SCORER_CHANGED = int(EventType.SCORER_CHANGED)
_RECORD_REJECTED = int(EventType.RECORD_REJECTED)
_CHILD_ORDER = int(EventType.CHILD_ORDER)
_CONTROL_ORDER = int(EventType.CONTROL_ORDER)
_CONTROL_MODE = int(EventType.CONTROL_MODE)
_QUOTE = int(RecordType.QUOTE)


@kernel
def report_room(desk: Desk, kind: int) -> int:
    """Return the most events one report can cause, its echo and reserves included."""
    columns = desk.positions.shape[1]
    if kind == _FETCH_END:
        return (ADJUSTMENTS_PER_ROUND_MAX + 1) * (columns + 2) + EVENTS_RESERVED
    return columns + 4 + EVENTS_RESERVED


def events_least(desk: Desk) -> int:
    """Return the fewest events `out` must hold: below it some record would never fit."""
    opportunities = len(desk.opportunities) * EVENTS_PER_OPPORTUNITY + ROTATION_EVENTS + 1
    return max(python_of(report_room)(desk, _FETCH_END), opportunities, 2 * EVENTS_RESERVED)


def create_room(state: State) -> Out:
    """Return room for what a step emits: more than usual where very many strategies run."""
    usual = create_out()
    least = events_least(state.desk)
    return usual if least <= len(usual.events) else create_out(events=least)


@kernel
def apply_report(desk: Desk, out: Out, records: Records, place: int, now_ns: int) -> None:
    """Echo one report and apply it."""
    n = echo(out, records, place)
    kind = out.events["event_type"][n]
    desk.counts[Tally.REPORTS] += 1
    if _ORDER_SENT <= kind <= _VENUE_ORDER:
        apply_order_report(desk, out, n, now_ns)
    elif _RESTORE_ORDER <= kind <= _RESTORE_END or kind >= _RESTORE_BOUNDS:
        apply_restore(desk, out, n, now_ns)
    elif kind >= _CHILD_ORDER:
        apply_outside(desk, out, n)
    else:
        apply_venue_report(desk, out, n, now_ns)
    refresh_trading_state(desk, out)
    if kind != _RESTORE_LIMITS:
        out.events["trading_state"][n] = desk.words[Word.EFFECTIVE_STATE]


@kernel
def drain_controls(
    desk: Desk, out: Out, controls: Records, first: int, count: int, mask: int
) -> int:
    """Apply control records in order; return how many fitted."""
    for k in range(count):
        if event_room(out) < CONTROL_EVENTS_MAX + EVENTS_RESERVED or command_room(out) == 0:
            return k
        n = echo(out, controls, (first + k) & mask)
        if _CONTROL_ORDER <= out.events["event_type"][n] < _CONTROL_MODE:
            apply_outside(desk, out, n)
        else:
            apply_control(desk, out, n)
    return count


@kernel
def drain_reports(
    desk: Desk, out: Out, reports: Records, first: int, count: int, mask: int, now_ns: int
) -> int:
    """Apply reports in order; return how many fitted."""
    for k in range(count):
        place = (first + k) & mask
        room = report_room(desk, reports["event_type"][place])
        if event_room(out) < room or command_room(out) == 0:
            desk.counts[Tally.SLICED] += 1
            return k
        apply_report(desk, out, reports, place, now_ns)
    return count


@kernel
def tell_scorer(market: MarketState, desk: Desk, out: Out) -> None:
    """Write SCORER_CHANGED once the scorer's answers are none, and once it is believed again."""
    at_fault = 1 if market.progress[SCORER_FAULT_NS] != 0 else 0
    if at_fault == desk.words[Word.SCORER_FAULT] or event_room(out) == 0:
        return
    desk.words[Word.SCORER_FAULT] = at_fault
    desk.counts[Tally.SCORER_FAULTS] += at_fault
    out.events["reason"][begin_event(desk, out, _SCORER_CHANGED)] = at_fault


@kernel
def do_due_work(market: MarketState, desk: Desk, out: Out, now_ns: int) -> None:
    """What time makes due, once a step: marks, ends of waits, fetches, brackets, timeouts."""
    if now_ns >= desk.words[Word.NEXT_MARK_NS]:
        mark_all(desk, now_ns)
    expire_held(desk, out, now_ns)
    end_rotation(desk, out)
    tell_scorer(market, desk, out)
    tell_trails(market, desk, out, EVENTS_RESERVED)
    refresh_trading_state(desk, out)
    if event_room(out) >= EVENTS_RESERVED and command_room(out) > 0:
        ask_fetch(desk, out, now_ns)
    if market.progress[USES_BRACKETS] != 0 and are_orders_due(desk, now_ns):
        keep_brackets(market, desk, out, now_ns)
    if watch_orders(desk, out, now_ns):
        flatten(desk, out, now_ns)
    refresh_trading_state(desk, out)
    if event_room(out) > 0:
        flush_limits(desk, out, now_ns)


@kernel
def note_reject(
    desk: Desk, out: Out, market: Records, place: int, reason: int, now_ns: int
) -> None:
    """Count a refused market record; show one per reason and minute with what went unshown."""
    desk.counts[Tally.REJECTED_RECORDS] += 1
    rejects = desk.rejects
    shown_ns = rejects[reason, 0]
    if shown_ns != 0 and now_ns - shown_ns < REJECT_SHOWN_NS:
        rejects[reason, 1] += 1
        return
    n = begin_event(desk, out, _RECORD_REJECTED)
    out.events["instrument_index"][n] = market["instrument_index"][place]
    out.events["cause_sequence"][n] = market["sequence"][place]
    out.events["venue_time_ns"][n] = market["venue_time_ns"][place]
    out.events["reason"][n] = reason
    out.events["request_id"][n] = rejects[reason, 1]
    rejects[reason, 0] = now_ns
    rejects[reason, 1] = 0


@kernel
def drain_market(
    state: State, out: Out, market: Records, first: int, count: int, mask: int, now_ns: int
) -> int:
    """Apply market records in order and take every opportunity to risk; return how many fitted."""
    desk = state.desk
    worst = desk.opportunities.shape[0]
    events_worst = worst * EVENTS_PER_OPPORTUNITY + ROTATION_EVENTS + 1
    for k in range(count):
        if (
            desk.words[Word.UNBOOKED_SEQUENCE] != 0
        ):  # of the record before; the last is the caller's
            book_order(desk)
        if event_room(out) < events_worst or command_room(out) < worst:
            desk.counts[Tally.SLICED] += 1
            return k
        place = (first + k) & mask
        found = apply_market(state.market, desk.exposure, market, place, now_ns, desk.opportunities)
        if found < 0:
            note_reject(desk, out, market, place, -found, now_ns)
        for j in range(found):
            take_opportunity(state, out, j, market, place)
        if desk.makers.shape[0] != 0 and found >= 0 and market["record_type"][place] == _QUOTE:
            make_quotes(state, out, market, place, now_ns)
    return count


@kernel
def decide(
    state: State,
    controls: Records,
    control_first: int,
    control_count: int,
    control_mask: int,
    reports: Records,
    report_first: int,
    report_count: int,
    report_mask: int,
    market: Records,
    market_first: int,
    market_count: int,
    market_mask: int,
    now_ns: int,
    outer_trading_state: int,
    out: Out,
) -> int:
    """Take the step but for the books of its last order, which `book_order` writes.

    So that an order's command can be published before its books are written. For the arguments and
    what is returned see `step`.
    """
    desk = state.desk
    out.counts[OUT_EVENTS] = 0
    out.counts[OUT_COMMANDS] = 0
    desk.words[Word.NOW_NS] = now_ns
    desk.words[Word.OUTER_STATE] = outer_trading_state
    desk.counts[Tally.STEPS] += 1
    refresh_trading_state(desk, out)
    consumed = drain_controls(desk, out, controls, control_first, control_count, control_mask)
    out.counts[OUT_CONTROLS_CONSUMED] = consumed
    out.counts[OUT_REPORTS_CONSUMED] = 0
    if consumed < control_count:
        return 0
    consumed = drain_reports(desk, out, reports, report_first, report_count, report_mask, now_ns)
    out.counts[OUT_REPORTS_CONSUMED] = consumed
    if consumed < report_count:
        return 0
    do_due_work(state.market, desk, out, now_ns)
    consumed = drain_market(state, out, market, market_first, market_count, market_mask, now_ns)
    desk.counts[Tally.RECORDS] += consumed
    return consumed


@kernel
def step(
    state: State,
    controls: Records,
    control_first: int,
    control_count: int,
    control_mask: int,
    reports: Records,
    report_first: int,
    report_count: int,
    report_mask: int,
    market: Records,
    market_first: int,
    market_count: int,
    market_mask: int,
    now_ns: int,
    outer_trading_state: int,
    out: Out,
) -> int:
    """Drain controls, reports and market records, in this order; return market records consumed.

    Args:
        state: changed in place.
        controls, reports: EVENT_DTYPE arrays; record k lies at (first + k) & mask.
        market: MARKET_DTYPE array, indexed the same way.
        now_ns: monotonic time of this step; never smaller than the last one's.
        outer_trading_state: most severe word of main, operator and orchestrator.
        out: overwritten; `counts` says how many events, commands, controls and reports. It holds
            at least `events_least` events and a command per opportunity.

    Returns:
        Market records consumed. Fewer than given: publish `out` and call again. Reports are not
        begun before all controls, nor market records before all reports, were consumed.
    """
    consumed = decide(
        state,
        controls,
        control_first,
        control_count,
        control_mask,
        reports,
        report_first,
        report_count,
        report_mask,
        market,
        market_first,
        market_count,
        market_mask,
        now_ns,
        outer_trading_state,
        out,
    )
    book_order(state.desk)
    return consumed


__all__ = ["Out", "State", "create_out", "create_room", "create_state", "events_least", "step"]
