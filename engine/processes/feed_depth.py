"""The feed's side of a whole book on request (`engine.processes.depth_page`)."""

from __future__ import annotations

from collections.abc import Sized
from typing import Final

from engine.processes.depth_page import INDEX_BITS, OFFSET_ANSWER, OFFSET_HEAD, OFFSET_REQUEST
from native_ext import _native
from native_ext._feed import Core
from ringbuffer.segment import Segment

INDEX_MASK: Final = (1 << INDEX_BITS) - 1


class DepthAnswers:
    """Answers the newest request, once."""

    def __init__(self, core: Core, segment: Segment, instruments: Sized) -> None:
        """Answer over a page from a core's books; all stay the caller's, and more may come."""
        self._core = core
        self._segment = segment
        self._instruments = instruments

    def look(self) -> bool:
        """Answer what is asked, if anything is; return whether it did."""
        request = _native.load_acquire(self._segment.address + OFFSET_REQUEST)
        answer_at = self._segment.address + OFFSET_ANSWER
        index = request & INDEX_MASK
        if request == _native.load_acquire(answer_at) or index >= len(self._instruments):
            return False
        with self._segment.buffer[OFFSET_HEAD:] as page:
            self._core.copy_book(index, page)
        # MEMORY: release; the levels are complete before their answer. Pairs with DepthRequests.
        _native.store_release(answer_at, request)
        return True
