"""The frames of the paced bench: recorded quotes with ids and times of their own.

Frame n of a run carries the update id FIRST_ID + n, so that a record's low 32 bits say which frame
it came from, and the time at which it was due as the venue's. Both have 13 digits, so a frame's
length is known before.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.harness import Pass, percentiles

DIGITS: Final = 13
FIRST_ID: Final = 1164 << 32  # 13 digits, the low 32 bits zero
NS_PER_MS: Final = 1_000_000
NS_PER_US: Final = 1_000
PARTS: Final = re.compile(
    rb'^(?P<head>.*"e":"bookTicker","u":)\d+(?P<middle>,"s":.*,"T":)\d+,"E":\d+(?P<tail>\}\}?)$'
)

Template = tuple[bytes, bytes, bytes]  # around id, time, time


def template(frame: bytes) -> Template | None:
    """Return the parts of a recorded quote as a server's frame; None for any other message."""
    found = PARTS.match(frame)
    if found is None:
        return None
    head, middle, tail = found.group("head", "middle", "tail")
    length = len(head) + len(middle) + len(b',"E":') + len(tail) + 3 * DIGITS
    assert 126 <= length < 65_536, length
    return b"\x81\x7e" + length.to_bytes(2, "big") + head, middle, tail


def filled(parts: Template, number: int, venue_ms: int) -> bytes:
    """Return frame `number`, due at `venue_ms`."""
    head, middle, tail = parts
    return b'%b%d%b%d,"E":%d%b' % (head, FIRST_ID + number, middle, venue_ms, venue_ms, tail)


def since_due(
    end_ns: NDArray[np.int64], numbers: NDArray[np.int64], start_ns: int, gap_ns: int
) -> NDArray[np.int64]:
    """Return how long after its due time each frame was done with; every frame exactly once.

    Args:
        end_ns: when the decision on a frame was over.
        numbers: which frame of the pass that was, from 0.
        start_ns: due time of frame 0.
        gap_ns: between two due times.
    """
    assert np.array_equal(np.sort(numbers), np.arange(len(numbers))), "every frame exactly once"
    found: NDArray[np.int64] = end_ns - (start_ns + numbers * gap_ns)
    return found


def in_us(latencies_ns: NDArray[np.int64], prefix: str = "") -> Pass:
    """Return p50 to max of a sample, in us."""
    found = percentiles(latencies_ns / NS_PER_US)
    return {f"{prefix}{name}": found[name] for name in found if not prefix or name != "count"}
