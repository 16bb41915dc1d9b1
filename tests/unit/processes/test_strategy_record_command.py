"""`aegis strategies --record` as a person and as a program read it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from engine import exit_codes
from engine.config import Config
from engine.config_claims import ClaimsConfig
from engine.processes import strategy_shadow
from engine.processes.strategy_shadow import strategies_command
from engine.store.projection import project_all
from engine.store.sqlite import DATABASE_NAME, SqliteDatabase
from tests.store_builders import write_session
from tests.store_events import position

KEY = "practice-practice-paper"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    state = tmp_path / "state" / KEY
    made = [
        row
        for k in range(4)
        for row in (
            position(0, 0, 5, fee_e8=10**6),
            position(0, 0, 0, realised_pnl_e8=(k - 2) * 10**8, fee_e8=10**6),
        )
    ]
    write_session(state, *made)
    database = SqliteDatabase(state / DATABASE_NAME)
    project_all(database, state)
    database.close()
    return tmp_path


def asked(home: Path, *names: str, as_json: bool = True, state: str | None = None) -> int:
    options = argparse.Namespace(
        names=list(names), record=True, shadow=False, state=state, json=as_json
    )
    config = Config(home=str(home), claims=ClaimsConfig(exits_min=4, prior_exits=4))
    return strategies_command(options, config)


def test_a_strategy_that_left_the_table_keeps_its_record(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strategy_shadow, "chosen_rows", lambda _names, _config: ())
    assert asked(home) == exit_codes.DONE
    (row,) = json.loads(capsys.readouterr().out)["strategies"]
    assert (row["strategy"], row["claim"], row["learned"]) == ("smc_fvg_bos", None, None)


def test_the_record_says_what_was_made_and_what_it_would_learn(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(home) == exit_codes.DONE
    document = json.loads(capsys.readouterr().out)
    assert document["account"] == KEY
    (row,) = document["strategies"]
    # Four of its positions and its own claim of 0.5: stop 1.5, target 2, so chance is 3 / 7.
    mean = (1 + 4 * (3 / 7 + 0.5 * 4 / 7)) / 8
    assert row == {
        "strategy": "smc_fvg_bos", "entries": 4, "exits": 4, "wins": 1, "win_ratio": 0.25,
        "gross": -2.0, "fees": 0.08, "net": -2.08, "held_s": 0.0, "claim": 0.5,
        "learned": pytest.approx(max((mean - 3 / 7) / (4 / 7), 0), abs=1e-6),
    }  # fmt: skip


def test_a_person_reads_a_table_and_of_strangers_that_nobody_traded(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(home, "smc*", as_json=False) == exit_codes.DONE
    text = capsys.readouterr().out
    assert KEY in text
    assert "smc_fvg_bos" in text
    assert asked(home, "orderflow", as_json=False) == exit_codes.DONE
    assert "none of them has traded yet" in capsys.readouterr().out


def test_no_account_and_no_such_strategy_are_sentences(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(home, state="binance-desk-live") == exit_codes.ENVIRONMENT
    assert "binance-desk-live" in capsys.readouterr().err
    assert asked(home, "nobody") == exit_codes.USAGE
    assert "nobody" in capsys.readouterr().err
