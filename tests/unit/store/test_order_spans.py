"""Spans of orders: what the journal says of their times, each order once, the same every time."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import EVENT_DUPLICATE, EventType, OrderStatus
from engine.store import order_spans
from engine.store.order_spans import FILLS_MAX, OrderSpans, OrderTrace
from tests.store_builders import event_records, session_document
from tests.store_events import Row, event, fill, update

DOCUMENT = session_document()
TERMINAL = (
    OrderStatus.FILLED,
    OrderStatus.CANCELED,
    OrderStatus.REJECTED,
    OrderStatus.EXPIRED,
)


def sent(number: int, received: int = 100, decided: int = 140, written: int = 150) -> Row:
    return event(
        EventType.ORDER_SENT,
        instrument_index=0,
        strategy_index=1,
        order_sequence=number,
        epoch_low=1,
        cause_receive_time_ns=received,
        decision_time_ns=decided,
        write_time_ns=written,
        time_ns=written + 5,
    )


def traced(*rows: Row, ratio: float = 1.0) -> list[OrderTrace]:
    return OrderSpans(lambda: DOCUMENT, ratio).take(event_records(*rows))


def at(trace: OrderTrace) -> dict[str, tuple[int, int]]:
    """Return each span's begin and end by the clock of the journal."""
    base = DOCUMENT.started_realtime_ns - DOCUMENT.started_monotonic_ns
    return {span.name: (span.start_ns - base, span.end_ns - base) for span in trace.spans}


def test_an_order_s_way_is_parted_where_the_journal_has_a_time() -> None:
    (trace,) = traced(
        sent(7),
        update(7, OrderStatus.NEW, time_ns=400),
        fill(7, 1, 2, time_ns=600),
        fill(7, 2, 3, time_ns=900, order_status_after=OrderStatus.FILLED),
    )
    assert at(trace) == {
        "order": (100, 900),
        "decide": (100, 140),
        "send": (140, 150),
        "acknowledge": (150, 400),
        "work": (400, 900),
    }
    assert [(it.qty_lots, it.price_ticks) for it in trace.fills] == [(2, 1_000), (3, 1_000)]
    assert trace.attributes["aegis.instrument"] == "BTCUSDT"
    assert trace.attributes["aegis.strategy"] == "orderflow"
    assert trace.attributes["aegis.order"] == "1-7"
    assert trace.attributes["aegis.order_status"] == "FILLED"


def test_an_order_without_a_tick_begins_when_it_was_decided() -> None:
    (trace,) = traced(sent(1, received=0), update(1, OrderStatus.REJECTED, time_ns=300))
    assert at(trace)["order"] == (140, 300)
    assert at(trace)["decide"] == (140, 140)


def test_what_the_venue_is_not_known_to_have_said_is_no_answer() -> None:
    unknown = event(EventType.ORDER_UNKNOWN, order_sequence=1, epoch_low=1, time_ns=200)
    (trace,) = traced(sent(1), unknown, update(1, OrderStatus.CANCELED, time_ns=300))
    assert at(trace)["acknowledge"] == (150, 300)


def test_what_is_told_twice_or_of_others_changes_nothing() -> None:
    rows = [sent(1), update(1, OrderStatus.NEW, time_ns=200)]
    twice = update(1, OrderStatus.FILLED, time_ns=250, flags=EVENT_DUPLICATE)
    others = [update(2, OrderStatus.FILLED), fill(0, 5, 5)]
    (trace,) = traced(*rows, twice, *others, update(1, OrderStatus.FILLED, time_ns=300))
    assert at(trace)["order"][1] == 300
    assert traced(*rows, twice, *others) == []


def test_fills_and_orders_that_are_held_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_spans, "OPEN_MAX", 3)
    spans = OrderSpans(lambda: DOCUMENT, 1.0)
    assert spans.take(event_records(*(sent(number) for number in range(1, 6)))) == []
    assert spans.given_up_count == 2
    many = [fill(5, number, 1, time_ns=200 + number) for number in range(2 * FILLS_MAX)]
    closed = [update(number, OrderStatus.FILLED, time_ns=900) for number in range(1, 6)]
    found = spans.take(event_records(*many, *closed))
    assert [trace.attributes["aegis.order"] for trace in found] == ["1-3", "1-4", "1-5"]
    assert [len(trace.fills) for trace in found] == [0, 0, FILLS_MAX]


@pytest.mark.parametrize(
    ("ratio", "least", "most"), [(0.0, 0, 0), (0.25, 180, 320), (1.0, 1e3, 1e3)]
)
def test_a_share_of_the_orders_is_taken_and_always_the_same(
    ratio: float, least: int, most: int
) -> None:
    rows = [
        row
        for number in range(1, 1_001)
        for row in (sent(number), update(number, OrderStatus.FILLED, time_ns=300))
    ]
    first = traced(*rows, ratio=ratio)
    assert least <= len(first) <= most
    assert traced(*rows, ratio=ratio) == first
    every = traced(*rows)
    assert all(trace in every for trace in first)


@given(
    times=st.lists(st.integers(1, 10**12), min_size=5, max_size=5).map(sorted),
    status=st.sampled_from(TERMINAL),
    others=st.lists(st.integers(2, 9), max_size=5),
)
def test_parts_follow_each_other_inside_the_whole(
    times: list[int], status: OrderStatus, others: list[int]
) -> None:
    received, decided, written, answered, closed = times
    noise = [sent(number) for number in others]
    found = traced(
        *noise,
        sent(1, received, decided, written),
        update(1, OrderStatus.NEW, time_ns=answered),
        *noise,
        update(1, status, time_ns=closed),
    )
    (trace,) = found
    whole, *parts = trace.spans
    assert parts[0].start_ns == whole.start_ns
    assert parts[-1].end_ns == whole.end_ns
    assert all(before.end_ns == after.start_ns for before, after in pairwise(parts))
    assert all(span.start_ns <= span.end_ns for span in trace.spans)
    ids = [span.id for span in trace.spans]
    assert len(set(ids)) == len(ids)
    assert all(0 < span_id < 2**64 for span_id in ids)
    assert 0 < trace.id < 2**128
