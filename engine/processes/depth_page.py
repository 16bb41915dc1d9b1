"""A whole book on request: one page of shared memory between main and the feed.

     0  prefix of every segment
    64  request int64, main's: number of the request * 2**16 + instrument index; 0: none yet
   128  answer int64, the feed's: the request it answers, stored last
   136  state of the book, update id, venue_time_ns, number of bids, of asks    5 x int64
   192  levels: price_ticks, qty_lots, best first; all bids, then all asks

One request at a time: main waits for its answer or gives it up, and the feed writes only for a
request that is newer than the last it answered. It looks once a cycle, and one copy of a full book
is some tens of microseconds of it. Standard library and ringbuffer only.
"""

from __future__ import annotations

import struct
import threading
import time
from typing import Final, NamedTuple

from native_ext import _native
from ringbuffer.segment import Segment

LEVELS_MAX: Final = 4096  # of a side, as in native_ext/feed.h
OFFSET_REQUEST: Final = 64
OFFSET_ANSWER: Final = 128
OFFSET_HEAD: Final = 136
OFFSET_LEVELS: Final = 192
DEPTH_BYTES: Final = OFFSET_LEVELS + 2 * LEVELS_MAX * 16
INDEX_BITS: Final = 16
ANSWER_S: Final = 0.5  # fifty cycles of the feed
TURN_S: Final = 0.002

_HEAD: Final = struct.Struct("<5q")
_LEVEL: Final = struct.Struct("<2q")

Levels = list[tuple[int, int]]


class WholeBook(NamedTuple):
    """Every level the feed knows of an instrument, best first: (price_ticks, qty_lots)."""

    state: int  # 0 none is kept, 1 syncing, 2 loaded, 3 live
    update_id: int
    venue_time_ns: int
    bids: Levels
    asks: Levels


class DepthRequests:
    """Main's side."""

    def __init__(self, segment: Segment) -> None:
        """Ask over a page; the segment stays the caller's."""
        self._segment = segment
        self._one_at_a_time = threading.Lock()

    def fetch(self, index: int) -> WholeBook | None:
        """Return an instrument's book; None: the feed did not answer in time."""
        if not self._one_at_a_time.acquire(timeout=ANSWER_S):
            return None
        try:
            return self._fetch(index)
        finally:
            self._one_at_a_time.release()

    def _fetch(self, index: int) -> WholeBook | None:
        request_at = self._segment.address + OFFSET_REQUEST
        answer_at = self._segment.address + OFFSET_ANSWER
        number = (_native.load_acquire(request_at) >> INDEX_BITS) + 1
        request = number << INDEX_BITS | index
        _native.store_release(request_at, request)
        deadline_s = time.monotonic() + ANSWER_S
        # MEMORY: acquire; the levels are complete before their answer. Pairs with DepthAnswers.
        while _native.load_acquire(answer_at) != request:
            if time.monotonic() > deadline_s:
                return None
            time.sleep(TURN_S)
        buffer = self._segment.buffer
        state, update_id, venue_time_ns, bid_count, ask_count = _HEAD.unpack_from(
            buffer, OFFSET_HEAD
        )
        middle = OFFSET_LEVELS + bid_count * _LEVEL.size
        end = middle + ask_count * _LEVEL.size
        bids = list(_LEVEL.iter_unpack(buffer[OFFSET_LEVELS:middle]))
        asks = list(_LEVEL.iter_unpack(buffer[middle:end]))
        return WholeBook(state, update_id, venue_time_ns, bids, asks)
