"""`aegis journal export`: the audit trail again, from the journal alone."""

import csv
import io
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from engine.domain.codes import EventType
from engine.processes import journal_export
from engine.store.audit import COLUMNS
from tests.engine_process import aegis
from tests.store_builders import write_session
from tests.store_events import event, fill, request


@pytest.fixture
def home(tmp_path: Path) -> Path:
    state = tmp_path / "state" / "practice-practice-paper"
    write_session(state, request(1, reason=3), fill(1, 1, 1), session_id="20260101t000000-1")
    write_session(state, fill(1, 2, 1), session_id="20260102t000000-2", epoch=2)
    return tmp_path


def test_lines_and_table_hold_the_same_rows(home: Path) -> None:
    lines = aegis(home, "journal", "export")
    assert lines.returncode == 0, lines.stderr
    rows = [json.loads(line) for line in lines.stdout.splitlines()]
    assert [row["trade_id"] for row in rows] == [1, 2]
    assert "2 rows of 2 sessions" in lines.stderr
    table = list(
        csv.DictReader(io.StringIO(aegis(home, "journal", "export", "--format", "csv").stdout))
    )
    assert list(table[0]) == list(COLUMNS)
    assert [
        {name: str(row[name] or "") for name in ("symbol", "reason", "price")} for row in rows
    ] == [{name: row[name] for name in ("symbol", "reason", "price")} for row in table]


def test_parquet_holds_the_same_rows_with_their_types(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra history is not installed")
    monkeypatch.setattr(journal_export, "ROW_GROUP", 1)
    at_market = event(EventType.RISK_REFUSAL, instrument_index=0, side=-1, qty_lots=7, reason=1)
    state = home / "state" / "practice-practice-paper"
    write_session(state, at_market, session_id="20260103t000000-3", epoch=3)
    lines = [json.loads(line) for line in aegis(home, "journal", "export").stdout.splitlines()]
    target = home / "trades.parquet"
    assert journal_export.export_command(home, target, form="parquet") == 0
    file = parquet.ParquetFile(target)
    assert file.num_row_groups == 3
    rows = file.read().to_pylist()
    assert rows == [
        line
        | {"timestamp": datetime.fromisoformat(line["timestamp"])}
        | {name: line[name] and Decimal(line[name]) for name in ("quantity", "price")}
        for line in lines
    ]
    assert [row["price"] for row in rows] == [Decimal(100), Decimal(100), None]
    assert journal_export.export_command(home, target, form="parquet") == 2, "never over another"


def test_parquet_needs_a_file(home: Path) -> None:
    asked = aegis(home, "journal", "export", "--format", "parquet")
    assert (asked.returncode, asked.stdout) == (2, "")
    assert "--output" in asked.stderr


def test_a_file_is_written_once_and_never_over_another(home: Path) -> None:
    target = home / "trades.jsonl"
    words = ("journal", "export", "--output", str(target))
    assert aegis(home, *words).returncode == 0
    written = target.read_text()
    assert len(written.splitlines()) == 2
    again = aegis(home, *words)
    assert again.returncode == 2
    assert "exists already" in again.stderr
    assert target.read_text() == written


def test_no_journal_and_a_damaged_one_are_exit_code_3(home: Path) -> None:
    empty = aegis(home, "journal", "export", str(home / "nothing"))
    assert (empty.returncode, empty.stderr.count("\n")) == (3, 1)
    next(home.rglob("session.json")).write_text("{")
    damaged = aegis(home, "journal", "export")
    assert damaged.returncode == 3
    assert "damaged" in damaged.stderr
