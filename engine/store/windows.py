"""Where the journal holds what a decision saw: market records from its first bar to its cause.

A segment says with which record it begins and that record when it was received, so a window starts
with the segment that was being written when the decision's oldest bar began: never too short, and
never more than a segment too long. Times are the session's own: no wall clock that is set moves a
window. Reading a window needs nothing but that part of the journal.
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
from engine.store.reader import SourceReader, join_records, read_batches, segment_header

WINDOW_BARS: Final = 64  # of a strategy's own length, before its decision
TICK_TYPES: Final = (RecordType.QUOTE, RecordType.TRADE, RecordType.LEVEL)
NS_PER_S: Final = 1_000_000_000
NO_WINDOW: Final = (-1, -1)
UNKNOWN_NS: Final = (1 << 63) - 1  # behind every time


class Begin(NamedTuple):
    """Where a segment begins."""

    sequence: int  # of its first record
    time_ns: int  # that record was received; UNKNOWN_NS: it is not written yet, or damaged


class Window(NamedTuple):
    """Market records of one instrument, MARKET_DTYPE[n], oldest first."""

    ticks: NDArray[np.void]  # quotes, trades and levels
    bars: NDArray[np.void]  # bars the venue closed


class MarketIndex:
    """The market segments of one session, in their order, by when they begin."""

    def __init__(self, directory: Path) -> None:
        """Remember the journal; it is looked at when a window is asked for."""
        self._directory = directory
        self._known: dict[Path, Begin] = {}

    def look(self) -> None:
        """Learn the segments that came and forget those that went."""
        known = {}
        for path in segment_paths(self._directory, SOURCE_MARKET):
            begin = self._known.get(path)
            if begin is None or begin.time_ns == UNKNOWN_NS:
                begin = self._begin(path)
            if begin is not None:
                known[path] = begin
        self._known = known

    def _begin(self, path: Path) -> Begin | None:
        """Return where a segment begins; None: it is gone, or has no whole header yet."""
        header = segment_header(path)
        if header is None:
            return None
        try:
            batches = SourceReader(self._directory, SOURCE_MARKET, header.first_sequence).poll()
        except JournalError:
            batches = []  # a window is then looked for in the segment before
        for batch in batches:
            if len(batch.records):
                return Begin(header.first_sequence, int(batch.records["receive_time_ns"][0]))
        return Begin(header.first_sequence, UNKNOWN_NS)

    def window(self, time_ns: int, timeframe_s: int, cause_sequence: int) -> tuple[int, int]:
        """Return the first and last market record of a decision's window; (-1, -1): none is kept.

        Args:
            time_ns: of the decision, on the session's monotonic clock.
            timeframe_s: length of the bars it reads.
            cause_sequence: word of the market record that caused it, one above its place.
        """
        begun = list(self._known.values())
        last = cause_sequence - 1
        if not begun or last < begun[0].sequence:
            return NO_WINDOW
        from_ns = time_ns - WINDOW_BARS * timeframe_s * NS_PER_S
        place = max(bisect_right(begun, from_ns, key=_begin_ns) - 1, 0)
        return min(begun[place].sequence, last), last


def _begin_ns(begin: Begin) -> int:
    return begin.time_ns


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
