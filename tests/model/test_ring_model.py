"""Random operations on a ring against a plain Python model; C and Numba share one handle.

Each step is done by the extension or by the kernels, chosen at random, on the same memory and the
same private words, so the two sides are compared with the model and with each other.
"""

import gc

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from ringbuffer import kernels
from ringbuffer.layout import EVICTED, FULL, INVALID
from ringbuffer.ring import Consumer, Observer, Producer, Ring
from ringbuffer.segment import unlink
from tests.ring_builders import assert_whole, payload, unique_name
from tests.ring_builders import block as whole_slots

GATING = (0, 7)
SIDES = st.sampled_from(["c", "numba"])
COUNTS = st.integers(1, 9)


class ModelRing:
    """The ring in ten lines: how many were published and claimed, and where each reader is."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.published, self.claimed, self.busy_end = capacity, 0, 0, 0
        self.readers: dict[int, int] = {}

    def claim(self, n: int) -> int:
        gate = min(self.readers.values(), default=self.published)
        if not 1 <= n <= self.capacity:
            return INVALID
        if self.claimed + n - self.capacity > gate:
            return FULL
        self.claimed += n
        self.busy_end = max(self.busy_end, self.claimed)
        return self.claimed - n

    def survives(self, sequence: int) -> bool:
        return self.busy_end - self.capacity <= sequence < self.published


class RingMachine(RuleBasedStateMachine):
    capacity = 8
    slot_size = 64

    @initialize(reserve=st.booleans())
    def create(self, reserve: bool) -> None:
        words = self.slot_size // 8 - 1
        self.dtype = np.dtype([("sequence", "<i8"), ("words", "<i8", (words,))])
        self.word_count = words
        gating = GATING if reserve else ()
        self.ring = Ring.create(unique_name("model"), self.capacity, self.slot_size, gating=gating)
        self.model = ModelRing(self.capacity)
        self.model.readers = dict.fromkeys(gating, 0)
        self.producer = Producer(self.ring)
        self.consumers: dict[int, Consumer] = {k: Consumer(self.ring, k) for k in gating}
        self.observer = Observer(self.ring)
        self.watched = 0

    def teardown(self) -> None:
        if hasattr(self, "ring"):
            unlink(self.ring.name)
            for name in ("producer", "consumers", "observer"):
                delattr(self, name)
            gc.collect()
            self.ring.close()

    def write(self, first: int, count: int, side: str) -> None:
        slots = self.ring.slots(self.dtype)
        rows = whole_slots(first, count, self.dtype)
        for i in range(count):
            place = (first + i) & (self.capacity - 1)
            if side == "numba":
                assert kernels.begin(self.producer.addresses(), first + i) == place
            slots["words"][place] = rows["words"][i]
            kernels.commit(self.producer.addresses(), first + i)

    @rule(n=st.integers(0, 10), side=SIDES)
    def claim(self, n: int, side: str) -> None:
        expected = self.model.claim(n)
        if side == "numba":
            found = kernels.try_claim(self.producer.addresses(), n)
        elif expected == INVALID:
            with pytest.raises(AssertionError, match="cannot claim"):
                self.producer.try_claim(n)
            return
        else:
            found = self.producer.try_claim(n)
        assert found == expected
        if found >= 0:
            self.write(found, n, side)

    @rule(side=SIDES)
    def publish(self, side: str) -> None:
        possible = self.model.claimed > self.model.published
        expected = self.model.claimed if possible else INVALID
        if side == "numba":
            assert kernels.publish(self.producer.addresses()) == expected
        elif possible:
            assert self.producer.publish() == expected
        else:
            with pytest.raises(AssertionError, match="nothing claimed"):
                self.producer.publish()
        if possible:
            self.model.published = expected

    @rule(side=SIDES)
    def abort(self, side: str) -> None:
        if side == "numba":
            kernels.abort(self.producer.addresses())
        else:
            self.producer.abort()
        self.model.claimed = self.model.published

    @precondition(lambda self: self.model.claimed == self.model.published)
    @rule(many=st.booleans(), n=COUNTS)
    def publish_copies(self, many: bool, n: int) -> None:
        count = min(n, self.capacity) if many else 1
        first = self.model.published
        if many:
            found = self.producer.try_publish_many(whole_slots(first, count, self.dtype))
        else:
            found = self.producer.try_publish(payload(first, self.word_count))
        assert found == self.model.claim(count)
        if found >= 0:
            self.model.published = self.model.claimed

    @rule()
    def restart_the_producer(self) -> None:
        """What was claimed, and perhaps committed, dies with the producer; no reader saw it."""
        del self.producer
        self.producer = Producer(self.ring)
        self.model.claimed = self.model.published
        assert self.producer.first_sequence == self.model.published

    @rule(k=st.sampled_from(GATING))
    def join(self, k: int) -> None:
        if k not in self.consumers:
            self.consumers[k] = Consumer(self.ring, k)
            assert self.consumers[k].first_sequence == self.model.published
            self.model.readers[k] = self.model.published

    @rule(k=st.sampled_from(GATING))
    def leave(self, k: int) -> None:
        if k in self.consumers:
            self.consumers.pop(k).leave()
            del self.model.readers[k]

    @rule(k=st.sampled_from(GATING), side=SIDES)
    def evict(self, k: int, side: str) -> None:
        if k not in self.consumers:
            return
        consumer = self.consumers.pop(k)
        self.ring.evict(k)
        del self.model.readers[k]
        if side == "numba":
            handle = consumer.addresses()
            assert kernels.poll(handle, k, 8) == EVICTED
            assert kernels.advance(handle, k, 0) == EVICTED
        else:
            assert consumer.poll(8)[1] == EVICTED
            assert consumer.advance(0) == EVICTED

    @rule(k=st.sampled_from(GATING), limit=st.integers(0, 10), side=SIDES)
    def take(self, k: int, limit: int, side: str) -> None:
        if k not in self.consumers:
            return
        consumer, first = self.consumers[k], self.model.readers[k]
        expected = min(limit, self.model.published - first)
        if side == "numba":
            handle = consumer.addresses()
            assert kernels.next_sequence(handle, k) == first
            assert kernels.poll(handle, k, limit) == expected
            assert kernels.lag(handle, k) == self.model.published - first
        else:
            assert consumer.poll(limit) == (first, expected)
            assert consumer.lag() == self.model.published - first
        rows = np.zeros(max(expected, 1), self.dtype)
        count = min(self.model.published - first, len(rows))
        assert consumer.read_into(rows) == (first, count)
        assert_whole(rows[:expected], first)
        for sequence in range(first, first + expected):
            assert consumer.read(sequence) == payload(sequence, self.word_count)

    @rule(k=st.sampled_from(GATING), step=st.integers(-2, 10), side=SIDES)
    def advance(self, k: int, step: int, side: str) -> None:
        if k not in self.consumers:
            return
        consumer, before = self.consumers[k], self.model.readers[k]
        target = before + step
        allowed = before <= target <= self.model.published
        if side == "numba":
            found = kernels.advance(consumer.addresses(), k, target)
            assert found == (0 if allowed else INVALID)
        elif allowed:
            assert consumer.advance(target) == 0
        else:
            with pytest.raises(AssertionError, match="advance to"):
                consumer.advance(target)
        if allowed:
            self.model.readers[k] = target

    @rule(limit=COUNTS)
    def observe(self, limit: int) -> None:
        rows = np.zeros(limit, self.dtype)
        next_before, survives = self.watched, self.model.survives(self.watched)
        pending = self.watched >= self.model.published
        first, count, lapped = self.observer.poll_into(rows)
        assert first == next_before + lapped
        assert_whole(rows[:count], first)
        assert all(self.model.survives(first + i) for i in range(count))
        assert self.observer.next_sequence() == first + count
        if survives:
            assert lapped == 0
            assert count == min(limit, self.model.published - first)
        elif pending:
            assert (count, lapped) == (0, 0)
        else:
            assert lapped > 0
        self.watched = first + count

    @invariant()
    def both_sides_show_the_same_counts(self) -> None:
        if not hasattr(self, "producer"):
            return
        handle = self.producer.addresses()
        gate = min(self.model.readers.values(), default=self.model.published)
        assert self.ring.published() == self.model.published == kernels.published(handle)
        assert self.ring.gating_sequence() == gate == kernels.gating_sequence(handle)


class WideRingMachine(RingMachine):
    capacity = 4
    slot_size = 256


class SmallestRingMachine(RingMachine):
    capacity = 2


TestRing = RingMachine.TestCase
TestRing.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestWideRing = WideRingMachine.TestCase
TestWideRing.settings = settings(max_examples=30, stateful_step_count=60, deadline=None)
TestSmallestRing = SmallestRingMachine.TestCase
TestSmallestRing.settings = settings(max_examples=30, stateful_step_count=60, deadline=None)
