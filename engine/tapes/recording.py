"""A recording: records into tapes of a folder, a new tape when one is full or old.

Each tape stands alone: it begins with the instruments and with every book as it is known. What was
lost before it came here is written as GAP records, one for each instrument and channel whose state
is unknown by it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import Channel, GapReason, RecordType
from engine.domain.records import MARKET_DTYPE
from engine.tapes.books import KnownBooks
from engine.tapes.folder import TapeFolder
from engine.tapes.writer import TapeWriter

Records = NDArray[np.void]
TAPE_BYTES_DEFAULT: Final = 1 << 30
TAPE_SECONDS_DEFAULT: Final = 3_600.0
GAP_CHANNELS: Final = (Channel.QUOTE, Channel.TRADE, Channel.BOOK)


class Recording:
    """The tapes of one recorder; one thread appends."""

    def __init__(
        self,
        folder: TapeFolder,
        engine: str,
        instruments: Records,
        *,
        tape_bytes: int = TAPE_BYTES_DEFAULT,
        tape_seconds: float = TAPE_SECONDS_DEFAULT,
        on_finished: Callable[[Path], None] = lambda _path: None,
    ) -> None:
        """Open the first tape.

        Args:
            folder: where the tapes go.
            engine: name of the engine recorded.
            instruments: INSTRUMENT_DTYPE rows.
            tape_bytes: a tape that holds so many is ended.
            tape_seconds: a tape that old is ended.
            on_finished: called with each tape that was ended.

        Raises:
            TapeError: the tape cannot be written.
        """
        self._folder = folder
        self._engine = engine
        self._instruments = instruments
        self._tape_bytes, self._tape_seconds = tape_bytes, tape_seconds
        self._on_finished = on_finished
        self._name = folder.name_recording(engine, time.time_ns())
        self._books = KnownBooks()
        self._tape_index = 0
        self.tape_count = 0
        self.record_count = 0  # taken from the ring
        self.lost_count = 0
        self.finished_bytes = 0
        self._writer = self._open()

    def _open(self) -> TapeWriter:
        path = self._folder.tape_path(self._name, self._tape_index)
        writer = TapeWriter(path, source=self._engine, tape_index=self._tape_index)
        writer.put_instrument_rows(self._instruments)
        self._opened_s = time.monotonic()
        self.tape_count += 1
        return writer

    @property
    def path(self) -> Path:
        """The tape that is being written."""
        return self._writer.path

    @property
    def size_bytes(self) -> int:
        """Bytes of all tapes of this recording."""
        return self.finished_bytes + self._writer.size_bytes

    def append(self, records: Records, wall_offset_ns: int) -> None:
        """Append what the ring gave, and begin a new tape when this one is full or old.

        Raises:
            TapeError: the disk refuses.
        """
        self._writer.append(records, wall_offset_ns)
        self.record_count += len(records)
        self._books.apply(records)
        is_old = time.monotonic() - self._opened_s >= self._tape_seconds
        if self._writer.size_bytes >= self._tape_bytes or is_old:
            last = records[-1]
            self._turn(int(last["sequence"]) + 1, int(last["receive_time_ns"]), wall_offset_ns)

    def lose(self, first: int, count: int, now_ns: int, wall_offset_ns: int) -> None:
        """Write down that records of the ring went by unread, before what follows them.

        Args:
            first: sequence of the first that was lost.
            count: how many.
            now_ns: monotonic time at which this was noticed.
            wall_offset_ns: as with `append`.

        Raises:
            TapeError: the disk refuses.
        """
        self.lost_count += count
        self._books.forget()
        gaps = gap_records(len(self._instruments), first, count, now_ns)
        self._writer.append(gaps, wall_offset_ns)

    def sync(self) -> None:
        """Have the disk hold the tape being written.

        Raises:
            TapeError: the disk refuses.
        """
        self._writer.sync()

    def end(self) -> None:
        """End the last tape.

        Raises:
            TapeError: the disk refuses.
        """
        self._writer.end()
        self.finished_bytes += self._writer.size_bytes
        self._on_finished(self._writer.path)
        self._writer.size_bytes = 0

    def _turn(self, sequence: int, receive_time_ns: int, wall_offset_ns: int) -> None:
        self.end()
        self._tape_index += 1
        self._writer = self._open()
        books = self._books.records(sequence, receive_time_ns)
        if len(books):
            self._writer.append(books, wall_offset_ns)


def gap_records(instrument_count: int, first: int, count: int, now_ns: int) -> Records:
    """Return GAP records for a loss that hit every instrument: one per instrument and channel.

    Args:
        instrument_count: rows of the instrument table.
        first: ring sequence of the first record lost.
        count: how many were lost, all together; each record says the same.
        now_ns: receive time to stamp them with.
    """
    made = np.zeros(max(1, instrument_count) * len(GAP_CHANNELS), dtype=MARKET_DTYPE)
    made["sequence"] = first + count
    made["receive_time_ns"] = now_ns
    made["record_type"] = RecordType.GAP
    made["instrument_index"] = np.repeat(np.arange(max(1, instrument_count)), len(GAP_CHANNELS))
    made["aux"] = np.tile(np.array(GAP_CHANNELS), max(1, instrument_count))
    made["lost_count"] = count
    made["first_id"], made["last_id"] = first, first + count - 1
    made["gap_reason"] = GapReason.LAPPED
    return made
