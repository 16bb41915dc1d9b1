"""`aegis record`: the market ring of a running engine into tapes, without the engine noticing.

        market ring --observer--> blocks of memory --queue--> tape, a block at a time
        (nobody waits for us)     (a fixed number)            `-- synced beside it
                                                     ended tape --> Parquet, copy, retention

The recorder is a process of its own. It observes: the feed and the brain never wait for it, and it
never sleeps on the ring's word, so no producer pays for waking it. A recorder that fell behind a
whole ring has lost records; it writes down which, as GAP records, and counts them. It begins behind
the last record that an earlier recorder of the same run wrote into the folder, else with the oldest
that is still in the ring; it ends when the engine does, and removes nothing of it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.domain.instrument import read_instruments
from engine.domain.records import MARKET_DTYPE
from engine.processes.control import segment_name
from engine.store.instrument_segment import KIND_INSTRUMENTS, published_count
from engine.tapes.errors import TapeError
from engine.tapes.recording import Recording
from ringbuffer.errors import SegmentError
from ringbuffer.ring import Observer, Ring
from ringbuffer.segment import Segment, owner_alive

Records = NDArray[np.void]
BLOCK_RECORDS: Final = 16_384
BLOCK_COUNT: Final = 64  # 64 MiB: two seconds at 500,000 records/s for a disk that stalls
FLUSH_S: Final = 0.2  # what a killed recorder may lose of a quiet market
IDLE_SLEEP_S: Final = 0.002  # at 500,000 records/s a thousand records, of 262,144 in the ring
LOOK_S: Final = 0.25  # between two looks whether the engine lives
SYNC_S: Final = 1.0
OLDEST_MARGIN: Final = 4  # of the ring's capacity, its fourth part: what may be overwritten soon


class Batch(NamedTuple):
    """What the reading thread hands to the writing one."""

    records: Records  # a block's front; given back after it was written
    block: int
    first: int  # ring sequence of the first record
    lost: int  # records that went by before it
    wall_offset_ns: int


class MarketEar:
    """The market ring of an engine, seen from outside."""

    def __init__(self, engine: str) -> None:
        """Attach to the engine's segments, which nobody here removes.

        Raises:
            SegmentError: no such engine, or one of another version.
        """
        self.engine = engine
        self._ring = Ring.attach(segment_name(engine, "market"))
        try:
            self._instruments = Segment.attach(
                segment_name(engine, "instruments"), kind=KIND_INSTRUMENTS
            )
        except SegmentError:
            self._ring.close()
            raise
        self._observer = Observer(self._ring)
        self._expected = 0

    @property
    def run(self) -> str:
        """Name of this run of the engine: another one for each process that made the ring."""
        prefix = self._ring.segment.prefix
        return f"{self.engine}/{prefix.generation}.{prefix.owner_pid}.{prefix.owner_start_ticks}"

    def begin(self, last_word: int) -> bool:
        """Go behind the last record an earlier recorder wrote; 0: there was none.

        Returns:
            Whether nothing is missing before what comes first. Records that an earlier recorder
            had not written and that are gone are told as lost by the first `take`.
        """
        published, capacity = self._ring.published(), self._ring.capacity
        oldest = 0 if published <= capacity else published - capacity + capacity // OLDEST_MARGIN
        start = max(oldest, last_word)
        self._observer.seek(start)
        self._expected = last_word or start
        return start == last_word

    @property
    def instrument_count(self) -> int:
        """How many instruments the feed has published."""
        return published_count(self._instruments)

    def instruments(self) -> Records:
        """Return the instrument rows; none before the feed knows them."""
        return read_instruments(self._instruments.buffer)

    def is_engine_alive(self) -> bool:
        """Return whether the process that made the ring lives and the ring is still its."""
        prefix = self._ring.segment.prefix
        return owner_alive(prefix.owner_pid, prefix.owner_start_ticks)

    def take(self, into: Records) -> tuple[int, int, int]:
        """Copy what is there; return (sequence of the first, count, how many were lost before)."""
        first, count, _ = self._observer.poll_into(into)
        if count == 0:
            return first, 0, 0
        lost = first - self._expected
        self._expected = first + count
        return first, count, lost

    def close(self) -> None:
        """Let go of the segments."""
        self._observer.close()
        self._ring.close()
        self._instruments.close()


class Recorder:
    """Reads in the caller's thread, writes in another."""

    def __init__(self, ear: MarketEar, recording: Recording) -> None:
        """Reserve every block of memory there will be."""
        self._ear = ear
        self._recording = recording
        self._blocks = np.zeros((BLOCK_COUNT, BLOCK_RECORDS), dtype=MARKET_DTYPE)
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for block in range(BLOCK_COUNT):
            self._free.put(block)
        self._filled: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._failure: TapeError | None = None
        self._writer = threading.Thread(target=self._write_on, name="tape-writer")
        self._is_stopping = threading.Event()
        self._pending_lost = 0

    def run(self, should_stop: Callable[[], bool], on_look: Callable[[], None]) -> None:
        """Record until told to stop, or until the engine is gone and its ring is empty.

        Args:
            should_stop: asked every LOOK_S at most.
            on_look: called as often, for progress.

        Raises:
            TapeError: the disk refused; the tape holds what was written before.
        """
        self._writer.start()
        try:
            self._read_on(should_stop, on_look)
        finally:
            self._is_stopping.set()
            self._filled.put(None)
            self._writer.join()
        if self._failure is not None:
            raise self._failure
        self._recording.end()

    def _read_on(self, should_stop: Callable[[], bool], on_look: Callable[[], None]) -> None:
        look_s = 0.0
        is_last = False
        while self._failure is None:
            now_s = time.monotonic()
            if now_s >= look_s:
                look_s = now_s + LOOK_S
                on_look()
                # One more round after the decision, so that what was published before is taken.
                is_last = is_last or should_stop() or not self._ear.is_engine_alive()
            moved = self._fill(patient=not is_last)
            if is_last and not moved:
                return

    def _fill(self, *, patient: bool) -> int:
        """Fill one block, for FLUSH_S at most; return how many records it holds."""
        block = self._free.get()
        target = self._blocks[block]
        filled, first, lost = 0, 0, 0
        end_s = time.monotonic() + FLUSH_S
        while filled < BLOCK_RECORDS:
            start, count, missed = self._ear.take(target[filled:])
            if missed and filled:
                # The loss stands between what is in the block and what came now.
                self._hand(block, filled, first, lost)
                block = self._free.get()
                self._blocks[block][:count] = target[filled : filled + count]
                target, filled = self._blocks[block], 0
            if filled == 0:
                first, lost = start, missed
            filled += count
            if count == 0:
                if not patient or time.monotonic() >= end_s:
                    break
                time.sleep(IDLE_SLEEP_S)
        if filled:
            self._hand(block, filled, first, lost)
        else:
            self._free.put(block)
        return filled

    def _hand(self, block: int, count: int, first: int, lost: int) -> None:
        offset = time.time_ns() - time.monotonic_ns()
        self._filled.put(Batch(self._blocks[block][:count], block, first, lost, offset))

    def _write_on(self) -> None:
        sync_s = time.monotonic() + SYNC_S
        while (batch := self._filled.get()) is not None:
            if self._failure is not None:
                self._free.put(batch.block)
                continue
            try:
                self._write(batch)
                if time.monotonic() >= sync_s:
                    sync_s = time.monotonic() + SYNC_S
                    self._recording.sync()
            except TapeError as error:
                self._failure = error
            self._free.put(batch.block)

    def _write(self, batch: Batch) -> None:
        if self._ear.instrument_count > self._recording.instrument_count:
            self._recording.know(self._ear.instruments())
        if batch.lost:
            now_ns = int(batch.records["receive_time_ns"][0])
            self._recording.lose(batch.first - batch.lost, batch.lost, now_ns, batch.wall_offset_ns)
        self._recording.append(batch.records, batch.wall_offset_ns)
