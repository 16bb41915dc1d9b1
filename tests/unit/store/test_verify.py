"""Verification finds every change of a closed journal and does not blame a killed writer."""

import os
from pathlib import Path

import numpy as np
import pytest

from engine.domain.records import EVENT_DTYPE
from engine.store import frames
from engine.store.errors import SessionError
from engine.store.journal import (
    SOURCE_EVENTS_BRAIN,
    SOURCE_MARKET,
    SOURCE_MARKS,
    SourceWriter,
    chain_end,
    segment_paths,
)
from engine.store.session import SourceSeal, write_document
from engine.store.verify import verify_session, verify_source
from tests.store_builders import (
    SESSION,
    as_bytes,
    event_records,
    market_records,
    open_events,
    open_market,
    session_document,
    write_market,
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / SESSION


def last_segment(directory: Path) -> Path:
    return segment_paths(directory, SOURCE_MARKET)[-1]


def test_what_was_written_verifies(directory: Path) -> None:
    writer = open_market(directory, segment_bytes=2048)
    for first in range(0, 100, 10):
        writer.append(first, as_bytes(market_records(10, first)))
    writer.append(120, as_bytes(market_records(1, 120)))
    writer.close(is_end=True)
    events = open_events(directory)
    events.append(0, as_bytes(event_records({}, {})))
    events.close(is_end=True)
    write_document(directory, session_document())

    report = verify_session(directory)

    assert report.is_intact, report.problems
    market = next(source for source in report.sources if source.source == SOURCE_MARKET)
    assert (market.record_count, market.lost_count, market.is_closed) == (101, 20, True)


def test_every_flipped_byte_is_found(directory: Path) -> None:
    write_market(directory, [2, 2])
    path = last_segment(directory)
    whole = path.read_bytes()
    # The last frame's damage alone looks like a torn tail: its records are missing, said by count.
    for place in range(0, len(whole), 7):
        raw = bytearray(whole)
        raw[place] ^= 0x40
        path.write_bytes(raw)
        report = verify_source(directory, SESSION, SOURCE_MARKET)
        assert report.problems or report.torn_bytes, place
        assert report.record_count < 4, place


def test_a_rewritten_frame_with_a_right_checksum_breaks_the_chain(directory: Path) -> None:
    write_market(directory, [2, 2, 2])
    path = last_segment(directory)
    raw = path.read_bytes()
    first = next(iter(frames.scan_frames(memoryview(raw))))
    forged = bytes(market_records(2, 50).tobytes())
    header, _ = frames.encode_frame_header(
        first.kind,
        0,
        2,
        first.written_realtime_ns,
        previous_digest=bytes(frames.DIGEST_BYTES),
        payload=(forged,),
    )
    path.write_bytes(raw[: first.offset] + header + forged + raw[first.end :])

    report = verify_source(directory, SESSION, SOURCE_MARKET)

    assert any("chain breaks" in problem for problem in report.problems)


def test_a_torn_tail_is_reported_and_not_blamed(directory: Path) -> None:
    write_market(directory, [2, 2])
    path = last_segment(directory)
    os.truncate(path, path.stat().st_size - 5)

    report = verify_source(directory, SESSION, SOURCE_MARKET)

    assert report.problems == ()
    assert report.torn_bytes == frames.FRAME_HEADER_BYTES + 2 * 64 - 5
    assert report.record_count == 2


def test_removed_market_segments_are_told_and_not_blamed(directory: Path) -> None:
    write_market(directory, [10] * 10, segment_bytes=1024)
    segment_paths(directory, SOURCE_MARKET)[0].unlink()

    report = verify_source(directory, SESSION, SOURCE_MARKET)

    assert report.removed_segment_count == 1
    assert report.problems == ()


def test_a_removed_event_segment_is_a_problem(directory: Path) -> None:
    writer = open_events(directory, segment_bytes=256)
    for first in range(4):
        writer.append(first, as_bytes(event_records({}, first_sequence=first)))
    writer.close(is_end=False)
    segment_paths(directory, SOURCE_EVENTS_BRAIN)[0].unlink()

    report = verify_source(directory, SESSION, SOURCE_EVENTS_BRAIN)

    assert report.problems == ("events-brain: segments 0..0 are missing",)


def test_a_segment_missing_in_the_middle_is_a_problem(directory: Path) -> None:
    write_market(directory, [10] * 10, segment_bytes=1024)
    segment_paths(directory, SOURCE_MARKET)[1].unlink()

    report = verify_source(directory, SESSION, SOURCE_MARKET)

    assert any("segment 1 is missing" in problem for problem in report.problems)
    assert any("does not continue" in problem for problem in report.problems)


def test_segments_exchanged_between_sessions_are_a_problem(tmp_path: Path) -> None:
    ours, theirs = tmp_path / SESSION, tmp_path / "another"
    write_market(ours, [3])
    write_market(theirs, [3])
    last_segment(theirs).replace(last_segment(ours))

    report = verify_source(ours, SESSION, SOURCE_MARKET)

    assert any("another segment" in problem for problem in report.problems)


def test_bytes_behind_the_end_are_a_problem(directory: Path) -> None:
    writer = open_market(directory)
    writer.append(0, as_bytes(market_records(1)))
    writer.close(is_end=True)
    with last_segment(directory).open("ab") as file:
        file.write(b"\0" * 10)

    report = verify_source(directory, SESSION, SOURCE_MARKET)

    assert any("follow the end" in problem for problem in report.problems)


def seal(directory: Path) -> None:
    """Write the document of a session closed in order."""
    end = chain_end(directory, SESSION, SOURCE_MARKET)
    ended = SourceSeal(next_sequence=end.next_sequence, digest=end.digest.hex())
    write_document(directory, session_document(seals={SOURCE_MARKET: ended}))


def test_an_end_cut_off_between_two_frames_breaks_the_seal(directory: Path) -> None:
    writer = open_market(directory)
    for first in range(3):
        writer.append(first, as_bytes(market_records(1, first)))
    writer.close(is_end=True)
    seal(directory)
    assert verify_session(directory).is_intact
    raw = last_segment(directory).read_bytes()
    ends = [frame.end for frame in frames.scan_frames(memoryview(raw))]
    os.truncate(last_segment(directory), ends[1])

    report = verify_session(directory)

    assert report.problems == ("market: sealed at record 3 with another digest than its last",)
    assert report.sources[0].torn_bytes == 0


def test_a_sealed_source_that_is_gone_is_a_problem(directory: Path) -> None:
    write_market(directory, [2])
    seal(directory)
    last_segment(directory).unlink()

    assert not verify_session(directory).is_intact


@pytest.mark.parametrize(("first_slot", "is_intact"), [(0, True), (3, False)])
def test_marks_tell_of_records_that_are_gone(
    directory: Path, first_slot: int, *, is_intact: bool
) -> None:
    marks = event_records({}, {})
    marks["sequence"] = np.arange(2) + first_slot + 1  # the ring's own words
    writer = SourceWriter(directory, SESSION, SOURCE_MARKS, EVENT_DTYPE.itemsize)
    writer.append(0, as_bytes(marks))
    writer.close(is_end=False)
    write_document(directory, session_document())
    report = verify_session(directory)
    assert report.is_intact is is_intact
    if not is_intact:
        assert "events-brain: every segment is missing" in report.problems[0]


def test_a_session_without_a_document_is_refused(directory: Path) -> None:
    write_market(directory, [2])

    with pytest.raises(SessionError):
        verify_session(directory)
