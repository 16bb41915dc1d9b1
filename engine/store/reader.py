"""The reading side of a journal: follow a source that may still be written, or check a session.

Nothing here changes a file. A frame that is not whole is either still being written or the torn
tail of a writer that died; both mean "the records end here". Damage with whole frames behind it
is neither, and is refused by name.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.domain.records import EVENT_DTYPE, MARKET_DTYPE, VECTOR_DTYPE
from engine.store import frames
from engine.store.errors import JournalCorruptError, JournalError
from engine.store.frames import Frame, FrameKind
from engine.store.journal import (
    SOURCE_FEATURES,
    SOURCE_MARKET,
    segment_index,
    segment_path,
    segment_paths,
)

# One read always holds a whole frame, the segment's first one included.
CHUNK_BYTES: Final = (
    frames.SEGMENT_HEADER_BYTES + frames.FRAME_HEADER_BYTES + frames.FRAME_PAYLOAD_BYTES_MAX
)
_JOINED: Final = frozenset({FrameKind.RECORDS, FrameKind.APART})

Place = tuple[int, Path | None, int, int]


class Batch(NamedTuple):
    """Records in a row, or what stands in their place, which `record_count` counts.

    Drain marks that are kept apart leave a gap in the sequences of the records of one batch: what a
    record's own is, its slot word says.
    """

    kind: FrameKind
    first_sequence: int
    record_count: int
    records: NDArray[np.void]


def source_dtype(source: str) -> np.dtype[np.void]:
    """Return the record type of a source."""
    own = {SOURCE_MARKET: MARKET_DTYPE, SOURCE_FEATURES: VECTOR_DTYPE}
    return own.get(source, EVENT_DTYPE)


class SourceReader:
    """Reads one source from a sequence on, as far as it is written; call `poll` again for more."""

    def __init__(self, directory: Path, source: str, first_sequence: int = 0) -> None:
        """Start at the segment that holds `first_sequence`; nothing is opened yet."""
        self.source = source
        self.next_sequence = first_sequence
        self._directory = directory
        self._dtype = source_dtype(source)
        self._path: Path | None = None
        self._offset = 0
        self._expected = 0  # the sequence behind the last frame that was read

    def poll(self, chunk_bytes: int = CHUNK_BYTES) -> list[Batch]:
        """Return the next batches, at most about `chunk_bytes` of them; empty: nothing yet.

        Raises:
            JournalCorruptError: damage with whole frames behind it.
            JournalError: a segment that should be next is not there.
        """
        assert chunk_bytes >= CHUNK_BYTES, chunk_bytes
        while True:
            if self._path is None and not self._open_first():
                return []
            # The order matters: the next segment is made after this one's last byte, so one that
            # exists before the read means that the read saw everything.
            following = self._following()
            before = self._offset
            batches = self._read(chunk_bytes)
            if batches:
                return batches
            if self._offset > before:
                continue  # what was read was known already; more may lie behind it
            if following is None:
                return []
            self._path, self._offset = following, 0

    def mark(self) -> Place:
        """Return where this reader stands, for `reset`."""
        return (self.next_sequence, self._path, self._offset, self._expected)

    def reset(self, place: Place) -> None:
        """Go back to a place, so that the batches read since come again."""
        self.next_sequence, self._path, self._offset, self._expected = place

    def _open_first(self) -> bool:
        candidates = [
            (header.first_sequence, path)
            for path in segment_paths(self._directory, self.source)
            if (header := segment_header(path)) is not None
        ]
        if not candidates:
            return False
        older = [path for first, path in candidates if first <= self.next_sequence]
        if not older:
            message = (
                f"{self._directory.name}: {self.source} begins at record {candidates[0][0]}; "
                f"record {self.next_sequence} was removed to keep the journal inside its bound"
            )
            raise JournalError(message)
        self._path = older[-1]
        return True

    def _following(self) -> Path | None:
        assert self._path is not None
        number = segment_index(self._path) + 1
        path = segment_path(self._directory, self.source, number)
        return path if path.exists() and segment_header(path) is not None else None

    def _read(self, chunk_bytes: int) -> list[Batch]:
        assert self._path is not None
        try:
            with self._path.open("rb", buffering=0) as file:
                raw = os.pread(file.fileno(), chunk_bytes, self._offset)
        except OSError as error:
            raise JournalError(f"cannot read {self._path}: {error.strerror}") from error
        buffer, first = memoryview(raw), 0
        if self._offset == 0:
            if frames.decode_segment_header(buffer) is None:
                return []
            first = frames.SEGMENT_HEADER_BYTES
        end = first
        runs: list[list[Frame]] = []
        for frame in frames.scan_frames(buffer, first):
            end = frame.end
            self._check(frame)
            if runs and runs[-1][0].kind is FrameKind.RECORDS and frame.kind in _JOINED:
                runs[-1].append(frame)
            else:
                runs.append([frame])
        if end == first and end < len(buffer):
            self._refuse_damage(buffer, end)
        self._offset += end
        return [batch for run in runs for batch in self._join(run)]

    def _check(self, frame: Frame) -> None:
        expected = max(self.next_sequence, self._expected)
        if frame.first_sequence > expected:
            message = f"{self._path}: record {frame.first_sequence} follows record {expected - 1}"
            raise JournalCorruptError(message)
        self._expected = frame.first_sequence + frame.record_count

    def _join(self, run: list[Frame]) -> Iterator[Batch]:
        # Small frames are many, with marks between them; whoever reads them wants few arrays.
        known = self.next_sequence
        behind = run[-1].first_sequence + run[-1].record_count
        if behind <= known and run[0].kind is not FrameKind.END:
            return
        self.next_sequence = max(known, behind)
        if run[0].kind is not FrameKind.RECORDS:
            first = max(run[0].first_sequence, known)
            yield Batch(run[0].kind, first, behind - first, np.zeros(0, self._dtype))
            return
        new = [
            frame
            for frame in run
            if frame.kind is FrameKind.RECORDS and frame.first_sequence + frame.record_count > known
        ]
        if not new:
            return
        first = max(new[0].first_sequence, known)
        payload = new[0].payload if len(new) == 1 else b"".join(frame.payload for frame in new)
        records = np.frombuffer(payload, dtype=self._dtype)[first - new[0].first_sequence :]
        yield Batch(FrameKind.RECORDS, first, len(records), records)

    def _refuse_damage(self, buffer: memoryview, offset: int) -> None:
        behind = frames.find_frame_after(buffer, offset)
        if behind is not None:
            message = f"{self._path}: damaged at byte {self._offset + offset}"
            raise JournalCorruptError(message)


class PieceReader:
    """Gives what a source holds in pieces of bounded length, to a thread that must be back soon.

    It keeps at most what the reader returned at once.
    """

    def __init__(self, reader: SourceReader) -> None:
        """Go on where `reader` stands; nobody else may ask it from here on."""
        self._reader = reader
        self._left: deque[Batch] = deque()

    def take(self, records_max: int) -> list[Batch]:
        """Return the next batches with at most so many records; empty: nothing yet.

        Raises:
            JournalError: as `SourceReader.poll`.
        """
        assert records_max > 0, records_max
        if not self._left:
            self._left.extend(self._reader.poll())
        taken: list[Batch] = []
        while self._left and records_max > 0:
            batch = self._left.popleft()
            if len(batch.records) > records_max:
                kept, rest = batch.records[:records_max], batch.records[records_max:]
                self._left.appendleft(_of_records(rest))
                batch = _of_records(kept)
            taken.append(batch)
            records_max -= max(len(batch.records), 1)  # what says that none are there is read too
        return taken


def _of_records(records: NDArray[np.void]) -> Batch:
    return Batch(FrameKind.RECORDS, int(records["sequence"][0]) - 1, len(records), records)


def read_batches(directory: Path, source: str, first_sequence: int = 0) -> Iterator[Batch]:
    """Yield every batch of a source that is written now."""
    reader = SourceReader(directory, source, first_sequence)
    while batches := reader.poll():
        yield from batches


def first_kept(directory: Path, source: str) -> int:
    """Return the first sequence of a source that retention has left; 0: nothing was written."""
    headers = map(segment_header, segment_paths(directory, source))
    return next((header.first_sequence for header in headers if header is not None), 0)


def read_records(directory: Path, source: str) -> NDArray[np.void]:
    """Return every record of a source as one array, in sequence order."""
    parts = [batch.records for batch in read_batches(directory, source)]
    return join_records(parts, source_dtype(source))


def join_records(parts: Iterable[NDArray[np.void]], dtype: np.dtype[np.void]) -> NDArray[np.void]:
    """Return records one after the other, byte by byte.

    WHY: numpy's own concatenation finds a common type for record types whose fields overlap, and
    that one is wider: every field gets bytes of its own.
    """
    joined = bytearray()
    for part in parts:
        assert part.dtype == dtype, f"repacked or other records: {part.dtype}"
        joined += part.tobytes()
    return np.frombuffer(joined, dtype=dtype)


def segment_header(path: Path) -> frames.SegmentHeader | None:
    """Return what a segment says of itself; None: it is gone, or has no whole header yet."""
    try:
        with path.open("rb") as file:
            return frames.decode_segment_header(file.read(frames.SEGMENT_HEADER_BYTES))
    except FileNotFoundError:
        return None
