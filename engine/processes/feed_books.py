"""Fetch the snapshots that books wait for: staggered, bounded, retried.

The core says which books want one; a book asks again by itself when its chain breaks, when it was
crossed for too long, or when its top levels come near the end of what it knows. Requests leave one
after another at a pace that keeps a mass reconnect inside half the venue's weight budget, at most
FETCHES_MAX at once, and each book backs off on its own after a failure.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

from engine.venues.binance.market import snapshot_limit
from engine.venues.venue import MarketDataVenue, RateLimitError, VenueError
from native_ext import _feed

FETCHES_MAX: Final = 8
POLL_S: Final = 0.01
WEIGHT_PER_S: Final = 20.0  # half of 2400 a minute
BURST_WEIGHT: Final = 1000.0  # all books of a default start at once; the minute still fits
RETRY_FIRST_S: Final = 0.1
RETRY_MAX_S: Final = 10.0
REPEAT_NS: Final = 30_000_000_000  # every book once in so long, 40 records each
STALE_RETRY_S: Final = 0.05  # too old: the next one will not be


class RepeatsBooks(Protocol):
    """What a core does for it."""

    def repeat_book(self, index: int, now_ns: int, /) -> bool:
        """Publish a book whole; False: there is none to show."""
        ...


class BookRepeats:
    """Publishes every live book whole from time to time: for readers that came late.

    A book travels as changes; a recorder, or whoever else begins to read in the middle of a run,
    knows it REPEAT_S later at the latest. One book at a time, evenly spread.
    """

    def __init__(self, core: RepeatsBooks, symbols: Sequence[str]) -> None:
        """Repeat the books of `symbols`, by instrument index; more may come."""
        self._core = core
        self._symbols = symbols
        self._next = 0
        self._due_ns = time.monotonic_ns()

    def step(self, now_ns: int) -> None:
        """Publish the next book when it is its turn; the core publishes it with its next batch."""
        if now_ns < self._due_ns or not self._symbols:
            return
        count = len(self._symbols)
        self._due_ns = now_ns + REPEAT_NS // count
        for _ in range(count):
            index, self._next = self._next % count, (self._next + 1) % count
            if self._core.repeat_book(index, now_ns):
                return


class BookSnapshots:
    """Fetches for one core; `run` is a task."""

    def __init__(
        self,
        core: _feed.Core,
        venue: MarketDataVenue,
        symbols: Sequence[str],
        book_count: int,
        on_failure: Callable[[str, str], None],
    ) -> None:
        """Prepare; `on_failure(symbol, text)` hears about every failed fetch.

        `symbols` are by instrument index, and more may come.
        """
        self._core = core
        self._venue = venue
        self._symbols = symbols
        self._limit, self._weight = snapshot_limit(book_count)
        self._on_failure = on_failure
        self._due_s: dict[int, float] = {}
        self._failures: dict[int, int] = {}
        self._running: dict[int, asyncio.Task[None]] = {}
        self._budget = BURST_WEIGHT
        self._budget_s = time.monotonic()
        self.fetched_count = 0
        self.failed_count = 0
        self.waiting_count = 0

    async def run(self) -> None:
        """Serve the books until cancelled."""
        try:
            while True:
                self._start_due()
                await asyncio.sleep(POLL_S)
        finally:
            for task in self._running.values():
                task.cancel()

    def _start_due(self) -> None:
        wanting = self._core.books_wanting()
        self.waiting_count = len(wanting)
        now_s = time.monotonic()
        self._budget = min(self._budget + (now_s - self._budget_s) * WEIGHT_PER_S, BURST_WEIGHT)
        self._budget_s = now_s
        for index in wanting:
            if len(self._running) >= FETCHES_MAX or self._budget < self._weight:
                return
            if index in self._running or self._due_s.get(index, 0.0) > now_s:
                continue
            self._budget -= self._weight
            task = asyncio.create_task(self._fetch(index))
            self._running[index] = task
            task.add_done_callback(partial(self._forget, index))

    def _forget(self, index: int, _task: asyncio.Task[None]) -> None:
        self._running.pop(index, None)

    async def _fetch(self, index: int) -> None:
        symbol = self._symbols[index]
        try:
            body = await self._venue.fetch_book_snapshot(symbol, self._limit)
        except VenueError as error:
            self._delay(index, error)
            self._on_failure(symbol, str(error))
            return
        result = self._core.load_snapshot(index, body, self._limit, time.monotonic_ns())
        if result == 0:
            self.fetched_count += 1
            self._failures.pop(index, None)
            self._due_s.pop(index, None)
        elif result == _feed.STALE:
            self.failed_count += 1
            self._due_s[index] = time.monotonic() + STALE_RETRY_S
        else:
            self._delay(index, None)
            self._on_failure(symbol, f"refused by the firewall, reason {result}")

    def _delay(self, index: int, error: VenueError | None) -> None:
        self.failed_count += 1
        failures = self._failures.get(index, 0)
        self._failures[index] = failures + 1
        wait_s = min(RETRY_FIRST_S * 2.0 ** min(failures, 16), RETRY_MAX_S)
        if isinstance(error, RateLimitError):
            wait_s = max(wait_s, error.retry_after_s)
        wait_s *= random.uniform(0.5, 1.0)  # noqa: S311  spreads retries, no secret
        self._due_s[index] = time.monotonic() + wait_s
