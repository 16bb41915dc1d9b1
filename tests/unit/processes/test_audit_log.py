"""The live audit file: each row once, whatever dies in between, whoever else writes."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from engine.processes import audit_log
from engine.processes.audit_log import AuditLog
from engine.store.journal import SourceWriter
from engine.store.session import read_document
from engine.store.trade_log import FILE_NAME
from tests.store_builders import as_bytes, event_records, open_events, write_session
from tests.store_events import fill, request

FIRST, SECOND = "20260101t000000-1", "20260102t000000-2"


def state_of(home: Path, account: str = "practice-practice-paper") -> Path:
    return home / "state" / account


def open_log(home: Path, directory: Path) -> AuditLog:
    return AuditLog(home, directory, read_document(directory))


def write_all(log: AuditLog) -> None:
    while log.poll():
        pass


def trades(home: Path) -> list[tuple[str, int]]:
    found = [json.loads(line) for line in (home / FILE_NAME).read_text().splitlines()]
    return [(row["session"], row["trade_id"]) for row in found]


def whole_trades(home: Path) -> list[int]:
    """Return the trade ids of the lines that can be read: some were cut."""
    found = []
    for line in (home / FILE_NAME).read_bytes().splitlines():
        with suppress(ValueError):
            found.append(json.loads(line)["trade_id"])
    return found


def more(directory: Path, *rows: dict[str, Any]) -> None:
    writer: SourceWriter = open_events(directory)
    records = event_records(*rows, first_sequence=writer.next_sequence)
    writer.append(writer.next_sequence, as_bytes(records))
    writer.close(is_end=False)


def test_rows_are_appended_as_the_journal_grows(tmp_path: Path) -> None:
    directory = write_session(state_of(tmp_path), request(1), fill(1, 1, 1), session_id=FIRST)
    log = open_log(tmp_path, directory)
    log.poll()
    assert trades(tmp_path) == [(FIRST, 1)]
    log.poll()
    more(directory, fill(1, 2, 1), fill(1, 3, 1))
    log.poll()
    assert trades(tmp_path) == [(FIRST, 1), (FIRST, 2), (FIRST, 3)]
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_an_orchestrator_that_starts_again_goes_on_where_the_file_ends(tmp_path: Path) -> None:
    directory = write_session(state_of(tmp_path), request(1, reason=3), fill(1, 1, 1))
    write_all(open_log(tmp_path, directory))
    more(directory, fill(1, 2, 1))
    other = write_session(state_of(tmp_path, "binance-x-paper"), fill(1, 9, 1), session_id=SECOND)
    write_all(open_log(tmp_path, other))  # another account writes in between
    write_all(open_log(tmp_path, directory))
    assert [trade for _, trade in trades(tmp_path)] == [1, 9, 2]
    last = json.loads((tmp_path / FILE_NAME).read_text().splitlines()[-1])
    assert last["reason"] == "FLOW_SCORE", "asked for before the restart"


def test_what_a_killed_engine_left_is_written_by_the_next(tmp_path: Path) -> None:
    killed = write_session(state_of(tmp_path), fill(1, 1, 1), session_id=FIRST)
    write_all(open_log(tmp_path, killed))
    more(killed, fill(1, 2, 1))
    following = write_session(state_of(tmp_path), fill(1, 3, 1), session_id=SECOND, epoch=2)
    write_all(open_log(tmp_path, following))
    assert trades(tmp_path) == [(FIRST, 1), (FIRST, 2), (SECOND, 3)]


def test_what_engines_killed_in_a_row_left_is_written_by_the_one_that_lives(tmp_path: Path) -> None:
    """A crash loop: the second of them is killed before it has written what the first one left."""
    state = state_of(tmp_path)
    names = [f"2026010{day}t000000-{day}" for day in (1, 2, 3)]
    killed = write_session(state, fill(1, 1, 1), session_id=names[0])
    write_all(open_log(tmp_path, killed))
    more(killed, fill(1, 2, 1))
    open_log(tmp_path, write_session(state, fill(1, 3, 1), session_id=names[1], epoch=2))
    last = write_session(state, fill(1, 4, 1), session_id=names[2], epoch=3)
    write_all(open_log(tmp_path, last))
    assert trades(tmp_path) == [
        (names[0], 1), (names[0], 2), (names[1], 3), (names[2], 4),
    ]  # fmt: skip


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_line_that_was_cut_is_ended_and_written_again(tmp_path: Path, cut: int) -> None:
    directory = write_session(state_of(tmp_path), fill(1, 1, 1), fill(1, 2, 1))
    write_all(open_log(tmp_path, directory))
    whole = (tmp_path / FILE_NAME).read_bytes()
    (tmp_path / FILE_NAME).write_bytes(whole[:-cut])
    write_all(open_log(tmp_path, directory))
    assert whole_trades(tmp_path) == [1, 2]


def test_a_full_disk_loses_no_row_and_writes_none_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = write_session(state_of(tmp_path), *(fill(1, trade, 1) for trade in range(1, 6)))
    log = open_log(tmp_path, directory)
    write = os.write

    def some(file: int, text: bytes) -> int:
        return write(file, text[: len(text) // 2])

    def none(_file: int, _text: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for refusing in (some, none, none, some):
        monkeypatch.setattr(os, "write", refusing)
        with pytest.raises(OSError, match=r"rows|space"):
            log.poll()
    monkeypatch.setattr(os, "write", write)
    log.poll()
    assert whole_trades(tmp_path) == [1, 2, 3, 4, 5]


def test_the_file_is_rotated_and_only_so_many_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_log, "FILE_BYTES_MAX", 10)
    monkeypatch.setattr(audit_log, "FILES_KEPT", 2)
    directory = write_session(state_of(tmp_path), fill(1, 1, 1))
    log = open_log(tmp_path, directory)
    log.poll()
    for trade in range(2, 6):
        more(directory, fill(1, trade, 1))
        log.poll()
    assert trades(tmp_path) == [(directory.name, 5)]
    assert len(list(tmp_path.glob("trade_audit_log-*.jsonl"))) == 2
    (tmp_path / FILE_NAME).rename(tmp_path / "trade_audit_log-9.jsonl")
    write_all(open_log(tmp_path, directory))
    assert not (tmp_path / FILE_NAME).exists(), "the newest rotated file says what was the last"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", []),
        (b"one", [b"one"]),
        (b"one\n", [b"one\n"]),
        (b"one\n\ntwo\nthree", [b"three", b"two\n", b"\n", b"one\n"]),
    ],
)
def test_lines_are_read_from_the_end(tmp_path: Path, text: bytes, expected: list[bytes]) -> None:
    path = tmp_path / "lines"
    assert list(audit_log._lines_backward(path)) == []
    path.write_bytes(text)
    assert list(audit_log._lines_backward(path)) == expected


def test_a_new_session_looks_no_further_than_the_newest_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the file has grown, a start reads its end only."""
    old = write_session(state_of(tmp_path), fill(1, 1, 1), fill(1, 2, 1), session_id=FIRST)
    write_all(open_log(tmp_path, old))
    lines = audit_log._lines_backward
    read: list[bytes] = []

    def counted(path: Path) -> Iterator[bytes]:
        for line in lines(path):
            read.append(line)
            yield line

    monkeypatch.setattr(audit_log, "_lines_backward", counted)
    later_ns = read_document(old).started_realtime_ns + 10**12
    other = state_of(tmp_path, "binance-x-paper")
    write_all(open_log(tmp_path, write_session(other, started_realtime_ns=later_ns)))
    assert len(read) == 1
