"""Which instruments this run takes: named ones, all, or the most traded by volume.

        exchangeInfo --------------------------------> rows, exact steps
          + 24 h ticker, RANKING_TRIES times ---ok---> the most traded, in order of volume
                                             `fail---> the fallback list, and the fault is told

Without exchangeInfo nothing is chosen: the feed asks again until the venue answers. `standing` says
what would be chosen now; what has come to be traded goes only when it fell well behind, so that
two of nearly the same volume do not take turns.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from engine.clock import VenueClock
from engine.config import Config
from engine.domain.instrument_row import Instrument
from engine.processes.feed_faults import FeedFault, FeedFaults
from engine.processes.onboard_file import ONBOARD_FILE, onboarded_symbols
from engine.venues.binance.discovery import FALLBACK, rank_by_volume
from engine.venues.binance.exchange_info import ExchangeInfo, is_offered, select_instruments
from engine.venues.binance.market import BinanceMarketData
from engine.venues.binance.stream import backoff_s
from engine.venues.venue import ProtocolError, RateLimitError, VenueError

STAYS_DIVISOR: Final = 4  # of the ranking's length: how far behind it an instrument may stay
RANKING_TRIES: Final = 4  # at start; the pauses between them stay below two seconds together


class InstrumentChoice:
    """Chooses at the start of a run, and says later what stands."""

    def __init__(
        self, config: Config, venue: BinanceMarketData, clock: VenueClock, faults: FeedFaults
    ) -> None:
        """Choose for `config` from `venue`; its clock says which instruments are about to end."""
        self._config = config
        self._venue = venue
        self._clock = clock
        self._faults = faults
        self.onboarded: tuple[str, ...] = config.onboarded  # an operator's word changes it
        self.left_out: dict[str, str] = {}
        self.info: ExchangeInfo | None = None  # the list it was chosen from; None: not by us
        self.fallback_count = 0  # instruments taken from the fallback list
        self.failure_count = 0  # rankings that could not be had

    @property
    def named(self) -> frozenset[str]:
        """Return the instruments that the configuration names."""
        return frozenset(self._config.instruments)

    def read_onboarded(self) -> int:
        """Learn what is onboarded by now; return how many symbols, -1: the file cannot be read."""
        symbols = onboarded_symbols(Path(self._config.state_dir) / ONBOARD_FILE)
        if symbols is None:
            return -1
        self.onboarded = symbols
        return len(symbols)

    async def choose(self, capacity: int) -> list[Instrument]:
        """Return the instruments, indexed in order; `left_out` says which were not taken and why.

        Raises:
            VenueError: no list, or none of the instruments is on it.
        """
        config = self._config
        info = await self._venue.fetch_list()
        wanted = list(config.instruments)
        count_max = min(config.instruments_max, capacity)
        if config.instruments_top:
            ranking = await self._ranking(info)
            beside = self._beside(info, ranking[: config.instruments_top])
            wanted = [*beside, *ranking]
            count_max = min(count_max, config.instruments_top + len(beside))
        elif wanted:
            wanted += self._beside(info, wanted)
        elif self.onboarded:
            wanted = self._beside(info, ()) + [
                row.symbol for row in info.symbols if is_offered(row)
            ]
        chosen, self.left_out = select_instruments(
            info,
            wanted,
            count_max,
            config.depth_instruments_max if "depth" in config.channels else 0,
            is_ranking=bool(config.instruments_top),
        )
        if not chosen:
            said = "; ".join(f"{symbol}: {why}" for symbol, why in self.left_out.items())
            raise VenueError(f"the venue offers none of the instruments ({said})")
        self.info = info
        if self.fallback_count:
            self.fallback_count = len(chosen)
        return chosen

    async def rank(self, info: ExchangeInfo) -> list[str]:
        """Return the active pairs by volume.

        Raises:
            VenueError: no volumes, or no active pair among them.
        """
        volumes = await self._venue.fetch_day_volumes(info)
        ranked = rank_by_volume(info, volumes, self._clock.venue_ns(time.monotonic_ns()))
        if not ranked:
            raise ProtocolError("24 h ticker: no active perpetual USDT pair has a volume")
        return ranked

    async def standing(self, info: ExchangeInfo) -> tuple[list[str], frozenset[str]]:
        """Return what is to be traded now, the best first, and what may stay if it is traded.

        Raises:
            VenueError: no volumes to rank by.
        """
        top = self._config.instruments_top
        if not top:
            offered = [row.symbol for row in info.symbols if is_offered(row)]
            return offered, frozenset(offered)
        ranked = await self.rank(info)
        beside = self._beside(info, ranked[:top])
        stays = ranked[: top + -(-top // STAYS_DIVISOR)]
        return [*beside, *ranked[:top]], frozenset([*beside, *stays])

    def _beside(self, info: ExchangeInfo, ranked: Sequence[str]) -> list[str]:
        """Return the onboarded symbols that the venue offers and the ranking does not bring."""
        offered = {row.symbol for row in info.symbols if is_offered(row)}
        return [name for name in self.onboarded if name in offered - set(ranked)]

    async def _ranking(self, info: ExchangeInfo) -> list[str]:
        self.fallback_count = 0
        failure = ""
        for attempt in range(RANKING_TRIES):
            if attempt:
                await asyncio.sleep(backoff_s(attempt))
            try:
                return await self.rank(info)
            except VenueError as error:
                self.failure_count += 1
                failure = str(error)
                if isinstance(error, RateLimitError):
                    break  # asking again at once makes it worse
        self.fallback_count = len(FALLBACK)
        self._faults.tell(FeedFault.DISCOVERY_FAILED, f"fallback list: {failure}")
        return list(FALLBACK)
