"""The shared segment in which the feed publishes instruments, as whoever writes documents reads it.

No numpy: main reads it too, when it journals what a dead engine left.
"""

from __future__ import annotations

from typing import Final

from engine.domain.instrument_row import SEGMENT_COUNT_OFFSET, Instrument, unpack_row
from native_ext import _native
from ringbuffer.segment import Segment

KIND_INSTRUMENTS: Final = 16  # kinds below 16 belong to ringbuffer


def published_count(segment: Segment) -> int:
    """Return how many instruments the feed has published so far."""
    # MEMORY: acquire; the rows are complete once the count covers them. Pairs with the release in
    # the feed.
    return _native.load_acquire(segment.address + SEGMENT_COUNT_OFFSET)


def published_instruments(segment: Segment, first: int = 0) -> tuple[Instrument, ...]:
    """Return the instruments the feed has published, from an index on; empty before that."""
    return tuple(unpack_row(segment.buffer, row) for row in range(first, published_count(segment)))
