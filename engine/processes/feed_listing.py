"""Look again and again at what the venue lists, and wind down what no longer fits.

        !contractInfo of one of ours --.
        every listing_refresh_s -------+-> exchangeInfo --> why_no_entries, per instrument
                                                             | reason       | none any more
                                                             v              v
                              its quotes are held INVALID on the ring    let go

Liveness is what blocks entries and lets exits pass; it travels on the market ring, so a session
that saw a wind-down decides the same when it is run again (ADR 0019). A list that cannot be had
changes nothing: it is asked for again with a jittered back-off, and told when it stays away.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from engine.clock import VenueClock
from engine.domain.instrument_row import Instrument
from engine.processes.feed_faults import FeedFault, FeedFaults
from engine.processes.feed_holds import HELD_CHANNEL, HoldsChannels
from engine.processes.feed_instruments import InstrumentChoice
from engine.venues.binance.exchange_info import ExchangeInfo, SymbolRow, ends_soon
from engine.venues.binance.listing import why_no_entries
from engine.venues.binance.market import BinanceMarketData
from engine.venues.binance.stream import backoff_s
from engine.venues.venue import VenueError

TELL_AFTER: Final = 3  # failures in a row
ROWS_AT_ONCE: Final = 16  # between two of them the event loop has its turn
SPACING_S: Final = 2.0  # between two looks at least, however often the venue says something
JITTER: Final = 0.1  # of the period, both ways


class ListingWatch:
    """Watches the instruments of one core; `run` is a task."""

    def __init__(
        self,
        core: HoldsChannels,
        venue: BinanceMarketData,
        clock: VenueClock,
        choice: InstrumentChoice,
        faults: FeedFaults,
        *,
        instruments: Sequence[Instrument],
        period_s: float,
    ) -> None:
        """Watch `instruments` every `period_s`; nothing is asked before `begin` or `run`."""
        self._core = core
        self._venue = venue
        self._clock = clock
        self._choice = choice
        self._faults = faults
        self._instruments = instruments
        self._period_s = period_s
        self._rows: dict[int, SymbolRow | None] = {}
        self._ranking_missing = False
        self._wanted = asyncio.Event()
        self._hurried_s = -SPACING_S  # when it last looked because something was said
        self.held: dict[int, str] = {}  # instrument index -> why it winds down
        self.failure_count = 0

    async def begin(self) -> None:
        """Hold what may not be entered from the start.

        Raises:
            VenueError: this feed continues another one's, and the list cannot be had.
        """
        self._ranking_missing = self._choice.fallback_count > 0
        await self.apply(self._choice.info or await self._venue.fetch_list())

    async def run(self) -> None:
        """Look until cancelled."""
        failures = 0
        while True:
            await self._pause(failures)
            try:
                await self.refresh()
            except VenueError as error:
                failures += 1
                self.failure_count += 1
                if failures == TELL_AFTER:
                    self._faults.tell(FeedFault.LISTING_UNREACHABLE, str(error))
            else:
                failures = 0

    def hurry(self) -> None:
        """Look soon: something is said to have changed."""
        self._wanted.set()

    async def refresh(self) -> None:
        """Look once.

        Raises:
            VenueError: no list, or not this one; nothing was changed.
        """
        info = await self._venue.fetch_list()
        await self.apply(info)
        if self._ranking_missing:
            await self._look_for_ranking(info)

    async def apply(self, info: ExchangeInfo) -> None:
        """Hold and let go by a list."""
        listed = {row.symbol: row for row in info.symbols}
        now_ns = self._clock.venue_ns(time.monotonic_ns())
        looked_at = 0
        for instrument in self._instruments:
            index, row = instrument.instrument_index, listed.get(instrument.symbol)
            is_known = index in self._rows and self._rows[index] == row
            if is_known and (row is None or not ends_soon(row, now_ns)):
                continue
            self._rows[index] = row
            self._conclude(instrument, why_no_entries(instrument, row, now_ns))
            looked_at += 1
            if looked_at % ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)
        self._core.flush(time.monotonic_ns())

    def _conclude(self, instrument: Instrument, reason: str) -> None:
        index, symbol = instrument.instrument_index, instrument.symbol
        before = self.held.get(index, "")
        if reason == before:
            return
        if reason:
            self.held[index] = reason
            self._faults.tell(FeedFault.WIND_DOWN, f"{symbol}: {reason}", index)
        else:
            del self.held[index]
            self._faults.tell(FeedFault.WIND_DOWN_OVER, f"{symbol} again takes entries", index)
        self._core.hold(index, HELD_CHANNEL, time.monotonic_ns(), int(bool(reason)))

    async def _look_for_ranking(self, info: ExchangeInfo) -> None:
        try:
            await self._choice.rank(info)
        except VenueError:
            self._choice.failure_count += 1
            return
        self._ranking_missing = False
        self._faults.tell(FeedFault.DISCOVERY_BACK, "ranking is back: a restart takes it")

    async def _pause(self, failures: int) -> None:
        """Wait for the next look: by the clock, or sooner when something is said."""
        pause_s = self._period_s * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  no secret
        if failures:
            pause_s = min(backoff_s(failures), pause_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._wanted.wait()
                await asyncio.sleep(self._hurried_s + SPACING_S - time.monotonic())
                self._hurried_s = time.monotonic()
        self._wanted.clear()
