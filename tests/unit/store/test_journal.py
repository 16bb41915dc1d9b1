"""A journal gives back what was appended, in order, whoever wrote it and however it ended."""

import os
import resource
import threading
from pathlib import Path

import numpy as np
import pytest

from engine.domain.records import EVENT_DTYPE, MARKET_DTYPE
from engine.store import frames
from engine.store.errors import JournalCorruptError, JournalError, JournalWriteError
from engine.store.frames import FrameKind
from engine.store.journal import (
    SOURCE_EVENTS_BRAIN,
    SOURCE_MARKET,
    SourceWriter,
    chain_end,
    segment_paths,
)
from engine.store.reader import (
    PieceReader,
    SourceReader,
    join_records,
    read_batches,
    read_records,
)
from tests.store_builders import (
    SESSION,
    as_bytes,
    event_records,
    market_records,
    open_events,
    open_market,
    write_market,
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / SESSION


def test_records_come_back_in_order_and_unchanged(directory: Path) -> None:
    write_market(directory, [1, 5, 300])

    found = read_records(directory, SOURCE_MARKET)
    assert found.dtype == MARKET_DTYPE
    assert found.tobytes() == market_records(306).tobytes()


def test_two_parts_of_a_wrapped_ring_become_one_frame(directory: Path) -> None:
    writer = open_market(directory)
    writer.append(0, as_bytes(market_records(3)), as_bytes(market_records(2, 3)))
    writer.close(is_end=False)

    batches = list(read_batches(directory, SOURCE_MARKET))

    assert [batch.record_count for batch in batches] == [5]
    assert np.array_equal(batches[0].records, market_records(5))


def test_an_empty_append_writes_no_frame(directory: Path) -> None:
    writer = open_market(directory)
    writer.append(0)
    writer.append(0, memoryview(b""))
    writer.close(is_end=False)

    assert segment_paths(directory, SOURCE_MARKET) == []


def test_a_jump_in_sequence_is_written_down_as_lost(directory: Path) -> None:
    writer = open_market(directory)
    writer.append(0, as_bytes(market_records(2)))
    writer.append(7, as_bytes(market_records(1, 7)))
    writer.close(is_end=False)

    batches = list(read_batches(directory, SOURCE_MARKET))
    kinds = [(b.kind, b.first_sequence, b.record_count) for b in batches]

    assert kinds == [(FrameKind.RECORDS, 0, 2), (FrameKind.LOST, 2, 5), (FrameKind.RECORDS, 7, 1)]
    assert [len(batch.records) for batch in batches] == [2, 0, 1]


def marked_events(directory: Path, count: int) -> None:
    """Write events in frames of one to three, and before each frame drain marks kept apart."""
    writer = open_events(directory)
    for place in range(count):
        writer.append_apart(1 + place % 2)
        rows = event_records(*[{"request_id": place}] * (1 + place % 3))
        rows["sequence"] += writer.next_sequence
        writer.append(writer.next_sequence, as_bytes(rows))
    writer.close(is_end=True)


def test_marks_that_are_kept_apart_cut_no_array(directory: Path) -> None:
    marked_events(directory, 30)
    batches = [each for each in read_batches(directory, SOURCE_EVENTS_BRAIN) if len(each.records)]
    assert [len(each.records) for each in batches] == [60]
    words = batches[0].records["sequence"]
    assert batches[0].first_sequence == words[0] - 1 == 1
    assert batches[0].records["request_id"].tolist() == [
        p for p in range(30) for _ in range(1 + p % 3)
    ]
    for first in range(105):
        parts = [each.records for each in read_batches(directory, SOURCE_EVENTS_BRAIN, first)]
        found = join_records(parts, EVENT_DTYPE)["sequence"].tolist()
        assert found == [word for word in words.tolist() if word > first], first


@pytest.mark.parametrize("records_max", [1, 2, 7, 1_000])
def test_pieces_are_the_whole_in_bounded_parts(directory: Path, records_max: int) -> None:
    marked_events(directory, 30)
    reader = PieceReader(SourceReader(directory, SOURCE_EVENTS_BRAIN))
    pieces = []
    while piece := reader.take(records_max):
        assert sum(len(batch.records) for batch in piece) <= records_max
        pieces += piece
    found = join_records([batch.records for batch in pieces], EVENT_DTYPE)
    assert found.tobytes() == read_records(directory, SOURCE_EVENTS_BRAIN).tobytes()
    for batch in pieces:
        if len(batch.records):
            assert batch.first_sequence == batch.records["sequence"][0] - 1
            assert batch.record_count == len(batch.records)
    assert pieces[-1].kind is FrameKind.END


def test_a_sequence_below_the_next_is_a_programmer_error(directory: Path) -> None:
    writer = open_market(directory)
    writer.append(0, as_bytes(market_records(2)))
    with pytest.raises(AssertionError):
        writer.append(1, as_bytes(market_records(1, 1)))
    writer.close(is_end=False)


def test_half_a_record_is_a_programmer_error(directory: Path) -> None:
    writer = open_market(directory)
    with pytest.raises(AssertionError):
        writer.append(0, memoryview(bytes(100)))
    writer.close(is_end=False)


def test_segments_roll_and_read_as_one(directory: Path) -> None:
    write_market(directory, [10] * 40, segment_bytes=4096)

    assert len(segment_paths(directory, SOURCE_MARKET)) > 3
    assert np.array_equal(read_records(directory, SOURCE_MARKET), market_records(400))


def test_a_second_writer_continues_behind_the_first(directory: Path) -> None:
    write_market(directory, [4])
    write_market(directory, [6])

    assert np.array_equal(read_records(directory, SOURCE_MARKET), market_records(10))
    assert len(segment_paths(directory, SOURCE_MARKET)) == 2


def test_reading_from_the_middle_of_a_frame_gives_the_rest_of_it(directory: Path) -> None:
    write_market(directory, [10, 10])

    batches = list(read_batches(directory, SOURCE_MARKET, first_sequence=7))

    assert [(b.first_sequence, b.record_count) for b in batches] == [(7, 13)]
    found = join_records([batch.records for batch in batches], MARKET_DTYPE)
    assert found.tobytes() == market_records(13, 7).tobytes()


def test_a_place_deep_inside_a_long_segment_is_found(directory: Path) -> None:
    total = write_market(directory, [1_000] * 150, segment_bytes=1 << 26)
    assert len(segment_paths(directory, SOURCE_MARKET)) == 1

    batches = list(read_batches(directory, SOURCE_MARKET, first_sequence=total - 7))

    assert [(b.first_sequence, b.record_count) for b in batches] == [(total - 7, 7)]


def test_a_place_behind_long_segments_is_found(directory: Path) -> None:
    total = write_market(directory, [1_000] * 250, segment_bytes=6 << 20)
    assert len(segment_paths(directory, SOURCE_MARKET)) > 2
    for first in (60_000, 90_000, total - 1):
        batches = list(read_batches(directory, SOURCE_MARKET, first_sequence=first))
        assert batches[0].first_sequence == first
        assert sum(batch.record_count for batch in batches) == total - first


def test_small_frames_come_as_few_arrays(directory: Path) -> None:
    write_market(directory, [3] * 500)

    assert len(list(read_batches(directory, SOURCE_MARKET))) == 1


def test_a_follower_sees_records_as_they_are_written(directory: Path) -> None:
    reader = SourceReader(directory, SOURCE_MARKET)
    assert reader.poll() == []
    writer = open_market(directory, segment_bytes=1024)
    seen = 0
    for _ in range(30):
        writer.append(writer.next_sequence, as_bytes(market_records(7, writer.next_sequence)))
        for batch in reader.poll():
            assert batch.first_sequence == seen
            seen += batch.record_count
    while batches := reader.poll():
        seen += sum(batch.record_count for batch in batches)
    writer.close(is_end=False)

    assert seen == 210


def test_a_follower_in_another_thread_reads_everything_once(directory: Path) -> None:
    collected: list[int] = []
    total = 3_000

    def follow() -> None:
        reader = SourceReader(directory, SOURCE_MARKET)
        while reader.next_sequence < total:
            for batch in reader.poll():
                collected.extend(batch.records["sequence"].tolist())

    thread = threading.Thread(target=follow)
    thread.start()
    writer = open_market(directory, segment_bytes=8192)
    for first in range(0, total, 3):
        writer.append(first, as_bytes(market_records(3, first)))
    thread.join(timeout=60)
    writer.close(is_end=True)

    assert collected == list(range(1, total + 1))


def test_a_closed_source_takes_nothing_more(directory: Path) -> None:
    writer = open_market(directory)
    writer.append(0, as_bytes(market_records(1)))
    writer.close(is_end=True)

    with pytest.raises(JournalError, match="closed"):
        open_market(directory)


def test_sync_says_what_is_on_the_disk(directory: Path) -> None:
    writer = open_market(directory, segment_bytes=1024)
    assert not writer.sync()
    writer.append(0, as_bytes(market_records(40)))
    writer.append(40, as_bytes(market_records(2, 40)))
    assert writer.synced_sequence == 0

    assert writer.sync()
    assert writer.synced_sequence == 42
    assert not writer.sync()
    writer.close(is_end=False)


def test_a_writer_knows_the_digest_that_its_files_end_with(directory: Path) -> None:
    """Who seals a session must not read all of it again: that took longer than a stop may."""

    def on_disk() -> bytes:
        return chain_end(directory, SESSION, SOURCE_MARKET).digest

    writer = open_market(directory, segment_bytes=512)
    assert writer.digest == on_disk()
    for first in range(0, 40, 4):
        writer.append(first, as_bytes(market_records(4, first)))
        assert writer.digest == on_disk()
    writer.close(is_end=False)
    writer = open_market(directory)
    writer.append_lost(3)
    writer.close(is_end=True)
    assert writer.digest == on_disk()


def test_a_file_that_is_taken_away_while_it_is_written_refuses(directory: Path) -> None:
    writer = open_market(directory)
    writer.append(0, as_bytes(market_records(4)))
    assert writer.sync()
    (path,) = segment_paths(directory, SOURCE_MARKET)
    os.truncate(path, 100)
    writer.append(4, as_bytes(market_records(1, 4)))
    with pytest.raises(JournalWriteError, match=r"cannot sync .*it was cut to"):
        writer.sync()
    path.unlink()
    with pytest.raises(JournalWriteError, match=r"cannot sync .*it was removed"):
        writer.sync()
    assert writer.synced_sequence == 4


def test_syncing_beside_a_rolling_writer_keeps_every_file_usable(directory: Path) -> None:
    writer = open_market(directory, segment_bytes=512)
    done = threading.Event()
    failures: list[BaseException] = []

    def sync_on() -> None:
        try:
            while not done.is_set():
                writer.sync()
        except JournalWriteError as error:
            failures.append(error)

    thread = threading.Thread(target=sync_on)
    thread.start()
    for first in range(400):
        writer.append(first, as_bytes(market_records(1, first)))
    done.set()
    thread.join(timeout=60)
    writer.close(is_end=True)

    assert failures == []
    assert writer.synced_sequence == 400
    assert len(read_records(directory, SOURCE_MARKET)) == 400


def test_a_refused_write_leaves_whole_frames_and_may_be_repeated(directory: Path) -> None:
    writer = open_market(directory)
    writer.append(0, as_bytes(market_records(10)))
    path = segment_paths(directory, SOURCE_MARKET)[0]
    size = path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, hard))
    try:
        with pytest.raises(JournalWriteError, match="cannot append"):
            writer.append(10, as_bytes(market_records(10, 10)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.stat().st_size == size

    writer.append(10, as_bytes(market_records(10, 10)))
    writer.close(is_end=False)
    assert np.array_equal(read_records(directory, SOURCE_MARKET), market_records(20))


def test_a_directory_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot be used"):
        SourceWriter(tmp_path / "file" / "session", "session", SOURCE_MARKET, 64)


def test_damage_in_the_middle_is_refused_and_not_cut(directory: Path) -> None:
    write_market(directory, [10, 10, 10])
    path = segment_paths(directory, SOURCE_MARKET)[0]
    raw = bytearray(path.read_bytes())
    raw[frames.SEGMENT_HEADER_BYTES + 2 * frames.FRAME_HEADER_BYTES + 700] ^= 1
    path.write_bytes(raw)

    with pytest.raises(JournalCorruptError, match="damaged"):
        list(read_batches(directory, SOURCE_MARKET))
    with pytest.raises(JournalCorruptError, match="nothing was cut"):
        open_market(directory)
    assert path.read_bytes() == raw


def test_a_missing_first_segment_is_said_to_be_removed(directory: Path) -> None:
    write_market(directory, [10] * 10, segment_bytes=1024)
    segment_paths(directory, SOURCE_MARKET)[0].unlink()

    with pytest.raises(JournalError, match="was removed"):
        list(read_batches(directory, SOURCE_MARKET))


def test_chain_end_of_nothing_is_the_beginning(directory: Path) -> None:
    directory.mkdir()
    end = chain_end(directory, SESSION, SOURCE_MARKET)

    assert (end.segment_index, end.next_sequence, end.is_closed) == (-1, 0, False)


def test_files_are_readable_by_their_owner_only(directory: Path) -> None:
    write_market(directory, [1])

    assert segment_paths(directory, SOURCE_MARKET)[0].stat().st_mode & 0o077 == 0


def test_a_folder_that_goes_while_it_is_listed_has_no_segments(tmp_path: Path) -> None:
    directory, away = tmp_path / SESSION, tmp_path / "away"
    write_market(directory, [1])
    (directory / "market-readme.segment").touch()
    is_done = threading.Event()

    def come_and_go() -> None:
        while not is_done.is_set():
            directory.rename(away)
            away.rename(directory)

    mover = threading.Thread(target=come_and_go)
    mover.start()
    try:
        found = [segment_paths(directory, SOURCE_MARKET) for _ in range(5_000)]
    finally:
        is_done.set()
        mover.join()
    assert {len(paths) for paths in found} <= {0, 1}
    assert segment_paths(directory, SOURCE_MARKET) == [directory / "market-000000.segment"]
