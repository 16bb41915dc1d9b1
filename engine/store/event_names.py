"""What the numbers of an event stand for in its session: symbols, strategies, order ids, times."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np

from engine.domain.client_id import ClientId, encode_client_id
from engine.domain.codes import EVENT_ENTRY
from engine.domain.reasons import contributions
from engine.domain.size_reasons import BY_KELLY, BY_LOSSES
from engine.domain.strategy_table import INPUT_NAMES, ROTATION_INPUTS, StrategyReason
from engine.store.session import SessionDocument

EXTERNAL: Final = "(external)"  # what no strategy of ours did
NET: Final = "(net)"  # the venue's position: all columns together
STRATEGY_NET: Final = -2
WEIGHED: Final = ("expected_move_bps", "confidence", "cost_bps", "edge_bps")
SIZED_BY: Final = {BY_KELLY: "Kelly", BY_LOSSES: "losses"}
Event = np.void


def text_of(event: Event) -> str:
    """Return the text of an event."""
    raw: bytes = event["text"]
    return raw.decode("ascii", "replace")


def member_name(kind: type[IntEnum], number: int) -> str:
    """Return the name of a number in an enumeration, or the number as text."""
    try:
        return kind(number).name
    except ValueError:
        return str(number)


class EventNames:
    """Names of one session."""

    def __init__(self, document: SessionDocument) -> None:
        """Read them from the session's document."""
        self.document = document

    def instrument(self, event: Event) -> str:
        """Return the symbol an event is about; empty: none."""
        return self.document.symbol(int(event["instrument_index"]))

    def strategy(self, event: Event) -> str:
        """Return the strategy an event is about; EXTERNAL for none of ours, NET for the sum."""
        index = int(event["strategy_index"])
        if index == STRATEGY_NET:
            return NET
        return self.document.strategy(index) or EXTERNAL

    def epoch(self, event: Event) -> int:
        """Return the epoch of the order an event is about."""
        return self.document.order_epoch(int(event["epoch_low"]))

    def order_id(self, event: Event) -> str:
        """Return the projected id of the order an event is about; empty: it names none."""
        order_sequence = int(event["order_sequence"])
        if order_sequence > 0:
            return f"{self.epoch(event)}-{order_sequence}"
        venue_order_id = int(event["venue_order_id"])
        return f"venue-{self.instrument(event)}-{venue_order_id}" if venue_order_id else ""

    def client_order_id(self, event: Event) -> str:
        """Return the client order id: ours by its numbers, a foreign one as the venue wrote it."""
        order_sequence = int(event["order_sequence"])
        if order_sequence <= 0:
            return text_of(event)
        identity = ClientId(
            self.epoch(event),
            max(int(event["strategy_index"]), -1),
            order_sequence,
            int(event["cause_sequence"]),
        )
        return encode_client_id(self.document.engine_tag, identity)

    def inputs(self, event: Event) -> dict[str, float]:
        """Return the inputs of a decision by name; empty: no strategy of this session's."""
        index = int(event["strategy_index"])
        if not 0 <= index < len(self.document.strategies):
            return {}
        names = INPUT_NAMES[self.document.strategies[index].kind]
        if event["reason"] == StrategyReason.ROTATED:
            names = ROTATION_INPUTS
        return {name: float(event[f"input_{place}"]) for place, name in enumerate(names, start=1)}

    def weighed(self, event: Event) -> dict[str, float]:
        """Return what an entry was thought to bring, by name; empty: no entry, or not known."""
        if not event["flags"] & EVENT_ENTRY or not event["cost_bps"] > 0.0:
            return {}
        return {name: float(event[name]) for name in WEIGHED}

    def sized(self, event: Event) -> str:
        """Return what made an entry smaller than its row says, and how much; empty: nothing."""
        reasons = int(event["size_reasons"])
        if not event["flags"] & EVENT_ENTRY or not reasons:
            return ""
        by = ", ".join(name for bit, name in SIZED_BY.items() if reasons & bit)
        return f"{int(event['qty_lots'])} of {int(event['wanted_lots'])} lots, by {by}"

    def because(self, event: Event) -> str:
        """Return what a decision rests on, the most first; empty: no strategy of this session's."""
        inputs = self.inputs(event)
        if not inputs or not event["flags"] & EVENT_ENTRY:
            return ""
        row = self.document.strategies[int(event["strategy_index"])]
        return ", ".join(map(str, contributions(row, float(event["input_0"]), inputs)))

    def time_ns(self, event: Event) -> int:
        """Return when an event was written, on the wall clock."""
        return self.document.realtime_ns(int(event["time_ns"]))
