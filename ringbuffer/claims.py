"""The producer's half of the ring for Numba; `kernels.py` shows it to callers and explains it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ringbuffer.atomics import (
    address_of,
    fence_release,
    fence_seq_cst,
    fused,
    kernel,
    load_acquire,
    load_relaxed,
    prefetch,
    store_relaxed,
    store_release,
)
from ringbuffer.layout import (
    FULL,
    HANDLE_CAPACITY,
    HANDLE_DONE,
    HANDLE_GATING,
    HANDLE_MASK,
    HANDLE_NEXT,
    HANDLE_PRODUCER,
    HANDLE_PUBLISHED,
    HANDLE_READERS,
    HANDLE_SLOT_SIZE,
    HANDLE_SLOTS,
    INVALID,
    MODE_GATING,
    PRODUCER_CONFLATED,
    PRODUCER_HEARTBEAT,
    PRODUCER_REFUSED,
    READER_COUNT,
    READER_MODE,
    READER_SEQUENCE,
    READER_STRIDE,
    SLOT_ALIGNMENT,
    SLOT_BUSY,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Handle = NDArray[np.int64]
else:
    Handle = Any


@fused
def slot_at(slots: int, mask: int, slot_size: int, sequence: int) -> int:
    """Return the address of the slot of `sequence`."""
    return slots + (sequence & mask) * slot_size


@kernel
def lowest_sequence(done: int, readers: int) -> int:
    """Return the lowest sequence of all gating readers, or `done`, the published count."""
    lowest = done
    # MEMORY: seq_cst fence; our published count is visible before we look for readers. Pairs with
    # the fence in aegis_ring_join.
    fence_seq_cst()
    for reader_index in range(READER_COUNT):
        block = readers + reader_index * READER_STRIDE
        # MEMORY: acquire; the joiner's sequence precedes its mode. Pairs with aegis_ring_join.
        if load_acquire(block + READER_MODE) != MODE_GATING:
            continue
        # MEMORY: acquire; its payload reads are over. Pairs with the release in advance.
        sequence = load_acquire(block + READER_SEQUENCE)
        lowest = min(lowest, sequence)
    return lowest


@kernel
def gating_sequence(ring: Handle) -> int:
    """Return the lowest sequence of all gating readers, or the published count; producer only."""
    return lowest_sequence(ring[HANDLE_DONE], ring[HANDLE_READERS])


@kernel
def add_to(address: int, n: int) -> None:
    """Add to a counter that only this process writes."""
    # MEMORY: relaxed load and store; one writer, others display it: no partner.
    store_relaxed(address, load_relaxed(address) + n)


@kernel
def make_room(words: int, end: int) -> bool:
    """Look the gating sequence up again; True when slots below `end` are free, else counted."""
    # MEMORY: relaxed; the handle is this thread's own: no partner.
    done = load_relaxed(words + HANDLE_DONE * 8)
    lowest = lowest_sequence(done, load_relaxed(words + HANDLE_READERS * 8))
    store_relaxed(words + HANDLE_GATING * 8, lowest)
    if end - load_relaxed(words + HANDLE_CAPACITY * 8) <= lowest:
        return True
    add_to(load_relaxed(words + HANDLE_PRODUCER * 8) + PRODUCER_REFUSED, 1)
    return False


@fused
def try_claim(ring: Handle, n: int) -> int:
    """Reserve the next n slots; each is the producer's from its `begin` on.

    Returns:
        The first sequence, FULL (counted) while a gating reader lags, or INVALID for n outside
        [1, capacity].
    """
    words = address_of(ring)
    # MEMORY: relaxed, here and below; the handle is this thread's own: no partner.
    capacity = load_relaxed(words + HANDLE_CAPACITY * 8)
    first = load_relaxed(words + HANDLE_NEXT * 8)
    if n < 1 or n > capacity:
        return INVALID
    end = first + n
    if end - capacity > load_relaxed(words + HANDLE_GATING * 8) and not make_room(words, end):
        return FULL
    store_relaxed(words + HANDLE_NEXT * 8, end)
    return first


@kernel
def prefetch_next(ring: Handle, n: int) -> None:
    """Ask for the cache lines of the next n slots, so that who fills them waits for none."""
    words = address_of(ring)
    # MEMORY: relaxed, here and below; the handle is this thread's own: no partner.
    first = load_relaxed(words + HANDLE_NEXT * 8)
    mask = load_relaxed(words + HANDLE_MASK * 8)
    slots = load_relaxed(words + HANDLE_SLOTS * 8)
    slot_size = load_relaxed(words + HANDLE_SLOT_SIZE * 8)
    for sequence in range(first, first + n):
        slot = slot_at(slots, mask, slot_size, sequence)
        for line in range(0, slot_size, SLOT_ALIGNMENT):
            prefetch(slot + line)


@fused
def begin(ring: Handle, sequence: int) -> int:
    """Mark a claimed slot busy, before its payload is written; return its index in the slots."""
    words = address_of(ring)
    # MEMORY: relaxed, here and below; the handle is this thread's own: no partner.
    mask = load_relaxed(words + HANDLE_MASK * 8)
    slots = load_relaxed(words + HANDLE_SLOTS * 8)
    slot_size = load_relaxed(words + HANDLE_SLOT_SIZE * 8)
    # MEMORY: relaxed, ordered by the fence below. Pairs with the second load of the sequence in
    # aegis_ring_observe.
    store_relaxed(slot_at(slots, mask, slot_size, sequence), SLOT_BUSY)
    # MEMORY: release fence; payload writes stay after the busy mark. Pairs with the acquire fence
    # in aegis_ring_observe.
    fence_release()
    return sequence & mask


@fused
def commit(ring: Handle, sequence: int) -> None:
    """Declare a begun slot written; ascending, each slot once. `publish` shows it."""
    words = address_of(ring)
    # MEMORY: relaxed, here and below; the handle is this thread's own: no partner.
    if sequence == load_relaxed(words + HANDLE_DONE * 8):
        return
    mask = load_relaxed(words + HANDLE_MASK * 8)
    slots = load_relaxed(words + HANDLE_SLOTS * 8)
    slot_size = load_relaxed(words + HANDLE_SLOT_SIZE * 8)
    # MEMORY: release; the payload is visible. Pairs with the acquire in poll and ready.
    store_release(slot_at(slots, mask, slot_size, sequence), sequence + 1)


@fused
def publish(ring: Handle) -> int:
    """Make all claimed slots, every one committed, visible by one store.

    Returns:
        The published count, or INVALID when nothing is claimed.
    """
    words = address_of(ring)
    # MEMORY: relaxed, here and below; the handle is this thread's own: no partner.
    first = load_relaxed(words + HANDLE_DONE * 8)
    end = load_relaxed(words + HANDLE_NEXT * 8)
    if end == first:
        return INVALID
    mask = load_relaxed(words + HANDLE_MASK * 8)
    slots = load_relaxed(words + HANDLE_SLOTS * 8)
    slot_size = load_relaxed(words + HANDLE_SLOT_SIZE * 8)
    # MEMORY: release; this payload and the committed slots behind it are visible. Pairs with the
    # acquire in poll and ready.
    store_release(slot_at(slots, mask, slot_size, first), first + 1)
    store_relaxed(words + HANDLE_DONE * 8, end)
    # MEMORY: release; slots below it are valid. Pairs with the acquire in published.
    store_release(load_relaxed(words + HANDLE_PUBLISHED * 8), end)
    return end


@kernel
def abort(ring: Handle) -> None:
    """Give up what is claimed and not published; commits are taken back, the last one first."""
    done = ring[HANDLE_DONE]
    slots, mask, slot_size = ring[HANDLE_SLOTS], ring[HANDLE_MASK], ring[HANDLE_SLOT_SIZE]
    sequence = ring[HANDLE_NEXT] - 1
    while sequence > done:
        slot = slot_at(slots, mask, slot_size, sequence)
        # MEMORY: relaxed; we wrote it: no partner.
        if load_relaxed(slot) == sequence + 1:
            # MEMORY: release; keeps this order, so that a producer killed here leaves commits in an
            # unbroken run. Pairs with the acquire loads in aegis_ring_recover.
            store_release(slot, SLOT_BUSY)
        sequence -= 1
    ring[HANDLE_NEXT] = done


@kernel
def producer_beat(ring: Handle, now_ns: int) -> None:
    """Store the producer's heartbeat."""
    # MEMORY: relaxed; a whole word that others display: no partner.
    store_relaxed(ring[HANDLE_PRODUCER] + PRODUCER_HEARTBEAT, now_ns)


@kernel
def count_conflated(ring: Handle, n: int) -> None:
    """Add to the conflated count; producer only."""
    add_to(ring[HANDLE_PRODUCER] + PRODUCER_CONFLATED, n)
