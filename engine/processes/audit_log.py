"""`AEGIS_HOME/trade_audit_log.jsonl`: the audit trail of every account of this home, as it happens.

One line per row of `engine.store.audit`, written whole and appended, so engines of several accounts
share the file. What killed orchestrators did not write is written by the next one of the account:
the file itself says which row of a session was its last. Rotated by size; the journal holds it all.
"""

from __future__ import annotations

import mmap
import os
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from engine.store.audit import AuditRows
from engine.store.journal import SOURCE_EVENTS_BRAIN
from engine.store.reader import PieceReader, SourceReader
from engine.store.rotation import rotate, rotated
from engine.store.session import SessionDocument, sessions
from engine.store.trade_log import FILE_NAME

FILE_BYTES_MAX: Final = 64 << 20
FILES_KEPT: Final = 16  # rotated ones, beside the one being written
LEFT_MAX: Final = 16  # sessions killed in a row whose rows are looked after
EVENTS_MAX: Final = 512  # of the journal in one piece: the role's pulse waits for it
NS_PER_S: Final = 1_000_000_000
_MODE: Final = 0o600


class _Place(msgspec.Struct):
    """What of a line says where it stands in the journal."""

    session: str
    sequence: int
    timestamp: datetime


_PLACE: Final = msgspec.json.Decoder(_Place)


class AuditLog:
    """Appends what one session's journal says to the file."""

    def __init__(self, home: Path, directory: Path, document: SessionDocument) -> None:
        """Find what the account's last sessions left unwritten; it comes before this one's rows.

        Args:
            home: AEGIS_HOME.
            directory: the session's journal.
            document: the session, with its instruments.

        Raises:
            StoreError: a journal or a session's document cannot be read.
            OSError: the file cannot be written.
        """
        self._path = home / FILE_NAME
        self._end_line()
        ours = SessionRows(directory, document, self._last(document), EVENTS_MAX)
        self._sessions = deque([*self._left(directory), ours])

    def poll(self) -> bool:
        """Append the rows of the next piece of journal; return whether there may be more now.

        Raises:
            JournalError: the journal cannot be read.
            OSError: the file cannot be written; what was not is written by the next call.
        """
        if self._sessions[0].write(self._append):
            return True
        if len(self._sessions) == 1:
            return False
        self._sessions.popleft()  # what an earlier session left is written
        return True

    def _left(self, directory: Path) -> list[SessionRows]:
        """Return the killed sessions before this one whose rows may be missing, oldest first.

        Sessions are written in order: one that ended in order, and one that the file knows a row
        of, has nothing unwritten before it.
        """
        left: list[SessionRows] = []
        known = [pair for pair in sessions(directory.parents[1]) if pair[0] != directory]
        for other, earlier in known[: -LEFT_MAX - 1 : -1]:
            if earlier.ended_realtime_ns:
                break
            last = self._last(earlier)
            left.insert(0, SessionRows(other, earlier, last, EVENTS_MAX))
            if last >= 0:
                break
        return left

    def _append(self, lines: list[bytes]) -> int:
        """Append lines; return how many of them stand whole in the file."""
        rotate(self._path, FILE_BYTES_MAX, FILES_KEPT)
        text = b"".join(lines)
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            written = os.write(file, text)
        finally:
            os.close(file)
        if written < len(text):
            self._end_line()
        return text.count(b"\n", 0, written)

    def _end_line(self) -> None:
        """Put an end to a line that a full disk cut, so that the next one stands alone."""
        if not self._path.exists():
            return
        with self._path.open("rb+") as file:
            if file.seek(0, os.SEEK_END) == 0:
                return
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")

    def _last(self, document: SessionDocument) -> int:
        """Return the last sequence of a session that the files hold; -1: none of it."""
        begun = datetime.fromtimestamp(document.started_realtime_ns / NS_PER_S, UTC)
        for path in (self._path, *rotated(self._path)[-1:]):
            for line in _lines_backward(path):
                try:
                    place = _PLACE.decode(line)
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    continue  # a line that was cut
                if place.session == document.session_id:
                    return place.sequence
                if place.timestamp < begun:
                    return -1
        return -1


def _lines_backward(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file that may be missing, the last one first, read as they are asked."""
    if not path.exists() or not path.stat().st_size:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        end = len(text)
        while end > 0:
            begin = text.rfind(b"\n", 0, end - 1) + 1
            yield text[begin:end]
            end = begin


class SessionRows:
    """The rows of one session that are not written yet."""

    def __init__(
        self, directory: Path, document: SessionDocument, last: int, events_max: int
    ) -> None:
        """Start behind the row with sequence `last`, -1: with the first; so many events a piece."""
        self._reader = PieceReader(SourceReader(directory, SOURCE_EVENTS_BRAIN))
        self._events_max = events_max
        self._rows = AuditRows(document)
        self.last = last
        self._pending: list[bytes] = []

    def write(self, append: Callable[[list[bytes]], int]) -> bool:
        """Append the rows of the next piece of the journal; return False at its end.

        Raises:
            OSError: not all of them could be written; the rest is kept.
        """
        self._flush(append)
        batches = self._reader.take(self._events_max)
        for batch in batches:
            for row in self._rows.rows(batch.records):
                if row["sequence"] > self.last:
                    self._pending.append(msgspec.json.encode(row) + b"\n")
                    self.last = row["sequence"]
        self._flush(append)
        return bool(batches)

    def _flush(self, append: Callable[[list[bytes]], int]) -> None:
        if self._pending:
            del self._pending[: append(self._pending)]
        if self._pending:
            raise OSError(f"{len(self._pending)} rows of the audit trail could not be written")
