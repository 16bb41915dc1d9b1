"""The best levels of every book as the tape knows them, so that each tape can start with them.

A book travels as changes. Whoever opens the second tape of a recording has no snapshot to apply
them to, so the recorder keeps the levels it saw and writes them at the head of each tape. A book
whose snapshot was not seen, or that a gap made unknown, is not written: nothing is invented.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import (
    LEVEL_BID,
    LEVEL_LAST_OF_DIFF,
    LEVEL_SNAPSHOT_FIRST,
    Channel,
    RecordType,
)
from engine.domain.records import MARKET_DTYPE

Records = NDArray[np.void]
_SIDE_BIT: Final = 47
_INSTRUMENT_BIT: Final = 48  # prices of more than 2**47 ticks do not exist
_PRICE_MASK: Final = (1 << _SIDE_BIT) - 1


class KnownBooks:
    """Levels by (instrument, side, price), for instruments whose book is known."""

    def __init__(self) -> None:
        """Know nothing."""
        self._levels: dict[int, dict[int, int]] = {}  # instrument: key: quantity
        self._stamps: dict[int, tuple[int, int]] = {}  # instrument: update id, venue time

    def forget(self) -> None:
        """Know nothing any more: records were lost."""
        self._levels.clear()

    def apply(self, records: Records) -> None:
        """Take records in the order of the ring."""
        kinds = records["record_type"]
        is_gap = (kinds == RecordType.GAP) & (records["aux"] == Channel.BOOK)
        changes = records[(kinds == RecordType.LEVEL) | is_gap]
        if not len(changes):
            return
        first = 0
        breaks = np.flatnonzero(
            (changes["record_type"] == RecordType.GAP)
            | ((changes["flags"] & LEVEL_SNAPSHOT_FIRST) != 0)
        )
        for place in breaks.tolist():
            self._apply_levels(changes[first:place])
            first = place
            instrument = int(changes["instrument_index"][place])
            self._levels.pop(instrument, None)
            if changes["record_type"][place] == RecordType.GAP:
                first = place + 1
            else:
                self._levels[instrument] = {}
        self._apply_levels(changes[first:])

    def _apply_levels(self, levels: Records) -> None:
        if not len(levels):
            return
        keys = (
            (levels["instrument_index"].astype(np.int64) << _INSTRUMENT_BIT)
            | ((levels["flags"] & LEVEL_BID).astype(np.int64) << _SIDE_BIT)
            | levels["price_ticks"]
        )
        # Of several changes of one level only the last counts.
        _, backwards = np.unique(keys[::-1], return_index=True)
        chosen = len(keys) - 1 - backwards
        for key, quantity, update_id, venue_time_ns in zip(
            keys[chosen].tolist(),
            levels["qty_lots"][chosen].tolist(),
            levels["update_id"][chosen].tolist(),
            levels["venue_time_ns"][chosen].tolist(),
            strict=True,
        ):
            instrument = key >> _INSTRUMENT_BIT
            book = self._levels.get(instrument)
            if book is None:
                continue
            if quantity:
                book[key] = quantity
            else:
                book.pop(key, None)
            before = self._stamps.get(instrument, (0, 0))
            self._stamps[instrument] = (max(before[0], update_id), max(before[1], venue_time_ns))

    def records(self, sequence: int, receive_time_ns: int) -> Records:
        """Return every known book as LEVEL records, each a snapshot, stamped with one time."""
        rows: list[tuple[int, int, int, int]] = []
        for instrument, book in sorted(self._levels.items()):
            last = len(book) - 1
            for place, (key, quantity) in enumerate(sorted(book.items())):
                flags = LEVEL_BID if key >> _SIDE_BIT & 1 else 0
                flags |= LEVEL_SNAPSHOT_FIRST if place == 0 else 0
                flags |= LEVEL_LAST_OF_DIFF if place == last else 0
                rows.append((instrument, flags, key & _PRICE_MASK, quantity))
        made = np.zeros(len(rows), dtype=MARKET_DTYPE)
        if not rows:
            return made
        columns = np.array(rows, dtype=np.int64).T
        made["sequence"], made["receive_time_ns"] = sequence, receive_time_ns
        made["record_type"] = RecordType.LEVEL
        made["instrument_index"], made["flags"] = columns[0], columns[1]
        made["price_ticks"], made["qty_lots"] = columns[2], columns[3]
        stamps = np.array([self._stamps[row[0]] for row in rows], dtype=np.int64).T
        made["update_id"], made["venue_time_ns"] = stamps[0], stamps[1]
        return made
