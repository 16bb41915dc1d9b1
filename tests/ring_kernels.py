"""Kernels that drive the Numba side of a ring in tests, as a role's kernel would."""

import numpy as np
from numpy.typing import NDArray

from ringbuffer import kernels
from ringbuffer.atomics import kernel, monotonic_ns, pause, scale
from ringbuffer.layout import HANDLE_MASK, HANDLE_NEXT

LOST, DOUBLED, TORN, PAST = 0, 1, 2, 3
SLICE_RECORDS = 20_000
FULL_LOOKS = 2_000


@kernel
def produce_some(ring: NDArray[np.int64], slots: NDArray[np.void], end: int, factor: int) -> int:
    """Publish up to a slice of records; return the next sequence. Leaves early while full."""
    looks = 0
    published = 0
    while ring[HANDLE_NEXT] < end and published < SLICE_RECORDS and looks < FULL_LOOKS:
        sequence = kernels.try_claim(ring, 1)
        if sequence < 0:
            looks += 1
            pause()
            continue
        slot_index = kernels.begin(ring, sequence)
        for i in range(slots["words"].shape[1]):
            slots["words"][slot_index, i] = sequence * factor + i
        kernels.commit(ring, sequence)
        kernels.publish(ring)
        kernels.wake(ring)
        published += 1
    return ring[HANDLE_NEXT]


@kernel
def consume_some(
    ring: NDArray[np.int64],
    slots: NDArray[np.void],
    state: NDArray[np.int64],
    end: int,
    factor: int,
    clock: NDArray[np.int64],
    found: NDArray[np.int64],
) -> int:
    """Take up to a slice of records, in place; count what is wrong. Negative: a ring result."""
    taken = 0
    while state[0] < end and taken < SLICE_RECORDS:
        count = kernels.poll(ring, 0, 16)
        if count < 0:
            return count
        if count == 0:
            kernels.wait(ring, 0, 20_000, 10_000_000, clock)
            return 0
        first = kernels.next_sequence(ring, 0)
        found[LOST] += max(0, first - state[0])
        found[DOUBLED] += max(0, state[0] - first)
        for sequence in range(first, first + count):
            slot_index = sequence & ring[HANDLE_MASK]
            for i in range(slots["words"].shape[1]):
                if slots["words"][slot_index, i] != sequence * factor + i:
                    found[TORN] += 1
        code = kernels.advance(ring, 0, first + count)
        if code < 0:
            return code
        # A slot's sequence is visible before the published count, which follows at once.
        found[PAST] += int(first + count > kernels.published(ring) + 16)
        state[0] = first + count
        taken += count
    return 0


@kernel
def clock_error_ns(clock: NDArray[np.int64], n: int) -> int:
    """Return the largest distance of n readings from the kernel's clock read around each."""
    error_ns = 0
    for _ in range(n):
        before_ns = monotonic_ns()
        reading_ns = kernels.now_ns(clock)
        after_ns = monotonic_ns()
        error_ns = max(error_ns, before_ns - reading_ns, reading_ns - after_ns)
    return error_ns


@kernel
def spin_until_ready(ring: NDArray[np.int64], sequence: int, looks_max: int) -> int:
    """Return how many looks it took until record `sequence` was there, or `looks_max`."""
    for look in range(looks_max):
        if kernels.ready(ring, sequence):
            return look
    return looks_max


@kernel
def scaled(delta: int, multiplier: int) -> int:
    """Return what `scale` gives inside a kernel."""
    return scale(delta, multiplier)
