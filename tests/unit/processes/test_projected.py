"""Which account's database a command reads: the one that was named, or written last."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.processes.projected import open_projected
from engine.store.database import migrations
from engine.store.errors import ProjectionError
from engine.store.sqlite import DATABASE_NAME, SqliteDatabase

EARLY, LATE = 1_000_000_000, 2_000_000_000


def account(home: Path, name: str, changed_s: int, *, log_s: int = 0) -> Path:
    """Make an empty database of an account that was written at a time, and its log at another."""
    path = home / "state" / name / DATABASE_NAME
    SqliteDatabase(path).close()
    os.utime(path, (changed_s, changed_s))
    if log_s:
        log = path.with_name(f"{DATABASE_NAME}-wal")
        log.touch()
        os.utime(log, (log_s, log_s))
    return path


def opened(home: Path, state: str | None) -> str:
    with open_projected(home, state) as (database, folder):
        found = database.query("SELECT COUNT(*) FROM schema_versions")
        assert found == [(len(migrations()),)], "brought to this version's schema"
        assert database.query("SELECT COUNT(*) FROM orders") == [(0,)]
        return folder.name


def test_the_account_that_was_written_last_is_the_default(tmp_path: Path) -> None:
    account(tmp_path, "a-a-paper", EARLY)
    account(tmp_path, "b-b-paper", LATE)
    assert opened(tmp_path, None) == "b-b-paper"
    assert opened(tmp_path, "a-a-paper") == "a-a-paper"


def test_what_stands_in_the_log_beside_the_file_counts_as_written(tmp_path: Path) -> None:
    account(tmp_path, "a-a-paper", EARLY, log_s=LATE + 5)
    account(tmp_path, "b-b-paper", LATE)
    assert opened(tmp_path, None) == "a-a-paper"


@pytest.mark.parametrize(("state", "named"), [(None, "any account"), ("c-c-live", "c-c-live")])
def test_what_is_not_there_is_said_and_not_made(
    tmp_path: Path, state: str | None, named: str
) -> None:
    if state is not None:
        account(tmp_path, "a-a-paper", EARLY)
    with pytest.raises(ProjectionError, match=named), open_projected(tmp_path, state):
        pass
    assert not (tmp_path / "state" / "c-c-live").exists()


def test_a_file_that_is_no_database_is_an_error_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "state" / "a-a-paper" / DATABASE_NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database at all " * 100)
    with pytest.raises(ProjectionError, match=DATABASE_NAME), open_projected(tmp_path, None):
        pass
