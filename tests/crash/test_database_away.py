"""PostgreSQL under a running engine: projected while it is there, caught up when it comes back.

Projection reads the journal's files and never a queue, so what a dead database misses is bounded by
nothing but the disk, and no order waits for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.store.database import Database
from engine.store.projection import project_all
from engine.store.sqlite import SqliteDatabase
from engine.store.tables import TABLES
from tests.engine_process import Engine, wait_for
from tests.exchange_process import PracticeExchange
from tests.postgres_server import PostgresServer

psycopg = pytest.importorskip("psycopg", reason="the postgres extra is not installed")


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    running = PostgresServer()
    yield running
    running.stop()
    running.remove()


@pytest.fixture
def exchange() -> Iterator[PracticeExchange]:
    running = PracticeExchange("--generate", "2", "--seed", "7")
    yield running
    running.stop()


def fill_count(server: PostgresServer) -> int:
    """Return how many fills the database knows; 0 while it has no tables."""
    with psycopg.connect(server.url) as connection:
        try:
            found = connection.execute("SELECT COUNT(*) FROM fills").fetchone()
        except psycopg.errors.UndefinedTable:
            return 0
    return int(found[0]) if found else 0


def everything(query: Callable[[str], list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    return {
        table.name: [
            tuple(row)
            for row in query(
                f"SELECT {', '.join(table.columns)} FROM {table.name} ORDER BY 1, 2, 3"
            )
        ]
        for table in TABLES
        if table.name != "sessions"  # says when it was projected
    }


@pytest.mark.slow
def test_a_database_that_goes_away_delays_nothing_and_catches_up(
    tmp_path: Path, exchange: PracticeExchange, server: PostgresServer
) -> None:
    engine = Engine(
        tmp_path,
        *("--exchange", exchange.url, "--name", "database", "--json"),
        environment={"DATABASE_URL": server.url},
    )
    try:
        engine.wait_ready()
        engine.wait_count("fills", 1)
        wait_for("the first fill in PostgreSQL", lambda: fill_count(server) > 0)
        server.stop()
        status = engine.status()
        assert status is not None
        engine.wait_count("fills", status["counts"]["fills"] + 2)
        server.start()
        target = engine.wait_count("fills", status["counts"]["fills"] + 2)["counts"]["fills"]
        wait_for("the missed fills in PostgreSQL", lambda: fill_count(server) >= target)
        code, output, errors = engine.terminate()
    finally:
        engine.kill()
    assert code == 0, f"{output}\n{errors}"
    summary = json.loads(output)
    assert summary["exchange_agrees"] is True, summary["differences"]
    log = (tmp_path / "logs" / "orchestrator.log").read_text(encoding="utf-8")
    assert "DATABASE_AWAY" in log
    (state,) = (tmp_path / "state").iterdir()
    compare_with_journal(server, state)
    with psycopg.connect(server.url) as connection:
        known = connection.execute("SELECT instrument, trade_id FROM fills").fetchall()
    trades = exchange.ledger()["trades"]
    assert sorted(known) == sorted((row["symbol"], row["id"]) for row in trades)


def compare_with_journal(server: PostgresServer, state: Path) -> None:
    """Compare every row with a projection made afresh from the journal."""
    fresh: Database = SqliteDatabase(None)
    try:
        project_all(fresh, state)
        expected = everything(fresh.query)
    finally:
        fresh.close()
    with psycopg.connect(server.url) as connection:
        found = everything(lambda statement: connection.execute(statement).fetchall())
    assert sum(len(rows) for rows in found.values()) > 0
    for name, rows in expected.items():
        assert sorted(found[name], key=repr) == sorted(rows, key=repr), name
