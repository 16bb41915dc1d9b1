"""The ring for Numba: the twin of `native_ext/ring.h`, from the same layout table.

Every function takes `ring`, the int64[16] handle from `Producer.addresses`, `Consumer.addresses`
or `Ring.addresses`, and may be called from any other kernel. Results that are neither a count nor
a sequence are FULL, EVICTED and INVALID of `layout`. Payloads are written and read in place
through `Ring.slots(dtype)`, at `sequence & ring[HANDLE_MASK]`: after `try_claim` and before
`publish`, after `poll` and before `advance`.

    first = try_claim(ring, 1)
    if first >= 0:
        slots["price_ticks"][first & ring[HANDLE_MASK]] = price_ticks
        publish(ring, 1)
        wake(ring)

The comments name the partner of each access; the C twin is under the same stress test. Hot
functions hand numbers, never the array, to what they call: an array is reference-counted by a
locked instruction wherever the compiler cannot prove the pair superfluous, and one between busy
mark and sequence would make the slot's cache line travel twice. A test holds this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ringbuffer.atomics import (
    address_of,
    fence_acquire,
    fence_release,
    fence_seq_cst,
    futex_wait,
    futex_wake,
    inlined,
    kernel,
    load32_relaxed,
    load_acquire,
    load_relaxed,
    pause,
    ring_doorbell,
    store32_relaxed,
    store_relaxed,
    store_release,
)
from ringbuffer.layout import (
    EVICTED,
    FULL,
    HANDLE_CAPACITY,
    HANDLE_DONE,
    HANDLE_DOORBELL,
    HANDLE_GATING,
    HANDLE_MASK,
    HANDLE_NEXT,
    HANDLE_PRODUCER,
    HANDLE_PUBLISHED,
    HANDLE_READERS,
    HANDLE_SLOT_SIZE,
    HANDLE_SLOTS,
    HANDLE_WAIT,
    INVALID,
    MODE_GATING,
    PRODUCER_CONFLATED,
    PRODUCER_HEARTBEAT,
    PRODUCER_REFUSED,
    READER_COUNT,
    READER_HEARTBEAT,
    READER_LAG_MAX,
    READER_MODE,
    READER_SEQUENCE,
    READER_STRIDE,
    SLOT_BUSY,
)
from ringbuffer.stamps import bucket_of, now_ns, record_latency

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Handle = NDArray[np.int64]
else:
    Handle = Any

__all__ = [
    "abort",
    "add_to",
    "advance",
    "arm",
    "beat",
    "bucket_of",
    "count_conflated",
    "gating_sequence",
    "lag",
    "lowest_sequence",
    "make_room",
    "next_sequence",
    "now_ns",
    "poll",
    "producer_beat",
    "publish",
    "published",
    "reader_address",
    "ready",
    "record_latency",
    "slot_at",
    "try_claim",
    "wait",
    "wake",
]

SPIN_ROUNDS = 32  # looks between two readings of the clock
READERS_ALL = 2**31 - 1


@inlined
def slot_at(slots: int, mask: int, slot_size: int, sequence: int) -> int:
    """Return the address of the slot of `sequence`."""
    return slots + (sequence & mask) * slot_size


@inlined
def reader_address(ring: Handle, reader_index: int) -> int:
    """Return the address of a reader block."""
    return int(ring[HANDLE_READERS]) + reader_index * READER_STRIDE


@inlined
def published(ring: Handle) -> int:
    """Return how many records were ever published."""
    # MEMORY: acquire; slots below it are valid. Pairs with the release in publish.
    return load_acquire(ring[HANDLE_PUBLISHED])


@inlined
def next_sequence(ring: Handle, reader_index: int) -> int:
    """Return the next sequence this reader will take."""
    # MEMORY: relaxed; the reader is its own writer. Others display it: no partner.
    return load_relaxed(ring[HANDLE_READERS] + reader_index * READER_STRIDE + READER_SEQUENCE)


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


@inlined
def try_claim(ring: Handle, n: int) -> int:
    """Reserve the next n slots and mark them busy.

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
    slots = load_relaxed(words + HANDLE_SLOTS * 8)
    mask = load_relaxed(words + HANDLE_MASK * 8)
    slot_size = load_relaxed(words + HANDLE_SLOT_SIZE * 8)
    for sequence in range(first, end):
        # MEMORY: relaxed, ordered by the fence below. Pairs with the second load of the sequence
        # in aegis_ring_observe.
        store_relaxed(slot_at(slots, mask, slot_size, sequence), SLOT_BUSY)
    # MEMORY: release fence; payload writes stay after the busy marks. Pairs with the acquire fence
    # in aegis_ring_observe.
    fence_release()
    store_relaxed(words + HANDLE_NEXT * 8, end)
    return first


@inlined
def publish(ring: Handle, n: int) -> int:
    """Make the first n claimed slots visible, in ascending order.

    Returns:
        The published count, or INVALID when fewer than n are claimed.
    """
    first = int(ring[HANDLE_DONE])
    end = first + n
    if n < 1 or end > ring[HANDLE_NEXT]:
        return INVALID
    slots, mask, slot_size = ring[HANDLE_SLOTS], ring[HANDLE_MASK], ring[HANDLE_SLOT_SIZE]
    for sequence in range(first, end):
        # MEMORY: release; the payload is visible. Pairs with the acquire in poll and ready.
        store_release(slot_at(slots, mask, slot_size, sequence), sequence + 1)
    ring[HANDLE_DONE] = end
    # MEMORY: release; slots below it are valid. Pairs with the acquire in published.
    store_release(ring[HANDLE_PUBLISHED], end)
    return end


@kernel
def abort(ring: Handle) -> None:
    """Give up what is claimed and not published."""
    ring[HANDLE_NEXT] = ring[HANDLE_DONE]


@inlined
def ready(ring: Handle, sequence: int) -> bool:
    """Return whether record `sequence` can be taken."""
    slot = slot_at(ring[HANDLE_SLOTS], ring[HANDLE_MASK], ring[HANDLE_SLOT_SIZE], sequence)
    # MEMORY: acquire; payload reads stay after it. Pairs with the release in publish.
    return load_acquire(slot) > sequence


@inlined
def poll(ring: Handle, reader_index: int, limit: int) -> int:
    """Return how many contiguous records the reader may take from `next_sequence` on.

    Returns:
        The count, at most `limit`, or EVICTED.
    """
    block = ring[HANDLE_READERS] + reader_index * READER_STRIDE
    # MEMORY: relaxed; a late view is corrected in advance. Pairs with aegis_ring_evict.
    if load_relaxed(block + READER_MODE) != MODE_GATING:
        return EVICTED
    # MEMORY: relaxed; we are its own writer: no partner.
    first = load_relaxed(block + READER_SEQUENCE)
    slots, mask, slot_size = ring[HANDLE_SLOTS], ring[HANDLE_MASK], ring[HANDLE_SLOT_SIZE]
    count = 0
    while count < limit:
        slot = slot_at(slots, mask, slot_size, first + count)
        # MEMORY: acquire; payload reads stay after it. Pairs with the release in publish.
        if load_acquire(slot) != first + count + 1:
            break
        count += 1
    return count


@inlined
def advance(ring: Handle, reader_index: int, sequence: int) -> int:
    """Give every record below `sequence` back to the producer.

    Returns:
        0; EVICTED: discard what was read since the last advance; or INVALID for a sequence that
        goes back or passes what was published.
    """
    block = ring[HANDLE_READERS] + reader_index * READER_STRIDE
    # MEMORY: acquire fence; payload reads precede the look at mode. Pairs with the release fence
    # in try_claim.
    fence_acquire()
    # MEMORY: relaxed, ordered by the fence. Pairs with aegis_ring_evict.
    if load_relaxed(block + READER_MODE) != MODE_GATING:
        return EVICTED
    # MEMORY: relaxed; we are its own writer: no partner.
    before = load_relaxed(block + READER_SEQUENCE)
    if sequence == before:
        return 0
    if sequence < before or sequence - before > ring[HANDLE_CAPACITY]:
        return INVALID
    slots, mask, slot_size = ring[HANDLE_SLOTS], ring[HANDLE_MASK], ring[HANDLE_SLOT_SIZE]
    # MEMORY: relaxed; cannot change until we advance: no partner.
    if load_relaxed(slot_at(slots, mask, slot_size, sequence - 1)) != sequence:
        return INVALID
    # MEMORY: release; our payload reads are over. Pairs with the acquire in lowest_sequence.
    store_release(block + READER_SEQUENCE, sequence)
    return 0


@kernel
def lag(ring: Handle, reader_index: int) -> int:
    """Return published count minus next_sequence; loads the producer's line, so not per record."""
    return published(ring) - next_sequence(ring, reader_index)


@kernel
def beat(ring: Handle, reader_index: int, now_ns: int) -> None:
    """Store the reader's heartbeat and the largest lag seen at a beat."""
    block = reader_address(ring, reader_index)
    # MEMORY: relaxed; whole words that others display: no partner.
    store_relaxed(block + READER_HEARTBEAT, now_ns)
    behind = lag(ring, reader_index)
    if behind > load_relaxed(block + READER_LAG_MAX):
        store_relaxed(block + READER_LAG_MAX, behind)


@kernel
def producer_beat(ring: Handle, now_ns: int) -> None:
    """Store the producer's heartbeat."""
    # MEMORY: relaxed; a whole word that others display: no partner.
    store_relaxed(ring[HANDLE_PRODUCER] + PRODUCER_HEARTBEAT, now_ns)


@kernel
def count_conflated(ring: Handle, n: int) -> None:
    """Add to the conflated count; producer only."""
    add_to(ring[HANDLE_PRODUCER] + PRODUCER_CONFLATED, n)


@kernel
def wake(ring: Handle) -> None:
    """Wake sleeping readers if there are any; producer, once after a batch of publishes."""
    # MEMORY: seq_cst fence; published slots are visible before we look for sleepers. Pairs with
    # the fence in arm.
    fence_seq_cst()
    # MEMORY: relaxed, ordered by the fence. Pairs with the store in arm.
    if load32_relaxed(ring[HANDLE_WAIT]) == 0:
        return
    # MEMORY: relaxed; who arms again sees our slots by its fence. Pairs with arm.
    store32_relaxed(ring[HANDLE_WAIT], 0)
    futex_wake(ring[HANDLE_WAIT], READERS_ALL)
    if ring[HANDLE_DOORBELL] >= 0:
        ring_doorbell(ring[HANDLE_DOORBELL])


@kernel
def arm(ring: Handle, sequence: int) -> bool:
    """Ask for a wake; True when record `sequence` is not there and the caller may sleep."""
    # MEMORY: relaxed, ordered by the fence. Pairs with the load in wake.
    store32_relaxed(ring[HANDLE_WAIT], 1)
    # MEMORY: seq_cst fence; our wait word is visible before we look. Pairs with the fence in wake.
    fence_seq_cst()
    return not ready(ring, sequence)


@kernel
def wait(ring: Handle, reader_index: int, spin_ns: int, timeout_ns: int, clock: Handle) -> bool:
    """Wait for the reader's next record: spin for `spin_ns`, then sleep, `timeout_ns` in all.

    Returns:
        True when it is there; False on timeout. Keep the timeout to a slice (tens of ms) and look
        at the stop word between slices: signals and eviction are not seen meanwhile.
    """
    sequence = next_sequence(ring, reader_index)
    if ready(ring, sequence):
        return True
    start_ns = now_ns(clock)
    elapsed_ns = 0
    while elapsed_ns < spin_ns:
        for _ in range(SPIN_ROUNDS):
            if ready(ring, sequence):
                return True
            pause()
        elapsed_ns = now_ns(clock) - start_ns
    while elapsed_ns < timeout_ns:
        if not arm(ring, sequence):
            return True
        futex_wait(ring[HANDLE_WAIT], 1, timeout_ns - elapsed_ns)
        if ready(ring, sequence):
            return True
        elapsed_ns = now_ns(clock) - start_ns
    return False
