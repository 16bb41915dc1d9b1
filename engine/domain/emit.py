"""Records that leave a step: events first, then commands, each from a blank record.

Every function writes at most one event and one command; whoever calls has checked that there is
room (`event_room`, `command_room`). `sequence` stays UNPUBLISHED: whoever publishes stamps it.
"""

from __future__ import annotations

from engine.domain.codes import EventType, Role
from engine.domain.derived import clear_derived
from engine.domain.desk import (
    OUT_COMMANDS,
    OUT_EVENTS,
    UNPUBLISHED,
    Desk,
    Out,
    net_column,
    strategy_of,
)
from engine.domain.kernel import Records, kernel
from engine.domain.words import Word

_BRAIN = int(Role.BRAIN)
_POSITION_CHANGED = int(EventType.POSITION_CHANGED)
_LIMITS_CHANGED = int(EventType.LIMITS_CHANGED)
_TRADING_STATE_CHANGED = int(EventType.TRADING_STATE_CHANGED)


@kernel
def event_room(out: Out) -> int:
    """Return how many more events fit."""
    return out.events.shape[0] - out.counts[OUT_EVENTS]


@kernel
def command_room(out: Out) -> int:
    """Return how many more commands fit."""
    return out.commands.shape[0] - out.counts[OUT_COMMANDS]


@kernel
def begin_event(desk: Desk, out: Out, event_type: int) -> int:
    """Claim the next event, blank but for type, role, time and trading state; return its place."""
    n = out.counts[OUT_EVENTS]
    out.events[n] = out.blank[0]
    out.events["event_type"][n] = event_type
    out.events["role"][n] = _BRAIN
    out.events["time_ns"][n] = desk.words[Word.NOW_NS]
    out.events["trading_state"][n] = desk.words[Word.EFFECTIVE_STATE]
    out.events["instrument_index"][n] = -1
    out.events["strategy_index"][n] = -1
    out.counts[OUT_EVENTS] = n + 1
    return n


@kernel
def echo(out: Out, records: Records, place: int) -> int:
    """Copy an input record to the events; return its place. Derived fields are filled in later."""
    n = out.counts[OUT_EVENTS]
    out.events[n] = records[place]
    clear_derived(out.events, n)
    out.events["sequence"][n] = UNPUBLISHED
    out.counts[OUT_EVENTS] = n + 1
    return n


@kernel
def copy_command(out: Out, n: int, command_type: int) -> None:
    """Append the event at place `n` to the commands, under a command's type."""
    m = out.counts[OUT_COMMANDS]
    out.commands[m] = out.events[n]
    out.commands["event_type"][m] = command_type
    out.counts[OUT_COMMANDS] = m + 1


@kernel
def emit_position(desk: Desk, out: Out, i: int, column: int, realised_e8: int, fee_e8: int) -> int:
    """Write POSITION_CHANGED for one column of an instrument; return its place."""
    n = begin_event(desk, out, _POSITION_CHANGED)
    out.events["instrument_index"][n] = i
    out.events["strategy_index"][n] = strategy_of(desk, column)
    out.events["position_lots"][n] = desk.positions["lots"][i, column]
    out.events["position_cost_e8"][n] = desk.positions["cost_e8"][i, column]
    out.events["realised_pnl_e8"][n] = realised_e8
    out.events["fee_e8"][n] = fee_e8
    return n


@kernel
def emit_limits(desk: Desk, out: Out) -> None:
    """Write LIMITS_CHANGED: what a restart needs of money, day and tripped limits."""
    n = begin_event(desk, out, _LIMITS_CHANGED)
    words = desk.words
    out.events["venue_time_ns"][n] = words[Word.LAST_FILL_VENUE_NS]
    out.events["reason"][n] = words[Word.STATE_REASON]
    out.events["trading_state"][n] = words[Word.OPERATOR_STATE]
    out.events["refusal_mask"][n] = words[Word.TRIPPED]
    out.events["order_sequence"][n] = words[Word.NEXT_ORDER_SEQUENCE]
    out.events["failure_count"][n] = words[Word.FAILURE_COUNT]
    out.events["cash_e8"][n] = words[Word.CASH_E8]
    out.events["realised_pnl_e8"][n] = words[Word.REALISED_E8]
    out.events["fee_e8"][n] = words[Word.FEE_E8]
    out.events["funding_e8"][n] = words[Word.FUNDING_E8]
    out.events["day_realised_pnl_e8"][n] = words[Word.DAY_REALISED_E8]
    out.events["day_entry_count"][n] = words[Word.DAY_ENTRY_COUNT]
    out.events["day_number"][n] = words[Word.DAY_NUMBER]
    out.events["peak_equity_e8"][n] = words[Word.PEAK_EQUITY_E8]
    out.events["day_start_equity_e8"][n] = words[Word.DAY_START_EQUITY_E8]
    out.events["qty_lots"][n] = words[Word.CASH_KNOWN]
    out.events["cum_qty_lots"][n] = words[Word.FLATTEN_ACTIVE]
    desk.words[Word.LIMITS_DIRTY] = 0


@kernel
def emit_trading_state(desk: Desk, out: Out, before: int) -> None:
    """Write TRADING_STATE_CHANGED: `order_status` is the state before, the mask what tripped."""
    n = begin_event(desk, out, _TRADING_STATE_CHANGED)
    out.events["reason"][n] = desk.words[Word.STATE_REASON]
    out.events["order_status"][n] = before
    out.events["refusal_mask"][n] = desk.words[Word.TRIPPED]


@kernel
def show_position(desk: Desk, out: Out, n: int, i: int, column: int, realised_e8: int) -> None:
    """Fill the derived position fields of the event at place `n`."""
    out.events["position_lots"][n] = desk.positions["lots"][i, column]
    out.events["position_cost_e8"][n] = desk.positions["cost_e8"][i, column]
    out.events["realised_pnl_e8"][n] = realised_e8


@kernel
def emit_net_position(desk: Desk, out: Out, i: int, realised_e8: int, fee_e8: int) -> int:
    """Write POSITION_CHANGED for the venue's net position; return its place."""
    return emit_position(desk, out, i, net_column(desk), realised_e8, fee_e8)
