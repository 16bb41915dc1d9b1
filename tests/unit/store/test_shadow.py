"""The shadow store: every decision with its window, plan and gates, and what came of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import exit_codes
from engine.domain.codes import OrderStatus, RecordType
from engine.domain.records import MARKET_DTYPE
from engine.domain.risk_reasons import RiskReason
from engine.processes.shadow import shadow_command
from engine.store.database import Database, migrate
from engine.store.errors import JournalError
from engine.store.frames import SEGMENT_HEADER_BYTES
from engine.store.journal import SOURCE_MARKET, segment_paths
from engine.store.projection import project_all
from engine.store.session import SessionDocument, read_document
from engine.store.shadow import HORIZONS_S, Decision, Mids, grade
from engine.store.sqlite import DATABASE_NAME, SqliteDatabase
from engine.store.windows import WINDOW_BARS, MarketIndex, read_window
from tests.store_builders import Records, as_bytes, open_market, session_document, write_session
from tests.store_events import Row, decision, fill, request, update

KEY = "practice-practice-paper"
S = 1_000_000_000
NAMES = (
    "sequence",
    "verdict",
    "filters",
    "score",
    "expected_move_bps",
    "confidence",
    "cost_bps",
    "edge_bps",
    "plan_hash",
    "model_version",
    "window_first",
    "window_last",
    "after_10s_bps",
    "after_60s_bps",
    "after_300s_bps",
    "exit_ns",
    "pnl",
    "account",
)
START_NS = 1_000  # monotonic, of tests.store_builders.session_document


def quotes(*rows: tuple[int, int, int], first: int = 0, instrument: int = 0) -> Records:
    """Return quotes (seconds since the start, bid, ask) of an instrument."""
    records = np.zeros(len(rows), dtype=MARKET_DTYPE)
    records["sequence"] = np.arange(first, first + len(rows)) + 1
    records["record_type"] = RecordType.QUOTE
    records["instrument_index"] = instrument
    for place, (seconds, bid, ask) in enumerate(rows):
        records["receive_time_ns"][place] = START_NS + seconds * S
        records["bid_price_ticks"][place] = bid
        records["ask_price_ticks"][place] = ask
    return records


def write_market(directory: Path, *parts: Records, segment_bytes: int = 1 << 20) -> None:
    writer = open_market(directory, segment_bytes=segment_bytes)
    for part in parts:
        writer.append(writer.next_sequence, as_bytes(part))
    writer.close(is_end=False)


def at(seconds: int) -> dict[str, int]:
    return {"time_ns": START_NS + seconds * S}


@pytest.fixture
def graded(tmp_path: Path, open_database: Callable[[], Database]) -> Callable[..., list[Row]]:
    """Return what writes a session with a market, projects, grades and reads the store."""

    def run(market: Records, *rows: Row, market_journal: str = "all") -> list[Row]:
        directory = write_session(tmp_path / KEY, *rows, market_journal=market_journal)
        write_market(directory, market)
        database = open_database()
        project_all(database, tmp_path / KEY)
        grade(database, directory, read_document(directory), 77)
        found = database.query(f"SELECT {', '.join(NAMES)} FROM shadow ORDER BY sequence")
        return [dict(zip(NAMES, row, strict=True)) for row in found]

    return run


def test_refused_and_sent_decisions_are_both_kept_and_followed(
    graded: Callable[..., list[Row]],
) -> None:
    gates = 1 << RiskReason.PRICE_AGE | 1 << RiskReason.DAILY_LOSS
    market = quotes((0, 990, 1_010), (5, 1_000, 1_020), (20, 1_040, 1_060), (400, 500, 520))
    refused, sent = graded(
        market,
        decision(cause_sequence=1, refusal_mask=gates, side=-1, **at(1)),
        decision(cause_sequence=2, **at(5)),
        request(1, cause_sequence=2, **at(5)),
        update(1, OrderStatus.NEW, cause_sequence=2, **at(5)),
        fill(1, 501, 5, order_status_after=OrderStatus.FILLED, fee_e8=10, **at(6)),
        request(2, side=-1, flags=0, cause_sequence=3, **at(25)),
        fill(2, 502, 5, side=-1, fee_e8=10, realised_pnl_e8=700, **at(26)),
    )

    assert (refused["verdict"], sent["verdict"]) == ("REFUSED", "EXECUTED")
    assert refused["filters"] == "PRICE_AGE DAILY_LOSS"
    assert refused["after_10s_bps"] == pytest.approx(-100.0), "1,000 to 1,010 against a sale"
    assert refused["after_60s_bps"] == pytest.approx(-500.0)
    assert refused["after_300s_bps"] == pytest.approx(-500.0), "no quote between 20 s and 301 s"
    assert sent["after_10s_bps"] == pytest.approx(0.0)
    assert float(sent["pnl"]) == pytest.approx((700 - 20) / 1e8)
    assert sent["exit_ns"] == 1_700_000_000_000_000_000 + 26 * S
    assert (refused["pnl"], refused["exit_ns"]) == (None, None)
    assert {row["account"] for row in (refused, sent)} == {KEY}


def test_a_decision_names_its_plan_and_its_window(
    graded: Callable[..., list[Row]], tmp_path: Path
) -> None:
    (row,) = graded(quotes((0, 10, 12), (1, 11, 13)), decision(cause_sequence=2, **at(1)))
    (plan,) = session_document().strategies[:1]
    text = msgspec.json.encode(plan, order="deterministic")
    assert row["plan_hash"] == hashlib.sha256(text).hexdigest()
    assert row["model_version"] == "0" * 16
    assert (row["window_first"], row["window_last"]) == (0, 1)
    window = read_window(next((tmp_path / KEY / "journal").iterdir()), 0, 0, 1)
    assert window.ticks["bid_price_ticks"].tolist() == [10, 11]
    assert (row["score"], row["after_10s_bps"]) == (0.75, None), "the market ends before"
    assert row["verdict"] == "SENT"


def test_an_entry_keeps_what_it_was_thought_to_bring(graded: Callable[..., list[Row]]) -> None:
    thought = {"expected_move_bps": 30.0, "confidence": 0.6, "cost_bps": 11.0, "edge_bps": 7.0}
    weighed, unknown = graded(
        quotes((0, 10, 12)),
        decision(cause_sequence=1, **thought, **at(1)),
        decision(cause_sequence=1, **at(2)),
    )
    assert {name: weighed[name] for name in thought} == thought
    assert {unknown[name] for name in thought} == {None}


@pytest.fixture
def database() -> Iterator[SqliteDatabase]:
    with closing(SqliteDatabase(None)) as opened:
        yield opened


def test_grading_goes_on_where_the_market_ended(tmp_path: Path, database: SqliteDatabase) -> None:
    directory = write_session(tmp_path / KEY, decision(cause_sequence=1, **at(0)))
    document = read_document(directory)
    write_market(directory, quotes((0, 100, 100), (30, 110, 110)))
    project_all(database, tmp_path / KEY)

    def outcome() -> tuple[Any, ...]:
        statement = "SELECT after_10s_bps, after_60s_bps, after_300s_bps FROM shadow_outcomes"
        (row,) = database.query(statement)
        return row

    assert grade(database, directory, document, 1) == 1
    assert outcome() == (0.0, None, None)
    write_market(directory, quotes((70, 120, 120), (301, 90, 90), first=2))
    assert grade(database, directory, document, 2) == 1
    assert outcome() == (0.0, pytest.approx(1_000.0), pytest.approx(2_000.0))
    assert grade(database, directory, document, 3) == 0, "everything is known"


def test_a_session_without_its_market_has_no_mark_outs(graded: Callable[..., list[Row]]) -> None:
    (row,) = graded(quotes(), decision(**at(1)), market_journal="off")
    assert (row["window_first"], row["window_last"]) == (-1, -1)
    assert row["after_10s_bps"] is None


PRICES = st.lists(
    st.tuples(st.integers(0, 500), st.integers(1, 1_000), st.integers(0, 50)), max_size=40
)


@settings(max_examples=60, deadline=None)
@given(rows=PRICES, times=st.lists(st.integers(0, 200), max_size=8), cuts=st.integers(1, 7))
def test_mids_are_those_of_a_plain_search(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[int, int, int]],
    times: list[int],
    cuts: int,
) -> None:
    rows = sorted((at_s, bid, bid + spread) for at_s, bid, spread in rows)
    directory = tmp_path_factory.mktemp("market")
    market = quotes(*rows)
    write_market(directory, *(market[i : i + cuts] for i in range(0, len(rows), cuts)))
    document = session_document()
    begin_ns = document.started_realtime_ns
    asked = [
        Decision(i, begin_ns + second * S, "BTCUSDT", "s", 1, 1, 1, 0, 0)
        for i, second in enumerate(times)
    ]
    mids = Mids(asked, document)
    mids.read(directory)

    def plain(second: int) -> float | None:
        before = [(bid + ask) / 2 for at_s, bid, ask in rows if at_s <= second]
        is_over = not any(at_s > second for at_s, _, _ in rows)
        return None if is_over or not before else before[-1]

    for row, second in zip(asked, times, strict=True):
        found = mids.mark_outs(row)
        start = plain(second)
        assert found["mid"] == (None if start is None else pytest.approx(start / 10))
        for horizon in HORIZONS_S:
            later = plain(second + horizon)
            wanted = None
            if start is not None and later is not None:
                wanted = (later - start) / start * 10_000
            told = found[f"after_{horizon}s_bps"]
            assert told is None if wanted is None else told == pytest.approx(wanted)


def test_windows_reach_back_to_the_first_bar_and_no_further_than_a_segment(tmp_path: Path) -> None:
    directory = tmp_path / "session"
    write_market(
        directory, *(quotes((i, 10 + i, 12 + i), first=i) for i in range(6)), segment_bytes=1
    )
    index = MarketIndex(directory)
    assert index.window(0, 1, 3) == (-1, -1), "not looked at yet"
    index.look()
    paths = segment_paths(directory, SOURCE_MARKET)
    assert len(paths) == 6
    later_ns = 1 << 62  # long after the last segment was begun
    assert index.window(later_ns, 1, 6) == (5, 5)
    assert index.window(later_ns, later_ns // WINDOW_BARS // S + 1, 4) == (0, 3)
    assert index.window(0, 1, 4) == (0, 3), "the oldest there is"

    paths[0].unlink()
    index.look()
    assert index.window(0, 1, 1) == (-1, -1), "what it saw was removed"
    assert index.window(0, 1, 4) == (1, 3)
    with pytest.raises(JournalError, match="removed"):
        read_window(directory, 0, 0, 3)


def test_a_wall_clock_that_is_set_moves_no_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once segments went by the wall clock of their files: set back, a window lost its begin."""
    walls = iter([9_000 * S, 9_060 * S, *(second * S for second in range(100, 400, 60))])
    monkeypatch.setattr("engine.store.journal.time.time_ns", lambda: next(walls, 0))
    directory = tmp_path / "session"
    length_s = 10 * WINDOW_BARS
    parts = (quotes((i * length_s, 10 + i, 12 + i), first=i) for i in range(6))
    write_market(directory, *parts, segment_bytes=1)
    index = MarketIndex(directory)
    index.look()
    for place in range(1, 6):
        decided_ns = START_NS + place * length_s * S + S
        assert index.window(decided_ns, 10, place + 1) == (place - 1, place)


def test_a_segment_that_does_not_say_when_it_begins_starts_no_window(tmp_path: Path) -> None:
    directory = tmp_path / "session"
    write_market(
        directory, *(quotes((i, 10 + i, 12 + i), first=i) for i in range(3)), segment_bytes=1
    )
    for path in segment_paths(directory, SOURCE_MARKET)[1:]:
        path.write_bytes(path.read_bytes()[:SEGMENT_HEADER_BYTES])  # nothing written yet
    index = MarketIndex(directory)
    index.look()
    assert index.window(1 << 62, 1, 3) == (0, 2)


def test_a_window_holds_one_instruments_records_and_bars_apart(tmp_path: Path) -> None:
    records = quotes(*((i, 10 + i, 12 + i) for i in range(9)))
    records["instrument_index"] = np.arange(9) % 2
    records["record_type"][4] = RecordType.BAR
    records["record_type"][6] = RecordType.MARK
    write_market(tmp_path / "session", records[:5], records[5:])
    window = read_window(tmp_path / "session", 0, 1, 7)
    assert (window.ticks["sequence"] - 1).tolist() == [2]
    assert (window.bars["sequence"] - 1).tolist() == [4]


def test_plans_are_whole_rows_of_the_strategy_table(
    tmp_path: Path, database: SqliteDatabase
) -> None:
    migrate(database, 0)
    directory = write_session(tmp_path / KEY, decision())
    project_all(database, tmp_path / KEY)
    document: SessionDocument = read_document(directory)
    stored = database.query("SELECT strategy, plan FROM plans")
    assert {str(name): json.loads(str(text)) for name, text in stored} == {
        row.name: msgspec.to_builtins(row) for row in document.strategies
    }


def test_the_command_grades_both_databases(
    tmp_path: Path,
    open_postgres: Callable[[], Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    state = tmp_path / "state" / KEY
    directory = write_session(state, decision(cause_sequence=1, **at(0)))
    write_market(directory, quotes((0, 100, 100), (20, 110, 110)))
    kept, beside = SqliteDatabase(state / DATABASE_NAME), open_postgres()
    for database in (kept, beside):
        project_all(database, state)
    url = beside._url
    code = shadow_command(tmp_path, "grade", None, None, limit=1, as_json=True, database_url=url)
    assert code == exit_codes.DONE
    assert sum(json.loads(capsys.readouterr().out)["graded"].values()) == 1
    for database in (kept, beside):
        assert database.query("SELECT after_10s_bps FROM shadow") == [(0.0,)]
    kept.close()
