"""`--venue binance --mode paper`: the market is another's, the account is here and stays here.

The practice exchange stands in for the venue's market data; its own books must stay empty.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine_process import Engine, aegis, wait_for
from tests.exchange_process import PracticeExchange

SECONDS = "12"
UNEXPLAINED = "SELECT * FROM postings WHERE account = 'ADJUSTMENT'"


@pytest.fixture
def exchange() -> Iterator[PracticeExchange]:
    running = PracticeExchange("--generate", "2", "--seed", "7")
    yield running
    running.stop()


@pytest.fixture
def file(tmp_path: Path, exchange: PracticeExchange) -> Path:
    """Write a configuration in which the practice exchange is where Binance is."""
    path = tmp_path / "paper.toml"
    path.write_text(
        f'[venue]\nname = "binance"\naccount = "desk"\nrest_url = "{exchange.url}"\n'
        f'stream_url = "{exchange.url.replace("http", "ws")}"\n'
        "[limits]\nmax_entries_per_day = 100000\n",
        encoding="utf-8",
    )
    return path


def start(home: Path, file: Path, *more: str) -> Engine:
    words = ("--config", str(file), "--mode", "paper", "--strategies", "quote_imbalance")
    return Engine(home, *words, "--name", "paper", "--json", *more)


def trade(home: Path, file: Path) -> dict[str, Any]:
    """Run one paper session and return its summary."""
    engine = start(home, file, "--for", SECONDS)
    try:
        code, output, errors = engine.finish()
    finally:
        engine.kill()
    assert code == 0, f"{output}\n{errors}"
    return dict(json.loads(output))


@pytest.mark.slow
def test_paper_sessions_trade_here_and_go_on_where_the_last_one_stopped(
    tmp_path: Path, exchange: PracticeExchange, file: Path
) -> None:
    first, second = trade(tmp_path, file), trade(tmp_path, file)
    for summary in (first, second):
        assert summary["fills"] > 0
        assert summary["trading_state"] == "ENABLED"
    state = tmp_path / "state" / "binance-desk-paper"
    with sqlite3.connect(state / "aegis.db") as database:
        # The second session found its own account again: nothing had to be adjusted.
        assert database.execute("SELECT kind FROM adjustments").fetchall() == [("OPENING_CASH",)]
        reconciled = "SELECT DISTINCT session_id FROM role_states WHERE kind = 'RECONCILED'"
        assert len(database.execute(reconciled).fetchall()) == 2
        (count,) = database.execute("SELECT COUNT(*) FROM executions").fetchone()
        (wallet,) = database.execute("SELECT wallet_e8 FROM balances").fetchone()
        assert database.execute(UNEXPLAINED).fetchall() == []
    assert count == first["fills"] + second["fills"]
    assert wallet != 10_000 * 10**8
    ledger = exchange.ledger()
    assert (ledger["orders"], ledger["trades"], ledger["positions"]) == ([], [], [])
    replayed = aegis(tmp_path, "replay", second["journal"], "--json")
    assert json.loads(replayed.stdout)["identical"] is True, replayed.stderr


@pytest.mark.slow
def test_a_killed_brain_finds_its_paper_account_again(tmp_path: Path, file: Path) -> None:
    engine = start(tmp_path, file, "--on-role-death", "restart")
    try:
        before = engine.wait_ready()
        engine.wait_count("fills", 3)
        os.kill(before["pids"]["brain"], signal.SIGKILL)

        def is_back() -> bool:
            status = engine.status()
            if status is None or status["pids"]["brain"] == before["pids"]["brain"]:
                return False
            return all(role["state"] == "READY" for role in status["roles"])

        wait_for("the brain to come back", is_back)
        engine.wait_count("fills", 3)
        code, output, errors = engine.terminate()
    finally:
        engine.kill()
    assert code == 0, f"{output}\n{errors}"
    with sqlite3.connect(tmp_path / "state" / "binance-desk-paper" / "aegis.db") as database:
        assert database.execute("SELECT kind FROM adjustments").fetchall() == [("OPENING_CASH",)]
        assert database.execute(UNEXPLAINED).fetchall() == []
