"""The other process of a ring test, run with the words WHAT SIDE NAME COUNT.

WHAT is `produce` or `consume`; SIDE is `c` (the extension's types) or `numba` (the kernels). A
consumer prints its findings as `key=count` pairs: lost, doubled, torn, past. All must be 0.
"""

import os
import sys

import numpy as np

from native_ext import _native
from ringbuffer.ring import EVICTED, Consumer, Producer, Ring
from tests.ring_builders import FACTOR, RECORD, WIDE_RECORD, block

BATCH = 16
SPIN_NS = 20_000
SLICE_NS = 50_000_000


def produce_c(ring: Ring, end: int) -> None:
    """Publish records up to `end`, in blocks of varying length, from where the ring stands."""
    producer = Producer(ring)
    sequence = producer.first_sequence
    while sequence < end:
        rows = block(sequence, min(1 + sequence % BATCH, end - sequence))
        while producer.try_publish_many(rows) < 0:
            os.sched_yield()
        producer.wake()
        sequence += len(rows)


def consume_c(ring: Ring, end: int) -> dict[str, int]:
    """Take records up to `end` through the extension and return what was wrong."""
    consumer = Consumer(ring, 0)
    found = dict.fromkeys(("lost", "doubled", "torn", "past"), 0)
    rows = np.zeros(BATCH, RECORD)
    expected = consumer.first_sequence
    while expected < end:
        first, count = consumer.read_into(rows)
        assert count != EVICTED
        found["lost"] += max(0, first - expected)
        found["doubled"] += max(0, expected - first)
        whole = block(first, count)
        found["torn"] += int(np.count_nonzero(whole["words"] != rows["words"][:count]))
        found["past"] += int(first + count > ring.published() + BATCH)
        consumer.advance(first + count)
        expected = first + count
        if count == 0:
            consumer.wait(SPIN_NS, SLICE_NS)
    return found


def produce_numba(ring: Ring, end: int) -> None:
    """As `produce_c`, one record at a time, in compiled slices."""
    from tests import ring_kernels

    producer = Producer(ring)
    handle = producer.addresses()
    slots = ring.slots(RECORD if ring.slot_size == RECORD.itemsize else WIDE_RECORD)
    sequence = producer.first_sequence
    while sequence < end:
        sequence = ring_kernels.produce_some(handle, slots, end, FACTOR)
        os.sched_yield()


def consume_numba(ring: Ring, end: int) -> dict[str, int]:
    """As `consume_c`, in compiled slices."""
    from tests import ring_kernels

    consumer = Consumer(ring, 0)
    clock = _native.Clock()
    clock.calibrate()
    found = np.zeros(4, np.int64)
    handle, slots = consumer.addresses(), ring.slots(RECORD)
    words = np.frombuffer(memoryview(clock), np.int64)
    state = np.array([consumer.first_sequence], np.int64)
    while state[0] < end:
        code = ring_kernels.consume_some(handle, slots, state, end, FACTOR, words, found)
        assert code == 0, code
    lost, doubled, torn, past = (int(number) for number in found)
    return {"lost": lost, "doubled": doubled, "torn": torn, "past": past}


def main(what: str, side: str, name: str, end: int) -> None:
    """Run one side of a ring to sequence `end`."""
    ring = Ring.attach(name)
    if what == "produce":
        {"c": produce_c, "numba": produce_numba}[side](ring, end)
        return
    found = {"c": consume_c, "numba": consume_numba}[side](ring, end)
    sys.stdout.write(" ".join(f"{key}={number}" for key, number in found.items()) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
