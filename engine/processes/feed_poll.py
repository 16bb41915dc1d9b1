"""Quotes by request while no connection carries them: enough to leave a position, not to enter one.

A plan with quotes that nobody carries for `after_s` has its instruments held, and every best quote
of the venue is asked for each POLL_S: one request for all symbols. Quotes that come back on a
connection end it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from engine.clock import NS_PER_MS, VenueClock
from engine.domain.codes import Channel
from engine.processes.feed_faults import FeedFault, FeedFaults
from engine.processes.feed_holds import EntryHolds
from engine.processes.feed_lines import PlanSources
from engine.processes.feed_sources import FeedSources
from engine.venues.binance.backfill import quote_frames
from engine.venues.venue import VenueError
from native_ext._feed import Core

POLL_S: Final = 1.0
OLDEST_MS: Final = 30_000  # a quote that did not change for longer says nothing
REASON: Final = "polled"


class Quotes(Protocol):
    """Where quotes are asked for."""

    async def fetch_quotes(self) -> bytes:
        """Return the best quotes of every symbol."""
        ...


class QuotePoll:
    """Polls for one feed; `run` is a task."""

    def __init__(
        self,
        core: Core,
        venue: Quotes,
        sources: FeedSources,
        symbols: Sequence[str],
        clock: VenueClock,
        after_s: float,
        *,
        holds: EntryHolds,
        faults: FeedFaults,
        on_failure: Callable[[str, str], None],
    ) -> None:
        """Prepare; `after_s` of 0 means never."""
        self._core = core
        self._venue = venue
        self._clock = clock
        self._after_s = after_s
        self._holds = holds
        self._faults = faults
        self._on_failure = on_failure
        self._symbols = symbols  # by index; more may come
        self._sources = sources
        self.quote_count = 0

    async def run(self) -> None:
        """Poll while it is needed, until cancelled."""
        while True:
            await asyncio.sleep(POLL_S)
            now_ns = time.monotonic_ns()
            wanted = self._wanted(now_ns) if self._after_s else set()
            held = set(self._holds.held(REASON))
            self._holds.set(REASON, held - wanted, now_ns, is_held=False)
            self._holds.set(REASON, wanted - held, now_ns, is_held=True)
            if wanted - held:
                self._faults.tell(FeedFault.QUOTES_POLLED, f"{len(wanted)} instruments polled")
            if wanted:
                await self._poll(wanted)

    def _wanted(self, now_ns: int) -> set[int]:
        """Return the instruments whose quotes nobody carries for too long."""

        def is_needed(entry: PlanSources) -> bool:
            return entry.down_ns > 0 and now_ns - entry.down_ns > self._after_s * 1e9

        rows = (
            row
            for entry in self._sources.plans
            if is_needed(entry)
            for row in entry.plan.subscriptions
        )
        return {row.instrument_index for row in rows if row.channel is Channel.QUOTE}

    async def _poll(self, wanted: set[int]) -> None:
        try:
            body = await self._venue.fetch_quotes()
            oldest_ms = self._clock.venue_ns(time.monotonic_ns()) // NS_PER_MS - OLDEST_MS
            frames = list(quote_frames(body, oldest_ms))
        except VenueError as error:
            self._on_failure("quotes", str(error))
            return
        now_ns = time.monotonic_ns()
        wanted_symbols = {self._symbols[index] for index in wanted}
        self._core.expect_duplicates(1)  # a quote that did not change has its old number
        for symbol, frame in frames:
            if symbol in wanted_symbols and self._core.decode(frame, now_ns) == 0:
                self.quote_count += 1
        self._core.expect_duplicates(0)
