"""The trading state in force, and the control records that change it.

        own       = most severe of what the operator asked for and what the tripped limits demand
        effective = most severe of own and the outer words (main, command line, orchestrator)

A tripped loss limit lets positions be closed first: REDUCING until the account is flat, then
HALTED. The day's profit lock is PAUSED. Every other tripped limit halts at once. Only
CONTROL_RESUME makes anything milder; it also makes the equity of that moment the base of the day
and of the peak, or the limit would trip again.
"""

from __future__ import annotations

from engine.domain.approvals import EVENTS_PER_APPROVAL, approve, reject
from engine.domain.bounds import flush_bounds, rearm_bounds, set_mode
from engine.domain.codes import EVENT_APPLIED, EventType, TradingState
from engine.domain.desk import Desk, Out
from engine.domain.emit import emit_limits, emit_trading_state
from engine.domain.equity import (
    DIRTY_AT_ONCE,
    LOSS_MASK,
    MARK_INTERVAL_NS,
    PROFIT_MASK,
    is_flat,
    rebase_equity,
)
from engine.domain.fetch import is_compared
from engine.domain.kernel import kernel
from engine.domain.order_watch import settle_open, want_cancels
from engine.domain.risk import first_reason
from engine.domain.risk_reasons import RiskReason
from engine.domain.words import Tally, Word

CONTROL_EVENTS_MAX = EVENTS_PER_APPROVAL + 2  # with its echo and a change of the trading state
LEASE_MASK = 1 << RiskReason.LEASE_LOST  # nobody here can give a lost lease back
_ENABLED = int(TradingState.ENABLED)
_PAUSED = int(TradingState.PAUSED)
_REDUCING = int(TradingState.REDUCING)
_HALTED = int(TradingState.HALTED)
_OPERATOR = int(RiskReason.OPERATOR)
_OUTER = int(RiskReason.OUTER)


@kernel
def tripped_state(desk: Desk) -> int:
    """Return the trading state that the tripped limits demand."""
    tripped = desk.words[Word.TRIPPED]
    if tripped == 0:
        return _ENABLED
    if tripped & ~(LOSS_MASK | PROFIT_MASK) != 0:
        return _HALTED
    if tripped & LOSS_MASK == 0:
        return _PAUSED
    return _HALTED if desk.words[Word.OPEN_COUNT] == 0 and is_flat(desk) else _REDUCING


@kernel
def refresh_trading_state(desk: Desk, out: Out) -> None:
    """Recompute the trading state; a change is written, and entries at the venue are withdrawn.

    Writes at most one event.
    """
    words = desk.words
    before = words[Word.EFFECTIVE_STATE]
    demanded = tripped_state(desk)
    own = max(words[Word.OPERATOR_STATE], demanded)
    effective = max(own, words[Word.OUTER_STATE])
    words[Word.OWN_STATE] = own
    if effective == before:
        return
    reason = 0
    if effective > own:
        reason = _OUTER
    elif demanded == own and own != _ENABLED:
        reason = first_reason(words[Word.TRIPPED])
    elif own != _ENABLED:
        reason = _OPERATOR
    words[Word.EFFECTIVE_STATE] = effective
    words[Word.STATE_REASON] = reason
    words[Word.LIMITS_DIRTY] = DIRTY_AT_ONCE
    if effective >= _REDUCING > before:
        want_cancels(desk, True, -1)
    emit_trading_state(desk, out, before)


@kernel
def flush_limits(desk: Desk, out: Out, now_ns: int) -> None:
    """Write LIMITS_CHANGED if something of it changed: at once what matters, else once a second.

    And BOUNDS_CHANGED of every column whose day changed.
    """
    words = desk.words
    dirty = words[Word.LIMITS_DIRTY]
    if dirty == DIRTY_AT_ONCE or (dirty != 0 and now_ns >= words[Word.NEXT_LIMITS_NS]):
        emit_limits(desk, out)
        words[Word.NEXT_LIMITS_NS] = now_ns + MARK_INTERVAL_NS
    if words[Word.BOUNDS_DIRTY] != 0:
        flush_bounds(desk, out)


@kernel
def resume(desk: Desk) -> None:
    """The operator's reset: limits re-armed from here, everything unresolved looked at again."""
    words = desk.words
    words[Word.OPERATOR_STATE] = _ENABLED
    words[Word.TRIPPED] &= LEASE_MASK
    words[Word.FAILURE_COUNT] = 0
    words[Word.FETCH_FAILURES] = 0
    words[Word.MISMATCH_ROUNDS] = 0
    words[Word.ADJUST_ROUNDS] = 0
    words[Word.FLATTEN_ACTIVE] = 0
    if not is_compared(desk, words[Word.NOW_NS]):
        words[Word.RECONCILE_REQUIRED] = 1
        words[Word.NEXT_FETCH_NS] = 0
    words[Word.DISCONNECTED_NS] = 0
    for place in range(words[Word.OPEN_COUNT]):
        row = desk.open_rows[place]
        desk.orders["query_count"][row] = 0
        desk.orders["cancel_count"][row] = 0
    rebase_equity(desk)
    rearm_bounds(desk)


@kernel
def apply_choice(desk: Desk, out: Out, n: int) -> bool:
    """Apply a mode, a word on an entry that waits, or one on memory; False: nothing changed."""
    kind = out.events["event_type"][n]
    if kind == EventType.CONTROL_MEMORY:
        is_short = out.events["reason"][n] == RiskReason.MEMORY_STATE
        desk.words[Word.MEMORY_STATE] = 1 if is_short else 0
        return True
    if kind == EventType.CONTROL_MODE:
        return set_mode(desk, out.events, n)
    if kind == EventType.CONTROL_APPROVE:
        return approve(desk, out, out.events["trade_id"][n])
    if kind == EventType.CONTROL_REJECT:
        return reject(desk, out, out.events["trade_id"][n])
    return False


@kernel
def apply_control(desk: Desk, out: Out, n: int) -> None:
    """Apply the echoed control record at place `n`; with it at most CONTROL_EVENTS_MAX."""
    words = desk.words
    kind = out.events["event_type"][n]
    desk.counts[Tally.CONTROLS] += 1
    if kind == EventType.CONTROL_HALT:
        words[Word.OPERATOR_STATE] = _HALTED
    elif kind == EventType.CONTROL_RESUME:
        resume(desk)
    elif kind == EventType.CONTROL_PAUSE:
        words[Word.OPERATOR_STATE] = max(words[Word.OPERATOR_STATE], _PAUSED)
    elif kind == EventType.CONTROL_REDUCE:
        words[Word.OPERATOR_STATE] = max(words[Word.OPERATOR_STATE], _REDUCING)
    elif kind == EventType.CONTROL_CANCEL_ALL:
        want_cancels(desk, False, -1)
        words[Word.CANCEL_ALL_DUE] = 1
    elif kind == EventType.CONTROL_FLATTEN:
        words[Word.OPERATOR_STATE] = max(words[Word.OPERATOR_STATE], _REDUCING)
        want_cancels(desk, False, -1)
        words[Word.CANCEL_ALL_DUE] = 1
        words[Word.FLATTEN_ACTIVE] = 1
        words[Word.FLATTEN_ORDERS] = 0
        words[Word.LIMITS_DIRTY] = DIRTY_AT_ONCE  # a restart goes on with it
    elif kind == EventType.CONTROL_STOP_INTENTS:
        words[Word.STOPPING] = 1
        if out.events["reason"][n] == RiskReason.STOPPING:  # without it, what rests may stay
            settle_open(desk)
    elif kind == EventType.CONTROL_RECONCILE:
        words[Word.RECONCILE_REQUIRED] = 1
        words[Word.NEXT_FETCH_NS] = 0
    elif not apply_choice(desk, out, n):
        return
    out.events["flags"][n] |= EVENT_APPLIED
    refresh_trading_state(desk, out)
    out.events["trading_state"][n] = words[Word.EFFECTIVE_STATE]
