"""Every offset and size of a shared segment, and the check that C has the same numbers.

This module holds numbers only. It opens nothing and imports neither numpy nor Numba. The C side
states the same table in `native_ext/ring.h` under `_Static_assert` and exports it; importing
this module fails with `SegmentLayoutError` when the two differ.

Every segment starts with one 64-byte prefix (bytes numbered from 0)::

      0        8     12       16          24           32         40           48            56
    +--------+-----+--------+-----------+------------+----------+------------+-------------+------+
    | magic  |kind | version| size_bytes| generation | owner_pid| owner_start| created     |create|
    | u64    |u32  | u32    | i64       | i64        | i64      | _ticks i64 | _realtime_ns|_mono |
    +--------+-----+--------+-----------+------------+----------+------------+-------------+------+

A ring is one segment. Counters that different processes write are 128 bytes apart, so that
neither a cache line nor the line fetched beside it is shared::

        0  prefix (above); 64 capacity i64; 72 slot_size i64               writer: creator
      128  W, published count i64                                          writer: producer
      256  pid, start, heartbeat_ns, refused count, conflated count        writer: producer
      384  wait word u32 (futex)                                           writers: see below
      512  + 128 k, k < 16: reader k                                       writer: reader k
             0 R, sequence i64: next record this reader will take; alone on its line, which a
               producer without room takes again and again
            64 mode: 0 free, 1 observer, 2 gating, 3 evicted
            72 pid, 80 start, 88 heartbeat_ns
            96 lapped count, 104 resync count, 112 max lag
     2560  unused
     4096  slots: capacity x slot_size

    slot   0        8                                             slot_size
           +--------+---------------------------------------------+
           |sequence| payload                                     |
           +--------+---------------------------------------------+
           sequence i64 is i + 1 when record i is valid, -1 while it is being written.

Order of stores for records W to W + n - 1, ascending: slot.sequence = -1, fence, payload, and for
all but the first slot.sequence = i + 1 (release, commit). Then slot[W].sequence = W + 1 (release,
publish), which lets readers at the first and so at all of them, and W += n (release).

A producer killed at any step leaves a ring from which the next producer goes on: while
slot[W].sequence == W + 1, W += 1; the run of committed slots behind slot W, which no reader saw,
is marked busy again, the last one first; then write slot W (again).

Named exceptions to one writer per word:
  * the wait word: sleeping readers set it, the producer clears it;
  * eviction: main may store mode = 3, that one word, in a gating reader's block. The reader itself
    never stores mode while it runs, so a reader that wakes up later cannot undo its eviction;
  * reservation: the creator marks reader blocks as gating before the producer starts.
"""

from __future__ import annotations

from typing import Final

from native_ext import _native
from ringbuffer.errors import SegmentLayoutError

MAGIC: Final = 0x0031_5349_4745_4100  # the bytes "\0AEGIS1\0", little-endian
LAYOUT_VERSION: Final = 2

KIND_RING: Final = 1
KIND_CONTROL: Final = 2
KIND_COUNTERS: Final = 3

PREFIX_BYTES: Final = 64
OFFSET_MAGIC: Final = 0
OFFSET_KIND: Final = 8
OFFSET_VERSION: Final = 12
OFFSET_SIZE: Final = 16
OFFSET_GENERATION: Final = 24
OFFSET_OWNER_PID: Final = 32
OFFSET_OWNER_START: Final = 40
OFFSET_CREATED_REALTIME: Final = 48
OFFSET_CREATED_MONO: Final = 56

OFFSET_CAPACITY: Final = 64
OFFSET_SLOT_SIZE: Final = 72
OFFSET_PUBLISHED: Final = 128
OFFSET_PRODUCER: Final = 256
OFFSET_WAIT: Final = 384
OFFSET_READERS: Final = 512
OFFSET_SLOTS: Final = 4096

READER_STRIDE: Final = 128
READER_COUNT: Final = 16
READER_SEQUENCE: Final = 0
READER_MODE: Final = 64
READER_PID: Final = 72
READER_START: Final = 80
READER_HEARTBEAT: Final = 88
READER_LAPPED: Final = 96
READER_RESYNCS: Final = 104
READER_LAG_MAX: Final = 112

PRODUCER_PID: Final = 0
PRODUCER_START: Final = 8
PRODUCER_HEARTBEAT: Final = 16
PRODUCER_REFUSED: Final = 24
PRODUCER_CONFLATED: Final = 32

MODE_FREE: Final = 0
MODE_OBSERVER: Final = 1
MODE_GATING: Final = 2
MODE_EVICTED: Final = 3

SLOT_ALIGNMENT: Final = 64
SLOT_HEADER_BYTES: Final = 8
SLOT_BUSY: Final = -1

# What the ring operations return instead of a count or a sequence. Never raised.
FULL: Final = -1  # a gating reader has not made room yet
EVICTED: Final = -2  # main took this gating reader out; what it read last may be torn
INVALID: Final = -3  # the call broke a precondition; nothing was changed

# The int64[16] handle that C, Numba and Python share: addresses in this process, then the
# private words of its one producer or reader. Order is the order of `struct aegis_ring`.
HANDLE_WORDS: Final = 16
HANDLE_BASE: Final = 0
HANDLE_PUBLISHED: Final = 1
HANDLE_WAIT: Final = 2
HANDLE_READERS: Final = 3
HANDLE_SLOTS: Final = 4
HANDLE_MASK: Final = 5
HANDLE_SLOT_SIZE: Final = 6
HANDLE_CAPACITY: Final = 7
HANDLE_PRODUCER: Final = 8
HANDLE_NEXT: Final = 9  # next sequence to claim
HANDLE_DONE: Final = 10  # next sequence to publish; equals W
HANDLE_GATING: Final = 11  # cached gating sequence
HANDLE_DOORBELL: Final = 12  # eventfd rung by wake(), -1 for the futex
HANDLE_KNOWN: Final = 13  # reader: everything below it was published, as poll found
HANDLE_BEHIND: Final = 14  # reader: 1 when the last poll found something
HANDLE_TAKEN: Final = 15  # reader: R, which only it moves

# The int64[8] clock that C and Numba stamp from.
CLOCK_WORDS: Final = 8
CLOCK_VERSION: Final = 0
CLOCK_SOURCE: Final = 1
CLOCK_TSC0: Final = 2
CLOCK_MONO0: Final = 3
CLOCK_MULTIPLIER: Final = 4
CLOCK_TSC_HZ: Final = 5
CLOCK_REALTIME_OFFSET: Final = 6

CLOCK_SHIFT: Final = 32  # ns = mono0 + ((tsc - tsc0) * multiplier >> 32), in 128 bits


def ring_size_bytes(capacity: int, slot_size: int) -> int:
    """Return the bytes a ring segment needs.

    Raises:
        ValueError: capacity is not a power of two, or slot_size not a multiple of 64.
    """
    if capacity < 2 or capacity & (capacity - 1):
        message = f"capacity must be a power of two of at least 2, got {capacity}"
        raise ValueError(message)
    if slot_size < SLOT_ALIGNMENT or slot_size % SLOT_ALIGNMENT:
        message = f"slot_size must be a positive multiple of {SLOT_ALIGNMENT}, got {slot_size}"
        raise ValueError(message)
    return OFFSET_SLOTS + capacity * slot_size


def differences(ours: dict[str, object], theirs: dict[str, int]) -> list[str]:
    """Return one sentence per name on which this module and the C table disagree.

    Args:
        ours: this module's namespace.
        theirs: name to number, as exported by the extension.
    """
    found = []
    for name, number in sorted(theirs.items()):
        if name not in ours:
            found.append(f"{name} is {number} in C and missing in layout.py")
        elif ours[name] != number:
            found.append(f"{name} is {number} in C and {ours[name]} in layout.py")
    return found


def _compare_with_native() -> None:
    found = differences(globals(), _native.layout())
    if found:
        message = "ring layout differs, rebuild the extension (make native): " + "; ".join(found)
        raise SegmentLayoutError(message)


_compare_with_native()
