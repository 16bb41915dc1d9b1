"""`aegis shadow` as a person and as a program read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine import exit_codes
from engine.domain.risk_reasons import RiskReason
from engine.processes.shadow import shadow_command
from engine.store.projection import project_all
from engine.store.sqlite import DATABASE_NAME, SqliteDatabase
from tests.store_builders import SESSION, write_market, write_session
from tests.store_events import decision, request

KEY = "practice-practice-paper"
MASK = 1 << RiskReason.PRICE_AGE | 1 << RiskReason.ORDER_QTY


@pytest.fixture
def home(tmp_path: Path) -> Path:
    state = tmp_path / "state" / KEY
    directory = write_session(
        state,
        decision(cause_sequence=3, refusal_mask=MASK, time_ns=1_000_005),
        decision(cause_sequence=4, time_ns=1_000_006),
        request(1, cause_sequence=4, time_ns=1_000_006),
    )
    write_market(directory, [20])
    database = SqliteDatabase(state / DATABASE_NAME)
    project_all(database, state)
    database.close()
    return tmp_path


def told(
    capsys: pytest.CaptureFixture[str], home: Path, action: str, which: str | None = None
) -> dict[str, Any]:
    code = shadow_command(home, action, which, None, limit=10, as_json=True)
    assert code == exit_codes.DONE
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_the_newest_decisions_are_listed_first(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = told(capsys, home, "list")["decisions"]
    assert [row["sequence"] for row in rows] == [1, 0]
    assert [row["verdict"] for row in rows] == ["SENT", "REFUSED"]
    assert rows[1]["filters"] == "PRICE_AGE ORDER_QTY"
    assert shadow_command(home, "list", None, KEY, limit=1, as_json=False) == exit_codes.DONE
    text = capsys.readouterr().out
    assert "SENT" in text
    assert "REFUSED" not in text, "one was asked for"


def test_one_decision_shows_its_plan_its_window_and_how_to_run_it_again(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = told(capsys, home, "show", f"{SESSION}/0")
    assert document["plan"]["name"] == "smc_fvg_bos"
    assert (document["window_first"], document["window_last"]) == (0, 2)
    assert (document["ticks"], document["bars"]) == (3, 0)
    assert document["replay"].endswith(f"/journal/{SESSION} --until 0")


def test_grading_is_counted_by_session_and_shown(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(capsys, home, "grade")["graded"] == {SESSION: 2}
    (row, _) = told(capsys, home, "list")["decisions"]
    assert row["after_10s_bps"] is None, "the market ended before"


@pytest.mark.parametrize("which", [None, "", "77", "nobody/77", f"{SESSION}/77", f"{SESSION}/x"])
def test_a_decision_nobody_made_is_a_usage_error(
    home: Path, capsys: pytest.CaptureFixture[str], which: str | None
) -> None:
    code = shadow_command(home, "show", which, None, limit=10, as_json=False)
    assert code == exit_codes.USAGE
    assert "decision" in capsys.readouterr().err


@pytest.mark.parametrize("state", [None, "binance-desk-live"])
def test_a_home_without_the_account_is_an_environment_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], state: str | None
) -> None:
    code = shadow_command(tmp_path, "list", None, state, limit=10, as_json=False)
    assert code == exit_codes.ENVIRONMENT
    assert (state or "any account") in capsys.readouterr().err


def test_a_window_whose_records_went_is_an_error_and_not_an_empty_one(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = home.glob("state/*/journal/*/market-*.segment")
    path.unlink()
    code = shadow_command(home, "show", f"{SESSION}/0", None, limit=1, as_json=False)
    assert code == exit_codes.ENVIRONMENT
    assert "market record 0 is not in the journal" in capsys.readouterr().err


def test_a_decision_whose_market_was_not_kept_has_no_window(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = SqliteDatabase(home / "state" / KEY / DATABASE_NAME)
    database.execute("UPDATE decisions SET window_last = -1")
    database.close()
    document = told(capsys, home, "show", f"{SESSION}/1")
    assert (document["ticks"], document["replay"]) == (None, None)
