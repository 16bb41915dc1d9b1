"""`control_audit_log.jsonl`: who told the engine what, when, and what it changed.

One line per action, also per refused one, written whole, appended and synced after the action took
effect. Each line carries the SHA-256 of the line before it, so that a line that was taken out or
changed is found. Rotated by size. Standard library only: main writes here.

        beside an account's journal   what was told to its engine, by the API or the command line
        in AEGIS_HOME                 who may use the API: accounts, tokens, buttons
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pwd
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from engine.file_lock import try_lock
from engine.store.rotation import rotate, rotated

FILE_NAME: Final = "control_audit_log.jsonl"
FILE_BYTES_MAX: Final = 16 << 20
FILES_KEPT: Final = 16  # rotated ones, beside the one being written
TAIL_BYTES: Final = 1 << 20  # read at the start
NEWS_BYTES: Final = 1 << 16  # read first of all where somebody asks for what is new
FIRST_LINK: Final = "0" * 64
TURN_S: Final = 1.0  # for the other process that writes: a line takes milliseconds
TURN_POLL_S: Final = 0.002

Row = dict[str, Any]


class ControlAudit:
    """One trail; any thread may record and read, and so may other processes at the same time."""

    def __init__(self, folder: Path) -> None:
        """Read nothing yet; a line that a crash cut is left as it is."""
        self._path = folder / FILE_NAME
        self._lock = threading.Lock()
        self._end: tuple[int, int] | None = None  # as we left it; None: never looked
        self._number = -1
        self._link = FIRST_LINK

    def record(self, row: Row) -> None:
        """Append one action and sync it.

        Raises:
            OSError: it cannot be written; the next line is linked to the last one that was.
        """
        with self._lock, _turn(self._path.parent):
            if _end_of(self._path) != self._end:
                self._find_end()
            rotate(self._path, FILE_BYTES_MAX, FILES_KEPT)
            number = self._number + 1
            now = datetime.now(UTC).isoformat(timespec="microseconds")
            entry = {"number": number, "time": now, **row, "before_link": self._link}
            entry["link"] = link_of(entry)
            _append(self._path, json.dumps(entry).encode() + b"\n")
            self._number, self._link = number, entry["link"]
            self._end = _end_of(self._path)

    def rows(self, after: int, limit: int) -> list[Row]:
        """Return the actions whose number is above `after`, in order."""
        for size in (NEWS_BYTES, TAIL_BYTES):  # who watches asks for what is new only
            newest = self._newest(size)
            if newest and newest[0]["number"] <= after + 1:
                return [row for row in newest if row["number"] > after][:limit]
        found: list[Row] = []
        for path in (*rotated(self._path), self._path):
            for row in _lines(path):
                if row["number"] > after:
                    found.append(row)
                if len(found) >= limit:
                    return found
        return found

    def left_out(self, newest: int) -> int:
        """Return the number behind which so many newest actions are; -1: there are no others."""
        last = self._newest(NEWS_BYTES)
        return max(int(last[-1]["number"]) - newest, -1) if last else -1

    def tail(self) -> list[Row]:
        """Return the newest actions that the last bytes of the file hold, in order."""
        return list(_lines(self._path, TAIL_BYTES))

    def _newest(self, size: int) -> list[Row]:
        """Return the actions in the last bytes of the file; of one set aside while it is empty."""
        found = list(_lines(self._path, size))
        return found or [row for path in rotated(self._path)[-1:] for row in _lines(path, size)]

    def _find_end(self) -> None:
        """Go on after the last line, whoever wrote it; one set aside a moment ago counts."""
        last = self._newest(TAIL_BYTES)
        self._number = int(last[-1]["number"]) if last else -1
        self._link = str(last[-1].get("link", FIRST_LINK)) if last else FIRST_LINK


def by_command_line(
    what: str,
    reason: str = "",
    *,
    before: str = "",
    after: str = "",
    effect: str = "",
    done: bool = True,
) -> Row:
    """Return the row of an action that a command did by itself, not through an API.

    Args:
        what: the command, without a secret.
        reason: what the person said.
        before: what was in force.
        after: what is in force now.
        effect: what it did, or why it did nothing.
        done: whether it did.
    """
    return {
        "who": _this_user(),
        "from": "command line",
        "what": what,
        "reason": reason,
        "before": before,
        "after": after,
        "done": done,
        "effect": effect,
    }


def link_of(row: Row) -> str:
    """Return what the next line says of this one."""
    plain = {key: entry for key, entry in row.items() if key != "link"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def broken_links(rows: list[Row]) -> list[int]:
    """Return the numbers of rows that are not what was written, or do not follow the one before."""
    found = []
    for place, row in enumerate(rows):
        follows = place == 0 or row.get("before_link") == rows[place - 1].get("link")
        if not follows or link_of(row) != row.get("link"):
            found.append(int(row["number"]))
    return found


def _this_user() -> str:
    # WHY: by the process, not by LOGNAME, which anybody may set.
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"  # a container's user has no name


def _end_of(path: Path) -> tuple[int, int]:
    """Return inode and bytes, by which a line of another process is noticed."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0, 0
    return status.st_ino, status.st_size


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Be the only process that appends; the folder is what is locked, for files are rotated.

    Raises:
        OSError: there is no such folder, or another process holds it for longer than TURN_S.
    """
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    deadline_s = time.monotonic() + TURN_S
    try:
        while not try_lock(lock):
            if time.monotonic() > deadline_s:
                raise OSError(errno.EBUSY, "another process is writing it", str(folder / FILE_NAME))
            time.sleep(TURN_POLL_S)
        yield
    finally:
        os.close(lock)


def _append(path: Path, line: bytes) -> None:
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            line = b"\n" + line  # the line before was cut by a crash
        if os.write(file, line) < len(line):
            raise OSError(28, "No space left on device", str(path))
        os.fsync(file)
    finally:
        os.close(file)


def _lines(path: Path, last_bytes: int = 0) -> Iterator[Row]:
    if not path.exists():
        return
    with path.open("rb") as file:
        if last_bytes:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - last_bytes, 0))
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                continue  # cut, by a crash or by us
            if isinstance(row, dict) and isinstance(row.get("number"), int):
                yield row
