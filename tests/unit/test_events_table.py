"""The subscriber table: by type, in order, sealed before the first record."""

from __future__ import annotations

import numpy as np
import pytest

from engine.domain.codes import EventType
from engine.domain.records import EVENT_DTYPE
from engine.processes.events import SUBSCRIBERS_PER_TYPE_MAX, EventRecord, SubscriberTable
from ringbuffer.errors import InvariantError


def test_publish_reaches_only_subscribers_of_the_type() -> None:
    table = SubscriberTable()
    fills: list[int] = []
    refusals: list[int] = []
    table.subscribe(EventType.FILL, lambda record: fills.append(int(record["trade_id"])))
    table.subscribe(EventType.RISK_REFUSAL, lambda _: refusals.append(1))
    record = np.zeros(1, EVENT_DTYPE)
    record["trade_id"] = 42

    called = table.publish(EventType.FILL, record[0])

    assert called == 1
    assert fills == [42]
    assert refusals == []


def test_subscribers_of_one_type_are_called_in_order_of_subscription() -> None:
    table = SubscriberTable()
    calls: list[str] = []
    table.subscribe(EventType.ORDER_UPDATE, lambda _: calls.append("first"))
    table.subscribe(EventType.ORDER_UPDATE, lambda _: calls.append("second"))

    table.publish(EventType.ORDER_UPDATE, np.zeros(1, EVENT_DTYPE)[0])

    assert calls == ["first", "second"]


def test_publish_events_keeps_record_order_across_types() -> None:
    table = SubscriberTable()
    seen: list[tuple[str, int]] = []
    table.subscribe(EventType.FILL, lambda r: seen.append(("fill", int(r["order_sequence"]))))
    table.subscribe_many(
        (EventType.ORDER_REQUEST, EventType.RISK_REFUSAL),
        lambda r: seen.append(("decision", int(r["order_sequence"]))),
    )
    records = np.zeros(4, EVENT_DTYPE)
    records["event_type"] = [
        EventType.ORDER_REQUEST,
        EventType.DRAIN_MARK,
        EventType.FILL,
        EventType.RISK_REFUSAL,
    ]
    records["order_sequence"] = [1, 2, 3, 4]

    called = table.publish_events(records)

    assert called == 3
    assert seen == [("decision", 1), ("fill", 3), ("decision", 4)]


def test_unknown_type_number_reaches_nobody() -> None:
    table = SubscriberTable()
    table.subscribe(EventType.FILL, lambda record: pytest.fail(str(record)))
    assert table.publish(9_999, np.zeros(1, EVENT_DTYPE)[0]) == 0


def test_sealed_table_refuses_subscribers() -> None:
    table = SubscriberTable()
    table.seal()
    with pytest.raises(InvariantError, match="FILL: the table is sealed"):
        table.subscribe(EventType.FILL, lambda _: None)


def test_same_subscriber_twice_is_refused() -> None:
    table = SubscriberTable()

    def apply(record: EventRecord) -> None:
        del record

    table.subscribe(EventType.FILL, apply)
    with pytest.raises(InvariantError, match="subscribed already"):
        table.subscribe(EventType.FILL, apply)


def test_subscribers_of_a_type_are_bounded() -> None:
    table = SubscriberTable()
    for _ in range(SUBSCRIBERS_PER_TYPE_MAX):
        table.subscribe(EventType.FILL, lambda _: None)
    with pytest.raises(InvariantError, match="more than"):
        table.subscribe(EventType.FILL, lambda _: None)
    assert len(table.subscribers[EventType.FILL]) == SUBSCRIBERS_PER_TYPE_MAX


def test_what_a_subscriber_raises_reaches_the_publisher() -> None:
    table = SubscriberTable()

    def broken(record: EventRecord) -> None:
        raise ZeroDivisionError(str(record["sequence"]))

    table.subscribe(EventType.FILL, broken)
    with pytest.raises(ZeroDivisionError):
        table.publish(EventType.FILL, np.zeros(1, EVENT_DTYPE)[0])
