"""Rows of a session by sequence: nothing missed, nothing twice, nothing of another session."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.domain.records import EventType, OrderStatus
from engine.store.pages import SessionPages
from engine.store.projection import project_all
from engine.store.sqlite import SqliteDatabase
from tests.store_builders import write_session
from tests.store_events import decision, event, fill, opening_cash, request

KEY = "practice-practice-paper"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    state = tmp_path / KEY
    write_session(
        state,
        opening_cash(500_000_000),
        decision(time_ns=3_000_000_000),
        request(1),
        fill(1, 501, 5, order_status_after=OrderStatus.FILLED),
        decision(time_ns=4_000_000_000, side=-1, refusal_mask=1 << 11),
        event(EventType.RISK_REFUSAL, instrument_index=0, strategy_index=0, reason=3, side=1),
    )
    database = SqliteDatabase(state / "aegis.db")
    project_all(database, state)
    database.close()
    return state


def session_of(state: Path) -> str:
    (folder,) = (state / "journal").iterdir()
    return folder.name


def test_each_table_has_its_rows(state: Path) -> None:
    pages, session = SessionPages(state / "aegis.db", KEY), session_of(state)
    (filled,) = pages.rows("fills", session, -1, 9)
    assert (filled["instrument"], filled["quantity"], filled["trade_id"]) == (
        "BTCUSDT",
        "0.005",
        501,
    )
    sides = [row["side"] for row in pages.rows("decisions", session, -1, 9)]
    assert sides == ["BUY", "SELL"]
    assert len(pages.rows("refusals", session, -1, 9)) == 1


def test_pages_of_any_size_hold_every_event_once(state: Path) -> None:
    pages, session = SessionPages(state / "aegis.db", KEY), session_of(state)
    whole = pages.events(session, -1, 100)
    sequences = [row["sequence"] for row in whole]
    assert sequences == sorted(set(sequences))
    assert {row["event"] for row in whole} >= {"fill", "decision", "refusal"}
    for limit in (1, 2, 3):
        found, after = [], -1
        while rows := pages.events(session, after, limit):
            found += rows
            after = rows[-1]["sequence"]
        assert found == whole
    assert pages.last_sequence(session) == sequences[-1]


def test_other_accounts_and_sessions_are_not_shown(state: Path) -> None:
    pages = SessionPages(state / "aegis.db", "practice-other-paper")
    assert pages.events(session_of(state), -1, 9) == []
    ours = SessionPages(state / "aegis.db", KEY)
    assert ours.events("another", -1, 9) == []
    assert ours.last_sequence("another") == -1


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("BTCUSDT", {"fill", "decision", "refusal"}),
        ("smc_fvg", {"fill", "decision", "refusal"}),
        ("501", {"fill"}),
        ("btcusdt", {"fill", "decision", "refusal"}),
        ("%", set()),
        ("B_CUSDT", set()),
        ("'; DROP TABLE decisions; --", set()),
        ("\\", set()),
    ],
)
def test_a_search_finds_what_is_written_and_nothing_by_magic(
    state: Path, text: str, events: set[str]
) -> None:
    pages, session = SessionPages(state / "aegis.db", KEY), session_of(state)
    found = pages.search(session, text, 50)
    assert {row["event"] for row in found} == events
    sequences = [row["sequence"] for row in found]
    assert sequences == sorted(sequences, reverse=True)
    assert pages.search(session, text, 1) == found[:1]


def test_exposure_is_that_of_the_account(state: Path) -> None:
    assert SessionPages(state / "aegis.db", "another").exposure() == []


def test_no_database_is_no_rows(tmp_path: Path) -> None:
    pages = SessionPages(tmp_path / "none.db", KEY)
    assert pages.events("any", -1, 9) == []
    assert pages.last_sequence("any") == -1
    assert (pages.search("any", "", 9), pages.exposure()) == ([], [])


def test_it_needs_no_numpy() -> None:
    script = "import sys, engine.store.pages; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_what_is_left_out_is_all_but_the_newest_fills(tmp_path: Path) -> None:
    state = tmp_path / KEY
    fills = [fill(1, trade, 5, order_status_after=OrderStatus.NEW) for trade in range(501, 506)]
    write_session(state, opening_cash(500_000_000), request(1), *fills)
    database = SqliteDatabase(state / "aegis.db")
    project_all(database, state)
    database.close()
    pages, session = SessionPages(state / "aegis.db", KEY), session_of(state)
    for newest, trades in ((2, [504, 505]), (5, [*range(501, 506)]), (9, [*range(501, 506)])):
        after = pages.fills_left_out(session, newest)
        assert [row["trade_id"] for row in pages.rows("fills", session, after, 9)] == trades
