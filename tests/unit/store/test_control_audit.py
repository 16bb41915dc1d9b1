"""The trail of what operators did: linked, appended whole, readable in pages."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.store import control_audit
from engine.store.control_audit import (
    FILE_NAME,
    FIRST_LINK,
    ControlAudit,
    broken_links,
    by_command_line,
)


def written(home: Path, count: int) -> ControlAudit:
    audit = ControlAudit(home)
    for number in range(count):
        audit.record({"who": "me", "what": f"act {number}"})
    return audit


def test_rows_come_back_in_order_and_in_pages(tmp_path: Path) -> None:
    audit = written(tmp_path, 7)
    assert [row["what"] for row in audit.rows(-1, 3)] == ["act 0", "act 1", "act 2"]
    assert [row["number"] for row in audit.rows(2, 100)] == [3, 4, 5, 6]
    assert audit.rows(6, 100) == []


def test_each_row_is_linked_to_the_one_before_over_a_restart(tmp_path: Path) -> None:
    written(tmp_path, 3)
    rows = written(tmp_path, 2).rows(-1, 100)
    assert rows[0]["before_link"] == FIRST_LINK
    assert [row["number"] for row in rows] == [0, 1, 2, 3, 4]
    assert broken_links(rows) == []


@pytest.mark.parametrize("damage", ["change", "remove", "swap"])
def test_a_changed_trail_is_found(tmp_path: Path, damage: str) -> None:
    rows = written(tmp_path, 5).rows(-1, 100)
    if damage == "change":
        rows[2]["who"] = "somebody else"
    elif damage == "remove":
        del rows[2]
    else:
        rows[1], rows[2] = rows[2], rows[1]
    assert broken_links(rows)


def test_a_line_that_a_crash_cut_stands_alone(tmp_path: Path) -> None:
    written(tmp_path, 2)
    path = tmp_path / FILE_NAME
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    rows = written(tmp_path, 1).rows(-1, 100)
    assert [row["what"] for row in rows] == ["act 0", "act 0"]
    assert path.read_bytes().count(b"\n") == 3
    assert broken_links(rows) == []


def test_a_full_file_is_rotated_and_read_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_audit, "FILE_BYTES_MAX", 1_000)
    monkeypatch.setattr(control_audit, "FILES_KEPT", 2)
    audit = written(tmp_path, 30)
    kept = sorted(tmp_path.glob("*.jsonl"))
    assert len(kept) == 3
    rows = audit.rows(-1, 100)
    assert [row["number"] for row in rows] == list(range(rows[0]["number"], 30))
    assert broken_links(rows) == []


def test_a_row_that_cannot_be_written_raises_and_the_next_is_linked(tmp_path: Path) -> None:
    audit = written(tmp_path / ".", 1)
    path = tmp_path / FILE_NAME
    path.rename(tmp_path / "aside")
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        audit.record({"what": "lost"})
    path.rmdir()
    (tmp_path / "aside").rename(path)
    audit.record({"what": "kept"})
    rows = audit.rows(-1, 9)
    assert [row["what"] for row in rows] == ["act 0", "kept"]
    assert broken_links(rows) == []


def test_threads_write_whole_lines(tmp_path: Path) -> None:
    audit = ControlAudit(tmp_path)

    def write() -> None:
        for _ in range(20):
            audit.record({"what": "x"})

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = audit.rows(-1, 1_000)
    assert [row["number"] for row in rows] == list(range(80))
    assert broken_links(rows) == []


def test_two_that_write_in_turn_make_one_chain(tmp_path: Path) -> None:
    """Once each knew only its own last line: two lines of one number, and a broken link."""
    engine, command = ControlAudit(tmp_path), ControlAudit(tmp_path)
    for _ in range(3):
        engine.record({"what": "pause"})
        command.record({"what": "halt"})
    rows = ControlAudit(tmp_path).rows(-1, 100)
    assert [row["number"] for row in rows] == list(range(6))
    assert broken_links(rows) == []


WRITER = """
import sys
from pathlib import Path
from engine.store import control_audit
control_audit.FILE_BYTES_MAX = 4_000
control_audit.TURN_S = 60.0
audit = control_audit.ControlAudit(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for _ in range(40):
    audit.record({"what": sys.argv[2]})
"""


def test_processes_make_one_chain_over_rotations(tmp_path: Path) -> None:
    words = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [
        subprocess.Popen([*words, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for n in range(3)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.communicate("go\n")
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    rows = ControlAudit(tmp_path).rows(-1, 1_000)
    assert [row["number"] for row in rows] == list(range(120))
    assert broken_links(rows) == []
    assert len(list(tmp_path.glob("*.jsonl"))) > 1


def test_a_process_that_holds_the_trail_delays_nobody_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_audit, "TURN_S", 0.01)
    audit = written(tmp_path, 1)
    lock = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="another process is writing it"):
            audit.record({"what": "halt"})
    finally:
        os.close(lock)
    audit.record({"what": "halt"})
    assert broken_links(audit.rows(-1, 9)) == []


def test_a_trail_set_aside_a_moment_ago_is_gone_on_with(tmp_path: Path) -> None:
    """A crash between the rotation and the line once began again at number 0."""
    written(tmp_path, 3)
    path = tmp_path / FILE_NAME
    path.rename(path.with_name(f"{path.stem}-20260101T000000000000{path.suffix}"))
    rows = written(tmp_path, 1).rows(-1, 9)
    assert [row["number"] for row in rows] == [0, 1, 2, 3]
    assert broken_links(rows) == []


def test_a_command_is_its_users_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOGNAME", "somebody-else")
    row = by_command_line("halt", "why", before="ENABLED", after="HALTED")
    assert row["who"] == pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setattr(os, "getuid", lambda: 4_000_111_222)
    assert by_command_line("halt")["who"] == "uid 4000111222"


def test_others_may_not_read_it(tmp_path: Path) -> None:
    written(tmp_path, 1)
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_foreign_lines_are_no_rows(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text('[1]\n{"who": "x"}\n' + json.dumps("y") + "\n", "utf-8")
    assert written(tmp_path, 1).rows(-1, 9)[0]["number"] == 0


def test_what_is_new_is_read_without_what_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_audit, "NEWS_BYTES", 1_000)
    audit, parsed, loads = written(tmp_path, 300), [0], json.loads

    def counted(text: str | bytes) -> object:
        parsed[0] += 1
        return loads(text)

    monkeypatch.setattr(json, "loads", counted)
    assert audit.rows(299, 100) == []
    assert [row["number"] for row in audit.rows(298, 100)] == [299]
    assert parsed[0] < 20, "a page asks every few seconds, and a trail has no end"
    assert [row["number"] for row in audit.rows(-1, 2)] == [0, 1]
    assert len(audit.rows(4, 1_000)) == 295


def test_the_newest_rows_are_those_behind_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = written(tmp_path, 30)
    assert [row["number"] for row in audit.rows(audit.left_out(2), 9)] == [28, 29]
    assert audit.left_out(30) == audit.left_out(99) == -1
    monkeypatch.setattr(control_audit, "FILE_BYTES_MAX", 1)
    audit.record({"what": "in a file of its own"})
    assert [row["number"] for row in audit.rows(audit.left_out(3), 9)] == [28, 29, 30]
    assert ControlAudit(tmp_path / "nothing").left_out(5) == -1
