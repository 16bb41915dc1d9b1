"""Open interest by request, because no stream carries it: one instrument after another.

A round over all instruments takes `open_interest_s`, or as many seconds as there are instruments:
one request a second at most, of weight 1, and none while half of the minute's weight is used. What
is learned becomes a number of the instrument's row (a FILTER record), so that a session that is run
again learns it at the same place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final, Protocol

from engine.config import SourcesConfig
from engine.domain.instrument_row import NO_BOUND, Instrument, Rounding
from engine.venues.binance.stream import backoff_s
from engine.venues.venue import VenueError

SPACING_S: Final = 1.0  # between two requests at least
FIELD: Final = "open_interest_lots"
TELL_AFTER: Final = 3  # failures in a row


class TellsInterest(Protocol):
    """Where open interest is asked for."""

    async def fetch_open_interest(self, symbol: str) -> Decimal:
        """Return how much is open, base currency."""
        ...


class CarriesInstruments(Protocol):
    """Whose open interest is asked for, and who takes it over."""

    @property
    def carried(self) -> Sequence[Instrument]:
        """Return the instruments, by index."""
        ...

    def change(self, index: int, bounds: Mapping[str, int]) -> None:
        """Take over numbers of an instrument, by field of its row."""
        ...


class InterestPoll:
    """Asks for one feed; `run` is a task."""

    def __init__(
        self,
        venue: TellsInterest,
        roster: CarriesInstruments,
        sources: SourcesConfig,
        warn: Callable[..., None],
    ) -> None:
        """Prepare; `open_interest_s` of 0 means never."""
        self._venue = venue
        self._roster = roster
        self._period_s = sources.open_interest_s
        self._warn = warn
        self._last = -1  # index asked about last
        self._failures = 0  # in a row

    async def run(self) -> None:
        """Ask again and again, until cancelled."""
        if not self._period_s:
            await asyncio.Event().wait()
        while True:
            carried = self._roster.carried
            pause_s = max(self._period_s / max(len(carried), 1), SPACING_S)
            await asyncio.sleep(max(pause_s, backoff_s(self._failures) if self._failures else 0.0))
            await self.ask_next()

    async def ask_next(self) -> None:
        """Ask about the instrument behind the one asked about last; a failure asks again."""
        row = self._next()
        if row is None:
            return
        try:
            lots = lots_of(row, await self._venue.fetch_open_interest(row.symbol))
        except VenueError as error:
            self._failures += 1
            if self._failures == TELL_AFTER:
                self._warn("OPEN_INTEREST_UNREACHABLE", str(error), instrument=row.symbol)
            return
        self._failures = 0
        self._last = row.instrument_index
        if lots != row.open_interest_lots:
            self._roster.change(row.instrument_index, {FIELD: lots})

    def _next(self) -> Instrument | None:
        carried = self._roster.carried
        behind = (row for row in carried if row.instrument_index > self._last)
        return next(behind, carried[0] if carried else None)


def lots_of(row: Instrument, quantity: Decimal) -> int:
    """Return a quantity in lots of an instrument; 0, as if it were not told, where it has none."""
    lots = row.qty_lots(quantity, Rounding.NEAREST)
    return lots if lots is not None and 0 < lots < NO_BOUND else 0
