"""Rings into journal files: one thread that never waits for a sync, a database or a lock.

        ring --read_into--> buffer --append--> page cache --advance--> ring
                                                   `-- fdatasync by the sync thread, beside it

A record is given back to its producer only after the file system took it, so whoever dies in
between finds it again: the next drain skips what the journal has. When the journal cannot be
written the rings are left standing, trading halts, and every later pass tries again; a full event
ring then halts the brain by itself. An evicted source (main took a stalled recorder out) is over
for this session: what is missing is written down as lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from engine.store.drain import RingDrain
from engine.store.errors import JournalWriteError

IDLE_SLEEP_S: Final = 0.001
WRITE_RETRY_S: Final = 0.1  # between attempts while the file system refuses
SYNC_INTERVAL_S: Final = 0.2

Beat = Callable[[], None]


class Recorder:
    """The drain thread and, beside it, the sync thread."""

    def __init__(
        self,
        drains: Sequence[RingDrain],
        *,
        beat: Beat,
        on_write_error: Callable[[JournalWriteError], None],
        on_evicted: Callable[[str], None],
        on_written: Callable[[], None],
        on_synced: Callable[[], None],
        urgent: str = "",
    ) -> None:
        """Take the drains over; nothing moves before `start`.

        Args:
            drains: in the order in which a pass visits them; events before the market.
            beat: called once per pass by the drain thread.
            on_write_error: called from either thread for every refused append or sync.
            on_evicted: called once with a source that main took out.
            on_written: called by the drain thread when appends work again.
            on_synced: called by the sync thread after each round.
            urgent: source that is synced as soon as something of it was appended (durability
                `disk`: orders wait for it); empty: none.
        """
        self._drains = tuple(drains)
        self._beat = beat
        self._on_write_error = on_write_error
        self._on_evicted = on_evicted
        self._on_written = on_written
        self._on_synced = on_synced
        self._held: frozenset[str] = frozenset()
        self._refused = False
        self._unsynced: set[str] = set()  # sources whose last sync was refused
        self._urgent = urgent
        self._appended = threading.Event()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._reported: set[str] = set()
        self.journaled_count = 0

    def hold(self, sources: frozenset[str]) -> None:
        """Leave these sources in their rings until `release`."""
        self._held = sources

    def release(self) -> None:
        """Drain every source from now on."""
        self._held = frozenset()

    def start(self) -> None:
        """Start both threads."""
        self._threads = [
            threading.Thread(target=self._drain_on, name="recorder"),
            threading.Thread(target=self._sync_on, name="journal-sync"),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End both threads; returns when the last append and sync are over."""
        self._stopping.set()
        self._appended.set()
        for thread in self._threads:
            thread.join()
        self._threads = []

    @property
    def is_alive(self) -> bool:
        """True while every thread runs; a dead one is a fault of the role."""
        return all(thread.is_alive() for thread in self._threads)

    def drain_all(self, budget_s: float) -> bool:
        """Drain until every ring is empty; return whether that was reached inside the budget.

        For the stop, when the producers have stopped and the threads have ended.
        """
        deadline = time.monotonic() + budget_s
        while time.monotonic() < deadline:
            self._beat()
            moved, refused = self._pass()
            if moved == 0 and not refused:
                return True
            if refused:
                time.sleep(WRITE_RETRY_S)
        return False

    def _drain_on(self) -> None:
        while not self._stopping.is_set():
            self._beat()
            moved, refused = self._pass()
            if refused:
                time.sleep(WRITE_RETRY_S)
            elif moved == 0:
                time.sleep(IDLE_SLEEP_S)

    def _pass(self) -> tuple[int, bool]:
        moved, refused = 0, False
        for drain in self._drains:
            if drain.source in self._held:
                continue
            try:
                count = drain.drain()
                moved += count
                if count and drain.source == self._urgent:
                    self._appended.set()
            except JournalWriteError as error:
                refused = True
                self._on_write_error(error)
            if drain.is_evicted and drain.source not in self._reported:
                self._reported.add(drain.source)
                self._on_evicted(drain.source)
        self.journaled_count += moved
        is_refused = refused or bool(self._unsynced)
        if self._refused and moved and not is_refused:
            self._on_written()
        self._refused = is_refused or (self._refused and not moved)
        return moved, refused

    def _sync_on(self) -> None:
        due_s = 0.0
        while not self._stopping.is_set():
            if self._urgent:
                self._appended.wait(SYNC_INTERVAL_S)
                self._appended.clear()
                self._sync(drain for drain in self._drains if drain.source == self._urgent)
            else:
                self._stopping.wait(SYNC_INTERVAL_S)
            if time.monotonic() >= due_s:
                due_s = time.monotonic() + SYNC_INTERVAL_S
                self._sync(self._drains)

    def _sync(self, drains: Iterable[RingDrain]) -> None:
        for writer in (writer for drain in drains for writer in drain.writers):
            try:
                writer.sync()
                self._unsynced.discard(writer.source)
            except JournalWriteError as error:
                self._unsynced.add(writer.source)
                self._refused = True
                self._on_write_error(error)
        self._on_synced()
