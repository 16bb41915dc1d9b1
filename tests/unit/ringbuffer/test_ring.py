"""The ring in one process: laws of producer, gating consumer and observer."""

import os
import subprocess
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from native_ext import _native
from ringbuffer import layout
from ringbuffer.errors import ReaderTakenError, SegmentBusyError, SegmentLayoutError
from ringbuffer.layout import EVICTED, FULL
from ringbuffer.ring import Consumer, Observer, Producer, Ring
from ringbuffer.segment import Segment, unlink
from tests.ring_builders import (
    RECORD,
    WIDE_RECORD,
    assert_whole,
    block,
    child_command,
    payload,
    payload_words,
    scratch_ring,
    unique_name,
    wait_until,
)

DEADLINE_S = 60


@pytest.fixture
def ring() -> Iterator[Ring]:
    with scratch_ring(8, gating=(0,)) as made:
        yield made


def publish(producer: Producer, count: int) -> None:
    first = producer.published()
    for sequence in range(first, first + count):
        assert producer.try_publish(payload(sequence)) == sequence


# ---- producer ----


def test_sequences_start_at_zero_and_count_up(ring: Ring) -> None:
    producer = Producer(ring)
    assert ring.published() == 0
    assert [producer.try_publish(payload(i)) for i in range(3)] == [0, 1, 2]
    assert ring.published() == 3


def test_full_is_a_value_and_is_counted(ring: Ring) -> None:
    producer = Producer(ring)
    publish(producer, 8)
    assert producer.try_publish(payload(8)) == FULL
    assert producer.try_claim(1) == FULL
    assert producer.try_publish_many(block(8, 2)) == FULL
    assert ring.producer().refused_count == 3
    assert ring.published() == 8


def test_room_comes_back_when_the_reader_advances(ring: Ring) -> None:
    producer, consumer = Producer(ring), Consumer(ring, 0)
    publish(producer, 8)
    assert consumer.advance(3) == 0
    publish(producer, 3)
    assert producer.try_publish(payload(11)) == FULL


def test_a_ring_without_gating_readers_is_never_full() -> None:
    with scratch_ring(4) as ring:
        producer = Producer(ring)
        publish(producer, 100)
        assert ring.gating_sequence() == 100


def test_a_short_payload_is_followed_by_zeros(ring: Ring) -> None:
    producer, consumer = Producer(ring), Consumer(ring, 0)
    for lap in range(2):
        for _ in range(8):
            producer.try_publish(b"\xff" * 56)
        consumer.advance(8 + lap * 9)
        sequence = producer.try_publish(b"abcdefghijk")
        assert consumer.read(sequence) == b"abcdefghijk" + bytes(45)
        consumer.advance(9 + lap * 9)


def test_a_payload_that_does_not_fit_is_an_error(ring: Ring) -> None:
    producer = Producer(ring)
    with pytest.raises(ValueError, match="57 bytes does not fit a slot of 64"):
        producer.try_publish(bytes(57))
    assert producer.try_publish(bytes(56)) == 0


def test_a_block_goes_out_all_or_none(ring: Ring) -> None:
    producer, consumer = Producer(ring), Consumer(ring, 0)
    assert producer.try_publish_many(block(0, 5)) == 0
    assert producer.try_publish_many(block(5, 4)) == FULL
    assert producer.try_publish_many(block(5, 3)) == 5
    rows = np.zeros(8, RECORD)
    assert consumer.read_into(rows) == (0, 8)
    assert_whole(rows, 0)


@pytest.mark.parametrize("size_bytes", [0, 63, 65, 9 * 64])
def test_a_block_must_be_whole_slots(ring: Ring, size_bytes: int) -> None:
    with pytest.raises(ValueError, match="1 to 8 whole slots"):
        Producer(ring).try_publish_many(bytes(size_bytes))


def test_claim_write_in_place_publish(ring: Ring) -> None:
    producer, consumer = Producer(ring), Consumer(ring, 0)
    slots = ring.slots(RECORD)
    first = producer.try_claim(3)
    assert consumer.poll(8) == (0, 0)
    for sequence in range(first, first + 3):
        slots["words"][sequence & 7] = payload_words(sequence)
    assert producer.publish(2) == 2
    assert consumer.poll(8) == (0, 2)
    assert producer.publish(1) == 3
    assert [consumer.read(i) for i in range(3)] == [payload(i) for i in range(3)]


def test_an_aborted_claim_leaves_no_hole(ring: Ring) -> None:
    producer, consumer = Producer(ring), Consumer(ring, 0)
    publish(producer, 2)
    assert producer.try_claim(3) == 2
    producer.abort()
    assert consumer.poll(8) == (0, 2)
    publish(producer, 1)
    assert consumer.poll(8) == (0, 3)
    assert consumer.read(2) == payload(2)


@pytest.mark.parametrize("n", [0, -1, 9])
def test_a_claim_outside_the_ring_is_an_invariant_broken(ring: Ring, n: int) -> None:
    with pytest.raises(AssertionError, match=f"cannot claim {n} of 8"):
        Producer(ring).try_claim(n)


def test_publishing_more_than_claimed_is_an_invariant_broken(ring: Ring) -> None:
    producer = Producer(ring)
    producer.try_claim(2)
    with pytest.raises(AssertionError, match="cannot publish 3 of 2"):
        producer.publish(3)
    with pytest.raises(AssertionError, match="cannot publish 0 of 2"):
        producer.publish(0)


def test_publishing_a_payload_amid_a_claim_is_an_invariant_broken(ring: Ring) -> None:
    producer = Producer(ring)
    producer.try_claim(2)
    with pytest.raises(AssertionError, match="unpublished"):
        producer.try_publish(b"")
    with pytest.raises(AssertionError, match="unpublished"):
        producer.try_publish_many(block(0, 1))


def test_the_producer_shows_who_it_is(ring: Ring) -> None:
    producer = Producer(ring)
    producer.beat(123)
    producer.count_conflated(4)
    producer.count_conflated(5)
    state = ring.producer()
    assert (state.pid, state.heartbeat_ns, state.conflated_count) == (os.getpid(), 123, 9)
    assert state.start_ticks == _native.process_start_ticks(os.getpid())


def test_wide_slots_carry_their_whole_payload() -> None:
    with scratch_ring(4, 256, gating=(3,)) as ring:
        producer, consumer = Producer(ring), Consumer(ring, 3)
        assert producer.try_publish(payload(0, 31)) == 0
        assert producer.try_publish_many(block(1, 2, WIDE_RECORD)) == 1
        rows = np.zeros(4, WIDE_RECORD)
        assert consumer.read_into(rows) == (0, 3)
        assert_whole(rows[:3], 0)


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
    assert ring.reader(0).sequence == layout.EVICTED_SEQUENCE


def test_a_reader_evicted_between_poll_and_advance_must_discard(ring: Ring) -> None:
    producer, consumer = Producer(ring), Consumer(ring, 0)
    publish(producer, 8)
    first, count = consumer.poll(8)
    ring.evict(0)
    publish(producer, 8)
    assert consumer.advance(first + count) == EVICTED
    assert ring.reader(0).mode == layout.MODE_EVICTED, "a late advance cannot undo it"
    publish(producer, 8)


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


# ---- observer ----


def test_an_observer_sees_what_comes_and_holds_nobody_back() -> None:
    with scratch_ring(8) as ring:
        producer, observer = Producer(ring), Observer(ring)
        rows = np.zeros(8, RECORD)
        assert observer.poll_into(rows) == (0, 0, 0)
        publish(producer, 5)
        assert observer.poll_into(rows) == (0, 5, 0)
        assert_whole(rows[:5], 0)
        publish(producer, 3)
        assert observer.poll_into(rows, 2) == (5, 2, 0)
        assert_whole(rows[:2], 5)
        assert (observer.next_sequence(), observer.lag()) == (7, 1)


def test_a_lapped_observer_is_told_how_much_it_lost() -> None:
    with scratch_ring(8) as ring:
        producer, observer = Producer(ring), Observer(ring, 4)
        rows = np.zeros(8, RECORD)
        publish(producer, 20)
        first, count, lapped = observer.poll_into(rows)
        assert (first, count, lapped) == (16, 4, 16), "it goes on half a ring behind"
        assert_whole(rows[:count], first)
        state = ring.reader(4)
        assert (state.mode, state.sequence) == (layout.MODE_OBSERVER, 20)
        assert (state.lapped_count, state.resync_count) == (16, 1)


def test_a_record_being_overwritten_counts_as_lost() -> None:
    with scratch_ring(8) as ring:
        producer, observer = Producer(ring), Observer(ring)
        rows = np.zeros(8, RECORD)
        publish(producer, 8)
        producer.try_claim(1)
        first, count, lapped = observer.poll_into(rows)
        assert (first, count, lapped) == (4, 4, 4)
        assert_whole(rows[:count], first)


def test_an_observer_does_not_take_a_record_that_is_only_claimed() -> None:
    with scratch_ring(8) as ring:
        producer, observer = Producer(ring), Observer(ring)
        producer.try_claim(2)
        assert observer.poll_into(np.zeros(8, RECORD)) == (0, 0, 0)
        producer.publish(1)
        assert observer.poll_into(np.zeros(8, RECORD)) == (0, 1, 0)


def test_an_observer_may_start_in_the_past_or_at_the_end() -> None:
    with scratch_ring(8) as ring:
        producer = Producer(ring)
        publish(producer, 6)
        assert Observer(ring).next_sequence() == 6
        rows = np.zeros(8, RECORD)
        assert Observer(ring, start=2).poll_into(rows) == (2, 4, 0)


def test_an_unregistered_observer_leaves_no_trace() -> None:
    with scratch_ring(8) as ring:
        producer = Producer(ring)
        before = bytes(ring.segment.buffer[layout.OFFSET_WAIT : layout.OFFSET_SLOTS])
        observer = Observer(ring)
        publish(producer, 20)
        observer.poll_into(np.zeros(8, RECORD))
        after = bytes(ring.segment.buffer[layout.OFFSET_WAIT : layout.OFFSET_SLOTS])
        assert before == after


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


# ---- places and lifetimes ----


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
    offset = layout.OFFSET_READERS + 2 * layout.READER_STRIDE
    words = np.frombuffer(ring.segment.buffer, np.int64, count=8, offset=offset)
    words[1:4] = (layout.MODE_OBSERVER, 1, start_ticks)
    with pytest.raises(ReaderTakenError, match="reader 2 of ring"):
        Observer(ring, 2)
    words[3] = start_ticks + 1  # the pid was given to another process since
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


# ---- recovery in one process: each state a killed producer can leave ----


def test_recovery_counts_a_record_whose_sequence_was_stored(ring: Ring) -> None:
    producer = Producer(ring)
    publish(producer, 3)
    slots = ring.slots(RECORD)
    slots["words"][3] = payload_words(3)
    slots["sequence"][3] = 4  # died between the slot's sequence and the published count
    again = Producer(ring)
    assert (again.first_sequence, ring.published()) == (4, 4)
    assert Consumer(ring, 0).poll(8) == (0, 4)


def test_recovery_rewrites_a_record_that_was_busy(ring: Ring) -> None:
    producer = Producer(ring)
    publish(producer, 3)
    producer.try_claim(2)  # died before it published
    again, consumer = Producer(ring), Consumer(ring, 0)
    assert (again.first_sequence, consumer.poll(8)) == (3, (0, 3))
    publish(again, 2)
    assert consumer.read(3) == payload(3)
    assert consumer.poll(8) == (0, 5)


def test_recovery_of_a_full_ring_still_respects_the_readers(ring: Ring) -> None:
    publish(Producer(ring), 8)
    again = Producer(ring)
    assert again.try_publish(b"") == FULL
    Consumer(ring, 0).advance(1)
    publish(again, 1)
