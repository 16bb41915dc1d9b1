"""The ring in Python: one producer, up to 16 readers, fixed-size slots in one segment.

    ring = Ring.create("aegis-market", capacity=65536, slot_size=64, gating=(0, 1))
    producer = Producer(ring)                       # in the feed
    producer.try_publish(payload)                   # sequence, or FULL
    producer.wake()                                 # once per batch

    consumer = Consumer(Ring.attach("aegis-market"), reader_index=0)      # in the brain
    first, count = consumer.poll(256)               # count may be 0 or EVICTED
    payload = consumer.read(first)
    consumer.advance(first + count)

The algorithms are in `native_ext/ring.h`; the kernels in `kernels.py` are their twin for Numba
and work on the same memory through `addresses()`. Nothing here waits, except `wait`.

INVARIANT: one thread of one process is the producer of a ring, and each reader block has one
reader. Nothing checks this on the message path; it is checked once, at registration.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, NamedTuple, Self

from native_ext import _native
from ringbuffer import layout
from ringbuffer.errors import ReaderTakenError, SegmentBusyError, SegmentLayoutError
from ringbuffer.layout import EVICTED, FULL, INVALID
from ringbuffer.segment import Segment, owner_alive

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    import numpy as np
    from numpy.typing import DTypeLike, NDArray

__all__ = [
    "EVICTED",
    "FULL",
    "INVALID",
    "Consumer",
    "Observer",
    "Producer",
    "ProducerState",
    "ReaderState",
    "Ring",
]

_SHAPE = struct.Struct("<qq")
_READER = struct.Struct("<q56xqqqqqqq")  # a line between sequence and mode
_PRODUCER = struct.Struct("<qqqqq")


class ReaderState(NamedTuple):
    """What a reader block shows to others: a display, not a snapshot."""

    sequence: int
    mode: int
    pid: int
    start_ticks: int
    heartbeat_ns: int
    lapped_count: int
    resync_count: int
    lag_max: int


class ProducerState(NamedTuple):
    """What the producer block shows to others: a display, not a snapshot."""

    pid: int
    start_ticks: int
    heartbeat_ns: int
    refused_count: int
    conflated_count: int


def _check_readers(gating: Sequence[int]) -> None:
    if not all(0 <= reader_index < layout.READER_COUNT for reader_index in gating):
        message = f"reader_index must be in [0, {layout.READER_COUNT}), got {tuple(gating)}"
        raise ValueError(message)


def _format(segment: Segment, capacity: int, slot_size: int, gating: Sequence[int]) -> None:
    _SHAPE.pack_into(segment.buffer, layout.OFFSET_CAPACITY, capacity, slot_size)
    for reader_index in gating:
        offset = layout.OFFSET_READERS + reader_index * layout.READER_STRIDE
        _READER.pack_into(segment.buffer, offset, 0, layout.MODE_GATING, 0, 0, 0, 0, 0, 0)
    segment.seal()


class Ring:
    """A mapped ring: its shape, its state for display, and the views that kernels use."""

    def __init__(self, segment: Segment) -> None:
        """Take over a segment of the ring kind; use `create` or `attach`."""
        self.segment = segment
        self.capacity, self.slot_size = _SHAPE.unpack_from(segment.buffer, layout.OFFSET_CAPACITY)
        self._port = _native.Port(segment.buffer)
        self.name = segment.name

    @classmethod
    def create(
        cls,
        name: str,
        capacity: int,
        slot_size: int,
        generation: int = 1,
        *,
        gating: Sequence[int] = (),
    ) -> Self:
        """Create an empty ring.

        Args:
            name: segment name.
            capacity: slots; a power of two.
            slot_size: bytes per slot, a multiple of 64; 8 of them are the sequence.
            generation: raised by the caller each time it recreates the name.
            gating: reader blocks to reserve: the producer waits for these readers from record 0
                on, although they join later.

        Raises:
            SegmentExistsError, SegmentSpaceError: from `Segment.create`.
        """
        size_bytes = layout.ring_size_bytes(capacity, slot_size)
        _check_readers(gating)
        segment = Segment.create(name, size_bytes, kind=layout.KIND_RING, generation=generation)
        _format(segment, capacity, slot_size, gating)
        return cls(segment)

    @classmethod
    def local(cls, name: str, capacity: int, slot_size: int, *, gating: Sequence[int] = ()) -> Self:
        """Create a ring between threads of this process, in private memory; see `create`."""
        size_bytes = layout.ring_size_bytes(capacity, slot_size)
        _check_readers(gating)
        segment = Segment.anonymous(name, size_bytes, kind=layout.KIND_RING)
        _format(segment, capacity, slot_size, gating)
        return cls(segment)

    @classmethod
    def attach(cls, name: str, *, generation: int | None = None) -> Self:
        """Map an existing ring.

        Raises:
            SegmentMissingError, SegmentLayoutError, SegmentGenerationError: from `Segment.attach`.
        """
        segment = Segment.attach(name, kind=layout.KIND_RING, generation=generation)
        try:
            return cls(segment)
        except ValueError as error:
            segment.close()
            raise SegmentLayoutError(str(error)) from error

    def published(self) -> int:
        """Return how many records were ever published."""
        return self._port.published()

    def gating_sequence(self) -> int:
        """Return the lowest sequence of all gating readers, or the published count."""
        return self._port.gating_sequence()

    def evict(self, reader_index: int) -> None:
        """Take a gating reader out so that the producer moves again; main only.

        The reader learns it as EVICTED from its next poll or advance.
        """
        self._port.evict(reader_index)

    def wake(self) -> None:
        """Wake readers that sleep on this ring, for example to make them see a stop word."""
        self._port.wake()

    def reader(self, reader_index: int) -> ReaderState:
        """Return what reader `reader_index` shows."""
        offset = layout.OFFSET_READERS + reader_index * layout.READER_STRIDE
        return ReaderState._make(_READER.unpack_from(self.segment.buffer, offset))

    def producer(self) -> ProducerState:
        """Return what the producer shows."""
        return ProducerState._make(
            _PRODUCER.unpack_from(self.segment.buffer, layout.OFFSET_PRODUCER)
        )

    def slots(self, dtype: DTypeLike) -> NDArray[np.void]:
        """Return the slots as a structured array `[capacity]`; record i is at `i & mask`.

        The array is borrowed: drop it before `close`. Its first field must be the int64 sequence.

        Raises:
            SegmentLayoutError: the dtype is not one slot wide.
        """
        import numpy as np  # the main process opens rings without numpy

        record = np.dtype(dtype)
        if record.itemsize != self.slot_size:
            message = f"a record of {record.itemsize} bytes in slots of {self.slot_size}"
            raise SegmentLayoutError(message)
        return np.frombuffer(
            self.segment.buffer, record, count=self.capacity, offset=layout.OFFSET_SLOTS
        )

    def addresses(self) -> NDArray[np.int64]:
        """Return a fresh int64[16] handle for kernels that read this ring.

        A kernel that produces takes `Producer.addresses`, which has been through recovery.
        The addresses are borrowed: use them only while this ring is open.
        """
        import numpy as np  # as in `slots`

        return np.frombuffer(memoryview(_native.Port(self.segment.buffer)), np.int64).copy()

    def close(self) -> None:
        """Unmap.

        Raises:
            SegmentBusyError: a producer, reader or view of this ring is still open.
        """
        self._port.close()
        try:
            self.segment.close()
        except SegmentBusyError:
            self._port = _native.Port(self.segment.buffer)
            raise

    def unlink(self) -> None:
        """Remove the name; see `Segment.unlink`."""
        self.segment.unlink()

    def __enter__(self) -> Self:
        """Return the ring itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close, and unlink when this process created it."""
        self.close()
        if self.segment.owner:
            self.unlink()


def _identity() -> tuple[int, int]:
    pid = os.getpid()
    return pid, _native.process_start_ticks(pid)


def _refuse_if_taken(ring: Ring, what: str, pid: int, start_ticks: int) -> None:
    if pid != os.getpid() and owner_alive(pid, start_ticks):
        message = f"{what} of ring {ring.name!r} belongs to process {pid}, which is running"
        raise ReaderTakenError(message)


class _Kernels:
    """What the three kinds of handle share: the int64[16] view for Numba."""

    def addresses(self: _native.Port) -> NDArray[np.int64]:  # type: ignore[misc]  # mixed in
        """Return this handle's int64[16]; borrowed, drop it before `close`.

        It is the handle itself, not a copy: what a kernel claims is claimed here too.
        """
        import numpy as np  # as in `Ring.slots`

        return np.frombuffer(memoryview(self), np.int64)


class Producer(_Kernels, _native.Producer):
    """The one producer of a ring.

    `try_publish(payload)` copies up to slot_size - 8 bytes and returns the sequence, or FULL.
    `try_publish_many(block)` takes a contiguous block of whole slots, all or none.
    `try_claim(n)` and `publish()` are for writing in place through `Ring.slots`; `abort()` gives
    all claims up. `wake()` once per batch wakes sleeping readers; `set_doorbell(fd)` makes it write
    an eventfd too. `beat(now_ns)` and `count_conflated(n)` store what others display.
    """

    def __init__(self, ring: Ring) -> None:
        """Take over production, applying the recovery rule to what a killed producer left.

        Raises:
            ReaderTakenError: another living process produces into this ring.
        """
        super().__init__(ring.segment.buffer)
        state = ring.producer()
        _refuse_if_taken(ring, "the producer's place", state.pid, state.start_ticks)
        self.ring = ring
        self.first_sequence = self.recover(*_identity())


class Consumer(_Kernels, _native.Consumer):
    """A gating reader: never lapped, unless main evicts it.

    `poll(limit)` returns (first sequence, count); `read(sequence)` copies one payload;
    `read_into(array)` polls and copies whole slots; `advance(sequence)` gives all below back.
    Records may also be read in place through `Ring.slots` until `advance`. A count or result of
    EVICTED means: discard what was read since the last advance.
    """

    def __init__(self, ring: Ring, reader_index: int, *, resume: bool = True) -> None:
        """Register as gating.

        Args:
            ring: the ring to read.
            reader_index: block in [0, 16), fixed per role.
            resume: go on where a reserved or dead reader's block stands; otherwise, and in a free
                block always, start at the published count.

        Raises:
            ReaderTakenError: the block belongs to another living process.
        """
        super().__init__(ring.segment.buffer)
        state = ring.reader(reader_index)
        if state.mode != layout.MODE_FREE:
            _refuse_if_taken(ring, f"reader {reader_index}", state.pid, state.start_ticks)
        self.ring = ring
        self.reader_index = reader_index
        self.first_sequence = self.join(reader_index, resume, *_identity())


class Observer(_Kernels, _native.Observer):
    """A reader that holds nobody back and may be lapped.

    `poll_into(array[, max])` copies whole slots and returns (first sequence, count, lapped):
    `lapped` records were lost before `first`. A torn record is never returned. After a loss it
    goes on half a ring behind the producer.
    """

    def __init__(self, ring: Ring, reader_index: int | None = None, *, start: int = -1) -> None:
        """Open, registered for display when `reader_index` is given.

        Args:
            ring: the ring to read.
            reader_index: block in [0, 16), or None to leave no trace in the ring.
            start: first sequence wanted; -1 for the published count.

        Raises:
            ReaderTakenError: the block belongs to another living process.
        """
        super().__init__(ring.segment.buffer)
        self.ring = ring
        self.reader_index = reader_index
        if reader_index is not None:
            state = ring.reader(reader_index)
            if state.mode != layout.MODE_FREE:
                _refuse_if_taken(ring, f"reader {reader_index}", state.pid, state.start_ticks)
            self.join(reader_index, 0, *_identity())
        self.seek(ring.published() if start < 0 else start)
