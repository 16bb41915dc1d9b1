"""The observer of a ring: what it sees, and what it is told that it lost."""

import numpy as np

from ringbuffer import layout
from ringbuffer.ring import Observer, Producer
from tests.ring_builders import (
    RECORD,
    assert_whole,
    publish,
    scratch_ring,
)

DEADLINE_S = 60


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
        producer.publish()
        assert observer.poll_into(np.zeros(8, RECORD)) == (0, 2, 0)


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
