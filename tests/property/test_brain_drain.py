"""The brain's ring comes apart into events and marks, each once, whatever dies in between."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.records import EVENT_DTYPE, EventType
from engine.store.drain import EVENT_TYPE_OFFSET, BrainDrain, open_drain
from engine.store.frames import FrameKind
from engine.store.journal import SOURCE_EVENTS_BRAIN, SOURCE_MARKS
from engine.store.reader import read_batches, read_records
from engine.store.verify import verify_source
from ringbuffer.ring import Consumer, Producer
from tests.ring_builders import scratch_ring
from tests.store_builders import SESSION

MARK, EVENT = int(EventType.DRAIN_MARK), int(EventType.SIGNAL_GENERATED)


def slots(event_types: list[int], first: int) -> np.ndarray:
    records = np.zeros(len(event_types), dtype=EVENT_DTYPE)
    records["event_type"] = event_types
    records["request_id"] = np.arange(first, first + len(event_types))
    return records


def reopen(consumer: Consumer, directory: Path, *, is_replayable: bool = True) -> BrainDrain:
    drain = open_drain(consumer, directory, SOURCE_EVENTS_BRAIN, is_replayable=is_replayable)
    assert isinstance(drain, BrainDrain)
    return drain


def close(drain: BrainDrain, *, is_end: bool = False) -> None:
    for writer in drain.writers:
        writer.close(is_end=is_end)


def test_the_type_is_where_the_record_table_has_it() -> None:
    fields = EVENT_DTYPE.fields
    assert fields is not None
    assert fields["event_type"][1] == EVENT_TYPE_OFFSET


@settings(max_examples=60)
@given(
    batches=st.lists(
        st.tuples(
            st.lists(st.sampled_from([MARK, MARK, EVENT]), min_size=1, max_size=12),
            st.sampled_from(["advance", "die before advance", "restart"]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_events_and_marks_are_each_there_once(batches: list[tuple[list[int], str]]) -> None:
    with tempfile.TemporaryDirectory() as folder, scratch_ring(64, 256, gating=(0,)) as ring:
        directory = Path(folder) / SESSION
        producer, consumer = Producer(ring), Consumer(ring, 0)
        drain = reopen(consumer, directory)
        written: list[int] = []
        for event_types, fate in batches:
            block = slots(event_types, len(written))
            assert producer.try_publish_many(block.view(np.uint8)) >= 0
            written += event_types
            if fate == "die before advance":
                # Everything was appended, nothing given back: the next drain sees it again.
                first, count = consumer.read_into(drain._buffer)
                drain._append(first, count)
                close(drain)
                drain = reopen(consumer, directory)
            elif fate == "restart":
                drain.drain()
                close(drain)
                drain = reopen(consumer, directory)
            while drain.drain():
                pass
        close(drain, is_end=True)
        producer.close()
        consumer.close()
        ring.close()

        numbers = np.array(written)
        events = read_records(directory, SOURCE_EVENTS_BRAIN)
        assert events["request_id"].tolist() == np.flatnonzero(numbers == EVENT).tolist()
        marks = read_records(directory, SOURCE_MARKS)
        assert marks["request_id"].tolist() == np.flatnonzero(numbers == MARK).tolist()
        assert (events["sequence"] == events["request_id"] + 1).all()
        for batch in read_batches(directory, SOURCE_EVENTS_BRAIN):
            assert batch.kind is not FrameKind.LOST
            if batch.kind is FrameKind.RECORDS:
                assert batch.first_sequence == batch.records["request_id"][0]
        for source in (SOURCE_EVENTS_BRAIN, SOURCE_MARKS):
            report = verify_source(directory, SESSION, source)
            assert (report.problems, report.lost_count) == ((), 0)


@pytest.mark.parametrize("is_replayable", [True, False])
def test_marks_alone_write_no_event_file(tmp_path: Path, *, is_replayable: bool) -> None:
    directory = tmp_path / SESSION
    with scratch_ring(64, 256, gating=(0,)) as ring:
        producer, consumer = Producer(ring), Consumer(ring, 0)
        drain = reopen(consumer, directory, is_replayable=is_replayable)
        producer.try_publish_many(slots([MARK] * 30, 0).view(np.uint8))
        assert drain.drain() == 30
        producer.try_publish_many(slots([EVENT], 30).view(np.uint8))
        assert drain.drain() == 1
        close(drain)
        producer.close()
        consumer.close()
        ring.close()

    batches = list(read_batches(directory, SOURCE_EVENTS_BRAIN))
    told = [(batch.kind, batch.first_sequence, batch.record_count) for batch in batches]
    assert told == [(FrameKind.APART, 0, 30), (FrameKind.RECORDS, 30, 1)]
    assert len(read_records(directory, SOURCE_MARKS)) == (30 if is_replayable else 0)
