"""The producer of a ring: sequences, fullness, claims, and recovery after a killed one."""

import os

import numpy as np
import pytest

from native_ext import _native
from ringbuffer import kernels
from ringbuffer.layout import FULL
from ringbuffer.ring import Consumer, Producer, Ring
from tests.ring_builders import (
    RECORD,
    WIDE_RECORD,
    assert_whole,
    block,
    payload,
    payload_words,
    publish,
    scratch_ring,
)

DEADLINE_S = 60


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
    assert producer.publish() == 3
    assert consumer.poll(8) == (0, 3)
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


def test_publishing_without_a_claim_is_an_invariant_broken(ring: Ring) -> None:
    producer = Producer(ring)
    with pytest.raises(AssertionError, match="nothing claimed"):
        producer.publish()


def test_claims_add_up_until_they_are_published(ring: Ring) -> None:
    producer, consumer = Producer(ring), Consumer(ring, 0)
    assert (producer.try_claim(1), producer.try_claim(2)) == (0, 1)
    assert (producer.publish(), consumer.poll(8)) == (3, (0, 3))


@pytest.mark.parametrize("committed", range(6))
def test_what_a_killed_producer_only_committed_is_never_read(ring: Ring, committed: int) -> None:
    producer, consumer = Producer(ring), Consumer(ring, 0)
    publish(producer, 2)
    handle = producer.addresses()
    for sequence in range(first := kernels.try_claim(handle, 5), first + committed):
        kernels.begin(handle, sequence)
        kernels.commit(handle, sequence)
    assert consumer.poll(8) == (0, 2)
    again = Producer(ring)  # the first one died before it published
    assert again.first_sequence == 2
    publish(again, 1)
    assert consumer.poll(8) == (0, 3), "slots behind it must not look valid"
    assert consumer.read(2) == payload(2)


@pytest.mark.parametrize("committed", range(6))
def test_what_was_committed_and_aborted_is_never_read(ring: Ring, committed: int) -> None:
    for abort in (Producer.abort, lambda producer: kernels.abort(producer.addresses())):
        producer, consumer = Producer(ring), Consumer(ring, 0)
        first, _ = consumer.poll(0)
        handle = producer.addresses()
        for sequence in range(claimed := kernels.try_claim(handle, 5), claimed + committed):
            kernels.begin(handle, sequence)
            kernels.commit(handle, sequence)
        abort(producer)
        publish(producer, 1)
        assert consumer.poll(8) == (first, 1)
        assert consumer.advance(first + 1) == 0
        consumer.close()


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
