"""Events of an earlier session in the numbers of this one: instruments, strategies, ticks, lots.

Indices are dense numbers of one session; symbols and names are what lasts. An instrument or a
strategy that this session does not have gets a number above the ones it has, so that what was held
under it stays apart until somebody decides about it. When a venue changed its steps, prices and
quantities are rescaled, exactly or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.domain.instrument_row import Instrument
from engine.store.errors import SessionError
from engine.store.session import SessionDocument

Events = NDArray[np.void]
PRICE_FIELDS: Final = ("price_ticks", "last_price_ticks")
QTY_FIELDS: Final = ("qty_lots", "cum_qty_lots", "last_qty_lots", "position_lots")


class Numbering:
    """The numbers of this session, and those given to what it does not have."""

    def __init__(self, instruments: Sequence[Instrument], strategies: Sequence[str]) -> None:
        """Number this session's instruments and strategies by their place."""
        self.instruments = list(instruments)
        self.strategies = list(strategies)
        self.instrument_count = len(self.instruments)
        self.strategy_count = len(self.strategies)
        self.resized: set[int] = set()  # instruments whose steps the venue changed
        self._instrument_places = {row.symbol: i for i, row in enumerate(self.instruments)}
        self._strategy_places = {name: i for i, name in enumerate(self.strategies)}

    def instrument(self, earlier: Instrument) -> int:
        """Return the number of an earlier session's instrument, giving it one if it has none."""
        place = self._instrument_places.get(earlier.symbol)
        if place is None:
            place = self._instrument_places[earlier.symbol] = len(self.instruments)
            self.instruments.append(earlier)
        return place

    def strategy(self, name: str) -> int:
        """Return the number of an earlier session's strategy, giving it one if it has none."""
        place = self._strategy_places.get(name)
        if place is None:
            place = self._strategy_places[name] = len(self.strategies)
            self.strategies.append(name)
        return place

    def translate(self, events: Events, document: SessionDocument) -> Events:
        """Return a copy of a session's events in this numbering.

        Raises:
            SessionError: a quantity or price of it is not a whole number of this session's steps.
        """
        translated = events.copy()
        places = [self.instrument(row) for row in document.instruments]
        named = [self.strategy(row.name) for row in document.strategies]
        _map_index(translated, events, "instrument_index", places)
        _map_index(translated, events, "strategy_index", named)
        for index, (earlier, place) in enumerate(zip(document.instruments, places, strict=True)):
            rows = np.flatnonzero(events["instrument_index"] == index)
            if len(rows) and _rescale(translated, rows, earlier, self.instruments[place]):
                self.resized.add(place)
        return translated


def _map_index(translated: Events, events: Events, field: str, places: list[int]) -> None:
    table = np.array(places, dtype=np.int32)
    known = (events[field] >= 0) & (events[field] < len(table))
    if len(table):
        translated[field][known] = table[events[field][known]]


def _rescale(events: Events, rows: NDArray[np.intp], earlier: Instrument, now: Instrument) -> bool:
    """Rescale rows from earlier steps to those of now, in place; return whether they differ."""
    tick = Fraction(earlier.tick_scaled, 10**earlier.price_exponent) / Fraction(
        now.tick_scaled, 10**now.price_exponent
    )
    lot = Fraction(earlier.lot_scaled, 10**earlier.qty_exponent) / Fraction(
        now.lot_scaled, 10**now.qty_exponent
    )
    for fields, ratio in ((PRICE_FIELDS, tick), (QTY_FIELDS, lot)):
        if ratio == 1:
            continue
        for field in fields:
            scaled = [ratio * int(number) for number in events[field][rows]]
            if any(number.denominator != 1 for number in scaled):
                raise SessionError(
                    f"{now.symbol}: the venue's steps changed and {field} of an earlier session "
                    "is not a whole number of the new ones; settle it at the venue first"
                )
            events[field][rows] = [int(number) for number in scaled]
    return tick != 1 or lot != 1
