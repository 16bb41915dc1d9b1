"""Local rings behave as named ones and leave no file behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.processes.local_ring import create_local_ring
from ringbuffer.errors import SegmentBusyError
from ringbuffer.layout import FULL
from ringbuffer.ring import Consumer, Producer


def test_records_pass_in_order_and_the_reader_holds_the_producer_back() -> None:
    ring = create_local_ring("local", 4, 64)
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
    ring = create_local_ring("local", 2, 64)
    producer = Producer(ring)
    assert [producer.try_publish(b"x") for _ in range(3)] == [0, 1, FULL]
    producer.close()
    ring.close()


def test_no_file_and_a_view_keeps_the_memory() -> None:
    ring = create_local_ring("aegis-local-test", 2, 64)
    assert not (Path("/dev/shm") / "aegis-local-test").exists()
    view = ring.segment.buffer[:8]
    with pytest.raises(SegmentBusyError):
        ring.close()
    view.release()
    ring.close()


@pytest.mark.parametrize(("capacity", "slot_size"), [(3, 64), (0, 64), (4, 60)])
def test_shapes_that_are_no_ring_are_refused(capacity: int, slot_size: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        create_local_ring("local", capacity, slot_size)
