"""Look again and again at what the venue lists: what winds down, what comes in, other bounds.

        !contractInfo of one of ours --.
        every listing_refresh_s -------+-> exchangeInfo --> why_no_entries, per instrument
                                                |            | reason       | none any more
                                                |            v              v
                                                |     closed, quotes held   open, let go
                                                |-> changed_bounds -> FILTER records
                                                |-> standing, by the clock only -> come in, drop out
                                                `-> onboarded: come in; among named ones, drop out

Held quotes are INVALID on the ring, which blocks entries and lets exits pass; a closed instrument's
resting entries are withdrawn. Both travel on the market ring, so a session that saw a wind-down
decides the same when it is run again (ADR 0019, 0024). A list that cannot be had changes nothing:
it is asked for again with a jittered back-off, and told when it stays away.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from engine.clock import VenueClock
from engine.domain.instrument_row import Instrument, InstrumentError
from engine.processes.feed_faults import FeedFault, FeedFaults
from engine.processes.feed_holds import HELD_CHANNEL, HoldsChannels
from engine.processes.feed_instruments import InstrumentChoice
from engine.processes.feed_roster import Roster
from engine.venues.binance.exchange_info import ExchangeInfo, SymbolRow, ends_soon, instrument_of
from engine.venues.binance.listing import changed_bounds, why_no_entries
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
        roster: Roster,
        period_s: float,
    ) -> None:
        """Watch `instruments` every `period_s`; nothing is asked before `begin` or `run`.

        What comes of it `core` hears for the quotes and `roster` for the rest.
        """
        self._core = core
        self._venue = venue
        self._clock = clock
        self._choice = choice
        self._faults = faults
        self._instruments = instruments
        self._roster = roster
        self._dropped: dict[int, str] = {}  # instrument index -> why it is traded no more
        self._absent: dict[str, str] = {}  # onboarded symbols that do not come, and why
        self._stood_s = time.monotonic()  # when it was last looked who stands
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

    def follow_onboarded(self) -> int:
        """Read what is onboarded, look soon if it changed; return how many symbols, -1: no word."""
        known, count = self._choice.onboarded, self._choice.read_onboarded()
        if self._choice.onboarded != known:
            self.hurry()
        return count

    async def refresh(self) -> None:
        """Look once.

        Raises:
            VenueError: no list, or not this one; nothing was changed.
        """
        info = await self._venue.fetch_list()
        await self.apply(info)
        if not self._roster.is_fixed and self._is_due():
            await self._turn_over(info)
        self._follow_onboarded(info)

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
            self._take_bounds(instrument, row)
            self._judge(instrument, now_ns)
            looked_at += 1
            if looked_at % ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)
        self._core.flush(time.monotonic_ns())

    def _take_bounds(self, instrument: Instrument, row: SymbolRow | None) -> None:
        bounds = changed_bounds(instrument, row) if row is not None else {}
        if bounds:
            index, named = instrument.instrument_index, " ".join(bounds)
            self._roster.change(index, bounds)
            self._faults.tell(FeedFault.FILTERS_CHANGED, f"{instrument.symbol}: {named}", index)

    def _judge(self, instrument: Instrument, now_ns: int) -> None:
        index = instrument.instrument_index
        why = why_no_entries(instrument, self._rows.get(index), now_ns)
        self._conclude(instrument, why or self._dropped.get(index, ""))

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
        now_ns = time.monotonic_ns()
        self._core.hold(index, HELD_CHANNEL, now_ns, int(bool(reason)))
        self._roster.close(index, now_ns, is_closed=bool(reason))

    def _is_due(self) -> bool:
        """Return whether it is time to see who stands: by the clock, however much is said."""
        return time.monotonic() - self._stood_s > self._period_s * (1 - 2 * JITTER)

    async def _turn_over(self, info: ExchangeInfo) -> None:
        """Take in what has come to stand, drop what fell behind."""
        self._stood_s = time.monotonic()
        try:
            wanted, stays = await self._choice.standing(info)
        except VenueError:
            self._choice.failure_count += 1
            return
        if self._ranking_missing:
            self._ranking_missing = False
            self._faults.tell(FeedFault.DISCOVERY_BACK, "ranking is back: it is followed")
        now_ns = self._clock.venue_ns(time.monotonic_ns())
        self._drop_behind(stays, now_ns, "no longer among the most traded")
        listed = {row.symbol: row for row in info.symbols}
        for symbol in wanted:
            self._take_in(listed[symbol], now_ns)
        self._core.flush(time.monotonic_ns())

    def _follow_onboarded(self, info: ExchangeInfo) -> None:
        """Take in what is onboarded; what stands beside named ones goes when it no longer is."""
        onboarded, now_ns = self._choice.onboarded, self._clock.venue_ns(time.monotonic_ns())
        kept = self._choice.named if self._roster.is_fixed else self._kept()
        self._drop_behind(kept | frozenset(onboarded), now_ns, "no longer onboarded")
        listed = {row.symbol: row for row in info.symbols}
        for symbol in onboarded:
            why = "not listed"
            if symbol in listed:
                self._choice.left_out.pop(symbol, None)
                self._take_in(listed[symbol], now_ns)
                why = self._choice.left_out.get(symbol, "no room in this run, or not trading")
            if self._roster.index_of(symbol) < 0 and symbol not in self._roster.active:
                self._tell_absent(symbol, why)
        self._core.flush(time.monotonic_ns())

    def _kept(self) -> frozenset[str]:
        return frozenset(
            each.symbol for each in self._instruments if each.instrument_index not in self._dropped
        )

    def _tell_absent(self, symbol: str, why: str) -> None:
        """Say once why an onboarded symbol does not come."""
        if self._absent.get(symbol) != why:
            self._absent[symbol] = why
            self._faults.tell(FeedFault.ONBOARDED_ABSENT, f"{symbol}: {why}")

    def _drop_behind(self, stays: frozenset[str], now_ns: int, why: str) -> None:
        for instrument in list(self._instruments):
            index, is_dropped = instrument.instrument_index, instrument.symbol not in stays
            if is_dropped != (index in self._dropped):
                if is_dropped:
                    self._dropped[index] = why
                elif self._roster.room <= 0 and instrument.symbol not in self._roster.active:
                    continue
                else:
                    del self._dropped[index]
                self._judge(instrument, now_ns)

    def _take_in(self, row: SymbolRow, now_ns: int) -> None:
        if row.symbol in self._roster.active or self._roster.index_of(row.symbol) >= 0:
            return
        try:
            listed = instrument_of(row)
        except InstrumentError as error:
            self._choice.left_out[row.symbol] = str(error)
            return
        if not why_no_entries(listed, row, now_ns):
            self._roster.add(listed)

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
