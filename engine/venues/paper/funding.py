"""Funding of a paper account: at the venue's times, at its rate, on the position held.

        mark    ... next 16:00, rate 1      next 16:00, rate 2   |   next 00:00
        pays                                                     rate 2, on this mark's price

The rate is the last one told for a time, the price the first one told after it. A payment that fell
due while nobody was running is not made up for. Amounts are rounded against the account.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from engine.domain.codes import EventType
from engine.domain.instrument_row import E8, Instrument
from engine.venues.order_records import Report
from engine.venues.paper.account import worth_parts
from engine.venues.paper.book import Seen


class Funding(NamedTuple):
    """One payment that is due per unit of notional."""

    instrument_index: int
    venue_time_ns: int  # when it was due
    mark_price_e8: int
    rate_e8: int  # longs pay it to shorts


class FundingWatch:
    """What each instrument's next funding is."""

    def __init__(self) -> None:
        """Start knowing none."""
        self._next: dict[int, tuple[int, int]] = {}  # when, rate

    def see(self, index: int, mark_price_e8: int, rate_e8: int, next_ns: int) -> Funding | None:
        """Take a MARK record; return the funding whose time is over by it."""
        known = self._next.get(index)
        if next_ns <= 0:
            return None
        self._next[index] = (next_ns, rate_e8)
        if known is None or next_ns <= known[0]:
            return None
        return Funding(index, known[0], mark_price_e8, known[1])


def mark_of(seen: Seen) -> tuple[int, int, int]:
    """Return mark price, funding rate and time of the next funding of a MARK."""
    mark_price_e8, _index_price_e8, rate_e8, next_ns = seen.words
    return mark_price_e8, rate_e8, next_ns


def payment_report(funding: Funding, amount_e8: int, trade_id: int, asset: str) -> Report:
    """Return a payment as the account hears of it."""
    return Report(
        EventType.FUNDING,
        funding.instrument_index,
        venue_time_ns=funding.venue_time_ns,
        trade_id=trade_id,
        venue_realised_pnl_e8=amount_e8,
        text=asset,
    )


def payment_e8(funding: Funding, lots: int, instruments: Sequence[Instrument]) -> int:
    """Return what a position of signed lots receives (negative: pays), in 1e-8 of the quote."""
    instrument = instruments[funding.instrument_index]
    notional, parts = worth_parts(instrument, lots, funding.mark_price_e8)
    return -notional * funding.rate_e8 // (parts * E8)
