"""The bench of journal and projection counts what stands on the disk and in the tables."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from bench import store_rates
from engine.domain.codes import EventType
from engine.store.sqlite import SqliteDatabase


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_rates, "RECORDS", 4 * store_rates.FRAME_RECORDS)
    monkeypatch.setattr(store_rates, "ORDERS", 60)
    monkeypatch.setattr(store_rates, "FRAME_EVENTS", 25)


def test_frames_hold_every_record_once() -> None:
    pieces = store_rates.frames()
    assert len(pieces) == 4
    words = [int.from_bytes(piece[:8], "little") for piece in pieces]
    assert words == [1 + number * store_rates.FRAME_RECORDS for number in range(4)]


def test_both_ways_to_write_are_rates_of_the_same_records() -> None:
    pieces = store_rates.frames()
    for found in (store_rates.journal(pieces), store_rates.plain_file(pieces)):
        assert found["records"] > 0


def test_an_order_is_five_events_that_follow_the_last_ones() -> None:
    events = store_rates.order_events(3)
    assert events["sequence"].tolist() == [11, 12, 13, 14, 15]
    assert events["event_type"].tolist() == [
        EventType.SIGNAL_GENERATED,
        EventType.ORDER_REQUEST,
        EventType.ORDER_UPDATE,
        EventType.FILL,
        EventType.POSITION_CHANGED,
    ]


def test_every_order_stands_in_the_tables_however_often_it_is_projected(tmp_path: Path) -> None:
    directory = tmp_path / "journal" / "session"
    document = store_rates.write_orders(directory)
    with closing(SqliteDatabase(tmp_path / "aegis.db")) as database:
        for _ in range(2):
            found = store_rates.projection(database, directory, document)
            assert found["rows"] < found["events"], "a position is written over"
            for name, count in (("order_states", 60), ("fills", 60), ("decisions", 60)):
                assert database.query(f"SELECT COUNT(*) FROM {name}") == [(count,)]
        few = sum(store_rates.row_counts(database)) - 3 * 60
        assert 0 < few < 10, "positions and the wallet"
