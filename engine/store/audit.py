"""The audit trail: one row per fill and per refusal, as people and auditors read them.

        timestamp, symbol, action, quantity, price, pnl, reason      what anybody asks first
        account, session, sequence, order_id, strategy, fee, ...     where it stands in the journal

`action` is BUY or SELL for a fill, REFUSED BUY or REFUSED SELL for an order that risk did not let
out. `reason` is the strategy's for a fill, also where an earlier session sent the order, and the
first failing gate's for a refusal; a fill that is not ours says why it was there: LIQUIDATION,
DELEVERAGING, SETTLEMENT or FOREIGN_ORDER. Quantities and prices are decimals, money is in the quote
currency. The journal is the truth: rows can be made from it again, and (session, sequence) names
each.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.domain.client_id import foreign_cause
from engine.domain.codes import EVENT_DUPLICATE, EVENT_FOREIGN, EventType, Side
from engine.domain.instrument_row import E8, Instrument, unit_instrument
from engine.domain.risk_reasons import RiskReason, reasons_of
from engine.domain.strategy_table import StrategyReason
from engine.store.event_names import Event, EventNames, member_name
from engine.store.session import SessionDocument

COLUMNS: Final = (
    "timestamp",
    "symbol",
    "action",
    "quantity",
    "price",
    "pnl",
    "reason",
    "account",
    "session",
    "sequence",
    "order_id",
    "strategy",
    "fee",
    "trade_id",
    "gates",
    "suppressed",
)
REASONS_KEPT: Final = 10_000  # orders whose reason is known; a fill of an older one has none
NS_PER_S: Final = 1_000_000_000
_COUNTED: Final = unit_instrument("")
_TELLING: Final = (EventType.ORDER_REQUEST, EventType.RESTORE_ORDER)  # why an order was sent
_KINDS: Final = (*_TELLING, EventType.FILL, EventType.RISK_REFUSAL)

Row = dict[str, Any]


class AuditRows:
    """Makes the rows of one session from its events, given in order."""

    def __init__(self, document: SessionDocument) -> None:
        """Start before the session's first event."""
        self._document = document
        self._names = EventNames(document)
        self._reasons: OrderedDict[tuple[int, int], str] = OrderedDict()  # by epoch and number

    def rows(self, events: NDArray[np.void]) -> Iterator[Row]:
        """Yield the rows that the next events of the session make; each has every column."""
        for event in events[np.isin(events["event_type"], _KINDS)]:
            kind = event["event_type"]
            if kind in _TELLING:
                self._learn(event)
            elif kind == EventType.RISK_REFUSAL:
                yield self._row(event) | self._refusal(event)
            elif not event["flags"] & EVENT_DUPLICATE:
                yield self._row(event) | self._fill(event)

    def _learn(self, event: Event) -> None:
        if not event["order_sequence"]:
            return  # no order: a trade id that was applied
        reason = member_name(StrategyReason, int(event["reason"]))
        self._reasons[self._key(event)] = reason
        if len(self._reasons) > REASONS_KEPT:
            self._reasons.popitem(last=False)

    def _key(self, event: Event) -> tuple[int, int]:
        return self._names.epoch(event), int(event["order_sequence"])

    def _row(self, event: Event) -> Row:
        time_s = self._names.time_ns(event) / NS_PER_S
        known = {
            "timestamp": datetime.fromtimestamp(time_s, UTC).isoformat(timespec="microseconds"),
            "symbol": self._names.instrument(event),
            "account": self._document.state_key,
            "session": self._document.session_id,
            "sequence": int(event["sequence"]) - 1,
            "strategy": self._names.strategy(event),
        }
        return {column: known.get(column) for column in COLUMNS}

    def _instrument(self, event: Event) -> Instrument:
        """Return the instrument of an event; one we do not know counts in ticks and lots."""
        index = int(event["instrument_index"])
        known = 0 <= index < len(self._document.instruments)
        return self._document.instruments[index] if known else _COUNTED

    def _fill(self, event: Event) -> Row:
        instrument = self._instrument(event)
        return {
            "action": member_name(Side, int(event["side"])),
            "quantity": instrument.qty_text(int(event["last_qty_lots"])),
            "price": instrument.price_text(int(event["last_price_ticks"])),
            "pnl": int(event["realised_pnl_e8"]) / E8,
            "fee": int(event["fee_e8"]) / E8,
            "reason": self._reason(event),
            "order_id": self._names.client_order_id(event),
            "trade_id": int(event["trade_id"]),
        }

    def _reason(self, event: Event) -> str:
        if event["flags"] & EVENT_FOREIGN:
            return foreign_cause(self._names.client_order_id(event))
        return self._reasons.get(self._key(event), "")

    def _refusal(self, event: Event) -> Row:
        instrument = self._instrument(event)
        price_ticks = int(event["price_ticks"])
        return {
            "action": f"REFUSED {member_name(Side, int(event['side']))}",
            "quantity": instrument.qty_text(int(event["qty_lots"])),
            "price": instrument.price_text(price_ticks) if price_ticks else None,
            "reason": member_name(RiskReason, int(event["reason"])),
            "gates": " ".join(gate.name for gate in reasons_of(int(event["refusal_mask"]))),
            "suppressed": int(event["request_id"]),
        }
