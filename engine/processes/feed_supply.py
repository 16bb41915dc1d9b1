"""Everything that supplies one core with the market: connections, history, polling, their report.

Puts the parts together and passes between them what one has to tell another: a plan that came back
has its bars asked for, a loss that is over is told and logged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from engine.clock import VenueClock
from engine.config import Config
from engine.domain.codes import Channel
from engine.processes.feed_backfill import Backfill
from engine.processes.feed_faults import FeedFault, FeedFaults
from engine.processes.feed_holds import EntryHolds
from engine.processes.feed_incidents import Incidents
from engine.processes.feed_lines import PlanSources, SourceHooks
from engine.processes.feed_poll import QuotePoll
from engine.processes.feed_report import SourceReport
from engine.processes.feed_sources import FeedSources
from engine.venues.binance.attempts import ConnectionAttempts
from engine.venues.binance.market import BinanceMarketData
from engine.venues.binance.routing import ConnectionPlan, Subscription, plan_connections
from native_ext._feed import Core


class Supply:
    """The sources of one feed; `start` opens them, `jobs` are its tasks."""

    def __init__(
        self,
        core: Core,
        config: Config,
        venue: BinanceMarketData,
        clock: VenueClock,
        symbols: Sequence[str],
        book_count: int,
        *,
        holds: EntryHolds,
        faults: FeedFaults,
        on_up: Callable[[], None],
        warn: Callable[..., None],
        reconciled: Callable[[dict[str, Any]], None],
    ) -> None:
        """Prepare every connection, and enable the channels they will carry.

        Args:
            core: supplied.
            config: channels, addresses, sources.
            venue: asked for history.
            clock: the venue's.
            symbols: by instrument index; more may come.
            book_count: the first so many keep a book.
            holds: who may not be entered.
            faults: what the journal hears.
            on_up: called for each connection that was opened.
            warn: called with an event, a text and values for the log.
            reconciled: called with what became of each loss.
        """
        self.core = core
        self.symbols = symbols
        self._faults = faults
        self._warn = warn
        self._reconciled = reconciled
        self.attempts = ConnectionAttempts()
        self.incidents = Incidents(core, self._on_incident)
        plans = plan_connections(
            symbols, config.channels, book_count, config.sources.streams_per_connection
        )
        hooks = SourceHooks(on_up, warn, self._on_back)
        self.sources = self._connections(core, config, clock, plans, holds, hooks)
        self.backfill = Backfill(
            core, venue, clock, symbols, self._on_failure, self._on_bar, self._on_trade
        )
        self.poll = QuotePoll(
            core,
            venue,
            self.sources,
            symbols,
            clock,
            config.sources.poll_after_ms / 1e3,
            holds=holds,
            faults=faults,
            on_failure=self._on_failure,
        )
        self.report = SourceReport(core, symbols, clock, self.sources, self.backfill, self.poll)
        now_ns = time.monotonic_ns()
        for plan in plans:
            for row in plan.subscriptions:
                core.enable(row.instrument_index, row.channel, now_ns)

    def _connections(
        self,
        core: Core,
        config: Config,
        clock: VenueClock,
        plans: Sequence[ConnectionPlan],
        holds: EntryHolds,
        hooks: SourceHooks,
    ) -> FeedSources:
        """Return the connections of some plans; none is open."""
        url = config.venue.stream_url
        return FeedSources(
            core,
            plans,
            config.sources,
            (url, config.sources.stream_url or url),
            self.attempts,
            clock,
            holds=holds,
            faults=self._faults,
            incidents=self.incidents,
            hooks=hooks,
            is_third_party=config.venue.third_party,
        )

    def jobs(self) -> list[Coroutine[Any, Any, None]]:
        """Return what runs beside the connections."""
        return [self.backfill.run(), self.poll.run()]

    def ask_bars(self, down_ns: int, rows: Sequence[Subscription], up_ns: int) -> int:
        """Ask for the bars of some streams that closed between two monotonic times.

        Returns:
            How many requests it takes.
        """
        places: dict[str, list[int]] = {}
        for row in rows:
            if row.channel is Channel.BAR:
                interval = row.stream.partition("@kline_")[2]
                places.setdefault(interval, []).append(row.instrument_index)
        return sum(
            self.backfill.bars_since(down_ns, interval, indices, up_ns=up_ns)
            for interval, indices in places.items()
        )

    def _on_back(self, sources: PlanSources, down_ns: int) -> None:
        self.ask_bars(down_ns, sources.plan.subscriptions, time.monotonic_ns())

    def _on_bar(self) -> None:
        self.incidents.bars_healed += 1

    def _on_trade(self) -> None:
        self.incidents.trades_found += 1

    def _on_incident(self, row: dict[str, Any]) -> None:
        self._faults.tell(FeedFault.RECOVERED, f"{row['source']} {row['lasted_ms']:.0f} ms")
        self._reconciled(row)

    def _on_failure(self, symbol: str, text: str) -> None:
        self.incidents.requests_failed += 1
        self._warn("BACKFILL_FAILED", text, instrument=symbol)
