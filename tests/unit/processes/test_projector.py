"""A database that is away costs alarms and time, never a record."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.config import Config
from engine.domain.records import EventType
from engine.processes.projector import Projector, open_databases
from engine.store.database import Database, Value
from engine.store.errors import ProjectionError
from engine.store.sqlite import SqliteDatabase
from tests.engine_process import wait_for
from tests.store_builders import as_bytes, event_records, open_events, write_session
from tests.store_events import decision, event, opening_cash


class Moody:
    """A database that refuses while it is told to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_away = threading.Event()
        self.opened_count = 0

    def open(self) -> Database:
        if self.is_away.is_set():
            raise ProjectionError("nobody listens on port 5432")
        self.opened_count += 1
        return _Moody(self)


class _Moody(SqliteDatabase):
    def __init__(self, owner: Moody) -> None:
        super().__init__(owner.path)
        self._owner = owner

    def execute(self, statement: str, values: Sequence[Value] = ()) -> None:
        if self._owner.is_away.is_set():
            raise ProjectionError("the connection is gone")
        super().execute(statement, values)


def count(path: Path, table: str) -> int:
    if not path.exists():
        return 0
    database = SqliteDatabase(path, read_only=True)
    try:
        (found,) = database.query(f"SELECT COUNT(*) FROM {table}")[0]
        return int(found or 0)
    except ProjectionError:
        return 0
    finally:
        database.close()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "practice-practice-paper"


def append(directory: Path, rows: int) -> None:
    writer = open_events(directory)
    records = event_records(*[decision()] * rows, first_sequence=writer.next_sequence)
    writer.append(writer.next_sequence, as_bytes(records))
    writer.close(is_end=False)


def wait_for_rows(path: Path, rows: int) -> None:
    wait_for("rows", lambda: count(path, "decisions") == rows)


def test_a_running_session_is_projected_as_it_is_written(tmp_path: Path, state: Path) -> None:
    directory = write_session(state, opening_cash(5))
    path = tmp_path / "database.db"
    projector = Projector(lambda: SqliteDatabase(path), directory, on_alarm=pytest.fail)
    projector.start()
    for done in range(1, 4):
        append(directory, 10)
        wait_for_rows(path, 10 * done)

    assert projector.stop(30)
    assert projector.projected_count == 31


def test_what_was_written_before_stop_is_projected(tmp_path: Path, state: Path) -> None:
    directory = write_session(state, *[decision()] * 500)
    path = tmp_path / "database.db"
    projector = Projector(lambda: SqliteDatabase(path), directory, on_alarm=pytest.fail)
    projector.start()

    assert projector.stop(30)
    assert count(path, "decisions") == 500


def test_earlier_sessions_come_first(tmp_path: Path, state: Path) -> None:
    write_session(state, opening_cash(7), session_id="one", epoch=1)
    directory = write_session(state, decision(), session_id="two", epoch=2)
    path = tmp_path / "database.db"
    projector = Projector(lambda: SqliteDatabase(path), directory, on_alarm=pytest.fail)
    assert not projector.has_passed
    projector.start()
    assert projector.stop(30)

    assert (count(path, "balances"), count(path, "decisions"), count(path, "sessions")) == (1, 1, 2)
    assert projector.has_passed


def test_a_database_that_goes_away_gets_everything_when_it_is_back(
    tmp_path: Path, state: Path
) -> None:
    directory = write_session(state, opening_cash(5))
    path = tmp_path / "database.db"
    moody = Moody(path)
    moody.is_away.set()
    alarms: list[str] = []
    projector = Projector(moody.open, directory, on_alarm=alarms.append, retry_first_s=0.01)
    projector.start()
    wait_for("failures", lambda: projector.failure_count >= 3)
    assert alarms == ["nobody listens on port 5432"], "one alarm, not one per attempt"
    assert not projector.has_passed

    moody.is_away.clear()
    wait_for("the first rows", lambda: count(path, "balances") == 1)
    moody.is_away.set()
    failed = projector.failure_count
    append(directory, 25)
    wait_for("another failure", lambda: projector.failure_count > failed)
    moody.is_away.clear()
    wait_for("the rest", lambda: count(path, "decisions") == 25)

    assert projector.stop(30)
    assert moody.opened_count >= 2


def test_stopping_does_not_wait_for_a_database_that_is_away(tmp_path: Path, state: Path) -> None:
    directory = write_session(state, event(EventType.SESSION_START))
    moody = Moody(tmp_path / "database.db")
    moody.is_away.set()
    projector = Projector(moody.open, directory, on_alarm=lambda _: None, retry_first_s=1_000.0)
    projector.start()
    wait_for("a failure", lambda: projector.failure_count >= 1)

    assert projector.stop(30)


def test_sqlite_is_always_filled_and_postgres_beside_it(tmp_path: Path) -> None:
    plain = Config(home=str(tmp_path))
    both = Config(home=str(tmp_path), database_url="postgresql://u:secret@127.0.0.1:1/x")

    assert len(open_databases(plain)) == 1
    first, second = (open_database() for open_database in open_databases(both))
    assert first.name.startswith("sqlite")
    assert second.name == "postgresql 127.0.0.1/x"
    with pytest.raises(ProjectionError) as caught:
        second.execute("SELECT 1")
    assert "secret" not in str(caught.value)
    first.close()
    second.close()


def test_a_damaged_earlier_session_is_told_and_left(tmp_path: Path, state: Path) -> None:
    damaged = write_session(state, *[decision()] * 2, session_id="one", epoch=1)
    append(damaged, 3)
    path = next(damaged.glob("events-brain-000000.segment"))
    raw = bytearray(path.read_bytes())
    raw[500] ^= 1
    path.write_bytes(raw)
    directory = write_session(state, decision(), session_id="two", epoch=2)
    alarms: list[str] = []
    database = tmp_path / "database.db"
    projector = Projector(lambda: SqliteDatabase(database), directory, on_alarm=alarms.append)
    projector.start()
    assert projector.stop(30)

    assert count(database, "decisions") == 1
    assert len(alarms) == 1
    assert "follows record" in alarms[0]
