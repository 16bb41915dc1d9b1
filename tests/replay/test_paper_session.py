"""`--venue binance --mode paper`: the market is another's, the account is here and stays here.

The practice exchange stands in for the venue's market data; its own books must stay empty.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine_process import Engine, Exchange, aegis

SECONDS = "12"


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    running = Exchange("--generate", "2", "--seed", "7")
    yield running
    running.stop()


def trade(home: Path, file: Path) -> dict[str, Any]:
    """Run one paper session and return its summary."""
    words = ("--config", str(file), "--mode", "paper", "--strategies", "quote_imbalance")
    engine = Engine(home, *words, "--name", "paper", "--for", SECONDS, "--json")
    try:
        code, output, errors = engine.finish()
    finally:
        engine.kill()
    assert code == 0, f"{output}\n{errors}"
    return dict(json.loads(output))


@pytest.mark.slow
def test_paper_sessions_trade_here_and_go_on_where_the_last_one_stopped(
    tmp_path: Path, exchange: Exchange
) -> None:
    file = tmp_path / "paper.toml"
    file.write_text(
        f'[venue]\nname = "binance"\naccount = "desk"\nrest_url = "{exchange.url}"\n'
        f'stream_url = "{exchange.url.replace("http", "ws")}"\n'
        "[limits]\nmax_entries_per_day = 100000\n",
        encoding="utf-8",
    )
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
        (wallet, explained) = database.execute(
            "SELECT wallet_e8, explained_e8 FROM balances"
        ).fetchone()
    assert count == first["fills"] + second["fills"]
    assert wallet == explained != 10_000 * 10**8
    ledger = exchange.ledger()
    assert (ledger["orders"], ledger["trades"], ledger["positions"]) == ([], [], [])
    replayed = aegis(tmp_path, "replay", second["journal"], "--json")
    assert json.loads(replayed.stdout)["identical"] is True, replayed.stderr
