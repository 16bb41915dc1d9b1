"""The writing side of a journal: one chain of segment files per (session, source).

A source is one ring: `market`, `control`, `events-feed`, `events-brain`, `events-orchestrator`;
`features`, the feature vectors of ended bars; and `marks`, the drain marks of the brain's ring.
Marks are needed to replay and for nothing else, are most of what a brain writes, and may be removed
with the market records they belong to, as vectors may; what says which orders were sent never.
Appending is one gathered write of a frame header and the ring's own memory: no copy, no sync, no
lock. Syncing is somebody else's turn: `sync` may be called from another thread at any time.

        <home>/state/<venue>-<account>-<mode>/journal/<session_id>/
            session.json
            market-000000.segment  market-000001.segment ...
            events-brain-000000.segment ...

A writer never appends to a file it did not create: opened again after a crash it cuts the torn
tail of the last segment and starts the next one, which hangs in the same chain. The format is in
`frames.py`, reading and checking in `reader.py`.
"""

from __future__ import annotations

import errno
import os
import time
from collections import deque
from pathlib import Path
from typing import Final, NamedTuple

from engine.store import frames
from engine.store.errors import JournalError, JournalWriteError
from engine.store.frames import FrameKind, SegmentHeader

SEGMENT_SUFFIX: Final = ".segment"
SOURCE_MARKET: Final = "market"
SOURCE_CONTROL: Final = "control"
SOURCE_EVENTS_FEED: Final = "events-feed"
SOURCE_EVENTS_BRAIN: Final = "events-brain"
SOURCE_EVENTS_ORCHESTRATOR: Final = "events-orchestrator"
SOURCE_MARKS: Final = "marks"
SOURCE_FEATURES: Final = "features"
SOURCES: Final = (
    SOURCE_EVENTS_BRAIN,
    SOURCE_EVENTS_FEED,
    SOURCE_EVENTS_ORCHESTRATOR,
    SOURCE_CONTROL,
    SOURCE_MARKS,
    SOURCE_MARKET,
    SOURCE_FEATURES,
)
# Removed to keep a bound.
REPLAY_SOURCES: Final = frozenset({SOURCE_MARKET, SOURCE_MARKS, SOURCE_FEATURES})
SLOT_WORD_BYTES: Final = 8  # a record starts with its ring's word: sequence + 1
SEGMENT_BYTES: Final = 64 << 20  # a segment is closed when it has grown past this
_DIRECTORY_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
_OPEN_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC


class ChainEnd(NamedTuple):
    """Where a source's chain ends: what the next segment starts from."""

    segment_index: int  # of the last segment; -1 when there is none
    next_sequence: int
    digest: bytes
    is_closed: bool
    last_slot_sequence: int  # the ring's word in the last record; 0 when there is none


def segment_path(directory: Path, source: str, segment_index: int) -> Path:
    """Return the file of a source's n-th segment."""
    return directory / f"{source}-{segment_index:06d}{SEGMENT_SUFFIX}"


def segment_paths(directory: Path, source: str) -> list[Path]:
    """Return a source's segments, oldest first; none where the session's folder has gone."""
    try:
        names = sorted(path.name for path in directory.iterdir())
    except FileNotFoundError:
        return []  # let go of while somebody still reads it
    prefix = f"{source}-"
    return [
        directory / name
        for name in names
        if name.startswith(prefix) and name.endswith(SEGMENT_SUFFIX)
        if name[len(prefix) : -len(SEGMENT_SUFFIX)].isdigit()
    ]


def segment_index(path: Path) -> int:
    """Return the number in a segment's name."""
    return int(path.name[: -len(SEGMENT_SUFFIX)].rsplit("-", 1)[1])


def source_of(path: Path) -> str:
    """Return the source in a segment's name."""
    return path.name[: -len(SEGMENT_SUFFIX)].rsplit("-", 1)[0]


def cut_torn_tail(directory: Path, source: str) -> int:
    """Cut what a killed writer left behind a source's last whole frame; return the bytes cut.

    A last segment without even a whole header is removed. Only the writer of a source, or who
    knows that it is dead, may call this.

    Raises:
        JournalCorruptError: whole frames follow the damage.
    """
    paths = segment_paths(directory, source)
    if not paths:
        return 0
    path = paths[-1]
    raw = path.read_bytes()
    keep = frames.whole_length(memoryview(raw), str(path))
    if keep == 0:
        path.unlink()
    elif keep < len(raw):
        os.truncate(path, keep)
    return len(raw) - keep


def chain_end(directory: Path, session_id: str, source: str) -> ChainEnd:
    """Return where a source's chain ends, whole frames only; changes nothing."""
    end: ChainEnd | None = None
    for path in reversed(segment_paths(directory, source)):
        found = _segment_end(path)
        if found is None:
            continue
        end = found if end is None else end._replace(last_slot_sequence=found.last_slot_sequence)
        if end.last_slot_sequence:
            break  # else the segment has no record yet; an earlier one may
    if end is not None:
        return end
    digest = frames.genesis_digest(session_id, source)
    return ChainEnd(-1, 0, digest, is_closed=False, last_slot_sequence=0)


def _segment_end(path: Path) -> ChainEnd | None:
    buffer = memoryview(path.read_bytes())
    header = frames.decode_segment_header(buffer)
    if header is None:
        return None
    digest, sequence = frames.header_digest(buffer), header.first_sequence
    is_closed, last = False, 0
    for frame in frames.scan_frames(buffer):
        digest, sequence = frame.digest, frame.first_sequence + frame.record_count
        is_closed = frame.kind is FrameKind.END
        if frame.kind is FrameKind.RECORDS:
            last = _slot_sequence(frame.payload, header.record_bytes)
    return ChainEnd(header.segment_index, sequence, digest, is_closed, last)


def _slot_sequence(payload: memoryview, record_bytes: int) -> int:
    first = len(payload) - record_bytes
    return int.from_bytes(payload[first : first + SLOT_WORD_BYTES], "little", signed=True)


def _sync_file(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(file)
    finally:
        os.close(file)


def _refuse_taken_away(file: int, size_bytes: int) -> None:
    """Raise OSError where somebody removed or cut a file: what is written to it is lost."""
    found = os.fstat(file)
    if not found.st_nlink:
        raise FileNotFoundError(errno.ENOENT, "it was removed")
    if found.st_size < size_bytes:
        raise OSError(errno.EIO, f"it was cut to {found.st_size} bytes")


class SourceWriter:
    """Appends the records of one ring to its segments. One thread appends, one may sync."""

    def __init__(
        self,
        directory: Path,
        session_id: str,
        source: str,
        record_bytes: int,
        *,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        """Cut a torn tail and continue behind the last whole frame, in a segment of our own.

        Raises:
            JournalCorruptError: an earlier segment is damaged in its middle.
            JournalError: the source was closed already, or the directory cannot be used.
        """
        try:
            directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
            self.cut_bytes = cut_torn_tail(directory, source)
            end = chain_end(directory, session_id, source)
            if end.segment_index >= 0:
                _sync_file(segment_path(directory, source, end.segment_index))
        except OSError as error:
            message = f"the journal directory {directory} cannot be used: {error.strerror}"
            raise JournalError(message) from error
        if end.is_closed:
            message = f"{source} of session {session_id} was closed; nothing may follow its end"
            raise JournalError(message)
        self.source = source
        self.last_slot_sequence = end.last_slot_sequence  # of what earlier writers left
        self.next_sequence = end.next_sequence
        self.synced_sequence = end.next_sequence  # every record below is on the disk
        self.written_bytes = 0
        self._directory = directory
        self._session_id = session_id
        self._record_bytes = record_bytes
        self._segment_bytes = segment_bytes
        self._segment_index = end.segment_index
        self._digest = end.digest
        self._listed_index = end.segment_index
        self._retired: deque[int] = deque()  # files whose last byte was written
        self._file = -1
        self._offset = 0

    @property
    def digest(self) -> bytes:
        """Return the digest of the last frame: with it, that of everything before."""
        return self._digest

    def append(self, first_sequence: int, *parts: bytes | memoryview) -> None:
        """Append whole records, given as at most two pieces of memory, as one frame.

        Args:
            first_sequence: ring sequence of the first record; not below `next_sequence`. Above
                it, a LOST frame says first how many records are missing.
            parts: bytes of records; borrowed for the length of this call only.

        Raises:
            JournalWriteError: nothing of this frame remains; the same call may be repeated.
        """
        payload = tuple(part for part in parts if len(part))
        record_count, rest = divmod(sum(map(len, payload)), self._record_bytes)
        assert rest == 0, (self.source, rest)
        assert first_sequence >= self.next_sequence, (first_sequence, self.next_sequence)
        if first_sequence > self.next_sequence:
            self.append_lost(first_sequence - self.next_sequence)
        if record_count:
            self._append_frame(FrameKind.RECORDS, record_count, payload)

    def append_lost(self, record_count: int) -> None:
        """Write down that the next records will never be here."""
        assert record_count > 0, record_count
        self._append_frame(FrameKind.LOST, record_count, ())

    def append_apart(self, record_count: int) -> None:
        """Write down that the next records are drain marks, which are not in this source."""
        assert record_count > 0, record_count
        self._append_frame(FrameKind.APART, record_count, ())

    def sync(self) -> bool:
        """Put what was appended on the disk; True when something was not there yet.

        One other thread than the appending one may call this at any time: only this method and
        `close` close files, so the one it syncs stays open.
        """
        sequence = self.next_sequence
        if sequence == self.synced_sequence and not self._retired:
            return False
        # The order matters: a file retired after `file` was read is found in the second step.
        file, index = self._file, self._segment_index
        offset = self._offset  # of this file or of a later one, which is shorter
        try:
            if file >= 0:
                os.fdatasync(file)
                _refuse_taken_away(file, offset)
            self._sync_retired()
            if index > self._listed_index:
                self._sync_directory()
                self._listed_index = index
        except OSError as error:
            raise self._write_error("sync", error) from error
        self.synced_sequence = max(self.synced_sequence, sequence)
        return True

    def close(self, *, is_end: bool) -> None:
        """Sync and close the open segment; `is_end` says that the session ended in order."""
        if is_end:
            self._append_frame(FrameKind.END, 0, ())
        self._retire_file()
        self.sync()

    def _append_frame(
        self, kind: FrameKind, record_count: int, payload: tuple[bytes | memoryview, ...]
    ) -> None:
        if self._file < 0 or self._offset >= self._segment_bytes:
            self._roll()
        header, digest = frames.encode_frame_header(
            kind,
            self.next_sequence,
            record_count,
            time.time_ns(),
            previous_digest=self._digest,
            payload=payload,
        )
        self._write(header, *payload)
        self._digest = digest
        self.next_sequence += record_count

    def _roll(self) -> None:
        self._retire_file()
        index = self._segment_index + 1
        path = segment_path(self._directory, self.source, index)
        header = frames.encode_segment_header(
            SegmentHeader(
                record_bytes=self._record_bytes,
                segment_index=index,
                first_sequence=self.next_sequence,
                created_realtime_ns=time.time_ns(),
                previous_digest=self._digest,
                source=self.source,
                session_id=self._session_id,
            )
        )
        self._offset = 0  # before there is a file: who syncs must not ask it for what the last had
        try:
            path.unlink(missing_ok=True)  # what a refused first write of this roll left
            self._file = os.open(path, _OPEN_FLAGS, _FILE_MODE)
        except OSError as error:
            raise self._write_error("open", error) from error
        try:
            self._write(header)
        except JournalWriteError:
            self._retire_file()
            raise
        self._segment_index = index
        self._digest = frames.header_digest(header)

    def _write(self, *parts: bytes | memoryview) -> None:
        wanted = sum(map(len, parts))
        try:
            written = os.writev(self._file, parts)
        except OSError as error:
            self._take_back()
            raise self._write_error("append", error) from error
        if written != wanted:  # the disk took only the front of it
            self._take_back()
            raise self._write_error("append", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        self._offset += wanted
        self.written_bytes += wanted

    def _take_back(self) -> None:
        # The front of a refused frame would read as damage once a whole one follows it. When it
        # cannot be cut it must stay the end of its file: the next append starts another segment.
        try:
            os.ftruncate(self._file, self._offset)
        except OSError:
            self._retire_file()

    def _retire_file(self) -> None:
        if self._file >= 0:
            self._retired.append(self._file)
            self._file = -1

    def _sync_retired(self) -> None:
        while self._retired:
            file = self._retired[0]
            os.fdatasync(file)
            os.close(file)
            self._retired.popleft()

    def _sync_directory(self) -> None:
        # Without this a host that loses power may forget that the file exists.
        file = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(file)
        finally:
            os.close(file)

    def _write_error(self, action: str, error: OSError) -> JournalWriteError:
        place = segment_path(self._directory, self.source, max(self._segment_index, 0))
        return JournalWriteError(f"cannot {action} {place}: {error.strerror}")
