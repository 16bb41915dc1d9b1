"""The ring for Numba: the twin of `native_ext/ring.h`, from the same layout table.

Every function takes `ring`, the int64[16] handle from `Producer.addresses`, `Consumer.addresses`
or `Ring.addresses`, and may be called from any other kernel. Results that are neither a count nor
a sequence are FULL, EVICTED and INVALID of `layout`. Payloads are written and read in place
through `Ring.slots(dtype)`, at `sequence & ring[HANDLE_MASK]`: between `begin` and `commit`,
between `poll` and `advance`.

    first = try_claim(ring, n)
    if first >= 0:
        for sequence in range(first, first + n):
            slots["price_ticks"][begin(ring, sequence)] = price_ticks
            commit(ring, sequence)
        publish(ring)
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
    fence_seq_cst,
    fused,
    futex_wait,
    futex_wake,
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
from ringbuffer.claims import (
    abort,
    add_to,
    begin,
    commit,
    count_conflated,
    gating_sequence,
    lowest_sequence,
    make_room,
    prefetch_next,
    producer_beat,
    publish,
    slot_at,
    try_claim,
)
from ringbuffer.layout import (
    EVICTED,
    HANDLE_BEHIND,
    HANDLE_DOORBELL,
    HANDLE_KNOWN,
    HANDLE_MASK,
    HANDLE_PUBLISHED,
    HANDLE_READERS,
    HANDLE_SLOT_SIZE,
    HANDLE_SLOTS,
    HANDLE_TAKEN,
    HANDLE_WAIT,
    INVALID,
    MODE_GATING,
    READER_HEARTBEAT,
    READER_LAG_MAX,
    READER_MODE,
    READER_SEQUENCE,
    READER_STRIDE,
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
    "begin",
    "bucket_of",
    "commit",
    "count_conflated",
    "gating_sequence",
    "lag",
    "lowest_sequence",
    "make_room",
    "next_sequence",
    "now_ns",
    "poll",
    "prefetch_next",
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


@fused
def reader_address(ring: Handle, reader_index: int) -> int:
    """Return the address of a reader block."""
    return int(ring[HANDLE_READERS]) + reader_index * READER_STRIDE


@fused
def published(ring: Handle) -> int:
    """Return how many records were ever published."""
    # MEMORY: acquire; slots below it are valid. Pairs with the release in publish.
    return load_acquire(ring[HANDLE_PUBLISHED])


@fused
def next_sequence(ring: Handle, reader_index: int) -> int:
    """Return the next sequence this reader will take."""
    # MEMORY: relaxed; the reader is its own writer. Others display it: no partner.
    return load_relaxed(ring[HANDLE_READERS] + reader_index * READER_STRIDE + READER_SEQUENCE)


@fused
def ready(ring: Handle, sequence: int) -> bool:
    """Return whether record `sequence` can be taken."""
    slot = slot_at(ring[HANDLE_SLOTS], ring[HANDLE_MASK], ring[HANDLE_SLOT_SIZE], sequence)
    # MEMORY: acquire; payload reads stay after it. Pairs with the release in publish.
    return load_acquire(slot) > sequence


@fused
def run_end(ring: Handle, sequence: int, end: int) -> int:
    """Return the end of the unbroken run of records from `sequence` on, `end` at most."""
    slots, mask, slot_size = ring[HANDLE_SLOTS], ring[HANDLE_MASK], ring[HANDLE_SLOT_SIZE]
    # MEMORY: acquire; payload reads stay after it. Pairs with the release in publish.
    while sequence < end and load_acquire(slot_at(slots, mask, slot_size, sequence)) == (
        sequence + 1
    ):
        sequence += 1
    return sequence


@fused
def poll(ring: Handle, reader_index: int, limit: int) -> int:
    """Return how many contiguous records the reader may take from `next_sequence` on.

    Returns:
        The count, at most `limit`, or EVICTED.
    """
    block = ring[HANDLE_READERS] + reader_index * READER_STRIDE
    # MEMORY: relaxed; a late view is corrected in advance. Pairs with aegis_ring_evict.
    if load_relaxed(block + READER_MODE) != MODE_GATING:
        return EVICTED
    first = ring[HANDLE_TAKEN]
    if limit <= ring[HANDLE_KNOWN] - first:
        return limit  # a jump: the next record waits for no sum of this one
    end = first + limit
    known = max(ring[HANDLE_KNOWN], first)
    behind = ring[HANDLE_BEHIND] != 0
    if known < end:
        if behind:
            # MEMORY: acquire; slots below it are valid. Pairs with the release in publish.
            known = max(known, load_acquire(ring[HANDLE_PUBLISHED]))
        if not behind or known == first:
            known = run_end(ring, known, end)
    ring[HANDLE_KNOWN] = known
    count = min(known, end) - first
    ring[HANDLE_BEHIND] = count > 0
    return count


@fused
def advance(ring: Handle, reader_index: int, sequence: int) -> int:
    """Give every record below `sequence` back to the producer.

    Returns:
        0; EVICTED: discard what was read since the last advance; or INVALID for a sequence that
        goes back or passes what was published.
    """
    words = address_of(ring)
    # MEMORY: relaxed, here and below; the handle is this thread's own: no partner.
    block = load_relaxed(words + HANDLE_READERS * 8) + reader_index * READER_STRIDE
    # MEMORY: acquire fence; payload reads precede the look at mode. Pairs with the release fence
    # in begin.
    fence_acquire()
    # MEMORY: relaxed, ordered by the fence. Pairs with aegis_ring_evict.
    if load_relaxed(block + READER_MODE) != MODE_GATING:
        return EVICTED
    before = load_relaxed(words + HANDLE_TAKEN * 8)
    if sequence == before:
        return 0
    if sequence < before:
        return INVALID
    # MEMORY: acquire; slots below it are valid. Pairs with the release in publish.
    if sequence > load_relaxed(words + HANDLE_KNOWN * 8) and sequence > load_acquire(
        load_relaxed(words + HANDLE_PUBLISHED * 8)
    ):
        return INVALID
    # MEMORY: release; our payload reads are over. Pairs with the acquire in lowest_sequence.
    store_release(block + READER_SEQUENCE, sequence)
    store_relaxed(words + HANDLE_TAKEN * 8, sequence)
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
