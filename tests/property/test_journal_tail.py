"""A journal cut at any byte opens, keeps every whole frame, and goes on."""

import os
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.store import frames
from engine.store.journal import SOURCE_MARKET, segment_paths
from engine.store.reader import read_records
from engine.store.verify import verify_source
from tests.store_builders import SESSION, as_bytes, market_records, open_market, write_market


def frame_ends(raw: bytes) -> list[tuple[int, int]]:
    """Return (byte behind, records up to there) of every frame."""
    ends, records = [], 0
    for frame in frames.scan_frames(memoryview(raw)):
        records += frame.record_count
        ends.append((frame.end, records))
    return ends


def test_a_tail_torn_at_every_byte_keeps_every_whole_frame(tmp_path: Path) -> None:
    directory = tmp_path / SESSION
    write_market(directory, [1, 2, 3])
    path = segment_paths(directory, SOURCE_MARKET)[0]
    whole = path.read_bytes()
    ends = frame_ends(whole)
    for length in range(len(whole) + 1):
        for stale in segment_paths(directory, SOURCE_MARKET):
            stale.unlink()
        path.write_bytes(whole[:length])
        kept = max((records for end, records in ends if end <= length), default=0)

        assert len(read_records(directory, SOURCE_MARKET)) == kept, length
        writer = open_market(directory)
        assert writer.next_sequence == kept, length
        writer.append(kept, as_bytes(market_records(2, kept)))
        writer.close(is_end=True)

        assert np.array_equal(read_records(directory, SOURCE_MARKET), market_records(kept + 2))
        report = verify_source(directory, SESSION, SOURCE_MARKET)
        assert report.problems == (), (length, report.problems)
        assert report.torn_bytes == 0, length


@settings(max_examples=60)
@given(
    counts=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    segment_bytes=st.sampled_from([256, 700, 4096]),
    cut=st.integers(0, 2000),
    garbage=st.binary(max_size=40),
)
def test_a_torn_last_segment_with_garbage_keeps_a_prefix(
    counts: list[int], segment_bytes: int, cut: int, garbage: bytes
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / SESSION
        total = write_market(directory, counts, segment_bytes=segment_bytes)
        path = segment_paths(directory, SOURCE_MARKET)[-1]
        os.truncate(path, max(0, path.stat().st_size - cut))
        with path.open("ab") as file:
            file.write(garbage)

        writer = open_market(directory, segment_bytes=segment_bytes)
        kept = writer.next_sequence
        writer.append(kept, as_bytes(market_records(1, kept)))
        writer.close(is_end=False)

        assert kept <= total
        assert np.array_equal(read_records(directory, SOURCE_MARKET), market_records(kept + 1))
        assert verify_source(directory, SESSION, SOURCE_MARKET).problems == ()


@given(raw=st.binary(max_size=400))
def test_no_bytes_make_the_scanner_raise(raw: bytes) -> None:
    assert list(frames.scan_frames(memoryview(raw), 0)) == []
    assert frames.decode_segment_header(raw) is None


@given(
    payload=st.binary(max_size=200),
    first_sequence=st.integers(0, 2**62),
    count=st.integers(0, 2**31),
    previous=st.binary(min_size=frames.DIGEST_BYTES, max_size=frames.DIGEST_BYTES),
)
def test_a_frame_round_trips(
    payload: bytes, first_sequence: int, count: int, previous: bytes
) -> None:
    header, digest = frames.encode_frame_header(
        frames.FrameKind.RECORDS,
        first_sequence,
        count,
        17,
        previous_digest=previous,
        payload=(payload,),
    )

    frame = frames.decode_frame(memoryview(header + payload), 0)

    assert frame is not None
    assert (frame.first_sequence, frame.record_count) == (first_sequence, count)
    assert bytes(frame.payload) == payload
    assert frame.digest == digest
    assert frames.frame_digest(previous, frame.head, frame.payload) == digest
