"""Commands and reports, read and packed, are the rows of EVENT_DTYPE, field by field."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import EventType, OrderStatus, Role
from engine.domain.fold import Fold
from engine.domain.records import EVENT_DTYPE
from engine.domain.trade_ids import KIND_FILL, KIND_FUNDING, PAYMENTS_MAX
from engine.venues import order_records
from engine.venues.order_records import (
    AppliedTrades,
    Command,
    Report,
    pack_report,
    read_command,
)
from native_ext import _native
from tests.store_builders import event_records
from tests.store_events import fill

int64 = st.integers(-(2**63), 2**63 - 1)
int32 = st.integers(-(2**31), 2**31 - 1)
byte = st.integers(0, 255)
text = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz0123456789-_"), max_size=36)

COMMAND_FIELDS = {
    "since_venue_time_ns": "venue_time_ns",
    "client_order_id": "text",
}
REPORT_FIELDS = {"word_0": "wallet_e8", "word_1": "available_e8", "word_2": "clock_anchor_ns"}
BYTES = {"role", "flags", "order_type", "time_in_force", "order_status", "epoch_low", "liquidity"}
INT32 = {"instrument_index", "strategy_index", "reason"}


def _numbers(name: str) -> st.SearchStrategy[int]:
    if name == "side":
        return st.integers(-1, 1)
    if name in BYTES:
        return byte
    return int32 if name in INT32 else int64


@given(st.data())
def test_every_field_of_a_command_is_read_from_its_place(data: st.DataObject) -> None:
    row = np.zeros(1, EVENT_DTYPE)
    expected: dict[str, Any] = {}
    for name in Command._fields:
        column = COMMAND_FIELDS.get(name, name)
        if name == "event_type":
            expected[name] = data.draw(st.sampled_from([int(kind) for kind in EventType]))
        elif name == "client_order_id":
            expected[name] = data.draw(text)
        else:
            expected[name] = data.draw(_numbers(name))
        given_ = expected[name]
        row[column] = given_.encode() if isinstance(given_, str) else given_
    assert read_command(row.tobytes()[8:])._asdict() == expected


def test_a_command_is_a_whole_payload_and_a_tuple_type() -> None:
    for size in (0, 247, 249, 256):
        with pytest.raises(ValueError, match=f"248 bytes, not {size}"):
            read_command(bytes(size))
    with pytest.raises(TypeError, match="tuple type"):
        _native.read_command(dict, bytes(248))  # type: ignore[type-var]
    with pytest.raises(TypeError):
        _native.read_command(Command, "text")  # type: ignore[arg-type]


@given(st.data())
def test_every_field_of_a_report_is_written_to_its_place(data: st.DataObject) -> None:
    fields: dict[str, Any] = {
        name: data.draw(text if name == "text" else _numbers(name))
        for name in Report._fields
        if name != "event_type"
    }
    time_ns = data.draw(int64)
    report = Report(data.draw(st.sampled_from(EventType)), **fields)
    row = np.frombuffer(pack_report(report, time_ns), EVENT_DTYPE)[0]
    assert row["sequence"] == 0
    assert row["time_ns"] == time_ns
    assert row["role"] == Role.BRAIN
    for name, number in report._asdict().items():
        column = REPORT_FIELDS.get(name, name)
        shown = row[column].decode() if name == "text" else row[column]
        assert shown == number, name


def test_fields_the_kernel_derives_are_left_zero() -> None:
    report = Report(EventType.ORDER_UPDATE, 3, order_status=OrderStatus.NEW, order_sequence=9)
    row = np.frombuffer(pack_report(report, 5), EVENT_DTYPE)[0]
    for name in ("order_status_after", "trading_state", "refusal_mask", "realised_pnl_e8"):
        assert row[name] == 0, name


def test_text_longer_than_its_field_is_cut() -> None:
    row = np.frombuffer(
        pack_report(Report(EventType.EXECUTOR_FAULT, text="x" * 99), 0), EVENT_DTYPE
    )
    assert row["text"][0] == b"x" * 40


def restore_record(kind: EventType, index: int, trade_id: int, **fields: int) -> bytes:
    """Return a RESTORE_* record of an instrument."""
    record = np.zeros(1, dtype=EVENT_DTYPE)
    words = {"event_type": kind, "instrument_index": index, "trade_id": trade_id, **fields}
    for name, entry in words.items():
        record[name] = entry
    return record.tobytes()


trades = st.lists(
    st.tuples(
        st.sampled_from([EventType.RESTORE_ORDER, EventType.RESTORE_POSITION, EventType.FILL]),
        st.integers(0, 3),
        st.integers(0, 12),
        st.sampled_from([KIND_FILL, KIND_FUNDING]),
    ),
    max_size=30,
)


@given(trades)
def test_a_fill_is_held_where_a_record_names_it_or_a_floor_covers_it(
    told: list[tuple[EventType, int, int, int]],
) -> None:
    applied = AppliedTrades()
    for kind, index, trade_id, reason in told:
        applied.learn(restore_record(kind, index, trade_id, reason=reason))
    for index in range(4):
        floor = max(
            [t for kind, i, t, _ in told if (kind, i) == (EventType.RESTORE_POSITION, index)],
            default=0,
        )
        named = {
            trade_id
            for kind, i, trade_id, reason in told
            if (kind, i, reason) == (EventType.RESTORE_ORDER, index, KIND_FILL)
        }
        for trade_id in range(1, 13):
            assert applied.holds(index, trade_id) == (trade_id <= floor or trade_id in named)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([EventType.FILL, EventType.ORDER_UPDATE]),
            st.integers(0, 2),
            st.integers(1, 9),
            st.integers(0, 1),
            st.integers(6, 7),
        )
    ),
    st.integers(1, 6),
)
def test_a_fill_is_held_once_told_of_an_order_of_this_session_the_newest_few(
    told: list[tuple[EventType, int, int, int, int]], told_max: int
) -> None:
    applied = AppliedTrades(told_max)
    ours: list[tuple[int, int]] = []
    for kind, index, trade_id, order, epoch_low in told:
        report = Report(kind, index, trade_id=trade_id, order_sequence=order, epoch_low=epoch_low)
        applied.tell(report, epoch_low=7)
        is_ours = kind == EventType.FILL and order > 0 and epoch_low == 7
        if is_ours and (index, trade_id) not in ours:
            ours.append((index, trade_id))
            del ours[:-told_max]
    held = {(i, t) for i in range(3) for t in range(1, 10) if applied.holds(i, t)}
    assert held == set(ours)


def test_what_a_journal_folds_to_holds_every_fill_it_applied() -> None:
    fold, applied = Fold(), AppliedTrades()
    rows = [fill(1, trade_id, 1, instrument_index=trade_id % 3) for trade_id in range(1, 9_001)]
    fold.add(event_records(*rows))
    records = [record.tobytes() for record in fold.restore_records()]
    for record in records:
        applied.learn(record)
    assert len(records) < 9_000, "the oldest are held by a floor"
    assert all(applied.holds(trade_id % 3, trade_id) for trade_id in range(1, 9_001))
    assert not applied.holds(0, 9_003)
    assert not applied.holds(1, 9_001 + 3)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.booleans())))
def test_a_payment_is_held_once_told_or_restored(told: list[tuple[int, int, bool]]) -> None:
    applied = AppliedTrades()
    for index, number, is_restored in told:
        if is_restored:
            kind = EventType.RESTORE_ORDER
            applied.learn(restore_record(kind, index, number, reason=KIND_FUNDING))
        else:  # the stream tells of one without its number
            applied.tell(Report(EventType.FUNDING, index, trade_id=number), epoch_low=7)
    held = {(i, n) for i in range(3) for n in range(10) if applied.holds_payment(i, n)}
    assert held == {(index, number) for index, number, _ in told if number}


def test_the_oldest_payments_are_forgotten() -> None:
    applied = AppliedTrades()
    for number in range(1, PAYMENTS_MAX + 2):
        applied.tell(Report(EventType.FUNDING, 0, trade_id=number), epoch_low=7)
    assert [applied.holds_payment(0, number) for number in (1, 2)] == [False, True]


def test_the_kinds_of_trades_are_the_kernels() -> None:
    ours = (order_records.KIND_FILL, order_records.KIND_FUNDING, order_records.PAYMENTS_MAX)
    assert ours == (KIND_FILL, KIND_FUNDING, PAYMENTS_MAX)
