"""A ring inside one process: the same memory layout and code, in anonymous memory without a name.

The command and report rings join two threads of the brain. Nobody attaches to them and nothing of
them outlives the process, so they need no file; what was in them is known again from the event ring
and from the venue.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from typing import Final

from native_ext import _native
from ringbuffer import layout
from ringbuffer.ring import Ring
from ringbuffer.segment import Segment

_PREFIX: Final = struct.Struct("<QIIqqqqqq")
_SHAPE: Final = struct.Struct("<qq")


class _AnonymousMapping:
    """What `Segment` needs of a mapping: bytes, a name for messages, an end."""

    def __init__(self, name: str, size_bytes: int) -> None:
        self.name = name
        self._memory = mmap.mmap(-1, size_bytes)
        self.buf: memoryview | None = memoryview(self._memory)

    def close(self) -> None:
        """Unmap; raises BufferError while a view is alive, and then nothing changed."""
        if self.buf is None:
            return
        view, self.buf = self.buf, None
        view.release()
        try:
            self._memory.close()
        except BufferError:
            self.buf = memoryview(self._memory)
            raise


def create_local_ring(name: str, capacity: int, slot_size: int, reader_index: int = 0) -> Ring:
    """Return an empty ring with one gating reader reserved, visible to this process only.

    Args:
        name: for messages; no file of that name exists.
        capacity: slots; a power of two.
        slot_size: bytes per slot, a multiple of 64.
        reader_index: block of the one reader.
    """
    size_bytes = layout.ring_size_bytes(capacity, slot_size)
    segment = Segment(_AnonymousMapping(name, size_bytes), owner=False)  # type: ignore[arg-type]
    buffer = segment.buffer
    pid = os.getpid()
    _PREFIX.pack_into(
        buffer,
        0,
        layout.MAGIC,
        layout.KIND_RING,
        layout.LAYOUT_VERSION,
        size_bytes,
        1,
        pid,
        _native.process_start_ticks(pid),
        time.time_ns(),
        time.monotonic_ns(),
    )
    _SHAPE.pack_into(buffer, layout.OFFSET_CAPACITY, capacity, slot_size)
    mode_at = layout.OFFSET_READERS + reader_index * layout.READER_STRIDE + layout.READER_MODE
    struct.pack_into("<q", buffer, mode_at, layout.MODE_GATING)
    return Ring(segment)
