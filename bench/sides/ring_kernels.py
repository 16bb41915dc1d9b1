"""Kernels of the ring benches: the loops of spsc_baseline.cpp over the Numba side of the ring."""

from __future__ import annotations

import platform
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ringbuffer import kernels
from ringbuffer.atomics import (
    cycles,
    kernel,
    load_acquire,
    monotonic_ns,
    pause,
    store_relaxed,
    store_release,
)
from ringbuffer.layout import (
    HANDLE_MASK,
    HANDLE_NEXT,
    HANDLE_PRODUCER,
    PRODUCER_HEARTBEAT,
    READER_HEARTBEAT,
)

HAS_CYCLES: Final = platform.machine() == "x86_64"
WORDS: Final = 7
BENCH_RECORD: Final = np.dtype(
    [("sequence", "<i8"), ("sent", "<i8"), ("due", "<i8")]
    + [(f"word{i}", "<i8") for i in range(2, WORDS)]
)

Handle = NDArray[np.int64]
Slots = NDArray[np.void]


@kernel
def stamp() -> int:
    """Read the cheapest clock both sides share."""
    return cycles() if HAS_CYCLES else monotonic_ns()


@kernel
def wait_for_consumer(ring: Handle, end: int) -> None:
    """Wait until the consumer announced `end`, then store the start time as our heartbeat."""
    # MEMORY: acquire; the consumer is at its loop. Pairs with the release in announce.
    while load_acquire(kernels.reader_address(ring, 0) + READER_HEARTBEAT) != end:
        pause()
    # MEMORY: relaxed; ordered by the publish of the first record. Read in batch_consume's caller.
    store_relaxed(ring[HANDLE_PRODUCER] + PRODUCER_HEARTBEAT, monotonic_ns())


@kernel
def announce(ring: Handle, end: int) -> None:
    """Tell the producer that the consumer is at its loop."""
    # MEMORY: release; pairs with the acquire in wait_for_consumer.
    store_release(kernels.reader_address(ring, 0) + READER_HEARTBEAT, end)


@kernel
def paced_produce(ring: Handle, slots: Slots, end: int, gap: int, wakes: bool) -> int:
    """Publish one record per `gap` of the clock, stamped with its actual and its due time."""
    wait_for_consumer(ring, end)
    due = stamp() + gap
    while ring[HANDLE_NEXT] < end:
        while stamp() < due:
            pause()
        sequence = kernels.try_claim(ring, 1)
        while sequence < 0:
            pause()
            sequence = kernels.try_claim(ring, 1)
        i = kernels.begin(ring, sequence)
        slots["word2"][i] = sequence + 2
        slots["word3"][i] = sequence + 3
        slots["word4"][i] = sequence + 4
        slots["word5"][i] = sequence + 5
        slots["word6"][i] = sequence + 6
        slots["due"][i] = due
        slots["sent"][i] = stamp()
        kernels.commit(ring, sequence)
        kernels.publish(ring)
        if wakes:
            kernels.wake(ring)
        due += gap
    return end


@kernel
def paced_consume(
    ring: Handle, slots: Slots, end: int, pairs: NDArray[np.int64], clock: Handle, spin_ns: int
) -> int:
    """Fill `pairs` with ticks since sent and since due; spin_ns < 0 never sleeps."""
    announce(ring, end)
    total = 0
    taken = 0
    following = kernels.next_sequence(ring, 0)
    while following < end:
        count = kernels.poll(ring, 0, 32)
        if count == 0 and spin_ns < 0:
            pause()
        elif count == 0:
            kernels.wait(ring, 0, spin_ns, 100_000_000, clock)
        for sequence in range(following, following + count):
            i = sequence & ring[HANDLE_MASK]
            now = stamp()
            total += slots["word2"][i] + slots["word3"][i] + slots["word4"][i]
            total += slots["word5"][i] + slots["word6"][i] - 5 * sequence
            pairs[taken, 0] = now - slots["sent"][i]
            pairs[taken, 1] = now - slots["due"][i]
            taken += 1
        if count > 0:
            kernels.advance(ring, 0, following + count)
        following += count
    return total


@kernel
def batch_produce(ring: Handle, slots: Slots, end: int, batch: int) -> int:
    """Publish as fast as the reader allows, `batch` records at a time."""
    wait_for_consumer(ring, end)
    while ring[HANDLE_NEXT] < end:
        n = min(batch, end - ring[HANDLE_NEXT])
        first = kernels.try_claim(ring, n)
        while first < 0:
            pause()
            first = kernels.try_claim(ring, n)
        for sequence in range(first, first + n):
            i = kernels.begin(ring, sequence)
            slots["sent"][i] = sequence
            slots["due"][i] = sequence + 1
            slots["word2"][i] = sequence + 2
            slots["word3"][i] = sequence + 3
            slots["word4"][i] = sequence + 4
            slots["word5"][i] = sequence + 5
            slots["word6"][i] = sequence + 6
            kernels.commit(ring, sequence)
        kernels.publish(ring)
    return end


@kernel
def batch_consume(ring: Handle, slots: Slots, end: int, batch: int) -> int:
    """Take everything, at most `batch` records at a time; return the sum of all words."""
    announce(ring, end)
    total = 0
    following = kernels.next_sequence(ring, 0)
    while following < end:
        count = kernels.poll(ring, 0, batch)
        if count == 0:
            pause()
        for sequence in range(following, following + count):
            i = sequence & ring[HANDLE_MASK]
            total += slots["sent"][i] + slots["due"][i] + slots["word2"][i] + slots["word3"][i]
            total += slots["word4"][i] + slots["word5"][i] + slots["word6"][i] - 7 * sequence
        if count > 0:
            kernels.advance(ring, 0, following + count)
        following += count
    return total
