"""The two recorded captures through a whole engine: sockets, rings, gates, fills, journal, replay.

The offline twin is test_captures_trade.py, which also takes the strategies' inputs away. Here the
tape plays faster than it was recorded; hold times and pauses are wall time, so a strategy trades a
little less per minute of market than at speed 1.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.engine_process import Engine, aegis, wait_for

SPEED = "3"
TAPE_S = 345.0
ENTRIES_MIN = 10
ROUND_TRIPS_MIN = 3
STRATEGIES = {
    "smc_fvg_bos": {"FVG_RETURN", "BOS_LIVE"},
    "orderflow": {"FLOW_SCORE"},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("captures")


@pytest.fixture(scope="module")
def summary(home: Path, captures: list[Path]) -> dict[str, Any]:
    """Return what a run over the whole tape ended with."""
    tapes = [str(path) for path in captures]
    engine = Engine(home, "--name", "captures", "--tape", *tapes, "--speed", SPEED, "--json")
    try:
        limit_s = 300.0 + 2 * TAPE_S / float(SPEED)
        wait_for("the end of the tape", lambda: engine.process.poll() is not None, limit_s)
        code, output, errors = engine.finish()
    finally:
        engine.kill()
    assert code == 0, f"{output}\n{errors}"
    return dict(json.loads(output))


@pytest.fixture(scope="module")
def decisions(summary: dict[str, Any]) -> list[tuple[str, bool, str, bool]]:
    """Return (strategy, whether an entry, reason, whether refused) of every decision."""
    database = Path(summary["journal"]).parent.parent / "aegis.db"
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            "SELECT strategy, is_entry, reason_name, refusal_mask FROM decisions"
        )
        return [(name, bool(entry), reason, bool(mask)) for name, entry, reason, mask in rows]


@pytest.mark.slow
def test_every_order_fill_and_position_is_the_exchanges(summary: dict[str, Any]) -> None:
    assert summary["exchange_agrees"] is True, summary["differences"]
    assert summary["compared"]["orders"] == summary["orders"] > 0
    assert summary["compared"]["fills"] == summary["fills"] >= summary["orders"]
    assert (summary["rejected_records"], summary["trading_state"]) == ({}, "ENABLED")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_strategy_goes_in_and_out_and_says_why(
    decisions: list[tuple[str, bool, str, bool]], strategy: str
) -> None:
    mine = [
        (entry, why) for name, entry, why, refused in decisions if name == strategy and not refused
    ]
    entries = Counter(why for entry, why in mine if entry)
    exits = Counter(why for entry, why in mine if not entry)
    assert entries.total() >= ENTRIES_MIN, entries
    assert exits.total() >= ROUND_TRIPS_MIN, exits
    assert set(entries) == STRATEGIES[strategy]


@pytest.mark.slow
def test_the_session_replays_to_the_same_bytes_twice(
    home: Path, summary: dict[str, Any], decisions: list[tuple[str, bool, str, bool]]
) -> None:
    found = [
        json.loads(aegis(home, "replay", summary["journal"], "--json").stdout) for _ in range(2)
    ]
    assert found[0] == found[1]
    assert found[0]["identical"] is True, found[0]["differences"]
    assert found[0]["decisions"] == len(decisions)
    assert summary["decisions"] == sum(entry for _, entry, _, _ in decisions)
    assert summary["exits"] == sum(not entry for _, entry, _, _ in decisions)
