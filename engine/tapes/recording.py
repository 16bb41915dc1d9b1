"""A recording: records into tapes of a folder, a new tape when one is full or old.

Each tape stands alone: it begins with the instruments and with every book as it is known. What was
lost before it came here is written as GAP records, one for each instrument and channel whose state
is unknown by it. What a recording adds carries the word of the ring's record before it, so the last
word of a tape says how far its recorder had come, and the next one goes on there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import Channel, GapReason, RecordType
from engine.domain.records import MARKET_DTYPE
from engine.tapes.blocks import SOURCE_BYTES
from engine.tapes.books import KnownBooks
from engine.tapes.errors import TapeError
from engine.tapes.folder import TapeFolder
from engine.tapes.reader import TapeReader
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
        source: str = "",
        books: KnownBooks | None = None,
        last_word: int = 0,
        tape_bytes: int = TAPE_BYTES_DEFAULT,
        tape_seconds: float = TAPE_SECONDS_DEFAULT,
        on_finished: Callable[[Path], None] = lambda _path: None,
    ) -> None:
        """Open the first tape.

        Args:
            folder: where the tapes go.
            engine: name of the engine recorded.
            instruments: INSTRUMENT_DTYPE rows.
            source: which run of it, for who goes on with this recording; empty: its name.
            books: known from an earlier recording of the same run; taken over.
            last_word: of the last record of that recording; 0: there was none.
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
        self._source = source or engine
        self._books = books or KnownBooks()
        self._last_word = last_word
        self._tape_index = 0
        self.tape_count = 0
        self.record_count = 0  # taken from the ring
        self.lost_count = 0
        self.finished_bytes = 0
        self._writer = self._open()

    def _open(self) -> TapeWriter:
        path = self._folder.tape_path(self._name, self._tape_index)
        writer = TapeWriter(path, source=self._source, tape_index=self._tape_index)
        writer.put_instrument_rows(self._instruments)
        self._has_head = False
        self._opened_s = time.monotonic()
        self.tape_count += 1
        return writer

    @property
    def instrument_count(self) -> int:
        """How many instruments the tape being written knows."""
        return len(self._instruments)

    def know(self, instruments: Records) -> None:
        """Go on with more instruments: in a tape of its own, for each begins with its table.

        Raises:
            TapeError: the disk refuses.
        """
        self._instruments = instruments
        self._turn()

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
        if not self._has_head:
            self._write_head(int(records["receive_time_ns"][0]), wall_offset_ns)
        self._writer.append(records, wall_offset_ns)
        self.record_count += len(records)
        self._last_word = int(records["sequence"][-1])
        self._books.apply(records)
        is_old = time.monotonic() - self._opened_s >= self._tape_seconds
        if self._writer.size_bytes >= self._tape_bytes or is_old:
            self._turn()

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
        self._last_word = first + count
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

    def _turn(self) -> None:
        self.end()
        self._tape_index += 1
        self._writer = self._open()

    def _write_head(self, receive_time_ns: int, wall_offset_ns: int) -> None:
        """Write every known book before the first record of a tape."""
        self._has_head = True
        books = self._books.records(self._last_word, receive_time_ns)
        if len(books):
            self._writer.append(books, wall_offset_ns)


class Resumed(NamedTuple):
    """Where an earlier recording of the same run of an engine ended."""

    last_word: int
    books: KnownBooks


def resume_from(folder: TapeFolder, source: str) -> Resumed:
    """Return how far the recordings of a run of an engine have come in a folder.

    Raises:
        TapeDamagedError: the last tape of them is damaged.
    """
    for path in reversed(folder.tapes()):
        try:
            tape = TapeReader(path)
        except TapeError:
            continue
        with tape:
            if (
                tape.header.source.encode() != source.encode()[:SOURCE_BYTES]
                or not tape.record_count
            ):
                continue
            books = KnownBooks()
            for batch in tape.batches():
                books.apply(batch)
                last_word = int(batch["sequence"][-1])
            return Resumed(last_word, books)
    return Resumed(0, KnownBooks())


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
