"""Local rings behave as named ones and leave no file behind."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from ringbuffer.errors import SegmentBusyError
from ringbuffer.layout import FULL
from ringbuffer.ring import Consumer, Producer, Ring


def test_records_pass_in_order_and_the_reader_holds_the_producer_back() -> None:
    ring = Ring.local("local", 4, 64, gating=(0,))
    producer, consumer = Producer(ring), Consumer(ring, 0)
    for number in range(4):
        assert producer.try_publish(bytes([number]) * 8) == number
    assert producer.try_publish(b"over") == FULL
    first, count = consumer.poll(8)
    assert (first, count) == (0, 4)
    assert [consumer.read(k)[0] for k in range(4)] == [0, 1, 2, 3]
    consumer.advance(2)
    assert producer.try_publish(b"room") == 4
    for end in (producer, consumer):
        end.close()
    ring.close()


def test_the_reserved_reader_gates_before_it_joins() -> None:
    ring = Ring.local("local", 2, 64, gating=(0,))
    producer = Producer(ring)
    assert [producer.try_publish(b"x") for _ in range(3)] == [0, 1, FULL]
    producer.close()
    ring.close()


def test_no_file_and_a_view_keeps_the_memory() -> None:
    ring = Ring.local("aegis-local-test", 2, 64, gating=(0,))
    assert not (Path("/dev/shm") / "aegis-local-test").exists()
    view = ring.segment.buffer[:8]
    with pytest.raises(SegmentBusyError):
        ring.close()
    view.release()
    ring.close()


@pytest.mark.parametrize(("capacity", "slot_size"), [(3, 64), (0, 64), (4, 60)])
def test_shapes_that_are_no_ring_are_refused(capacity: int, slot_size: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        Ring.local("local", capacity, slot_size, gating=(0,))


def test_its_memory_is_there_before_the_first_record() -> None:
    """A page that is touched for the first time costs whoever publishes into it a fault."""
    ring = Ring.local("local", 4096, 256, gating=(0,))
    producer, consumer = Producer(ring), Consumer(ring, 0)
    payload = b"x" * 248
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    for _ in range(4096):
        assert producer.try_publish(payload) >= 0
    faults = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before
    assert faults < 64, "256 pages were written"
    for end in (producer, consumer):
        end.close()
    ring.close()
