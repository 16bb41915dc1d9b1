"""`/status` shows what the projection holds, and nothing rather than an error."""

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.domain.records import EventType, OrderStatus, OrderType
from engine.store import pages as pages_module
from engine.store import queries as queries_module
from engine.store.pages import SessionPages
from engine.store.projection import project_all
from engine.store.queries import StatusQueries
from engine.store.sqlite import SqliteDatabase
from tests.store_builders import session_document, write_session
from tests.store_events import decision, event, fill, opening_cash, position, request, update


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "practice-practice-paper"


@pytest.fixture
def queries(state: Path) -> StatusQueries:
    write_session(
        state,
        opening_cash(500_000_000),
        decision(time_ns=3_000_000_000),
        decision(time_ns=4_000_000_000, side=-1, refusal_mask=1 << 11),
        request(1),
        fill(1, 501, 5, order_status_after=OrderStatus.FILLED),
        position(0, 0, 5, fee_e8=40),
        position(0, -2, 5, fee_e8=40, realised_pnl_e8=7_000_000),
        request(2, order_type=OrderType.LIMIT, price_ticks=1_234, side=-1, qty_lots=3),
        update(2, OrderStatus.PARTIALLY_FILLED, side=-1, cum_qty_lots=1, qty_lots=3),
    )
    database = SqliteDatabase(state / "aegis.db")
    project_all(database, state)
    database.close()
    return StatusQueries(state / "aegis.db")


def test_positions_are_decimals_without_the_net_row(queries: StatusQueries) -> None:
    assert queries.positions() == [
        {
            "instrument": "BTCUSDT",
            "strategy": "smc_fvg_bos",
            "quantity": "0.005",
            "average_entry_price": "100.000",
            "realised_pnl": 0.0,
            "fees": 4e-07,
        }
    ]


def test_only_open_orders_are_listed(queries: StatusQueries) -> None:
    assert queries.orders_open() == [
        {
            "instrument": "BTCUSDT",
            "strategy": "smc_fvg_bos",
            "side": "SELL",
            "order_type": "LIMIT",
            "price": "123.4",
            "quantity": "0.003",
            "filled": "0.001",
            "status": "PARTIALLY_FILLED",
            "client_order_id": "a1-1-2-25",
        }
    ]


def test_decisions_are_newest_first_and_bounded(queries: StatusQueries) -> None:
    newest, older = queries.decisions_recent(10)
    assert (newest["side"], newest["outcome"]) == ("SELL", "refused: LIVENESS")
    assert (older["side"], older["outcome"], older["reason"]) == ("BUY", "approved", "fvg return")
    assert newest["time"] > older["time"]
    assert queries.decisions_recent(1) == [newest]


def test_decisions_of_earlier_sessions_follow_those_of_the_newest(
    state: Path, queries: StatusQueries
) -> None:
    later: dict[str, Any] = {
        "session_id": "20260102T000000-2",
        "epoch": 2,
        "started_realtime_ns": 1 << 62,
    }
    write_session(state, decision(time_ns=9_000_000_000, side=-1), **later)
    database = SqliteDatabase(state / "aegis.db")
    project_all(database, state)
    database.close()
    found = queries.decisions_recent(10)
    assert [row["side"] for row in found] == ["SELL", "SELL", "BUY"]
    assert queries.decisions_recent(2) == found[:2]


READ_ON_TO_THE_END = """
import sys, threading, time
from pathlib import Path
from engine.store.queries import KeptFile

kept, columns = KeptFile(Path(sys.argv[1])), ", ".join(map(str, range(1_000)))
def read_on():
    number = 0
    while True:  # no two statements are the same, so that each is prepared
        number += 1
        assert kept.rows(f"SELECT {number}, {columns}", ())
threading.Thread(target=read_on, daemon=True).start()
time.sleep(0.05)
"""


def test_a_process_may_end_while_a_thread_of_it_reads(state: Path, queries: StatusQueries) -> None:
    # Its connection was closed under the statement: of two ends one was by SIGSEGV.
    assert queries.orders_open()
    words = [sys.executable, "-c", READ_ON_TO_THE_END, str(state / "aegis.db")]
    assert {subprocess.run(words, check=False).returncode for _ in range(10)} == {0}


def plans(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return how SQLite goes about every question of the status and the limits."""
    asked: list[tuple[str, tuple[object, ...]]] = []
    read = queries_module.read_rows

    def noted(_: object, statement: str, values: tuple[object, ...] = ()) -> list[Any]:
        asked.append((statement, values))
        return read(path, statement, values)

    monkeypatch.setattr(queries_module.KeptFile, "rows", noted)
    monkeypatch.setattr(pages_module, "read_rows", noted)
    StatusQueries(path).decisions_recent(5)
    StatusQueries(path).orders_open()
    SessionPages(path, path.parent.name).exposure()
    with closing(sqlite3.connect(path)) as database:
        return [
            str(row[3])
            for statement, values in asked
            for row in database.execute(f"EXPLAIN QUERY PLAN {statement}", values)
        ]


def test_no_look_reads_a_table_that_grows(
    state: Path, queries: StatusQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look must not become slower with each decision and order there ever was."""
    assert queries.decisions_recent(1)
    found = plans(state / "aegis.db", monkeypatch)
    whole = [line for line in found if line.startswith("SCAN") and "sessions" not in line]
    assert whole == []
    for index in ("orders_by_status", "sqlite_autoindex_decisions_1"):
        assert any(index in line for line in found), index


def test_questions_at_once_have_the_answers_of_questions_one_by_one(
    tmp_path: Path, queries: StatusQueries
) -> None:
    together = queries.shown(5)
    assert together["positions"] == queries.positions() != []
    assert together["orders_open"] == queries.orders_open() != []
    assert together["decisions_recent"] == queries.decisions_recent(5) != []
    assert not any(StatusQueries(tmp_path / "none.db").shown(5).values())


def test_a_database_is_opened_once_until_it_is_another(
    state: Path, queries: StatusQueries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    real = queries_module._open

    def noted(path: Path, *, is_shared: bool = False) -> sqlite3.Connection:
        opened.append(path)
        return real(path, is_shared=is_shared)

    monkeypatch.setattr(queries_module, "_open", noted)
    path = state / "aegis.db"
    before = queries.pnl()
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda _: queries.pnl(), range(16))) == [before] * 16
    assert opened == [path]
    empty = tmp_path / "anew.db"
    with closing(sqlite3.connect(empty)) as database, database:
        database.execute("CREATE TABLE other (word)")
    empty.replace(path)
    assert queries.pnl()["wallet"] is None, "what was read is the file of now"
    path.unlink()
    assert queries.positions() == []
    assert len(opened) >= 2


def test_pnl_is_net_of_fees_and_counts_every_fill_once(queries: StatusQueries) -> None:
    found = queries.pnl()

    assert found["currency"] == "USDT"
    assert found["realised"] == pytest.approx(0.07 - 4e-07)
    assert found["wallet"] == pytest.approx(4.9999996)


def test_the_newest_fetch_that_failed_since_a_time_is_told(tmp_path: Path) -> None:
    state = tmp_path / "practice-practice-paper"
    failed = [
        event(EventType.FETCH_FAILED, time_ns=at, reason=reason, text=text)
        for at, reason, text in ((3_000, -1003, b"too many"), (5_000, 9004, b""))
    ]
    other = event(EventType.EXECUTOR_FAULT, time_ns=9_000, reason=7, text=b"late")
    write_session(state, *failed, other)
    database = SqliteDatabase(state / "aegis.db")
    project_all(database, state)
    database.close()
    queries = StatusQueries(state / "aegis.db")
    begun = session_document().realtime_ns(0)
    assert queries.fetch_failure(begun) == (9004, "")
    assert queries.fetch_failure(begun + 5_000) == (9004, "")
    assert queries.fetch_failure(begun + 5_001) is None
    assert StatusQueries(tmp_path / "absent.db").fetch_failure(0) is None


def test_a_database_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    empty = StatusQueries(tmp_path / "none.db")

    assert empty.positions() == []
    assert empty.orders_open() == []
    assert empty.decisions_recent(5) == []
    assert empty.pnl()["wallet"] is None


def test_a_file_that_is_no_database_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "aegis.db").write_text("not a database at all, but long enough to be read as one")

    assert StatusQueries(tmp_path / "aegis.db").positions() == []


def test_main_reads_it_without_numpy() -> None:
    code = (
        "import sys, engine.store.queries, engine.store.leftovers, engine.store.session;"
        "assert 'numpy' not in sys.modules and 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
