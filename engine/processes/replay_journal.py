"""A session's journal as the steps its brain took: what went in, when, and what came out.

        ring      .. events of step k | DRAIN_MARK rows k, k+1 .. | events of step n | DRAIN_MARK ..
        journal   events in one source, marks in another, both with the ring's own sequence

A mark's rows are written after the first of their steps' events and before those of any later
step, so the events before a mark are all of its first row's step. The events a step echoed are its
inputs. What follows the last mark belongs to a step that was never marked: a killed brain leaves
it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.domain.derived import inputs_of
from engine.domain.records import (
    EVENT_DTYPE,
    EVENT_SLOT_BYTES,
    MARK_WORD_FIRST,
    MARKET_DTYPE,
    MARKS_PER_RECORD,
    EventType,
)
from engine.store.frames import FrameKind
from engine.store.journal import (
    SOURCE_EVENTS_BRAIN,
    SOURCE_MARKET,
    SOURCE_MARKS,
    segment_index,
    segment_paths,
)
from engine.store.reader import SourceReader, join_records, read_batches
from engine.store.session import SessionDocument

Records = NDArray[np.void]
MARKET_SLOTS: Final = 1 << 18  # more than any frame and any lag between two marks
OUTER_STATES: Final = 8
INT64_MAX: Final = 2**63 - 1
# What a brain writes about itself, outside of any step.
OUTSIDE: Final = np.array(
    [
        EventType.ROLE_FAULT,
        EventType.ROLE_STATE_CHANGED,
        EventType.SESSION_START,
    ]
)


class Mark(NamedTuple):
    """One row of a DRAIN_MARK: when a step ran, and the last sequence it took of each ring."""

    now_ns: int
    market_last: int
    report_last: int
    control_last: int
    outer_trading_state: int


class JournaledStep(NamedTuple):
    """One step as it was: its mark, its inputs, and every event it wrote."""

    mark: Mark
    is_first: bool  # of a brain: state is new, and no record was taken
    market_first: int
    market_count: int
    controls: Records
    reports: Records
    outputs: Records


class NotReplayableError(Exception):
    """A session cannot be run again; the message says why."""


def why_not_replayable(directory: Path, document: SessionDocument) -> str:
    """Return why a session cannot be run again; empty: nothing is known against it."""
    if document.market_journal == "off":
        return "its market records were not journaled (journal.market is off)"
    if not document.instruments:
        return "it ended before its instruments were known"
    if not segment_paths(directory, SOURCE_EVENTS_BRAIN):
        return "its brain wrote no event"
    for source in (SOURCE_MARKET, SOURCE_MARKS):
        paths = segment_paths(directory, source)
        if paths and segment_index(paths[0]) > 0:
            return f"its first {source} segments were removed to keep the journal inside its bound"
    return ""


class StepReader:
    """The steps of a session's brain, in order; iterate once."""

    def __init__(self, directory: Path) -> None:
        """Nothing is read yet."""
        self._events = _Events(directory)
        self._marks = _batches(directory, SOURCE_MARKS)
        self.unmarked_count = 0  # events of a step that was never marked, once iterated

    def __iter__(self) -> Iterator[JournaledStep]:
        """Yield step after step.

        Raises:
            NotReplayableError: marks and inputs do not fit each other, or events are missing.
            JournalError: the journal cannot be read.
        """
        before: Mark | None = None
        for records in self._marks:
            words = records["sequence"].tolist()
            for place, word in enumerate(words):
                outputs = self._events.take_below(word)
                for row, mark in enumerate(marks_of(records[place : place + 1])):
                    yield _step(before, mark, outputs if row == 0 else outputs[:0])
                    before = mark
        rest = self._events.take_below(INT64_MAX)
        self.unmarked_count = int((~np.isin(rest["event_type"], OUTSIDE)).sum())


class _Events:
    """A session's brain events, taken up to a place in the ring."""

    def __init__(self, directory: Path) -> None:
        self._batches = _batches(directory, SOURCE_EVENTS_BRAIN)
        self._records = np.zeros(0, dtype=EVENT_DTYPE)
        self._is_over = False

    def take_below(self, word: int) -> Records:
        """Return the events not taken yet whose slot's word is below a mark's."""
        parts = []
        while True:
            count = int(np.searchsorted(self._records["sequence"], word))
            parts.append(self._records[:count])
            self._records = self._records[count:]
            if len(self._records) or self._is_over:
                break
            self._records = next(self._batches, self._records)
            self._is_over = len(self._records) == 0
        filled = [part for part in parts if len(part)]
        return filled[0] if len(filled) == 1 else join_records(filled, EVENT_DTYPE)


def marks_of(record: Records) -> list[Mark]:
    """Return the rows of one DRAIN_MARK, given as EVENT_DTYPE[1]."""
    words = record.view(np.int64).reshape(EVENT_SLOT_BYTES // 8)
    count = int(record["mark_count"][0])
    columns = words[MARK_WORD_FIRST : MARK_WORD_FIRST + 4 * MARKS_PER_RECORD]
    rows = columns.reshape(4, MARKS_PER_RECORD)[:, :count].T.tolist()
    return [
        Mark(now_ns, market, report, control // OUTER_STATES, control % OUTER_STATES)
        for now_ns, market, report, control in rows
    ]


def _batches(directory: Path, source: str) -> Iterator[Records]:
    for batch in read_batches(directory, source):
        if batch.kind is FrameKind.LOST:
            raise NotReplayableError(
                f"{batch.record_count} records of {source} were never journaled"
            )
        if len(batch.records):
            yield batch.records


def _step(before: Mark | None, mark: Mark, outputs: Records) -> JournaledStep:
    # A brain's local report ring starts at nothing, so a step back means another brain.
    is_first = before is None or mark.report_last < before.report_last
    outputs = outputs[~np.isin(outputs["event_type"], OUTSIDE)] if len(outputs) else outputs
    controls, reports = inputs_of(outputs) if len(outputs) else (outputs, outputs)
    if is_first or before is None:
        return JournaledStep(mark, True, mark.market_last + 1, 0, controls, reports, outputs)
    taken = (mark.report_last - before.report_last, mark.control_last - before.control_last)
    if taken != (len(reports), len(controls)):
        raise NotReplayableError(
            f"a mark says {taken[0]} reports and {taken[1]} controls, the journal has "
            f"{len(reports)} and {len(controls)} (at {mark.now_ns})"
        )
    first = before.market_last + 1
    count = mark.market_last - before.market_last
    return JournaledStep(mark, False, first, count, controls, reports, outputs)


class MarketWindow:
    """The market records of a session, as a ring that steps read in place."""

    def __init__(self, directory: Path) -> None:
        """Start before the first record."""
        self._reader = SourceReader(directory, SOURCE_MARKET)
        self._slots = np.zeros(MARKET_SLOTS, dtype=MARKET_DTYPE)
        self.next_sequence = 0

    def hold(self, first: int, count: int) -> Records:
        """Return the slots with records `first` to `first + count - 1` in place.

        Raises:
            NotReplayableError: some of them are not in the journal.
            JournalError: the journal cannot be read.
        """
        while self.next_sequence < first + count:
            batches = self._reader.poll()
            if not batches:
                raise NotReplayableError(
                    f"market record {self.next_sequence} is not in the journal"
                )
            for batch in batches:
                if batch.kind is FrameKind.LOST:
                    raise NotReplayableError(
                        f"{batch.record_count} market records from {batch.first_sequence} on "
                        "were never journaled"
                    )
                self._place(batch.first_sequence, batch.records)
        if self.next_sequence - first > MARKET_SLOTS:
            raise NotReplayableError(f"market record {first} lies too far behind")
        return self._slots

    def _place(self, first: int, records: Records) -> None:
        slots = self._slots
        start = first % MARKET_SLOTS
        head = min(len(records), MARKET_SLOTS - start)
        slots[start : start + head] = records[:head]
        slots[: len(records) - head] = records[head:]
        self.next_sequence = first + len(records)
