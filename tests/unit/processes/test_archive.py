"""Second copies: everything once, read back, going on after a kill, never in the way of trading."""

from __future__ import annotations

import json
import os
from pathlib import Path
from queue import Queue
from threading import current_thread
from typing import Any

import msgspec
import pytest

from engine.config import Config
from engine.config_journal import JournalConfig
from engine.domain.codes import EventType, OrderStatus
from engine.domain.risk_reasons import RiskReason
from engine.processes.archive import Archivist, AuditCopy, JournalArchive
from engine.processes.upkeep import bound_journals
from engine.store.audit import AuditRows
from engine.store.journal import SOURCE_EVENTS_BRAIN, segment_paths
from engine.store.reader import read_records
from engine.store.retention import closed_files, read_note
from engine.store.session import read_document, write_document
from engine.store.verify import verify_session
from engine.tapes.errors import UploadError
from engine.tapes.upload import Destination
from tests.store_builders import as_bytes, event_records, open_events, write_market, write_session
from tests.store_events import event, fill, request

pytest.importorskip("fsspec", reason="the history extra is not installed")
STATE = "practice-practice-paper"


class Refusing(Destination):
    """A storage that refuses so many copies, and counts what it is asked for."""

    def __init__(self, folder: Path, refusals: int = 0) -> None:
        super().__init__(folder.as_uri())
        self.refusals = refusals
        self.names: list[str] = []

    def put(self, path: Path, name: str, **words: Any) -> dict[str, Any]:  # noqa: ANN401
        if self.refusals:
            self.refusals -= 1
            raise UploadError("away")
        self.names.append(name)
        return super().put(path, name, **words)


def keep_all() -> None:
    """Let no session go."""


def refusal(number: int) -> dict[str, Any]:
    mask = 1 << RiskReason.PRICE_AGE
    fields = {"side": 1, "qty_lots": number, "reason": RiskReason.PRICE_AGE, "refusal_mask": mask}
    return event(EventType.RISK_REFUSAL, instrument_index=0, strategy_index=0, **fields)


def more(directory: Path, *rows: dict[str, Any]) -> None:
    writer = open_events(directory)
    records = event_records(*rows, first_sequence=writer.next_sequence)
    writer.append(writer.next_sequence, as_bytes(records))
    writer.close(is_end=False)


def rows_of(directory: Path) -> list[dict[str, Any]]:
    """Return the audit rows of a session, made from its journal in one go."""
    rows = AuditRows(read_document(directory))
    found = rows.rows(read_records(directory, SOURCE_EVENTS_BRAIN))
    return [json.loads(msgspec.json.encode(row)) for row in found]


def copied_rows(away: Path) -> list[dict[str, Any]]:
    files = sorted((away / "audit" / STATE).glob("*.jsonl"))
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


def rested(_seconds: float) -> None:
    """Pause for nothing."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    rows = (request(1), fill(1, 501, 2), refusal(3))
    return write_session(tmp_path / "state" / STATE, *rows, session_id="s1")


@pytest.fixture
def away(tmp_path: Path) -> Path:
    return tmp_path / "away"


def test_audit_rows_are_copied_once_as_they_come(directory: Path, away: Path) -> None:
    copy = AuditCopy(Destination(away.as_uri()), directory)
    assert copy.work(rested) == 1
    assert copied_rows(away) == rows_of(directory) != []
    assert copy.work(rested) == 0
    more(directory, fill(1, 502, 3, order_status_after=OrderStatus.FILLED), refusal(9))
    assert copy.work(rested) == 1
    assert copied_rows(away) == rows_of(directory)
    assert next(row["reason"] for row in copied_rows(away)) != "", "the order's reason is known"


def test_a_killed_copier_goes_on_without_a_gap_or_a_double(directory: Path, away: Path) -> None:
    AuditCopy(Destination(away.as_uri()), directory).work(rested)
    more(directory, fill(1, 502, 1))
    place = directory.parents[1] / "audit-copy.json"
    before = place.read_bytes()
    AuditCopy(Destination(away.as_uri()), directory).work(rested)
    place.write_bytes(before)  # killed between the copy and its note
    more(directory, fill(1, 503, 1))
    AuditCopy(Destination(away.as_uri()), directory).work(rested)
    assert copied_rows(away) == rows_of(directory)


def test_a_storage_that_is_away_loses_no_row(directory: Path, away: Path) -> None:
    storage = Refusing(away, refusals=2)
    copy = AuditCopy(storage, directory)
    for number in (502, 503):
        with pytest.raises(UploadError):
            copy.work(rested)
        more(directory, fill(1, number, 1))
    assert copied_rows(away) == []
    copy.work(rested)
    assert copied_rows(away) == rows_of(directory)
    assert len(storage.names) == len(set(storage.names)), "no object is written twice"


def test_an_ended_session_is_read_once_and_never_again(directory: Path, away: Path) -> None:
    state = directory.parents[1]
    running = write_session(state, request(1), fill(1, 601, 1), session_id="s2", epoch=2)
    AuditCopy(Destination(away.as_uri()), running).work(rested)
    assert copied_rows(away) == rows_of(directory) + rows_of(running)
    for path in segment_paths(directory, SOURCE_EVENTS_BRAIN):
        path.write_bytes(b"damaged since")
    more(running, fill(1, 602, 1))
    AuditCopy(Destination(away.as_uri()), running).work(rested)
    assert copied_rows(away)[-1]["trade_id"] == 602


def test_closed_files_are_copied_and_the_copy_verifies(directory: Path, away: Path) -> None:
    write_market(directory, [50] * 4, segment_bytes=4_096)
    state = directory.parents[1]
    running = write_session(state, request(1), session_id="s2", epoch=2)
    storage = Refusing(away)
    archive = JournalArchive(storage, running)
    count = archive.work(rested)
    wanted = {path.name for path in closed_files(directory, is_running=False)}
    assert count == len(wanted) == len(storage.names) >= 4
    copied = away / "journal" / STATE / "s1"
    assert {path.name for path in copied.iterdir()} == wanted == read_note(directory).keys()
    report = verify_session(copied)
    assert report.is_intact, report.problems
    assert not (away / "journal" / STATE / "s2").exists(), "what is written is not copied"
    assert JournalArchive(storage, running).work(rested) == 0
    assert len(storage.names) == count


def test_a_killed_archive_goes_on(directory: Path, away: Path) -> None:
    write_market(directory, [50] * 4, segment_bytes=4_096)
    running = write_session(directory.parents[1], session_id="s2", epoch=2)
    storage = Refusing(away)
    original, storage.put = storage.put, _third_fails(storage)  # type: ignore[method-assign]
    with pytest.raises(UploadError):
        JournalArchive(storage, running).work(rested)
    assert len(read_note(directory)) == 2
    storage.put = original  # type: ignore[method-assign]
    JournalArchive(storage, running).work(rested)
    assert len(storage.names) == len(set(storage.names)) == len(read_note(directory))


def _third_fails(storage: Refusing) -> Any:  # noqa: ANN401
    original = storage.put

    def put(path: Path, name: str, **words: Any) -> dict[str, Any]:  # noqa: ANN401
        if len(storage.names) == 2:
            raise UploadError("away")
        return original(path, name, **words)

    return put


def test_what_has_a_copy_goes_before_what_has_none(directory: Path, away: Path) -> None:
    write_market(directory, [50] * 3, segment_bytes=1)
    running = write_session(directory.parents[1], session_id="s2", epoch=2)
    write_market(running, [50] * 3, segment_bytes=1)
    storage = Refusing(away)
    JournalArchive(storage, running).work(rested)
    copied = segment_paths(directory, "market")
    (running / "archive.json").unlink()
    for path in segment_paths(running, "market"):
        path.touch()
    for place, path in enumerate(reversed(copied)):  # the copied ones are the newest by far
        stamp = 4_000_000_000 + place
        os.utime(path, (stamp, stamp))
    home = directory.parents[3]
    total = bound_journals(home, 10**12).total_bytes
    size = bound_journals(home, total - 1)
    assert (size.removed_count, size.unarchived_count) == (1, 0)
    size = bound_journals(home, 1)
    assert (size.removed_count, size.unarchived_count) == (3, 2)


@pytest.fixture
def config(tmp_path: Path, directory: Path, away: Path) -> Config:
    document = msgspec.structs.replace(read_document(directory), ended_realtime_ns=1)
    write_document(directory, document)
    running = write_session(directory.parents[1], request(1), session_id="s2", epoch=2)
    journal = JournalConfig(archive=str(away), audit_copy=away.as_uri())
    config = Config(home=str(tmp_path), journal=journal, session_id=running.name)
    assert Path(config.state_dir) == directory.parents[1]
    return config


def test_the_thread_makes_both_copies_before_it_ends(
    config: Config, directory: Path, away: Path
) -> None:
    said: list[str] = []
    archivist = Archivist(config, said.append, keep_all)
    archivist.start()
    assert archivist.stop(30.0)
    assert said == []
    assert copied_rows(away) == rows_of(directory)
    assert (away / "journal" / STATE / "s1" / "session.json").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_both_copies_reach_a_bucket_and_are_verified_there(
    config: Config,
    directory: Path,
    s3: tuple[str, str, Any],
    tmp_path: Path,
) -> None:
    address, bucket, client = s3
    place = f"s3://{bucket}/desk"
    said: list[str] = []
    away = msgspec.structs.replace(
        config,
        journal=JournalConfig(archive=place, audit_copy=place),
        aws_region="eu-central-1",
        aws_endpoint=address,
    )
    archivist = Archivist(away, said.append, keep_all)
    archivist.start()
    assert archivist.stop(60.0)
    assert said == []
    stored = {
        row["Key"].removeprefix("desk/"): client.get_object(Bucket=bucket, Key=row["Key"])["Body"]
        for row in client.list_objects_v2(Bucket=bucket)["Contents"]
    }
    for name, body in stored.items():
        file = tmp_path / "fetched" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body.read())
    fetched = tmp_path / "fetched"
    assert copied_rows(fetched) == rows_of(directory)
    copied = fetched / "journal" / STATE / "s1"
    assert {path.name for path in copied.iterdir()} == read_note(directory).keys()
    assert verify_session(copied).is_intact
    Archivist(away, said.append, keep_all).work()
    again = client.list_objects_v2(Bucket=bucket)["Contents"]
    assert {row["Key"].removeprefix("desk/") for row in again} == stored.keys(), "nothing twice"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_bucket_that_is_not_there_is_told_and_everything_stays(
    config: Config,
    directory: Path,
    s3: tuple[str, str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("engine.tapes.upload._pause_s", lambda _: 0.0)
    said: list[str] = []
    journal = JournalConfig(archive="s3://nobodys", audit_copy="s3://nobodys")
    away = msgspec.structs.replace(
        config, journal=journal, aws_region="eu-central-1", aws_endpoint=s3[0]
    )
    monkeypatch.setattr("s3fs.S3FileSystem.makedirs", lambda *_, **__: None)
    archivist = Archivist(away, said.append, keep_all)
    archivist.work()
    archivist.work()
    assert len(said) == 1
    assert "no verified copy" in said[0]
    assert read_note(directory) == {}


def test_a_place_that_cannot_be_used_is_told_once_and_tried_again(
    config: Config, directory: Path, away: Path
) -> None:
    away.write_text("a file where the folder should be")
    said: list[str] = []
    archivist = Archivist(config, said.append, keep_all)
    archivist._stopping.set()  # a pause of a retry is no wait in a test
    archivist.work()
    archivist.work()
    assert len(said) == 1
    assert "audit" in said[0]
    away.unlink()
    archivist.work()
    assert copied_rows(away) == rows_of(directory)
    assert len(said) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_died_says_so(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(_archivist: Archivist) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Archivist, "work", break_down)
    archivist = Archivist(config, pytest.fail, keep_all)
    before = archivist.has_died
    archivist.start()
    archivist._thread.join(20.0)
    broken = archivist.has_died
    assert archivist.stop(0.0)
    told = (before, broken, archivist.has_died)
    assert told == (False, True, False), "not before it was started, nor once asked to end"


def test_sessions_go_on_the_thread_that_makes_copies(config: Config) -> None:
    journal = JournalConfig(keep_days=1)
    threads: Queue[str] = Queue()
    archivist = Archivist(
        msgspec.structs.replace(config, journal=journal),
        pytest.fail,
        lambda: threads.put(current_thread().name),
    )
    archivist.start()
    assert threads.get(timeout=20.0) == "archivist"
    assert archivist.stop(20.0)


def test_without_a_place_nothing_is_started(config: Config) -> None:
    bare = msgspec.structs.replace(config, journal=JournalConfig())
    archivist = Archivist(bare, pytest.fail, keep_all)
    archivist.start()
    assert not archivist.is_wanted
    assert archivist.stop(0.0)
