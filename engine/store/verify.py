"""Check a session's journal byte by byte: CRC, chain of digests, sequences, order of segments.

A torn tail is reported, not blamed: a killed writer leaves one. Segments of market and marks that
retention removed are reported, not blamed. Everything else that does not fit is a problem, said in
one sentence with the file and the byte.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from engine.store import frames
from engine.store.frames import FrameKind
from engine.store.journal import (
    REPLAY_SOURCES,
    SOURCE_EVENTS_BRAIN,
    SOURCE_MARKS,
    SOURCES,
    chain_end,
    segment_index,
    segment_paths,
)
from engine.store.reader import source_dtype
from engine.store.session import SourceSeal, read_document


class SourceReport(NamedTuple):
    """What one source of a session holds."""

    source: str
    segment_count: int
    removed_segment_count: int
    frame_count: int
    record_count: int
    lost_count: int
    torn_bytes: int
    is_closed: bool
    last_digest: str
    problems: tuple[str, ...]


class SessionReport(NamedTuple):
    """What a session's journal holds, and whether it is what was written."""

    session_id: str
    sources: tuple[SourceReport, ...]

    @property
    def is_intact(self) -> bool:
        """True when no source has a problem."""
        return not any(source.problems for source in self.sources)

    @property
    def problems(self) -> tuple[str, ...]:
        """Every problem of every source."""
        return tuple(problem for source in self.sources for problem in source.problems)


class _Check:
    """State of one pass over the segments of one source."""

    def __init__(self, session_id: str, source: str) -> None:
        self.session_id = session_id
        self.source = source
        self.record_bytes = source_dtype(source).itemsize
        self.digest: bytes | None = frames.genesis_digest(session_id, source)
        self.sequence = 0
        self.frame_count = self.record_count = self.lost_count = self.torn_bytes = 0
        self.is_closed = False
        self.problems: list[str] = []

    def segment(self, path: Path, *, is_last: bool) -> None:
        """Walk one segment, oldest first."""
        buffer = memoryview(path.read_bytes())
        header = frames.decode_segment_header(buffer)
        if header is None:
            self._headless(path, buffer, is_last=is_last)
            return
        named = (header.source, header.session_id, header.segment_index, header.record_bytes)
        if named != (self.source, self.session_id, segment_index(path), self.record_bytes):
            self.problems.append(f"{path.name}: the header belongs to another segment: {named}")
        if self.digest is None:
            self.sequence = header.first_sequence  # the segments before were removed
        elif header.previous_digest != self.digest:
            self.problems.append(f"{path.name}: does not continue the segment before it")
        if header.first_sequence != self.sequence:
            self.problems.append(
                f"{path.name}: starts at record {header.first_sequence}, expected {self.sequence}"
            )
            self.sequence = header.first_sequence
        if self.is_closed:
            self.problems.append(f"{path.name}: follows the end of a closed source")
        self.digest = frames.header_digest(buffer)
        self._frames(path, buffer)

    def _headless(self, path: Path, buffer: memoryview, *, is_last: bool) -> None:
        if is_last and frames.find_frame_after(buffer, -1) is None:
            self.torn_bytes += len(buffer)
        else:
            self.problems.append(f"{path.name}: the segment header is damaged")

    def _frames(self, path: Path, buffer: memoryview) -> None:
        end = frames.SEGMENT_HEADER_BYTES
        for frame in frames.scan_frames(buffer):
            assert self.digest is not None
            if frames.frame_digest(self.digest, frame.head, frame.payload) != frame.digest:
                self.problems.append(
                    f"{path.name}: the chain breaks at byte {frame.offset} "
                    f"(record {frame.first_sequence})"
                )
            if frame.first_sequence != self.sequence:
                self.problems.append(
                    f"{path.name}: record {frame.first_sequence} at byte {frame.offset}, "
                    f"expected {self.sequence}"
                )
            self._count(path, frame)
            self.digest, end = frame.digest, frame.end
            self.sequence = frame.first_sequence + frame.record_count
        if end < len(buffer):
            self._behind(path, buffer, end)

    def _count(self, path: Path, frame: frames.Frame) -> None:
        self.frame_count += 1
        self.is_closed = frame.kind is FrameKind.END
        if frame.kind is FrameKind.LOST:
            self.lost_count += frame.record_count
        elif frame.kind is FrameKind.RECORDS:
            self.record_count += frame.record_count
            if len(frame.payload) != frame.record_count * self.record_bytes:
                self.problems.append(
                    f"{path.name}: {frame.record_count} records in {len(frame.payload)} bytes "
                    f"at byte {frame.offset}"
                )

    def _behind(self, path: Path, buffer: memoryview, end: int) -> None:
        behind = frames.find_frame_after(buffer, end)
        if behind is not None:
            self.problems.append(f"{path.name}: bytes {end}..{behind - 1} are damaged")
        elif self.is_closed:
            self.problems.append(f"{path.name}: bytes follow the end of a closed source")
        else:
            self.torn_bytes += len(buffer) - end


def verify_source(directory: Path, session_id: str, source: str) -> SourceReport:
    """Return what a source holds and every way in which it is not what was written."""
    paths = segment_paths(directory, source)
    check = _Check(session_id, source)
    removed = segment_index(paths[0]) if paths else 0
    if removed:
        check.digest = None
        if source not in REPLAY_SOURCES:
            check.problems.append(f"{source}: segments 0..{removed - 1} are missing")
    expected = removed
    for path in paths:
        if segment_index(path) != expected:
            check.problems.append(f"{source}: segment {expected} is missing")
        check.segment(path, is_last=path == paths[-1])
        expected = segment_index(path) + 1
    return SourceReport(
        source,
        len(paths),
        removed,
        check.frame_count,
        check.record_count,
        check.lost_count,
        check.torn_bytes,
        check.is_closed,
        "" if check.digest is None else check.digest.hex(),
        tuple(check.problems),
    )


def verify_session(directory: Path) -> SessionReport:
    """Check every source of the session in a directory; the directory's name is its id.

    A session that was closed in order has seals: where each source ended, so that an end that was
    cut off between two frames shows too.

    Raises:
        SessionError: the session's document is missing or damaged.
    """
    document = read_document(directory)
    marks = chain_end(directory, directory.name, SOURCE_MARKS)
    # One ring: where its marks are fewer than its records, others stood between them.
    due = {SOURCE_EVENTS_BRAIN} if marks.last_slot_sequence > marks.next_sequence else set()
    sources = tuple(
        _there(
            _sealed(verify_source(directory, directory.name, source), document.seals.get(source)),
            is_due=source in due,
        )
        for source in SOURCES
        if segment_paths(directory, source) or source in document.seals or source in due
    )
    return SessionReport(directory.name, sources)


def _there(report: SourceReport, *, is_due: bool) -> SourceReport:
    if report.segment_count or not is_due:
        return report
    problem = f"{report.source}: every segment is missing; {SOURCE_MARKS} tell of its records"
    return report._replace(problems=(*report.problems, problem))


def _sealed(report: SourceReport, seal: SourceSeal | None) -> SourceReport:
    if seal is None or report.last_digest == seal.digest:
        return report
    problem = (
        f"{report.source}: sealed at record {seal.next_sequence} with another digest than its last"
    )
    return report._replace(problems=(*report.problems, problem))
