"""Ask the venue's history for what the streams did not bring: trades by id, bars that closed.

        hole in trade ids -> aggTrades from its first id -> frames -> decoder -> the hole closes
        a plan came back  -> klines of its instruments   -> bars that closed meanwhile
        an operator asks  -> aggTrades after the last    -> what the stream never brought

Requests cost weight that books need more: they have a share of the minute, and above
WEIGHT_USED_MAX of the venue's own count nothing is asked. What is not filled in time becomes a gap
record by itself, so nothing here has to succeed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple, Protocol

from engine.clock import NS_PER_MS, VenueClock
from engine.domain.firewall_reasons import FirewallReason
from engine.venues.binance.backfill import bar_frames, trade_frames
from engine.venues.venue import VenueError
from native_ext._feed import Core

POLL_S: Final = 0.02
GRACE_NS: Final = 40_000_000  # a hole that the other connection fills needs no request
RETRY_S: Final = 0.2
FETCHES_MAX: Final = 4
TRADES_MAX: Final = 1_000  # of one answer
TRADES_WEIGHT: Final = 20
BAR_WEIGHT: Final = 1
BARS_ASKED: Final = 60  # below 100 the weight is 1
SHARE_BURST: Final = 1_000.0  # fifty instruments at once
SHARE_PER_S: Final = 10.0
WEIGHT_USED_MAX: Final = 2_000  # of 2400 a minute; books need the rest
STREAM_MS: Final = 1_000  # a younger trade is left to its stream, which may be bringing it
TRADES_STREAM: Final = "@aggTrade"


class History(Protocol):
    """Where the past is asked for."""

    @property
    def used_weight(self) -> int:
        """Return the request weight of this minute, as the venue last counted it."""
        ...

    async def fetch_trades(self, symbol: str, first_id: int, limit: int) -> bytes:
        """Return aggregated trades from an id on."""
        ...

    async def fetch_bars(self, symbol: str, interval: str, limit: int) -> bytes:
        """Return the latest bars."""
        ...


class _WantedBars(NamedTuple):
    row: int
    interval: str
    span_ms: tuple[int, int]  # venue time between which they closed


class _WantedTrades(NamedTuple):
    row: int  # after its last trade


class WeightShare:
    """A share of the venue's weight that refills by itself."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start full."""
        self._clock = clock
        self._left = SHARE_BURST
        self._at_s = clock()

    def take(self, weight: float, used_weight: int) -> bool:
        """Take weight if it is there and the venue has counted little enough."""
        now_s = self._clock()
        self._left = min(self._left + (now_s - self._at_s) * SHARE_PER_S, SHARE_BURST)
        self._at_s = now_s
        if self._left < weight or used_weight > WEIGHT_USED_MAX:
            return False
        self._left -= weight
        return True


class Backfill:
    """Fills holes of one core; `run` is a task."""

    def __init__(
        self,
        core: Core,
        venue: History,
        clock: VenueClock,
        symbols: Sequence[str],
        on_failure: Callable[[str, str], None],
        on_bar: Callable[[], None],
        on_trade: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            core: whose holes.
            venue: asked for them.
            clock: bars that are asked for are stamped by it.
            symbols: by instrument index.
            on_failure: hears (symbol, text) of each request that failed.
            on_bar: hears of each bar that was filled.
            on_trade: hears of each trade that was found after the last one.
        """
        self._core = core
        self._venue = venue
        self._clock = clock
        self._symbols = symbols
        self._on_failure = on_failure
        self._on_bar = on_bar
        self._on_trade = on_trade
        self._share = WeightShare()
        self._failures: dict[int, int] = {}  # in a row, by instrument
        self._running: dict[int, asyncio.Task[None]] = {}
        self._wanted: asyncio.Queue[_WantedBars | _WantedTrades] = asyncio.Queue()
        self.asked_count = 0  # put into the queue
        self.done_count = 0  # and taken care of, in this order
        self.request_count = 0
        self.refused_count = 0  # requests that found no weight

    async def run(self) -> None:
        """Fill until cancelled."""
        wanted = asyncio.create_task(self._run_wanted())
        try:
            while True:
                self._start_due(time.monotonic_ns())
                await asyncio.sleep(POLL_S)
                if wanted.done():
                    wanted.result()
        finally:
            for task in (wanted, *self._running.values()):
                task.cancel()

    def bars_since(self, down_ns: int, interval: str, indices: Sequence[int], *, up_ns: int) -> int:
        """Ask for the bars of some instruments that closed between two monotonic times.

        Returns:
            How many requests it takes; 0 when none closed.
        """
        span_ms = (
            self._clock.venue_ns(down_ns) // NS_PER_MS - 1,
            self._clock.venue_ns(up_ns) // NS_PER_MS,
        )
        seconds = interval_s(interval)
        if span_ms[0] // (seconds * 1_000) == span_ms[1] // (seconds * 1_000):
            return 0
        for index in indices:
            self._want(_WantedBars(index, interval, span_ms))
        return len(indices)

    def ask_after_last(self, indices: Sequence[int]) -> None:
        """Ask what some instruments traded after the last trade that was received of them."""
        for index in indices:
            self._want(_WantedTrades(index))

    def _want(self, wanted: _WantedBars | _WantedTrades) -> None:
        self.asked_count += 1
        self._wanted.put_nowait(wanted)

    def _start_due(self, now_ns: int) -> None:
        for index, first_id, last_id, since_ns in self._core.holes():
            if len(self._running) >= FETCHES_MAX:
                return
            if index in self._running or now_ns - since_ns < GRACE_NS:
                continue
            if not self._share.take(TRADES_WEIGHT, self._venue.used_weight):
                self.refused_count += 1
                return
            task = asyncio.create_task(self._fill(index, first_id, last_id))
            self._running[index] = task
            task.add_done_callback(partial(self._forget, index))

    def _forget(self, index: int, _task: asyncio.Task[None]) -> None:
        self._running.pop(index, None)

    async def _fill(self, index: int, first_id: int, last_id: int) -> None:
        symbol = self._symbols[index]
        limit = min(last_id - first_id + 1, TRADES_MAX)
        try:
            self.request_count += 1
            body = await self._venue.fetch_trades(symbol, first_id, limit)
            rows = trade_frames(symbol, body)
        except VenueError as error:
            self._on_failure(symbol, str(error))
            failures = self._failures.get(index, 0)
            self._failures[index] = failures + 1
            await asyncio.sleep(RETRY_S * 2.0 ** min(failures, 4))
            return
        self._failures.pop(index, None)
        self._deliver(index, [row.frame for row in rows if row.trade_id <= last_id])
        if not rows or rows[0].trade_id > last_id:
            await asyncio.sleep(RETRY_S)  # the history is behind the stream, or has forgotten it

    def _deliver(self, index: int, frames: Sequence[bytes]) -> None:
        now_ns = time.monotonic_ns()
        self._core.expect_duplicates(1)  # the other connection may have been quicker
        for frame in frames:
            if self._core.decode(frame, now_ns) == FirewallReason.TIME_PAST:
                # Older than any delivery: no reader would take it. The rest is a gap.
                self._core.give_up(index, now_ns)
                break
        self._core.expect_duplicates(0)

    async def _run_wanted(self) -> None:
        while True:
            wanted = await self._wanted.get()
            weight = BAR_WEIGHT if isinstance(wanted, _WantedBars) else TRADES_WEIGHT
            while not self._share.take(weight, self._venue.used_weight):  # noqa: ASYNC110
                await asyncio.sleep(RETRY_S)  # the share refills by the clock
            if isinstance(wanted, _WantedBars):
                await self._fetch_bars(wanted)
            else:
                await self._fetch_after_last(wanted.row)
            self.done_count += 1

    async def _fetch_after_last(self, index: int) -> None:
        symbol, first_id = self._symbols[index], self._core.last_trade(index) + 1
        try:
            self.request_count += 1
            rows = trade_frames(
                symbol, await self._venue.fetch_trades(symbol, first_id, TRADES_MAX)
            )
        except VenueError as error:
            self._on_failure(symbol, str(error))
            return
        if any(hole[0] == index for hole in self._core.holes()):
            return  # the stream went on meanwhile: what is missing is a hole, and asked for as one
        newest_ms = self._clock.venue_ns(time.monotonic_ns()) // NS_PER_MS - STREAM_MS
        last_id = self._core.last_trade(index)
        frames = [row.frame for row in rows if row.venue_ms <= newest_ms and row.trade_id > last_id]
        self._deliver(index, frames)
        for _ in range(self._core.last_trade(index) - last_id):
            self._on_trade()

    async def _fetch_bars(self, wanted: _WantedBars) -> None:
        symbol = self._symbols[wanted.row]
        try:
            self.request_count += 1
            body = await self._venue.fetch_bars(symbol, wanted.interval, BARS_ASKED)
            now_ns = time.monotonic_ns()
            now_ms = self._clock.venue_ns(now_ns) // NS_PER_MS
            frames = bar_frames(symbol, wanted.interval, body, wanted.span_ms, now_ms)
        except VenueError as error:
            self._on_failure(symbol, str(error))
            return
        for frame in frames:
            if self._core.decode(frame, now_ns) == 0:
                self._on_bar()


def interval_s(interval: str) -> int:
    """Return the seconds of a bar interval below a week, such as 1m, 4h or 1d."""
    return int(interval[:-1]) * {"s": 1, "m": 60, "h": 3_600, "d": 86_400}[interval[-1]]
