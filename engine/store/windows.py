"""Where the journal holds what a decision saw: market records from its first bar to its cause.

A segment says when it was begun and with which record, so a window starts with the segment that was
being written when the decision's oldest bar began: never too short, and never more than a segment
too long. Reading a window needs nothing but that part of the journal.
"""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import RecordType
from engine.domain.records import MARKET_DTYPE
from engine.store.errors import JournalError
from engine.store.journal import SOURCE_MARKET, segment_paths
from engine.store.reader import join_records, read_batches, segment_header

WINDOW_BARS: Final = 64  # of a strategy's own length, before its decision
TICK_TYPES: Final = (RecordType.QUOTE, RecordType.TRADE, RecordType.LEVEL)
NS_PER_S: Final = 1_000_000_000
NO_WINDOW: Final = (-1, -1)


class Window(NamedTuple):
    """Market records of one instrument, MARKET_DTYPE[n], oldest first."""

    ticks: NDArray[np.void]  # quotes, trades and levels
    bars: NDArray[np.void]  # bars the venue closed


class MarketIndex:
    """The market segments of one session by when they were begun."""

    def __init__(self, directory: Path) -> None:
        """Remember the journal; it is looked at when a window is asked for."""
        self._directory = directory
        self._known: dict[Path, tuple[int, int]] = {}  # when it was begun, its first record

    def look(self) -> None:
        """Learn the segments that came and forget those that went."""
        paths = segment_paths(self._directory, SOURCE_MARKET)
        known = {path: self._known[path] for path in paths if path in self._known}
        for path in paths:
            header = None if path in known else segment_header(path)
            if header is not None:
                known[path] = (header.created_realtime_ns, header.first_sequence)
        self._known = known

    def window(self, time_ns: int, timeframe_s: int, cause_sequence: int) -> tuple[int, int]:
        """Return the first and last market record of a decision's window; (-1, -1): none is kept.

        Args:
            time_ns: of the decision, wall clock.
            timeframe_s: length of the bars it reads.
            cause_sequence: word of the market record that caused it, one above its place.
        """
        begun = sorted(self._known.values())
        last = cause_sequence - 1
        if not begun or last < begun[0][1]:
            return NO_WINDOW
        from_ns = time_ns - WINDOW_BARS * timeframe_s * NS_PER_S
        place = max(bisect_right(begun, (from_ns, last)) - 1, 0)
        return min(begun[place][1], last), last


def read_window(directory: Path, instrument_index: int, first: int, last: int) -> Window:
    """Return the records of one instrument in a window of a session's journal.

    Raises:
        JournalError: part of it was removed, or cannot be read.
    """
    parts, behind = [], first
    for batch in read_batches(directory, SOURCE_MARKET, first):
        records = batch.records[: max(last + 1 - batch.first_sequence, 0)]
        parts.append(records[records["instrument_index"] == instrument_index])
        behind = batch.first_sequence + batch.record_count
        if behind > last:
            break
    if behind <= last:
        raise JournalError(f"{directory.name}: market record {behind} is not in the journal")
    found = join_records(parts, MARKET_DTYPE)
    is_tick = np.isin(found["record_type"], TICK_TYPES)
    return Window(found[is_tick], found[found["record_type"] == RecordType.BAR])
