"""`aegis journal verify`: 0 for what was written, 3 with file and byte for anything else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.store.journal import SOURCE_MARKET, segment_paths
from engine.store.session import write_document
from tests.engine_process import aegis
from tests.store_builders import session_document, write_market

STATE = "state/practice-practice-paper/journal"


@pytest.fixture
def sessions(tmp_path: Path) -> list[Path]:
    made = [tmp_path / STATE / name for name in ("s-1", "s-2")]
    for directory in made:
        write_market(directory, [2, 2])
        write_document(directory, session_document(session_id=directory.name))
    return made


def damage(directory: Path) -> Path:
    path = segment_paths(directory, SOURCE_MARKET)[-1]
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    return path


def test_without_a_place_every_journal_of_the_home_is_checked(
    tmp_path: Path, sessions: list[Path]
) -> None:
    done = aegis(tmp_path, "journal", "verify")
    assert done.returncode == 0, done.stderr
    for directory in sessions:
        assert f"intact   {directory}" in done.stdout
    assert "4 records, not closed in order" in done.stdout


def test_a_changed_byte_is_exit_code_3_and_names_its_file(
    tmp_path: Path, sessions: list[Path]
) -> None:
    path = damage(sessions[1])
    done = aegis(tmp_path, "journal", "verify")
    assert done.returncode == 3
    assert f"intact   {sessions[0]}" in done.stdout
    assert f"DAMAGED  {sessions[1]}" in done.stdout
    assert path.name in done.stdout
    assert aegis(tmp_path, "journal", "verify", str(sessions[0])).returncode == 0


def test_json_carries_the_whole_report(tmp_path: Path, sessions: list[Path]) -> None:
    damage(sessions[0])
    done = aegis(tmp_path, "journal", "verify", str(sessions[0]), "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["intact"]) == (3, False)
    (session,) = document["sessions"]
    assert session["problems"]
    (source,) = session["sources"]
    assert source["source"] == "market"
    assert source["record_count"] < 4


def test_a_document_that_was_taken_away_is_a_problem(tmp_path: Path, sessions: list[Path]) -> None:
    (sessions[0] / "session.json").unlink()
    done = aegis(tmp_path, "journal", "verify")
    assert done.returncode == 3
    assert "no session document" in done.stdout


@pytest.mark.parametrize("place", [(), ("absent",)])
def test_no_journal_is_exit_code_3(tmp_path: Path, place: tuple[str, ...]) -> None:
    done = aegis(tmp_path, "journal", "verify", *place)
    assert done.returncode == 3
    assert "no journal in" in done.stderr


def test_an_unknown_action_is_a_usage_error(tmp_path: Path) -> None:
    assert aegis(tmp_path, "journal", "rewrite").returncode == 2
