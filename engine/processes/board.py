"""A page of text in shared memory: one process replaces it whole, others read it whole or not.

     0  prefix of every segment
    64  version int64: odd while the text is being replaced
    72  length int64
   128  text, UTF-8

For what is shown and never decided from, such as the feed's table of connections. Standard library
and ringbuffer only.
"""

from __future__ import annotations

from typing import Final

from native_ext import _native
from ringbuffer.segment import Segment

BOARD_BYTES: Final = 128 * 1024
OFFSET_VERSION: Final = 64
OFFSET_LENGTH: Final = 72
OFFSET_TEXT: Final = 128
TEXT_BYTES_MAX: Final = BOARD_BYTES - OFFSET_TEXT
TRIES: Final = 8  # a writer replaces it a few times a second


def write_board(segment: Segment, text: bytes) -> bool:
    """Replace the text; a longer one than there is room for is not written."""
    if len(text) > TEXT_BYTES_MAX:
        return False
    version_at = segment.address + OFFSET_VERSION
    version = _native.load_acquire(version_at) | 1
    # MEMORY: release fence; the odd version is seen before a byte changes. Pairs with read_board.
    _native.store_release(version_at, version)
    _native.fence_release()
    segment.buffer[OFFSET_LENGTH : OFFSET_LENGTH + 8] = len(text).to_bytes(8, "little")
    segment.buffer[OFFSET_TEXT : OFFSET_TEXT + len(text)] = text
    # MEMORY: release; the text is complete before its version. Pairs with read_board.
    _native.store_release(version_at, version + 1)
    return True


def read_board(segment: Segment) -> bytes:
    """Return the text; empty: none was written yet, or it was replaced at every try."""
    version_at = segment.address + OFFSET_VERSION
    for _ in range(TRIES):
        # MEMORY: acquire; pairs with the releases in write_board.
        version = _native.load_acquire(version_at)
        length = int.from_bytes(segment.buffer[OFFSET_LENGTH : OFFSET_LENGTH + 8], "little")
        text = bytes(segment.buffer[OFFSET_TEXT : OFFSET_TEXT + min(length, TEXT_BYTES_MAX)])
        # MEMORY: acquire fence; the text is read before the version again. Pairs with write_board.
        _native.fence_acquire()
        if version % 2 == 0 and _native.load_acquire(version_at) == version:
            return text
    return b""
