"""The way of an order as spans of time, from the journal alone: from its tick to its last report.

        order        tick received ------------------------------------------> closed
          decide       tick received -> decided
          send           decided -> first byte written
          acknowledge      first byte -> the venue's first word on it
          work                the venue's first word -> filled, cancelled, rejected or expired

Which orders are taken is a hash of their names against a ratio, and so are the ids of their spans:
the same journal gives the same spans. Times are the journal's, put on the wall clock by the
session's document. An order without a tick of its own, such as an exit by time, begins when it was
decided.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import EVENT_DUPLICATE, EventType, OrderStatus
from engine.store.event_names import Event, EventNames, member_name
from engine.store.queries import OPEN_STATUSES
from engine.store.session import SessionDocument

OPEN_MAX: Final = 4_096  # orders followed at once; of more the oldest is given up
FILLS_MAX: Final = 32  # of one order that are told
FOLLOWED: Final = (EventType.ORDER_SENT, EventType.ORDER_UPDATE, EventType.FILL)
HASH_BYTES: Final = 8

Attributes = dict[str, str | int]


class Span(NamedTuple):
    """One part of an order's way; wall clock."""

    name: str
    id: int  # 64 bits, never 0
    start_ns: int
    end_ns: int


class Fill(NamedTuple):
    """One fill on the way."""

    time_ns: int
    qty_lots: int
    price_ticks: int


class OrderTrace(NamedTuple):
    """An order that is closed: the whole first, then its parts in order of time."""

    id: int  # 128 bits, never 0
    spans: tuple[Span, ...]
    attributes: Attributes
    fills: tuple[Fill, ...]


class _Open:
    """An order that was sent and is not closed."""

    def __init__(self, sent: Event) -> None:
        self.sent = sent
        self.answered_ns = 0  # monotonic; 0: the venue has said nothing
        self.fills: list[Fill] = []


class OrderSpans:
    """Follows the orders of one session; one thread."""

    def __init__(self, document: Callable[[], SessionDocument | None], sample_ratio: float) -> None:
        """Start with no order.

        Args:
            document: returns the session's document as it is now; None: nothing is named yet,
                and no order was sent.
            sample_ratio: share of the orders that are followed, 0 to 1.
        """
        self._document = document
        self._bound = sample_ratio * 2.0 ** (8 * HASH_BYTES)
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self.given_up_count = 0

    def take(self, records: NDArray[np.void]) -> list[OrderTrace]:
        """Hear of events of the brain, EVENT_DTYPE[n]; return the orders that closed by them."""
        wanted = np.isin(records["event_type"], FOLLOWED) & (records["order_sequence"] > 0)
        found: list[OrderTrace] = []
        document = self._document()
        if document is None:
            return found
        names = EventNames(document)
        for event in records[wanted & (records["flags"] & EVENT_DUPLICATE == 0)]:
            order_id = names.order_id(event)
            if event["event_type"] == EventType.ORDER_SENT:
                self._begin(names, order_id, event)
            elif order_id in self._open:
                trace = self._follow(names, order_id, event)
                found += [trace] if trace is not None else []
        return found

    def _begin(self, names: EventNames, order_id: str, event: Event) -> None:
        if _hash(names, order_id, "", HASH_BYTES) >= self._bound:
            return
        self._open[order_id] = _Open(event.copy())
        if len(self._open) > OPEN_MAX:
            self._open.popitem(last=False)
            self.given_up_count += 1

    def _follow(self, names: EventNames, order_id: str, event: Event) -> OrderTrace | None:
        order, time_ns = self._open[order_id], int(event["time_ns"])
        order.answered_ns = order.answered_ns or time_ns
        if event["event_type"] == EventType.FILL and len(order.fills) < FILLS_MAX:
            lots, ticks = int(event["last_qty_lots"]), int(event["last_price_ticks"])
            order.fills.append(Fill(names.document.realtime_ns(time_ns), lots, ticks))
        status = int(event["order_status_after"])
        if status in OPEN_STATUSES:
            return None
        del self._open[order_id]
        return OrderTrace(
            _hash(names, order_id, "trace", 16),
            _spans(names, order_id, order, time_ns),
            _attributes(names, order_id, order.sent, status),
            tuple(order.fills),
        )


def _spans(names: EventNames, order_id: str, order: _Open, closed_ns: int) -> tuple[Span, ...]:
    sent = order.sent
    decided_ns, written_ns = int(sent["decision_time_ns"]), int(sent["write_time_ns"])
    received_ns = int(sent["cause_receive_time_ns"]) or decided_ns
    parts = (
        ("order", received_ns, closed_ns),
        ("decide", received_ns, decided_ns),
        ("send", decided_ns, written_ns),
        ("acknowledge", written_ns, order.answered_ns),
        ("work", order.answered_ns, closed_ns),
    )
    at = names.document.realtime_ns
    return tuple(
        Span(name, _hash(names, order_id, name, HASH_BYTES), at(start_ns), at(max(start_ns, end)))
        for name, start_ns, end in parts
    )


def _attributes(names: EventNames, order_id: str, sent: Event, status: int) -> Attributes:
    return {
        "aegis.order": order_id,
        "aegis.client_order_id": names.client_order_id(sent),
        "aegis.instrument": names.instrument(sent),
        "aegis.strategy": names.strategy(sent),
        "aegis.session": names.document.session_id,
        "aegis.order_status": member_name(OrderStatus, status),
    }


def _hash(names: EventNames, order_id: str, part: str, size: int) -> int:
    text = f"{names.document.session_id}/{order_id}/{part}"
    return int.from_bytes(blake2b(text.encode(), digest_size=size).digest(), "big") or 1
