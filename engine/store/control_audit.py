"""`control_audit_log.jsonl`: who told the engine what, when, and what it changed.

One line per action, also per refused one, written whole, appended and synced after the action took
effect. Each line carries the SHA-256 of the line before it, so that a line that was taken out or
changed is found. Rotated by size. Standard library only: main writes here.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from engine.store.rotation import rotate, rotated

FILE_NAME: Final = "control_audit_log.jsonl"
FILE_BYTES_MAX: Final = 16 << 20
FILES_KEPT: Final = 16  # rotated ones, beside the one being written
TAIL_BYTES: Final = 1 << 20  # read at the start
FIRST_LINK: Final = "0" * 64

Row = dict[str, Any]


class ControlAudit:
    """The trail of one account; any thread may record and read."""

    def __init__(self, state_dir: Path) -> None:
        """Find the end of what is there; a line that a crash cut is left as it is."""
        self._path = state_dir / FILE_NAME
        self._lock = threading.Lock()
        last = next((row for row in reversed(self.tail()) if "number" in row), {})
        self._number = int(last.get("number", -1))
        self._link = str(last.get("link", FIRST_LINK))

    def record(self, row: Row) -> None:
        """Append one action and sync it.

        Raises:
            OSError: it cannot be written; the next line is linked to the last one that was.
        """
        with self._lock:
            rotate(self._path, FILE_BYTES_MAX, FILES_KEPT)
            number = self._number + 1
            time = datetime.now(UTC).isoformat(timespec="microseconds")
            entry = {"number": number, "time": time, **row, "before_link": self._link}
            entry["link"] = link_of(entry)
            _append(self._path, json.dumps(entry).encode() + b"\n")
            self._number, self._link = number, entry["link"]

    def rows(self, after: int, limit: int) -> list[Row]:
        """Return the actions whose number is above `after`, in order."""
        found: list[Row] = []
        for path in (*rotated(self._path), self._path):
            for row in _lines(path):
                if row["number"] > after:
                    found.append(row)
                if len(found) >= limit:
                    return found
        return found

    def tail(self) -> list[Row]:
        """Return the newest actions that the last bytes of the file hold, in order."""
        return list(_lines(self._path, TAIL_BYTES))


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
