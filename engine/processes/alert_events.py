"""What of the journal's events becomes an alert: a subscriber of the orchestrator's ear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from engine.domain.client_id import ForeignCause, foreign_cause
from engine.domain.codes import (
    EVENT_APPLIED,
    EVENT_DUPLICATE,
    EVENT_FOREIGN,
    EventType,
    Role,
    Side,
    TradingState,
)
from engine.domain.risk_reasons import RiskReason
from engine.processes.alert_sender import AlertSender
from engine.processes.events import EventRecord, SubscriberTable
from engine.processes.feed_faults import FeedFault
from engine.processes.guard import GuardReason
from engine.store.event_names import member_name, text_of
from engine.store.fold import OPENING_CASH
from engine.store.log_rows import ADJUSTMENT_NAME
from engine.store.session import SessionDocument

MARKET_LOST: Final = frozenset(
    {FeedFault.CONNECTION_REFUSED, FeedFault.LATE, FeedFault.QUOTES_POLLED}
)
MARKET_BACK: Final = frozenset({FeedFault.IN_TIME, FeedFault.RECOVERED})
ALARM_KIND: Final = {
    GuardReason.JOURNAL_UNWRITABLE: "journal",
    GuardReason.RECORDER_EVICTED: "journal",
    GuardReason.RECORDS_LOST: "journal",
    GuardReason.JOURNAL_UNREADABLE: "journal",
    GuardReason.DISK_SPACE: "disk",
    GuardReason.MEMORY: "memory",
    GuardReason.DATABASE_AWAY: "database",
}
FOREIGN_NEWS: Final = EVENT_APPLIED | EVENT_FOREIGN
OPERATOR_EVENTS: Final = (
    EventType.CONTROL_HALT,
    EventType.CONTROL_RESUME,
    EventType.CONTROL_PAUSE,
    EventType.CONTROL_REDUCE,
    EventType.CONTROL_CANCEL_ALL,
    EventType.CONTROL_FLATTEN,
)


class AlertEvents:
    """Offers events to the sender; called on the orchestrator's thread, and never waits."""

    def __init__(self, sender: AlertSender, document: Callable[[], SessionDocument | None]) -> None:
        """Offer to `sender`; `document` returns the session as known now."""
        self._sender = sender
        self._document = document

    def subscribe(self, table: SubscriberTable) -> None:
        """Subscribe to every event type that may be told."""
        table.subscribe(EventType.TRADING_STATE_CHANGED, self.trading_state)
        table.subscribe(EventType.ROLE_FAULT, self.role_fault)
        table.subscribe(EventType.EXECUTOR_FAULT, self.executor_fault)
        table.subscribe(EventType.FETCH_FAILED, self.fetch_failed)
        table.subscribe(EventType.ADJUSTMENT, self.adjustment)
        table.subscribe(EventType.FILL, self.fill)
        table.subscribe_many(OPERATOR_EVENTS, lambda _: self._sender.answered())

    def alarm(self, reason: GuardReason, text: str) -> None:
        """Tell of an alarm of the orchestrator itself; the journal may be what is broken."""
        self._sender.offer(ALARM_KIND.get(reason, "orchestrator"), f"{reason.name}: {text}")

    def trading_state(self, record: EventRecord) -> None:
        """Tell that the effective trading state changed."""
        state = member_name(TradingState, int(record["trading_state"]))
        reason = member_name(RiskReason, int(record["reason"]))
        before = member_name(TradingState, int(record["order_status"]))
        self._sender.offer(f"trading_{state.lower()}", f"{before} -> {state}, {reason}")

    def role_fault(self, record: EventRecord) -> None:
        """Tell of a fault of feed or brain; the orchestrator's are told where they are raised."""
        if record["role"] == Role.ORCHESTRATOR:
            return
        fault = int(record["reason"])
        kind = "feed" if record["role"] == Role.FEED else "executor"
        if record["role"] == Role.FEED and fault in MARKET_LOST:
            kind = "market_data"
        elif record["role"] == Role.FEED and fault in MARKET_BACK:
            kind = "market_data_back"
        name = member_name(FeedFault, fault) if record["role"] == Role.FEED else str(fault)
        self._sender.offer(kind, f"{name} {self._concerned(record)}{text_of(record)}")

    def executor_fault(self, record: EventRecord) -> None:
        """Tell of a fault of the executor."""
        self._sender.offer("executor", f"{self._concerned(record)}{text_of(record)}")

    def fetch_failed(self, record: EventRecord) -> None:
        """Tell that the venue's state could not be fetched."""
        self._sender.offer("venue_state", f"code {int(record['reason'])} {text_of(record)}")

    def adjustment(self, record: EventRecord) -> None:
        """Tell that our books were moved to the venue's; the first sight of cash is no move."""
        kind = int(record["reason"])
        if kind != OPENING_CASH:
            name = ADJUSTMENT_NAME.get(kind, str(kind))
            self._sender.offer("adjustment", f"{name} {self._concerned(record)}")

    def fill(self, record: EventRecord) -> None:
        """Tell of a fill that no order of ours brought."""
        if int(record["flags"]) & (FOREIGN_NEWS | EVENT_DUPLICATE) != FOREIGN_NEWS:
            return
        cause = foreign_cause(text_of(record))
        kind = "foreign_fill" if cause == ForeignCause.FOREIGN_ORDER else "forced_close"
        side = member_name(Side, int(record["side"]))
        self._sender.offer(kind, f"{cause} {self._concerned(record)}{side} {text_of(record)}")

    def _concerned(self, record: EventRecord) -> str:
        document = self._document()
        symbol = document.symbol(int(record["instrument_index"])) if document else ""
        return f"{symbol} " if symbol else ""
