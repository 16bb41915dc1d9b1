"""Who in this process hears about which event: one table, by event type.

Producers name a type, consumers name a type, and neither imports the other: the table is the only
thing both see. Each process has one table. It is filled while the process starts and sealed before
its first record, so that publishing is one lookup and a loop over a tuple.

        subscribe(FILL, ledger.apply)         publish(FILL, record)
                 |                                   |
                 v                                   v
        +----------------+------------------------------------+
        | event type     | subscribers, in order of arrival   |
        +----------------+------------------------------------+

A subscriber is called on the caller's thread, must not block, and may keep the record only by
copying it: ring memory is reused. What a subscriber raises reaches the publisher; it is a
programmer error and ends the role.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import EventType
from ringbuffer.errors import InvariantError

EventRecord = np.void  # one row of EVENT_DTYPE or MARKET_DTYPE
Records = NDArray[Any]
# What a subscriber takes is fixed by the event type: a row, or a venue's Command or Report.
Subscriber = Callable[[Any], None]

SUBSCRIBERS_PER_TYPE_MAX = 16


class SubscriberTable:
    """One process's subscribers by event type."""

    def __init__(self) -> None:
        """Start empty and open for subscriptions."""
        self._subscribers: dict[int, tuple[Subscriber, ...]] = {}
        self._sealed = False

    def subscribe(self, event_type: EventType, subscriber: Subscriber) -> None:
        """Add a subscriber; those of one type are called in the order they subscribed.

        Raises:
            InvariantError: the table is sealed, full for this type, or has this subscriber already.
        """
        if self._sealed:
            message = f"{event_type.name}: the table is sealed, subscribe before the role starts"
            raise InvariantError(message)
        known = self._subscribers.get(event_type, ())
        if subscriber in known:
            message = f"{event_type.name}: {subscriber!r} is subscribed already"
            raise InvariantError(message)
        if len(known) >= SUBSCRIBERS_PER_TYPE_MAX:
            message = f"{event_type.name}: more than {SUBSCRIBERS_PER_TYPE_MAX} subscribers"
            raise InvariantError(message)
        self._subscribers[event_type] = (*known, subscriber)

    def subscribe_many(self, event_types: tuple[EventType, ...], subscriber: Subscriber) -> None:
        """Add one subscriber to several types."""
        for event_type in event_types:
            self.subscribe(event_type, subscriber)

    def seal(self) -> None:
        """End subscription; from here on the table is read only."""
        self._sealed = True

    def publish(self, event_type: int, record: object) -> int:
        """Call the subscribers of one type and return how many were called."""
        subscribers = self._subscribers.get(event_type, ())
        for subscriber in subscribers:
            subscriber(record)
        return len(subscribers)

    def publish_events(self, records: Records) -> int:
        """Publish rows of EVENT_DTYPE, each under its own type, in order; return the calls made."""
        called = 0
        table = self._subscribers
        event_types = records["event_type"].tolist()
        for i, event_type in enumerate(event_types):
            for subscriber in table.get(event_type, ()):
                subscriber(records[i])
                called += 1
        return called

    @property
    def subscribers(self) -> Mapping[int, tuple[Subscriber, ...]]:
        """Return the table, read only."""
        return MappingProxyType(self._subscribers)
