"""The gating consumer of a ring: polling, advancing, eviction, waiting."""

import os
import threading

import numpy as np
import pytest

from ringbuffer import kernels, layout
from ringbuffer.layout import EVICTED, FULL
from ringbuffer.ring import Consumer, Producer, Ring
from tests.ring_builders import (
    RECORD,
    assert_whole,
    payload_words,
    publish,
    scratch_ring,
    unique_name,
    wait_until,
)

DEADLINE_S = 60


# ---- gating consumer ----


def test_poll_returns_what_is_contiguous_up_to_the_limit(ring: Ring) -> None:
    producer, consumer = Producer(ring), Consumer(ring, 0)
    assert consumer.poll(10) == (0, 0)
    publish(producer, 5)
    assert consumer.poll(10) == (0, 5)
    assert consumer.poll(2) == (0, 2)
    assert consumer.poll(0) == (0, 0)
    consumer.advance(2)
    assert consumer.poll(10) == (2, 3)
    assert (consumer.next_sequence(), consumer.lag()) == (2, 3)


def test_records_can_be_read_in_place_and_copied(ring: Ring) -> None:
    producer, consumer = Producer(ring), Consumer(ring, 0)
    publish(producer, 3)
    rows = np.zeros(2, RECORD)
    assert consumer.read_into(rows) == (0, 2)
    assert_whole(rows, 0)
    np.testing.assert_array_equal(ring.slots(RECORD)["words"][2], payload_words(2))
    assert consumer.next_sequence() == 0, "reading does not advance"


def test_advance_never_passes_what_was_published(ring: Ring) -> None:
    producer, consumer = Producer(ring), Consumer(ring, 0)
    publish(producer, 3)
    with pytest.raises(AssertionError, match="advance to 4 from 0"):
        consumer.advance(4)
    assert consumer.advance(3) == 0


def test_advance_never_goes_back(ring: Ring) -> None:
    producer, consumer = Producer(ring), Consumer(ring, 0)
    publish(producer, 3)
    consumer.advance(2)
    with pytest.raises(AssertionError, match="advance to 1 from 2"):
        consumer.advance(1)
    assert consumer.advance(2) == 0


@pytest.mark.parametrize("sequence", [1, 3, 9, -1])
def test_reading_what_is_not_there_is_an_invariant_broken(ring: Ring, sequence: int) -> None:
    producer, consumer = Producer(ring), Consumer(ring, 0)
    publish(producer, 3)
    consumer.advance(2)
    with pytest.raises(AssertionError, match="is not between"):
        consumer.read(sequence)


@pytest.mark.parametrize("target", [bytearray(63), np.zeros(80, np.uint8)[1:]])
def test_a_target_must_hold_a_slot_and_be_aligned(ring: Ring, target: object) -> None:
    with pytest.raises(ValueError, match="8-byte aligned and hold a slot of 64"):
        Consumer(ring, 0).read_into(target)  # type: ignore[arg-type]  # that is the point


def test_the_slowest_gating_reader_decides() -> None:
    with scratch_ring(8, gating=(0, 5)) as ring:
        producer, quick, slow = Producer(ring), Consumer(ring, 0), Consumer(ring, 5)
        publish(producer, 8)
        quick.advance(8)
        assert producer.try_publish(b"") == FULL
        assert ring.gating_sequence() == 0
        slow.advance(1)
        publish(producer, 1)
        assert ring.gating_sequence() == 1


def test_a_reserved_reader_misses_nothing_before_it_joins(ring: Ring) -> None:
    producer = Producer(ring)
    publish(producer, 8)
    assert producer.try_publish(b"") == FULL
    consumer = Consumer(ring, 0)
    assert (consumer.first_sequence, consumer.poll(100)) == (0, (0, 8))


def test_a_reader_of_a_free_block_starts_at_the_published_count(ring: Ring) -> None:
    producer, first = Producer(ring), Consumer(ring, 0)
    publish(producer, 4)
    late = Consumer(ring, 1)
    assert late.first_sequence == 4
    first.advance(4)
    publish(producer, 8)
    assert producer.try_publish(b"") == FULL
    assert late.poll(100) == (4, 8)


def test_a_reader_may_decline_to_resume(ring: Ring) -> None:
    publish(Producer(ring), 4)
    assert Consumer(ring, 0, resume=False).first_sequence == 4


def test_leaving_frees_the_producer_and_the_block(ring: Ring) -> None:
    producer, consumer = Producer(ring), Consumer(ring, 0)
    publish(producer, 8)
    consumer.leave()
    assert ring.reader(0).mode == layout.MODE_FREE
    publish(producer, 8)
    with pytest.raises(ValueError, match="has not joined"):
        consumer.poll(1)


def test_a_reader_block_outside_the_ring_is_refused(ring: Ring) -> None:
    with pytest.raises(ValueError, match=r"reader_index must be in \[0, 16\)"):
        Consumer(ring, 16)
    with pytest.raises(ValueError, match=r"reader_index must be in \[0, 16\)"):
        ring.evict(-1)
    with pytest.raises(ValueError, match=r"reader_index must be in \[0, 16\)"):
        Ring.create(unique_name(), 8, 64, gating=(16,))


def test_beat_keeps_the_largest_lag(ring: Ring) -> None:
    producer, consumer = Producer(ring), Consumer(ring, 0)
    publish(producer, 6)
    consumer.beat(10)
    consumer.advance(6)
    consumer.beat(20)
    state = ring.reader(0)
    assert (state.heartbeat_ns, state.lag_max, state.sequence) == (20, 6, 6)


# ---- eviction ----


def test_eviction_frees_the_producer_and_tells_the_reader(ring: Ring) -> None:
    producer, consumer = Producer(ring), Consumer(ring, 0)
    publish(producer, 8)
    ring.evict(0)
    publish(producer, 1)
    assert consumer.poll(8)[1] == EVICTED
    assert consumer.read_into(np.zeros(1, RECORD))[1] == EVICTED


def test_a_reader_evicted_between_poll_and_advance_must_discard(ring: Ring) -> None:
    producer, consumer = Producer(ring), Consumer(ring, 0)
    publish(producer, 8)
    first, count = consumer.poll(8)
    ring.evict(0)
    publish(producer, 8)
    assert consumer.advance(first + count) == EVICTED
    assert ring.reader(0).mode == layout.MODE_EVICTED, "a late advance cannot undo it"
    publish(producer, 8)


def test_an_eviction_changes_one_word(ring: Ring) -> None:
    # Two would leave a time between them in which a reader that joins anew is half evicted: it
    # would gate at a sequence of no record and wait for ever.
    producer, consumer = Producer(ring), Consumer(ring, 0)
    publish(producer, 8)
    consumer.advance(3)
    before = bytes(ring.segment.buffer[: layout.OFFSET_SLOTS])
    ring.evict(0)
    after = bytes(ring.segment.buffer[: layout.OFFSET_SLOTS])
    changed = {i // 8 * 8 for i in range(layout.OFFSET_SLOTS) if before[i] != after[i]}
    assert changed == {layout.OFFSET_READERS + layout.READER_MODE}


def test_an_eviction_that_comes_late_tells_the_reader_that_joined_meanwhile(ring: Ring) -> None:
    producer, consumer = Producer(ring), Consumer(ring, 0)
    publish(producer, 8)
    ring.evict(0)
    consumer.close()
    again = Consumer(ring, 0)
    publish(producer, 1)
    assert again.poll(8) == (8, 1)
    ring.evict(0)  # main had decided before the new reader came
    assert again.advance(9) == EVICTED
    assert again.poll(8)[1] == EVICTED
    assert kernels.poll(again.addresses(), 0, 8) == EVICTED
    assert kernels.advance(again.addresses(), 0, 9) == EVICTED


def test_an_evicted_reader_may_join_again_at_the_published_count(ring: Ring) -> None:
    producer, consumer = Producer(ring), Consumer(ring, 0)
    publish(producer, 8)
    ring.evict(0)
    publish(producer, 3)
    consumer.close()
    again = Consumer(ring, 0)
    assert again.first_sequence == 11
    publish(producer, 8)
    assert producer.try_publish(b"") == FULL


# ---- waiting ----


def test_wait_returns_at_once_when_there_is_a_record(ring: Ring) -> None:
    producer, consumer = Producer(ring), Consumer(ring, 0)
    assert consumer.wait(0, 0) is False
    assert consumer.wait(1_000, 1_000) is False
    publish(producer, 1)
    assert consumer.wait(0, 0) is True


def test_a_sleeper_is_woken_by_the_producer(ring: Ring) -> None:
    producer, consumer = Producer(ring), Consumer(ring, 0)
    woken: list[bool] = []
    sleeper = threading.Thread(target=lambda: woken.append(consumer.wait(0, 60 * 10**9)))
    sleeper.start()
    wait_until(lambda: ring.segment.buffer[layout.OFFSET_WAIT] == 1, "the sleeper to arm")
    publish(producer, 1)
    producer.wake()
    sleeper.join(DEADLINE_S)
    assert woken == [True]
    assert ring.segment.buffer[layout.OFFSET_WAIT] == 0


def test_arm_refuses_to_sleep_when_a_record_is_there(ring: Ring) -> None:
    producer, consumer = Producer(ring), Consumer(ring, 0)
    assert consumer.arm() is True
    publish(producer, 1)
    assert consumer.arm() is False


def test_wake_rings_the_doorbell_only_for_a_sleeper(ring: Ring) -> None:
    producer, consumer = Producer(ring), Consumer(ring, 0)
    descriptor = os.eventfd(0, os.EFD_NONBLOCK)
    try:
        producer.set_doorbell(descriptor)
        publish(producer, 1)
        producer.wake()
        with pytest.raises(BlockingIOError):
            os.eventfd_read(descriptor)
        consumer.advance(1)
        assert consumer.arm()
        publish(producer, 1)
        producer.wake()
        assert os.eventfd_read(descriptor) == 1
    finally:
        os.close(descriptor)
