"""What the feed tells the journal about itself: faults that are no matter of one record.

Each becomes an event (the orchestrator logs it, alerts read it) and, once the log is open, a line
of the feed's own log with the whole text. Numpy is not imported: see `engine.processes.feed`.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from enum import IntEnum
from typing import Final

from engine.domain.codes import EventType, Role
from ringbuffer.ring import Producer

TEXT_BYTES: Final = 40
# The slot less its sequence, by the offsets of engine/domain/records.py; a test compares.
# time, venue time, event type, role, flags, instrument | strategy | reason | text, request id
_EVENT: Final = struct.Struct("<qqHBBi" + "i92x" + "i76x" + "40sq")
PAYLOAD_BYTES: Final = 248
assert _EVENT.size == PAYLOAD_BYTES, "an event fills its slot less the sequence"
WAITING_MAX: Final = 64  # faults kept while the ring is full; the oldest go first


class FeedFault(IntEnum):
    """Reasons of the feed's ROLE_FAULT events. Stored in journals: never renumbered."""

    DISCOVERY_FAILED = 1  # the ranking by volume could not be had: the fallback list is traded
    DISCOVERY_BACK = 2  # it can be had again: its instruments are taken
    WIND_DOWN = 3  # an instrument takes no more entries: its end is near, or its filters changed
    WIND_DOWN_OVER = 4  # it takes entries again
    LISTING_UNREACHABLE = 5  # what the venue lists could not be had several times in a row
    CONNECTION_REFUSED = 6  # a stream could not be opened; the log has the whole sentence
    LATE = 7  # data of a plan is late: its instruments take no entries
    IN_TIME = 8  # it is in time again
    BACKUP_TAKEN = 9  # the second connection of a plan is taken
    QUOTES_POLLED = 10  # no connection carries quotes: they are asked for by request
    RECOVERED = 11  # a loss is over; the log says what was healed and what is a gap
    INSTRUMENT_ADDED = 12  # one more instrument, under an index of its own
    INSTRUMENT_GONE = 13  # closed, and nothing at stake: its streams were given up
    FILTERS_CHANGED = 14  # the venue has other bounds for an instrument: they hold from now on
    SESSION_OVER = 15  # the venue does not trade by its calendar: nothing takes entries
    SESSION_BEGUN = 16  # it does again
    LINES_SWITCHED = 17  # an operator has the plans carried by their other lines
    ONBOARDED_ABSENT = 18  # an onboarded symbol cannot come: not listed, or there is no room


def event_payload(
    time_ns: int, event_type: EventType, index: int, reason: int, text: str, request_id: int
) -> bytes:
    """Return an event of the feed: the slot less its sequence."""
    cut = text.encode("ascii", "replace")[:TEXT_BYTES]
    return _EVENT.pack(time_ns, 0, event_type, Role.FEED, 0, index, -1, reason, cut, request_id)


class FeedFaults:
    """Publishes faults into the feed's event ring."""

    def __init__(self, producer: Producer, log: Callable[[str, str], None]) -> None:
        """Publish through `producer`; `log(event, text)` writes the whole text."""
        self._producer = producer
        self._log = log
        self._waiting: list[bytes] = []

    def tell(self, fault: FeedFault, text: str, instrument_index: int = -1) -> None:
        """Record a fault; what finds no room in the ring waits for the next call."""
        now_ns = time.monotonic_ns()
        payload = event_payload(now_ns, EventType.ROLE_FAULT, instrument_index, fault, text, -1)
        self._waiting = [*self._waiting, payload][-WAITING_MAX:]
        # Lines are limited by their first word: each instrument has its own.
        self._log(fault.name if instrument_index < 0 else f"{fault.name} {instrument_index}", text)
        self.flush()

    def flush(self) -> None:
        """Publish what waits, as far as there is room."""
        published = 0
        while self._waiting and self._producer.try_publish(self._waiting[0]) >= 0:
            del self._waiting[0]
            published += 1
        if published:
            self._producer.wake()
