"""Events that become one row each and never change: decisions, refusals, faults, states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from engine.domain.codes import EVENT_ENTRY, EventType, Role, TradingState
from engine.domain.risk_reasons import RiskReason, reasons_of
from engine.domain.strategy_table import StrategyReason
from engine.store.event_names import WEIGHED, Event, EventNames, member_name, text_of
from engine.store.fold import ADJUSTED_CASH, ADJUSTED_POSITION, OPENING_CASH, WRITTEN_OFF
from engine.store.tables import (
    ADJUSTMENTS,
    DECISIONS,
    FAULTS,
    REFUSALS,
    ROLE_STATES,
    Cells,
    Table,
)

ADJUSTMENT_NAME: Final = {
    ADJUSTED_POSITION: "POSITION",
    ADJUSTED_CASH: "CASH",
    OPENING_CASH: "OPENING_CASH",
    WRITTEN_OFF: "FILL",
}
STATE_EVENTS: Final = (
    EventType.TRADING_STATE_CHANGED,
    EventType.ROLE_STATE_CHANGED,
    EventType.RECONCILED,
    EventType.CONTROL_HALT,
    EventType.CONTROL_RESUME,
    EventType.CONTROL_PAUSE,
    EventType.CONTROL_REDUCE,
    EventType.CONTROL_FLATTEN,
    EventType.CONTROL_CANCEL_ALL,
    EventType.CONTROL_STOP_INTENTS,
)
FAULT_EVENTS: Final = (
    EventType.ROLE_FAULT,
    EventType.EXECUTOR_FAULT,
    EventType.FETCH_FAILED,
    EventType.RECORD_REJECTED,
)


def _decision(names: EventNames, event: Event) -> Cells:
    mask = int(event["refusal_mask"])
    reason = int(event["reason"])
    return {
        "instrument": names.instrument(event),
        "strategy": names.strategy(event),
        "side": int(event["side"]),
        "is_entry": int(bool(event["flags"] & EVENT_ENTRY)),
        "reason": reason,
        "reason_name": member_name(StrategyReason, reason),
        "score": float(event["input_0"]),
        **{f"input_{place}": float(event[f"input_{place}"]) for place in range(1, 5)},
        **dict.fromkeys(WEIGHED),
        **names.weighed(event),
        "price_ticks": int(event["price_ticks"]),
        "qty_lots": int(event["qty_lots"]),
        "position_lots": int(event["position_lots"]),
        "cause_sequence": int(event["cause_sequence"]),
        "request_id": int(event["request_id"]),
        "refusal_mask": mask,
        "refusal_names": " ".join(gate.name for gate in reasons_of(mask)) if mask else "",
    }


def _refusal(names: EventNames, event: Event) -> Cells:
    reason = int(event["reason"])
    return {
        "instrument": names.instrument(event),
        "strategy": names.strategy(event),
        "side": int(event["side"]),
        "qty_lots": int(event["qty_lots"]),
        "reason": reason,
        "reason_name": member_name(RiskReason, reason),
        "refusal_mask": int(event["refusal_mask"]),
        "suppressed_count": int(event["request_id"]),
    }


def _fault(names: EventNames, event: Event) -> Cells:
    return {
        "role": member_name(Role, int(event["role"])),
        "kind": member_name(EventType, int(event["event_type"])),
        "reason": int(event["reason"]),
        "instrument": names.instrument(event),
        "cause_sequence": int(event["cause_sequence"]),
        "request_id": int(event["request_id"]),
        "message": text_of(event),
    }


def _adjustment(names: EventNames, event: Event) -> Cells:
    kind = int(event["reason"])
    is_money = kind in {ADJUSTED_CASH, OPENING_CASH}
    is_position = kind == ADJUSTED_POSITION
    return {
        "adjustment_id": int(event["trade_id"]),
        "venue_time_ns": int(event["venue_time_ns"]),
        "kind": ADJUSTMENT_NAME.get(kind, str(kind)),
        "instrument": names.instrument(event),
        "side": int(event["side"]),
        "qty_lots": int(event["qty_lots"]),
        "price_ticks": int(event["price_ticks"]),
        "position_lots": int(event["position_lots"]) if is_position else 0,
        "position_cost_e8": int(event["position_cost_e8"]) if is_position else 0,
        "realised_pnl_e8": int(event["realised_pnl_e8"]),
        "amount_e8": int(event["venue_realised_pnl_e8"]) if is_money else 0,
    }


def _state(_names: EventNames, event: Event) -> Cells:
    event_type = int(event["event_type"])
    state = int(event["trading_state"])
    reason = int(event["reason"])
    text = text_of(event)
    if not text and event_type == EventType.TRADING_STATE_CHANGED:
        text = member_name(RiskReason, reason)
    return {
        "role": member_name(Role, int(event["role"])),
        "kind": member_name(EventType, event_type),
        "state": state,
        "state_name": member_name(TradingState, state),
        "reason": reason,
        "message": text,
    }


Maker = Callable[[EventNames, Event], Cells]
MAKERS: Final[dict[int, tuple[Table, Maker]]] = {
    EventType.SIGNAL_GENERATED: (DECISIONS, _decision),
    EventType.RISK_REFUSAL: (REFUSALS, _refusal),
    EventType.ADJUSTMENT: (ADJUSTMENTS, _adjustment),
    **dict.fromkeys(FAULT_EVENTS, (FAULTS, _fault)),
    **dict.fromkeys(STATE_EVENTS, (ROLE_STATES, _state)),
}


def log_row(names: EventNames, source: str, event: Event, sequence: int) -> tuple[Table, Cells]:
    """Return the row of an event whose type is in MAKERS, and its table."""
    table, make = MAKERS[int(event["event_type"])]
    cells: Cells = {
        "state_key": names.document.state_key,
        "session_id": names.document.session_id,
        "sequence": sequence,
        "time_ns": names.time_ns(event),
    }
    if "source" in table.key:
        cells["source"] = source
    return table, cells | make(names, event)
