"""One log line per change of state that was journaled: decisions, faults, states, adjustments.

A subscriber of the follower. Names instead of numbers come from the session's document, reasons
from the tables that define them; what has no name is written as its number.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.domain.codes import EVENT_ENTRY, EventType, Role, Side, TradingState
from engine.domain.firewall_reasons import FirewallReason
from engine.domain.risk_reasons import RiskReason, reasons_of
from engine.domain.strategy_table import StrategyReason
from engine.processes.events import EventRecord, SubscriberTable
from engine.processes.logs import Logger, RateLimitedSite
from engine.store.event_names import EventNames, member_name
from engine.store.fold import ADJUSTED_CASH, OPENING_CASH
from engine.store.log_rows import ADJUSTMENT_NAME
from engine.store.session import SessionDocument


class EventLines:
    """Writes the lines; give `subscribe` the table of the process."""

    def __init__(self, logger: Logger, document: Callable[[], SessionDocument | None]) -> None:
        """Log through `logger`; `document` returns the session as known now."""
        self._logger = logger
        self._document = document
        self._faults = RateLimitedSite(logger, "FAULT")
        self._fetches = RateLimitedSite(logger, "FETCH_FAILED")
        self._rejects = RateLimitedSite(logger, "RECORD_REJECTED")

    def subscribe(self, table: SubscriberTable) -> None:
        """Subscribe to every event type that deserves a line."""
        table.subscribe(EventType.SIGNAL_GENERATED, self.decision)
        table.subscribe_many((EventType.ROLE_FAULT, EventType.EXECUTOR_FAULT), self.fault)
        table.subscribe(EventType.RECORD_REJECTED, self.rejected_record)
        table.subscribe(EventType.TRADING_STATE_CHANGED, self.trading_state)
        table.subscribe(EventType.ADJUSTMENT, self.adjustment)
        table.subscribe(EventType.FETCH_FAILED, self.fetch_failed)

    def decision(self, record: EventRecord) -> None:
        """Write TRADING_DECISION: what was wanted, why, and what risk said."""
        mask = int(record["refusal_mask"])
        self._logger.info(
            "TRADING_DECISION",
            instrument=self._symbol(record),
            strategy=self._strategy(record),
            side=member_name(Side, int(record["side"])),
            is_entry=bool(record["flags"] & EVENT_ENTRY),
            reason=member_name(StrategyReason, int(record["reason"])),
            score=float(record["input_0"]),
            inputs=self._inputs(record),
            qty_lots=int(record["qty_lots"]),
            price_ticks=int(record["price_ticks"]),
            outcome="refused" if mask else "approved",
            refusals=[reason.name for reason in reasons_of(mask)],
            sequence=int(record["cause_sequence"]),
            request_id=int(record["request_id"]),
        )

    def fault(self, record: EventRecord) -> None:
        """Write a role's fault, at most once a minute for each reason of a role.

        The orchestrator's own were said where they were raised.
        """
        if record["role"] == Role.ORCHESTRATOR:
            return
        role = member_name(Role, int(record["role"])).lower()
        self._faults.warn(
            f"{role} {int(record['reason'])}",
            faulted_role=role,
            text=record["text"].decode("ascii", "replace"),
            **self._concerned(record),
        )

    def rejected_record(self, record: EventRecord) -> None:
        """Write what the firewall refused, at most once a minute for each reason.

        An event carries in `request_id` how many before it had none of their own.
        """
        reason = member_name(FirewallReason, int(record["reason"]))
        self._rejects.warn(
            reason,
            max(int(record["request_id"]), 0) + 1,
            refused_by=member_name(Role, int(record["role"])).lower(),
            text=record["text"].decode("ascii", "replace"),
            **self._concerned(record),
        )

    def trading_state(self, record: EventRecord) -> None:
        """Write a change of the effective trading state."""
        self._logger.warning(
            "TRADING_STATE",
            trading_state=member_name(TradingState, int(record["trading_state"])),
            before=member_name(TradingState, int(record["order_status"])),
            reason=member_name(RiskReason, int(record["reason"])),
            tripped=[reason.name for reason in reasons_of(int(record["refusal_mask"]))],
        )

    def adjustment(self, record: EventRecord) -> None:
        """Write a difference from the venue that was taken over."""
        kind = int(record["reason"])
        is_money = kind in {ADJUSTED_CASH, OPENING_CASH}
        # The first sight of an account's cash is no difference.
        say = self._logger.info if kind == OPENING_CASH else self._logger.warning
        say(
            "ADJUSTMENT",
            kind=ADJUSTMENT_NAME.get(kind, str(kind)),
            instrument=self._symbol(record),
            position_lots=None if is_money else int(record["position_lots"]),
            amount_e8=int(record["venue_realised_pnl_e8"]) if is_money else None,
            adjustment_id=int(record["trade_id"]),
            request_id=int(record["request_id"]),
        )

    def fetch_failed(self, record: EventRecord) -> None:
        """Write that the venue's state could not be fetched, at most once a minute per reason."""
        self._fetches.warn(
            str(int(record["reason"])),
            text=record["text"].decode("ascii", "replace"),
            **self._concerned(record),
        )

    def _concerned(self, record: EventRecord) -> dict[str, str | int]:
        return {
            "instrument": self._symbol(record),
            "sequence": int(record["cause_sequence"]),
            "request_id": int(record["request_id"]),
        }

    def _inputs(self, record: EventRecord) -> dict[str, float]:
        document = self._document()
        return EventNames(document).inputs(record) if document else {}

    def _symbol(self, record: EventRecord) -> str:
        document = self._document()
        return document.symbol(int(record["instrument_index"])) if document else ""

    def _strategy(self, record: EventRecord) -> str:
        document = self._document()
        return document.strategy(int(record["strategy_index"])) if document else ""
