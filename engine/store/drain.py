"""One ring into its journal sources, each record exactly once. No numpy: main uses it at start.

A record is given back to its producer only after the file system took it. Whoever dies between
the two leaves it in both places, and the next drain skips what the journal has.

The brain's ring goes into two sources: drain marks apart, everything else under its own ring
sequence, with an APART frame where marks stood between. Nothing else is ever missing from an event
ring, so whatever lies between what the journal has and where the reader stands were marks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from engine.domain.codes import EventType
from engine.store.journal import (
    SLOT_WORD_BYTES,
    SOURCE_EVENTS_BRAIN,
    SOURCE_MARKS,
    SourceWriter,
)
from ringbuffer.ring import EVICTED, Consumer

BATCH_BYTES: Final = 1 << 20  # most that one pass takes from one ring
EVENT_TYPE_OFFSET: Final = 24  # of an event slot, uint16; a test compares it with the record table


class RingDrain:
    """Moves one ring's records to its journal source, exactly once each."""

    def __init__(self, consumer: Consumer, writer: SourceWriter) -> None:
        """Join a registered gating reader with the writer of its source."""
        self.writer = writer
        self.is_evicted = False
        self.capacity = consumer.ring.capacity
        self.lag_max = 0
        self._consumer = consumer
        self._slot_bytes = consumer.ring.slot_size
        self._buffer = memoryview(bytearray(BATCH_BYTES - BATCH_BYTES % self._slot_bytes))

    @property
    def source(self) -> str:
        """The journal source this drain fills."""
        return self.writer.source

    @property
    def writers(self) -> tuple[SourceWriter, ...]:
        """Every writer this drain appends to."""
        return (self.writer,)

    def drain(self) -> int:
        """Move one batch; return how many records the ring had, 0 when none or evicted.

        Raises:
            JournalWriteError: nothing was lost; the same records come again next time.
        """
        if self.is_evicted:
            return 0
        self.lag_max = max(self.lag_max, self._consumer.lag())
        first, count = self._consumer.read_into(self._buffer)
        # The second look at the ring is the one that says whether the copy may be torn.
        if count == EVICTED or self._consumer.advance(first) == EVICTED:
            self.is_evicted = True
            return 0
        if count == 0:
            return 0
        self._append(first, count)
        self.is_evicted = self._consumer.advance(first + count) == EVICTED
        return count

    def lose_rest(self) -> int:
        """Write down as lost what an evicted source went on without; return how many records."""
        missing = self._consumer.ring.published() - self.writer.next_sequence
        if not self.is_evicted or missing <= 0:
            return 0
        self.writer.append_lost(missing)
        return missing

    def take_lag_max(self) -> int:
        """Return the largest lag since the last call, in records, and forget it."""
        lag, self.lag_max = self.lag_max, 0
        return lag

    def _append(self, first: int, count: int) -> None:
        known = min(max(self.writer.next_sequence - first, 0), count)
        if known < count:
            self.writer.append(first + known, self._span(known, count))

    def _span(self, start: int, end: int) -> memoryview:
        return self._buffer[start * self._slot_bytes : end * self._slot_bytes]


class BrainDrain(RingDrain):
    """Moves the brain's events to their source and its drain marks to theirs, or nowhere."""

    def __init__(
        self, consumer: Consumer, writer: SourceWriter, marks: SourceWriter | None
    ) -> None:
        """Join the reader with both writers; without the second, marks are left out."""
        super().__init__(consumer, writer)
        self._marks = marks
        self._last_mark = 0 if marks is None else marks.last_slot_sequence

    @property
    def writers(self) -> tuple[SourceWriter, ...]:
        """Every writer this drain appends to."""
        return (self.writer,) if self._marks is None else (self.writer, self._marks)

    def _append(self, first: int, count: int) -> None:
        for start, end, is_mark in self._runs(count):
            if is_mark:
                self._append_marks(start, end)
            else:
                self._append_events(first + start, start, end)

    def _append_events(self, first: int, start: int, end: int) -> None:
        known = min(max(self.writer.next_sequence - first, 0), end - start)
        if known == end - start:
            return
        apart = first + known - self.writer.next_sequence
        if apart > 0:
            self.writer.append_apart(apart)
        self.writer.append(first + known, self._span(start + known, end))

    def _append_marks(self, start: int, end: int) -> None:
        if self._marks is None:
            return
        while start < end and self._word(start) <= self._last_mark:
            start += 1
        if start < end:
            self._marks.append(self._marks.next_sequence, self._span(start, end))
            self._last_mark = self._word(end - 1)

    def _runs(self, count: int) -> Iterator[tuple[int, int, bool]]:
        start, is_mark = 0, self._is_mark(0)
        for place in range(1, count):
            if self._is_mark(place) != is_mark:
                yield start, place, is_mark
                start, is_mark = place, not is_mark
        yield start, count, is_mark

    def _is_mark(self, place: int) -> bool:
        at = place * self._slot_bytes + EVENT_TYPE_OFFSET
        return int.from_bytes(self._buffer[at : at + 2], "little") == EventType.DRAIN_MARK

    def _word(self, place: int) -> int:
        at = place * self._slot_bytes
        return int.from_bytes(self._buffer[at : at + SLOT_WORD_BYTES], "little", signed=True)


def open_drain(
    consumer: Consumer, directory: Path, source: str, *, is_replayable: bool
) -> RingDrain:
    """Open the journal source of a ring, and join it with the ring's reader.

    Args:
        consumer: registered as the journal's reader of the ring.
        directory: the session's journal.
        source: of the ring.
        is_replayable: whether market records, and so marks, are kept.

    Raises:
        JournalError: from `SourceWriter`.
    """
    slot_bytes = consumer.ring.slot_size
    writer = SourceWriter(directory, directory.name, source, slot_bytes)
    if source != SOURCE_EVENTS_BRAIN:
        return RingDrain(consumer, writer)
    marks = None
    if is_replayable:
        marks = SourceWriter(directory, directory.name, SOURCE_MARKS, slot_bytes)
    return BrainDrain(consumer, writer, marks)
