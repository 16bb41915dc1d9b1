"""A new session starts from what the earlier ones knew, or says why it does not start."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.domain.adjust import AdjustmentKind
from engine.domain.execution.work import StopReason, WorkState
from engine.domain.records import EVENT_APPLIED, EventType, OrderStatus
from engine.domain.strategy_table import StrategyKind, StrategyRow
from engine.store import fold, restore
from engine.store.errors import JournalCorruptError, SessionError
from engine.store.journal import SOURCE_EVENTS_BRAIN, segment_paths
from engine.store.restore import load_restore_records
from tests.store_builders import (
    as_bytes,
    event_records,
    instrument,
    open_events,
    session_document,
    write_session,
)
from tests.store_events import decision, event, fill, position, request, update

HERE = (instrument(), instrument("ETHUSDT", instrument_index=1))
NAMES = ("smc_fvg_bos", "orderflow")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "practice-practice-paper"


def of_kind(records: np.ndarray, kind: EventType) -> np.ndarray:
    return records[records["event_type"] == kind]


def held(records: np.ndarray) -> dict[tuple[int, int], int]:
    rows = of_kind(records, EventType.RESTORE_POSITION)
    return {
        (int(row["instrument_index"]), int(row["strategy_index"])): int(row["position_lots"])
        for row in rows
        if row["position_lots"]
    }


def limits(cash_e8: int, **fields: Any) -> dict[str, Any]:  # noqa: ANN401  any field
    return event(EventType.LIMITS_CHANGED, cash_e8=cash_e8, qty_lots=1, **fields)


SESSION_ONE = (
    limits(10_000, day_entry_count=3, peak_equity_e8=12_000, refusal_mask=1 << 22),
    decision(),
    request(1),
    update(1, OrderStatus.NEW),
    fill(1, 501, 2),
    position(0, 0, 2),
    position(0, -2, 2),
    request(2, instrument_index=1, side=-1),
)


def restored(rows: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    return [row | {"flags": row.get("flags", 0) | EVENT_APPLIED} for row in rows]


def test_nothing_known_is_one_record(state: Path) -> None:
    records = load_restore_records(state, HERE, NAMES)

    assert records["event_type"].tolist()[-1] == EventType.RESTORE_END
    assert held(records) == {}
    assert len(of_kind(records, EventType.RESTORE_ORDER)) == 0


def test_orders_positions_and_limits_come_back(state: Path) -> None:
    write_session(state, *SESSION_ONE)

    records = load_restore_records(state, HERE, NAMES)

    assert held(records) == {(0, 0): 2, (0, -2): 2}
    orders = of_kind(records, EventType.RESTORE_ORDER)
    trades = orders[orders["trade_id"] > 0]
    assert trades["trade_id"].tolist() == [501]
    rows = orders[orders["trade_id"] == 0]
    told = [(int(r["order_sequence"]), int(r["order_status"])) for r in rows]
    assert sorted(told) == [(1, OrderStatus.PARTIALLY_FILLED), (2, OrderStatus.PENDING_NEW)]
    (kept,) = of_kind(records, EventType.RESTORE_LIMITS)
    assert kept["refusal_mask"] == 1 << 22
    assert kept["peak_equity_e8"] == 12_000
    assert records["event_type"][-1] == EventType.RESTORE_END


def test_reading_starts_at_the_last_session_that_was_restored(state: Path) -> None:
    first = write_session(state, *SESSION_ONE, session_id="one", epoch=1)
    given = [
        event(EventType.RESTORE_POSITION, instrument_index=0, strategy_index=1, position_lots=7),
        event(EventType.RESTORE_END),
    ]
    write_session(state, *restored(tuple(given)), session_id="two", epoch=2)
    for path in segment_paths(first, SOURCE_EVENTS_BRAIN):
        path.write_bytes(b"not needed any more")

    assert held(load_restore_records(state, HERE, NAMES)) == {(0, 1): 7}


def test_a_session_that_died_before_its_restore_ended_hides_nothing(state: Path) -> None:
    write_session(state, *SESSION_ONE, session_id="one", epoch=1)
    partial = event(EventType.RESTORE_POSITION, instrument_index=0, strategy_index=0)
    write_session(state, *restored((partial,)), session_id="two", epoch=2)

    assert held(load_restore_records(state, HERE, NAMES)) == {(0, 0): 2, (0, -2): 2}


def test_what_is_restored_is_the_same_again_after_a_session_that_did_nothing(
    state: Path,
) -> None:
    write_session(state, *SESSION_ONE, session_id="one", epoch=1)
    first = load_restore_records(state, HERE, NAMES)
    echoes = first.copy()
    echoes["flags"] |= EVENT_APPLIED
    echoes["order_status_after"] = echoes["order_status"]
    directory = write_session(state, session_id="two", epoch=2)
    writer = open_events(directory)
    writer.append(0, as_bytes(echoes))
    writer.close(is_end=True)

    second = load_restore_records(state, HERE, NAMES)

    def rows(records: np.ndarray) -> list[bytes]:
        plain = records.copy()
        plain["sequence"] = 0
        return sorted(record.tobytes() for record in plain)

    assert rows(second) == rows(first)


def test_other_places_of_the_same_symbols_and_names_change_nothing(state: Path) -> None:
    write_session(state, *SESSION_ONE)

    records = load_restore_records(state, HERE[::-1], NAMES[::-1])

    assert held(records) == {(1, 1): 2, (1, -2): 2}


def test_strategies_that_are_gone_share_the_external_column(state: Path) -> None:
    write_session(
        state,
        position(0, 0, 2),
        position(0, 1, 3),
        position(0, -1, -1),
        position(0, -2, 4),
    )

    records = load_restore_records(state, HERE, ("another",))

    assert held(records) == {(0, -1): 4, (0, -2): 4}
    external = of_kind(records, EventType.RESTORE_POSITION)
    assert sorted(external["strategy_index"].tolist()) == [-2, -1]


def test_a_position_in_an_instrument_not_traded_any_more_is_refused(state: Path) -> None:
    write_session(state, *SESSION_ONE)

    with pytest.raises(SessionError, match="a position of 2 lots in BTCUSDT"):
        load_restore_records(state, (instrument("ETHUSDT"),), NAMES)


def test_an_order_that_may_rest_in_one_is_refused(state: Path) -> None:
    write_session(state, request(9, instrument_index=1))

    with pytest.raises(SessionError, match="order 9, which may still rest at the venue in ETHUSDT"):
        load_restore_records(state, (instrument(),), NAMES)


def test_what_is_over_in_one_is_left_out(state: Path) -> None:
    done = update(9, OrderStatus.CANCELED, instrument_index=1)
    write_session(state, request(9, instrument_index=1), done, position(1, 0, 0), *SESSION_ONE[:-1])

    assert held(load_restore_records(state, (instrument(),), NAMES)) == {(0, 0): 2, (0, -2): 2}


def test_lost_events_are_refused(state: Path) -> None:
    directory = write_session(state, *SESSION_ONE)
    writer = open_events(directory)
    writer.append_lost(3)
    writer.close(is_end=False)

    with pytest.raises(SessionError, match="3 events of session"):
        load_restore_records(state, HERE, NAMES)


def test_a_damaged_journal_is_refused(state: Path) -> None:
    directory = write_session(state, *SESSION_ONE)
    writer = open_events(directory)
    writer.append(8, as_bytes(event_records(decision(), first_sequence=8)))
    writer.close(is_end=False)
    path = segment_paths(directory, SOURCE_EVENTS_BRAIN)[0]
    raw = bytearray(path.read_bytes())
    raw[600] ^= 1
    path.write_bytes(raw)

    with pytest.raises(JournalCorruptError):
        load_restore_records(state, HERE, NAMES)


def test_a_torn_tail_is_only_the_end(state: Path) -> None:
    directory = write_session(state, *SESSION_ONE)
    writer = open_events(directory)
    writer.append(8, as_bytes(event_records(position(1, 1, 9), first_sequence=8)))
    writer.close(is_end=False)
    path = segment_paths(directory, SOURCE_EVENTS_BRAIN)[-1]
    os.truncate(path, path.stat().st_size - 1)

    assert held(load_restore_records(state, HERE, NAMES)) == {(0, 0): 2, (0, -2): 2}


def test_adjustments_have_the_numbers_of_the_domain() -> None:
    ours = {
        "POSITION": fold.ADJUSTED_POSITION,
        "CASH": fold.ADJUSTED_CASH,
        "OPENING_CASH": fold.OPENING_CASH,
        "FILL": fold.WRITTEN_OFF,
    }

    assert ours == {kind.name: int(kind) for kind in AdjustmentKind}


def test_a_strategy_of_another_session_is_not_mistaken_by_its_place(state: Path) -> None:
    rows = tuple(
        StrategyRow(name=name, kind=StrategyKind.SMC) for name in ("orderflow", "smc_fvg_bos")
    )
    write_session(state, position(0, 0, 5), position(0, -2, 5), strategies=rows)
    assert session_document().strategies[0].name == "smc_fvg_bos"

    assert held(load_restore_records(state, HERE, NAMES)) == {(0, 1): 5, (0, -2): 5}


@pytest.mark.parametrize("joined", [1, 3, 8_192])
@pytest.mark.parametrize("in_a_frame", [1, 2, 8])
def test_frames_are_no_borders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, joined: int, in_a_frame: int
) -> None:
    whole = write_session(tmp_path / "whole" / "practice-practice-paper", *SESSION_ONE)
    wanted = load_restore_records(whole.parents[1], HERE, NAMES)
    cut = write_session(tmp_path / "cut" / "practice-practice-paper", *SESSION_ONE[:in_a_frame])
    for first in range(in_a_frame, len(SESSION_ONE), in_a_frame):
        writer = open_events(cut)
        rows = SESSION_ONE[first : first + in_a_frame]
        records = event_records(*rows, first_sequence=writer.next_sequence)
        writer.append(writer.next_sequence, as_bytes(records))
        writer.close(is_end=False)
    monkeypatch.setattr(restore, "JOINED_RECORDS", joined)
    assert load_restore_records(cut.parents[1], HERE, NAMES).tobytes() == wanted.tobytes()


PARENT = event(
    EventType.PARENT_STATE, order_sequence=9, epoch_low=1, instrument_index=0, strategy_index=1,
    order_type=1, order_status=1, side=1, qty_lots=100, input_1=600.0, venue_time_ns=77,
)  # fmt: skip


def test_a_parent_at_work_is_handed_on_before_all_orders(state: Path) -> None:
    write_session(state, *SESSION_ONE, PARENT)

    records = load_restore_records(state, HERE[::-1], NAMES[::-1])

    kinds = records["event_type"].tolist()
    assert kinds[:2] == [EventType.RESTORE_LIMITS, EventType.PARENT_STATE]
    assert kinds.count(EventType.PARENT_STATE) == 1
    (parent,) = of_kind(records, EventType.PARENT_STATE)
    assert (parent["instrument_index"], parent["strategy_index"]) == (1, 0)
    assert (parent["time_in_force"], parent["venue_time_ns"]) == (1, 77)
    assert kinds[-1] == EventType.RESTORE_END


def test_a_parent_of_what_is_not_traded_any_more_is_told_to_have_ended(state: Path) -> None:
    write_session(state, PARENT)

    records = load_restore_records(state, (instrument("ETHUSDT"),), NAMES)

    (parent,) = of_kind(records, EventType.PARENT_STATE)
    assert (parent["instrument_index"], parent["text"]) == (-1, b"BTCUSDT")
    assert (parent["order_status"], parent["reason"]) == (WorkState.ENDED, StopReason.UNTRADED)
    assert (parent["order_sequence"], parent["qty_lots"]) == (9, 100)
    over = {name: parent[name] for name in PARENT} | {"text": parent["text"]}
    there = (instrument("ETHUSDT"),)
    write_session(state, *restored((over,)), session_id="two", epoch=2, instruments=there)
    records = load_restore_records(state, HERE, NAMES)
    assert len(of_kind(records, EventType.PARENT_STATE)) == 0, "told once, and never revived"


def test_a_parent_whose_strategy_is_gone_ends_and_one_that_was_cancelled_says_that(
    state: Path,
) -> None:
    cancel = event(EventType.CONTROL_CANCEL, order_sequence=9, epoch_low=1)
    write_session(state, PARENT, cancel)

    (parent,) = of_kind(load_restore_records(state, HERE, NAMES[:1]), EventType.PARENT_STATE)

    assert (parent["order_status"], parent["reason"]) == (WorkState.ENDED, StopReason.OPERATOR)
    assert (parent["strategy_index"], parent["text"]) == (-1, b"BTCUSDT")


def test_a_parent_whose_steps_changed_is_stopped(state: Path) -> None:
    write_session(state, PARENT)

    finer = instrument(qty_exponent=4)
    (parent,) = of_kind(load_restore_records(state, (finer,), NAMES), EventType.PARENT_STATE)

    assert parent["qty_lots"] == 1_000
    assert (parent["order_status"], parent["reason"]) == (2, 7)
