"""The feed: venue frames through decoder and firewall into the market ring.

        exchangeInfo -> instruments segment, count published
        /time        -> venue clock -> time bounds of the firewall
        streams      -> C: frames, decoder, firewall, books -> market ring
        /depth       -> snapshots for the books that want one
        every 10 ms  -> heartbeat, stop word, liveness, what waits for room
        some times a second -> counters, lag and silence of the connections, losses that are over
        every second -> refusals as events, the table of the connections
        every minutes, and when the venue says so -> exchangeInfo: what comes, goes, changed;
            every 10 ms what of that has become possible; every second at most one open interest

Python runs per connection and per timer, never per frame. Neither numpy nor Numba is imported: the
first live record would wait for them.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Final

import uvloop

from engine.clock import VenueClock
from engine.domain.codes import Channel
from engine.domain.instrument_row import (
    INSTRUMENT_BYTES,
    LIVENESS_OFFSET,
    SEGMENT_CAPACITY_OFFSET,
    SEGMENT_COUNT_OFFSET,
    SEGMENT_ROWS_OFFSET,
    Instrument,
    InstrumentFlag,
    pack_row,
    unpack_row,
)
from engine.processes import runner, segments
from engine.processes.awake import stay_awake
from engine.processes.control import MainWord, RolePage, RoleState, RoleWord
from engine.processes.feed_books import BookRepeats, BookSnapshots
from engine.processes.feed_counters import FeedCounters
from engine.processes.feed_depth import DepthAnswers
from engine.processes.feed_faults import FeedFaults
from engine.processes.feed_holds import EntryHolds
from engine.processes.feed_hours import TradingHours
from engine.processes.feed_instruments import InstrumentChoice
from engine.processes.feed_interest import InterestPoll
from engine.processes.feed_listing import ListingWatch
from engine.processes.feed_log import FeedLog
from engine.processes.feed_news import NewsWatch
from engine.processes.feed_operator import FeedOperator
from engine.processes.feed_rejects import RejectEvents
from engine.processes.feed_roster import Roster
from engine.processes.feed_supply import Supply
from engine.processes.instrument_room import row_capacity
from engine.store.instrument_segment import KIND_INSTRUMENTS
from engine.venues.binance.contract_stream import ContractStream
from engine.venues.binance.market import BinanceMarketData, cadence_words, laws
from engine.venues.binance.rest import BinanceRest
from engine.venues.binance.stream import backoff_s
from engine.venues.calendar import calendar_of
from engine.venues.venue import VenueError
from native_ext import _native
from native_ext._feed import Core
from ringbuffer import layout
from ringbuffer.counters import CountersSegment
from ringbuffer.errors import InvariantError
from ringbuffer.ring import Producer, Ring
from ringbuffer.segment import Segment

if TYPE_CHECKING:
    from engine.processes.runner import RoleContext

CYCLE_S: Final = 0.01
LIVENESS_CYCLES: Final = 5
COUNTER_CYCLES: Final = 25
REJECT_CYCLES: Final = 100
CLOCK_FIRST_S: Final = (0.05, 0.1, 0.25, 0.5)  # then every CLOCK_PERIOD_S
CLOCK_AGAIN_S: Final = 0.05  # after an answer that lay far off
CLOCK_PERIOD_S: Final = 1.0  # of an exchange that may play a tape
CLOCK_PERIOD_THIRD_PARTY_S: Final = 30.0
NS_PER_S: Final = 1_000_000_000


class Feed:
    """One feed role: everything it maps, and its tasks."""

    def __init__(self, context: RoleContext) -> None:
        """Attach to every segment this role reads or writes."""
        self.context = context
        self.config = context.config
        name = context.segment_name
        self.market = Segment.attach(name("market"), kind=layout.KIND_RING)
        self.instruments_segment = Segment.attach(name("instruments"), kind=KIND_INSTRUMENTS)
        self.board = Segment.attach(name("sources"), kind=segments.KIND_BOARD)
        self.depth = Segment.attach(name("depth"), kind=segments.KIND_DEPTH)
        self.counters = CountersSegment.attach(name("counters"))
        self.events_ring = Ring.attach(name("events-feed"))
        self.events = Producer(self.events_ring)
        self.clock = VenueClock()
        venue = self.config.venue
        self.rest = BinanceRest(venue.rest_url, self.clock)
        second_url = self.config.sources.rest_url
        second = BinanceRest(second_url, self.clock) if second_url else None
        self.venue = BinanceMarketData(self.rest, second)
        self.instruments: list[Instrument] = []  # by index; the roster appends
        self.symbols: list[str] = []  # theirs
        self.faults = FeedFaults(self.events, self._warn)
        self.choice = InstrumentChoice(self.config, self.venue, self.clock, self.faults)
        self._log = FeedLog(self.config.home)
        self._tasks: list[asyncio.Task[None]] = []
        self._line_tasks: Callable[[], list[asyncio.Task[None]]] = list
        self._cycle_count = 0
        self._is_ready = False
        context.set_state(RoleState.ATTACHED)

    async def run(self) -> None:
        """Live until main asks to stop."""
        beat = asyncio.create_task(self._beat())
        try:
            if await self._until_stop(self._prepare()):
                await self._work()
        finally:
            beat.cancel()
            tasks = [*self._tasks, *self._line_tasks()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(beat, *tasks, return_exceptions=True)
            await self.venue.close()

    def close(self) -> None:
        """Publish what is left and unmap."""
        if self.instruments:
            self.core.flush(time.monotonic_ns())
            self.feed_counters.store(time.monotonic_ns())
            self.rejects.publish(time.monotonic_ns())
            self.core.detach()
            self.feed_counters.release()
        self.events.close()
        self.events_ring.close()
        self.counters.close()
        self.board.close()
        self.depth.close()
        self.instruments_segment.close()
        self.market.close()

    async def _prepare(self) -> None:
        """Learn clock and instruments, publish them, and build what serves them."""
        await self._retry("connecting to the venue", self._learn_clock)
        await self._retry("fetching instruments", self._learn_instruments)
        self.symbols = [instrument.symbol for instrument in self.instruments]
        self._build_core()
        self._build_sources()
        self._build_watch()
        await self._retry("reading what the venue lists", self.listing.begin)
        self.context.set_state(RoleState.WARM)

    def _build_core(self) -> None:
        """Build the core over the rows, with room for those that may come."""
        rows = self.instruments_segment.buffer[SEGMENT_ROWS_OFFSET:]
        count = len(self.instruments)
        is_practice = not self.config.venue.third_party
        cadence = cadence_words(may_lack_channels=is_practice)
        with rows[: count * INSTRUMENT_BYTES] as used:
            bounds = laws(plays_tapes=is_practice, spike_sigmas=self.config.price_spike_sigmas)
            self.core = Core(used, bounds, cadence, row_capacity(self.config, count))
        rows.release()
        self.core.attach(self.market.buffer, os.getpid(), _native.process_start_ticks(os.getpid()))
        self.core.set_healing(self.config.sources.heal_ms * 1_000_000)
        self._set_clock()

    def _build_sources(self) -> None:
        """Build what brings the market: snapshots and everything of the supply."""
        self.holds = EntryHolds(self.core)
        book_count = sum(1 for row in self.instruments if row.flags & InstrumentFlag.BOOK)
        self.books = BookSnapshots(
            self.core, self.venue, self.symbols, book_count, self._on_snapshot_failure
        )
        self.supply = Supply(
            self.core,
            self.config,
            self.venue,
            self.clock,
            self.symbols,
            book_count,
            holds=self.holds,
            faults=self.faults,
            on_up=self._on_up,
            warn=self._warn,
            reconciled=self._log.reconciled,
        )

    def _build_watch(self) -> None:
        """Build what follows the list of instruments, and what shows how it all stands."""
        self.repeats = BookRepeats(self.core, self.symbols)
        self.depth_answers = DepthAnswers(self.core, self.depth, self.instruments)
        self.roster = Roster(
            self.core,
            self.config,
            self.instruments_segment,
            (self.instruments, self.symbols),
            self.supply.sources,
            self.faults,
        )
        self.listing = ListingWatch(
            self.holds.of("listing"),
            self.venue,
            self.clock,
            self.choice,
            self.faults,
            instruments=self.instruments,
            roster=self.roster,
            period_s=self.config.listing_refresh_s,
        )
        self.feed_counters = FeedCounters(
            self.counters,
            self.core,
            self.books,
            self.clock,
            self.choice,
            self.listing,
            self.supply.report,
        )
        self.rejects = RejectEvents(self.core, self.events)
        self.operator = FeedOperator(
            self.context.control, self.supply, self.faults, self.listing.follow_onboarded
        )
        venue = self.config.venue
        calendar = calendar_of(venue.calendar or venue.name)
        self.hours = TradingHours(calendar, self.clock, self.holds, self.faults, self.instruments)

    async def _work(self) -> None:
        supply = self.supply
        supply.sources.start()
        self._line_tasks = lambda: supply.sources.tasks
        interest = InterestPoll(self.venue, self.roster, self.config.sources, self._warn)
        news = NewsWatch(self.config.sources.news_file, self.clock, self.roster, self._warn)
        self._start([self.books.run(), self.listing.run(), self._refresh_clock()])
        self._start([interest.run(), news.run()])
        contracts = ContractStream(
            self.config.venue.stream_url, self.symbols, supply.attempts, self.listing.hurry
        )
        self._start([*supply.jobs(), contracts.run()])
        if self.config.idle in {"spin", "yield"}:
            stay_awake(asyncio.get_running_loop().call_soon)
        while not self.context.stop_request():
            self._cycle(time.monotonic_ns())
            supply.sources.check()
            for task in self._tasks:
                if task.done():
                    raise InvariantError(f"a task of the feed ended: {task.exception()!r}")
            await asyncio.sleep(CYCLE_S)

    def _cycle(self, now_ns: int) -> None:
        self._cycle_count += 1
        count = self._cycle_count
        self.depth_answers.look()
        self.operator.step(now_ns)
        self.roster.step(now_ns)
        self.repeats.step(now_ns)
        if count % LIVENESS_CYCLES == 0:
            self.core.check_liveness(now_ns)
            self.supply.incidents.follow(now_ns)
        else:
            self.core.flush(now_ns)
        if count % COUNTER_CYCLES == 0:
            is_held = self.context.control.main(MainWord.MARKET_HELD) != 0
            self.supply.sources.watch(now_ns, is_held=is_held)
            self.hours.step(now_ns)
            self._show_liveness()
            self.feed_counters.store(now_ns)
        if count % REJECT_CYCLES == 0:
            self.rejects.publish(now_ns)
            self.faults.flush()
            self.supply.report.write(self.board)
        if not self._is_ready:
            self._report_ready()

    def _show_liveness(self) -> None:
        """Copy each channel's liveness beside its instrument, for `/status`."""
        buffer = self.instruments_segment.buffer
        self.supply.report.look()
        states, width = self.supply.report.liveness, len(Channel)
        for row in range(len(states) // width):
            first = SEGMENT_ROWS_OFFSET + row * INSTRUMENT_BYTES + LIVENESS_OFFSET
            buffer[first : first + width] = states[row * width : (row + 1) * width]

    def _report_ready(self) -> None:
        """Say when the first record came; ready is the feed that has one and every stream up."""
        first_ns = self.core.first_record_ns()
        if first_ns:
            self.context.control.set_role(self.context.page, RoleWord.FIRST_RECORD_NS, first_ns)
        if not first_ns or not self.supply.sources.is_complete:
            return
        self._is_ready = True
        self.context.set_state(RoleState.READY)
        connections = len(self.supply.sources.plans)
        self.context.progress(f"{len(self.instruments)} instruments, {connections} connections")
        self.context.freeze_heap()
        self._tasks.append(asyncio.create_task(self._log.keep(self.choice.left_out)))

    async def _beat(self) -> None:
        while True:
            self.context.beat()
            await asyncio.sleep(CYCLE_S)

    async def _until_stop(self, work: Coroutine[Any, Any, None]) -> bool:
        """Run to the end, or give up at a stop request; return whether it came to its end."""
        task = asyncio.create_task(work)
        while not task.done():
            if self.context.stop_request():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                return False
            await asyncio.wait({task}, timeout=CYCLE_S)
        await task
        return True

    async def _retry(self, what: str, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        failures = 0
        while True:
            try:
                await step()
            except VenueError as error:
                failures += 1
                self.context.progress(f"{what}: {error}")
                await asyncio.sleep(backoff_s(failures))
            else:
                return

    async def _learn_clock(self) -> None:
        sample = await self.venue.fetch_clock()
        self.clock.learn(sample.sent_ns, sample.received_ns, sample.venue_ns)

    async def _learn_instruments(self) -> None:
        buffer = self.instruments_segment.buffer
        address = self.instruments_segment.address + SEGMENT_COUNT_OFFSET
        published = _native.load_acquire(address)
        if published:  # an earlier feed of this engine: indices stay what they are
            self.instruments = [unpack_row(buffer, row) for row in range(published)]
            return
        chosen = await self.choice.choose(self._row_capacity())
        for row, instrument in enumerate(chosen):
            pack_row(instrument, buffer, row)
        # MEMORY: release; the rows are complete before their count. Pairs with the acquire in
        # every reader of the segment.
        _native.store_release(address, len(chosen))
        self.instruments = chosen

    def _row_capacity(self) -> int:
        first = SEGMENT_CAPACITY_OFFSET
        return int.from_bytes(self.instruments_segment.buffer[first : first + 8], "little")

    async def _refresh_clock(self) -> None:
        is_third_party = self.config.venue.third_party
        period_s = CLOCK_PERIOD_THIRD_PARTY_S if is_third_party else CLOCK_PERIOD_S
        waits = iter(CLOCK_FIRST_S)
        while True:
            await asyncio.sleep(CLOCK_AGAIN_S if self.clock.is_suspect else next(waits, period_s))
            try:
                await self._learn_clock()
            except VenueError as error:
                self._warn("CLOCK_UNREACHABLE", str(error))
            self._set_clock()

    def _set_clock(self) -> None:
        clock = self.clock
        self.core.set_clock(
            clock.anchor_ns, clock.venue_at_anchor_ns, clock.rate_ppb, clock.error_ns
        )

    def _on_up(self) -> None:
        if self.supply.sources.is_complete and not self._is_ready:
            self.context.set_state(RoleState.SYNCED)

    def _on_snapshot_failure(self, symbol: str, text: str) -> None:
        self._warn("SNAPSHOT_FAILED", text, instrument=symbol)

    def _warn(self, event: str, reason: str, **values: object) -> None:
        if not self._is_ready:
            self.context.progress(reason)
        self._log.warn(event, reason, **values)

    def _start(self, jobs: Iterable[Coroutine[Any, Any, None]]) -> None:
        self._tasks += [asyncio.create_task(job) for job in jobs]


def run(context: RoleContext) -> None:
    """Live until main asks to stop."""
    feed = Feed(context)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(feed.run())
    feed.close()


if __name__ == "__main__":
    runner.main(RolePage.FEED, run)
