"""What a dead engine left in its event rings goes to its journal before the rings are removed.

Main calls this at start, so it imports neither numpy nor Numba. The session is found by the pid and
start time of the main process that owned the ring: both stand in the ring's header and in the
session's document. Nothing else may write that journal: its engine is dead.

An orchestrator outlives its main by what it has to write: it drains its rings itself, and what is
left is looked at when it has ended.

An engine that died while it started may have records in its rings and no instruments in its
document: without those nobody could say what the records are about, so they are added first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from engine.config import Config
from engine.store.drain import open_drain
from engine.store.errors import JournalError, StoreError
from engine.store.instrument_segment import KIND_INSTRUMENTS, published_instruments
from engine.store.journal import SOURCES, chain_end
from engine.store.session import read_document, session_of_engine, write_document
from ringbuffer.errors import ReaderTakenError, SegmentBusyError, SegmentError
from ringbuffer.ring import Consumer, Ring
from ringbuffer.segment import Segment, read_prefix

READER_JOURNAL = 0
ORPHAN_S = 30.0  # for an orchestrator that lost its main: it imports, drains, syncs and ends
POLL_S = 0.02


def drain_leftover(home: Path) -> Callable[[str], object]:
    """Return what drains one stale event ring, by its name, into its engine's journal.

    Args:
        home: AEGIS_HOME of the dead engine; its instance lock there is ours.
    """
    return partial(drain_ring, home)


def drain_events(config: Config, names: Iterable[str]) -> list[str]:
    """Journal what an orchestrator that died left in an engine's event rings, before they go.

    Args:
        config: the engine's, for AEGIS_HOME.
        names: segment names of its event rings.

    Returns:
        One sentence for each ring that could not be drained.
    """
    problems = []
    for name in names:
        try:
            drain_ring(Path(config.home), name)
        except StoreError as error:
            problems.append(str(error))
    return problems


def drain_ring(home: Path, name: str) -> int:
    """Journal what is left in a dead engine's event ring; return how many records it had.

    A ring whose engine never wrote a session document holds nothing worth a journal: its brain
    cannot have traded. A source that was closed in order has all of it already.

    Args:
        home: AEGIS_HOME of the dead engine.
        name: name of the stale segment; `-<source>` at its end says which ring it was.

    Raises:
        StoreError: the journal cannot take them; the ring stays for another try.
    """
    source = next((source for source in SOURCES if name.endswith(f"-{source}")), None)
    prefix = read_prefix(name)
    if source is None or prefix is None:
        return 0
    directory = session_of_engine(home, prefix.owner_pid, prefix.owner_start_ticks)
    if directory is None or chain_end(directory, directory.name, source).is_closed:
        return 0
    try:
        ring = Ring.attach(name)
    except SegmentError:
        return 0  # cut short before its header was complete: nothing was ever published
    try:
        consumer = _take_place(ring)
        if chain_end(directory, directory.name, source).is_closed:  # by whom we waited for
            consumer.close()
            return 0
        _name_instruments(directory, name.removesuffix(source) + "instruments")
        return _drain(consumer, directory, source)
    finally:
        # A reader that was refused keeps its view until its error is forgotten.
        with suppress(SegmentBusyError):
            ring.close()


def _name_instruments(directory: Path, segment_name: str) -> None:
    document = read_document(directory)
    if document.instruments:
        return
    try:
        segment = Segment.attach(segment_name, kind=KIND_INSTRUMENTS)
    except SegmentError:
        return  # gone, or cut short: then the brain never learned an instrument either
    try:
        instruments = published_instruments(segment)
    finally:
        segment.close()
    if instruments:
        write_document(directory, msgspec.structs.replace(document, instruments=instruments))


def _take_place(ring: Ring) -> Consumer:
    """Return the journal's reader of a ring; one that is still read by its own is waited for."""
    deadline = time.monotonic() + ORPHAN_S
    while True:
        try:
            return Consumer(ring, READER_JOURNAL)
        except ReaderTakenError as error:
            if time.monotonic() > deadline:
                message = f"the event ring {ring.name} cannot be drained: {error}"
                raise JournalError(message) from error
        except SegmentError as error:
            raise JournalError(f"the event ring {ring.name} cannot be drained: {error}") from error
        time.sleep(POLL_S)


def _drain(consumer: Consumer, directory: Path, source: str) -> int:
    drain = open_drain(consumer, directory, source, is_replayable=_keeps_marks(directory))
    count = 0
    try:
        while moved := drain.drain():
            count += moved
        return count
    finally:
        for writer in drain.writers:
            writer.close(is_end=False)
        consumer.close()


def _keeps_marks(directory: Path) -> bool:
    return read_document(directory).market_journal != "off"
