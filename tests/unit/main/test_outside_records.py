"""Orders from outside as bytes: the same words as the brain's table of fields."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import (
    EVENT_APPLIED,
    EVENT_DUPLICATE,
    EVENT_POST_ONLY,
    EVENT_REDUCE_ONLY,
    EventType,
    OrderStatus,
    OrderType,
    Role,
    TimeInForce,
    TradingState,
)
from engine.domain.records import EVENT_DTYPE
from engine.processes.outside_records import (
    FIELDS,
    SLOT_BYTES,
    OutsideOrder,
    event_type_of,
    pack_outside,
    read_echo,
    request_number,
)


def record_of(slot: bytes) -> np.void:
    """Return a slot as the brain reads it."""
    return np.frombuffer(slot, EVENT_DTYPE)[0]


def test_every_field_lies_where_the_brain_has_it() -> None:
    assert EVENT_DTYPE.itemsize == SLOT_BYTES
    assert EVENT_DTYPE.fields is not None
    for name, (offset, form) in FIELDS.items():
        dtype, at = EVENT_DTYPE.fields[name][:2]
        assert (at, dtype.itemsize) == (offset, form.size), name


@given(
    st.integers(0, 300),
    st.sampled_from([1, -1]),
    st.integers(1, 2_000_000_000),
    st.integers(0, 2**40),
    st.sampled_from(TimeInForce),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**48),
)
def test_an_order_is_read_as_it_was_said(
    index: int,
    side: int,
    lots: int,
    ticks: int,
    time_in_force: TimeInForce,
    post: bool,
    reduce: bool,
    date_ms: int,
) -> None:
    order = OutsideOrder(index, side, lots, ticks, time_in_force, post, reduce, date_ms)
    words = order.words() | {"strategy_index": 4, "request_id": 2**62}
    record = record_of(pack_outside(EventType.CONTROL_ORDER, Role.MAIN, "ana: why", words))
    assert record["event_type"] == EventType.CONTROL_ORDER
    assert record["role"] == Role.MAIN
    assert record["text"] == b"ana: why"
    assert record["time_ns"] > 0
    assert record["sequence"] == 0
    assert record["strategy_index"] == 4
    assert record["request_id"] == 2**62
    said = (record["instrument_index"], record["side"], record["qty_lots"], record["price_ticks"])
    assert said == (index, side, lots, ticks)
    assert record["order_type"] == (OrderType.LIMIT if ticks else OrderType.MARKET)
    assert (record["time_in_force"], record["good_till_ms"]) == (time_in_force, date_ms)
    assert bool(record["flags"] & EVENT_POST_ONLY) == post
    assert bool(record["flags"] & EVENT_REDUCE_ONLY) == reduce


def test_what_is_not_said_names_nothing_and_long_words_are_cut() -> None:
    record = record_of(pack_outside(EventType.CONTROL_CANCEL, Role.MAIN, "ü" * 40, {}))
    assert record["instrument_index"] == record["strategy_index"] == -1
    assert record["text"].decode() == "ü" * 20


@given(
    st.sampled_from(list(OrderStatus)),
    st.integers(0, 2**63 - 1),
    st.sampled_from(list(TradingState)),
    st.sampled_from([0, EVENT_APPLIED, EVENT_DUPLICATE]),
)
def test_an_echo_is_read_as_the_brain_wrote_it(
    status: OrderStatus, mask: int, state: TradingState, flags: int
) -> None:
    record = np.zeros(1, dtype=EVENT_DTYPE)
    record["event_type"] = EventType.CONTROL_ORDER
    record["order_status_after"] = status
    record["refusal_mask"] = mask
    record["trading_state"] = state
    record["flags"] = flags
    record["request_id"], record["order_sequence"], record["epoch_low"] = 7, 8, 9
    echo = read_echo(record.tobytes())
    assert event_type_of(record.tobytes()) == EventType.CONTROL_ORDER
    assert (echo.request_id, echo.order_sequence, echo.epoch_low) == (7, 8, 9)
    assert (echo.status, echo.refusal_mask, echo.trading_state) == (status, mask, state)
    assert echo.is_applied == (flags == EVENT_APPLIED)
    assert echo.is_known == (flags == EVENT_DUPLICATE)


@pytest.mark.parametrize(
    ("one", "other"),
    [(("ana", "1"), ("ana", "2")), (("ana", "1"), ("bob", "1")), (("an", "a1"), ("ana", "1"))],
)
def test_requests_of_different_words_have_different_numbers(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    assert request_number(*one) == request_number(*one) > 0
    assert request_number(*one) != request_number(*other)
    assert request_number(*one) < 2**63
