"""A ring as a whole: who may take which place, and what closes when."""

import os
import subprocess
import threading

import numpy as np
import pytest

from native_ext import _native
from ringbuffer import layout
from ringbuffer.errors import ReaderTakenError, SegmentBusyError, SegmentLayoutError
from ringbuffer.layout import FULL
from ringbuffer.ring import Consumer, Observer, Producer, Ring
from ringbuffer.segment import Segment, unlink
from tests.ring_builders import (
    WIDE_RECORD,
    child_command,
    payload,
    unique_name,
)

DEADLINE_S = 60


def test_places_of_the_living_are_refused_to_others(ring: Ring) -> None:
    producer, consumer = Producer(ring), Consumer(ring, 0)
    assert producer.published() == consumer.published() == 0
    for what in ("produce", "consume"):
        done = subprocess.run(
            child_command("tests.ring_children", what, "c", ring.name, 1),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert "ReaderTakenError" in done.stderr
        assert f"belongs to process {os.getpid()}, which is running" in done.stderr


def test_a_registered_observer_place_is_refused_to_others(ring: Ring) -> None:
    # A process that is alive and is not this one: init.
    start_ticks = _native.process_start_ticks(1)
    offset = layout.OFFSET_READERS + 2 * layout.READER_STRIDE + layout.READER_MODE
    words = np.frombuffer(ring.segment.buffer, np.int64, count=3, offset=offset)
    words[:] = (layout.MODE_OBSERVER, 1, start_ticks)
    with pytest.raises(ReaderTakenError, match="reader 2 of ring"):
        Observer(ring, 2)
    words[2] = start_ticks + 1  # the pid was given to another process since
    assert Observer(ring, 2).next_sequence() == 0


def test_a_ring_with_open_handles_refuses_to_close(ring: Ring) -> None:
    producer = Producer(ring)
    with pytest.raises(SegmentBusyError):
        ring.close()
    assert ring.published() == 0, "a refused close leaves the ring usable"
    producer.close()
    ring.close()


def test_a_handle_with_a_kernel_view_refuses_to_close(ring: Ring) -> None:
    producer = Producer(ring)
    words = producer.addresses()
    with pytest.raises(BufferError):
        producer.close()
    del words
    producer.close()
    with pytest.raises(ValueError, match="is closed"):
        producer.try_publish(b"")


def test_leaving_the_block_closes_and_removes_the_ring() -> None:
    name = unique_name()
    with Ring.create(name, 8, 64):
        Ring.attach(name).close()
    assert not unlink(name)


def test_attach_refuses_a_ring_whose_shape_is_impossible() -> None:
    name = unique_name()
    segment = Segment.create(name, 8192, kind=layout.KIND_RING)
    try:
        segment.seal()
        with pytest.raises(SegmentLayoutError, match="no ring of this layout"):
            Ring.attach(name)
        segment.close()
    finally:
        unlink(name)


def test_slots_refuse_a_record_of_another_width(ring: Ring) -> None:
    with pytest.raises(SegmentLayoutError, match="256 bytes in slots of 64"):
        ring.slots(WIDE_RECORD)


def test_a_local_ring_works_between_threads_without_a_file() -> None:
    ring = Ring.local("commands", 8, 256, gating=(0,))
    producer, consumer = Producer(ring), Consumer(ring, 0)
    count = 2_000
    taken: list[bytes] = []

    def consume() -> None:
        while len(taken) < count:
            first, ready = consumer.poll(4)
            taken.extend(consumer.read(first + i) for i in range(ready))
            consumer.advance(first + ready)
            if not ready:
                consumer.wait(0, 10_000_000)

    reader = threading.Thread(target=consume)
    reader.start()
    for sequence in range(count):
        while producer.try_publish(payload(sequence, 31)) == FULL:
            os.sched_yield()
        producer.wake()
    reader.join(DEADLINE_S)
    assert taken == [payload(sequence, 31) for sequence in range(count)]
