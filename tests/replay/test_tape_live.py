"""A recorded market played again is the same market: recorded twice, the tapes agree."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.domain.codes import RecordType
from engine.tapes.folder import TapeFolder
from engine.tapes.reader import Records, TapeReader
from tests.engine_process import AEGIS
from tests.recorder_rig import recorded

DEADLINE_S = 180.0
QUOTE_FIELDS = ("bid_price_ticks", "ask_price_ticks", "bid_qty_lots", "ask_qty_lots")
FIELDS = {
    RecordType.QUOTE: QUOTE_FIELDS,
    RecordType.TRADE: ("price_ticks", "qty_lots", "flags"),
    RecordType.MARK: ("mark_price_e8", "index_price_e8", "funding_rate_e8"),
}


def record_run(tmp_path: Path, name: str, *market: str) -> tuple[Records, dict[str, Any]]:
    """Run an engine on a market with a recorder beside it; return the records and its summary."""
    name = f"{name}{os.getpid()}"
    environment = {**os.environ, "AEGIS_HOME": str(tmp_path / "home")}
    folder = tmp_path / name
    recorder = subprocess.Popen(
        [*AEGIS, "record", "--name", name, "--into", str(folder), "--wait", "120", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        engine = subprocess.run(
            [*AEGIS, "run", "--name", name, "--port", "0", "--json", *market],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
            env=environment,
        )
        output, errors = recorder.communicate(timeout=DEADLINE_S)
    finally:
        recorder.kill()
        recorder.communicate()
    assert engine.returncode == 0, engine.stderr
    assert recorder.returncode == 0, errors
    summary = json.loads(output)
    assert summary["lost"] == 0
    assert summary["records"] == json.loads(engine.stdout.splitlines()[-1])["records"]
    return recorded(folder), summary


def told(records: Records, instrument_index: int, kind: RecordType) -> list[tuple[int, ...]]:
    """Return what the records of a kind say, without times and ids."""
    chosen = (records["record_type"] == kind) & (records["instrument_index"] == instrument_index)
    mine = records[chosen]
    columns = [mine[field].tolist() for field in FIELDS[kind]]
    return list(zip(*columns, strict=True))


@pytest.mark.slow
def test_a_market_recorded_played_and_recorded_again_is_the_same(tmp_path: Path) -> None:
    first, summary = record_run(tmp_path, "live", "--generate", "3", "--for", "5")
    assert summary["records"] > 1_000
    (tape,) = TapeFolder(Path(summary["folder"])).finished()
    with TapeReader(tape) as found:
        assert found.verify() == []
    again, _ = record_run(tmp_path, "again", "--tape", str(tape))
    for index in range(3):
        quotes = told(first, index, RecordType.QUOTE)
        assert told(again, index, RecordType.QUOTE) == quotes
        assert len(quotes) > 100
        marks = told(first, index, RecordType.MARK)
        assert told(again, index, RecordType.MARK) == marks
        assert len(marks) > 2
        # Trades are aggregated anew, and one that still gathers when the tape ends is never told.
        sums = np.cumsum([row[1] for row in told(first, index, RecordType.TRADE)]).tolist()
        assert sum(row[1] for row in told(again, index, RecordType.TRADE)) in sums[-4:]
    assert np.unique(again["record_type"]).tolist() == np.unique(first["record_type"]).tolist()
