"""When a paper account is liquidated, and at what price: cross margin, the whole account at once.

        wallet + what is open, at mark   <=   maintenance ratio x notional at mark

Before that every resting order is cancelled; after it the account is flat. Each position is closed
at its mark, rounded down to a tick, by an order of the venue's own (`autoclose-...`), and pays the
taker's fee. The venue's tiers and its insurance fund are not modelled: the ratio is one for all
instruments, and a wallet that does not cover the loss goes below zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.domain.codes import OrderType, TimeInForce
from engine.domain.instrument_row import E8, Instrument
from engine.venues.paper.account import PaperAccount, worth_parts
from engine.venues.paper.order import PaperOrder

PPM: Final = 1_000_000
NOBODY: Final = -1  # strategy_index of what is not ours


class MarginWatch:
    """The last mark of each instrument, and whether an account still has its maintenance margin."""

    def __init__(self, instruments: Sequence[Instrument], maintenance_ppm: int) -> None:
        """Start knowing no mark.

        Args:
            instruments: by instrument index.
            maintenance_ppm: of the notional at mark that the equity must stay above.
        """
        self._instruments = list(instruments)
        self._maintenance_ppm = maintenance_ppm
        self._marks_e8: dict[int, int] = {}

    def learn(self, instruments: Sequence[Instrument]) -> None:
        """Take up more instruments, the next ones by index."""
        self._instruments += instruments

    def see(self, index: int, mark_price_e8: int) -> None:
        """Take over the mark of an instrument; one that is no price says nothing."""
        if mark_price_e8 > 0:
            self._marks_e8[index] = mark_price_e8

    def is_spent(self, account: PaperAccount) -> bool:
        """Return whether the venue closes the account; never while a mark it needs is missing."""
        held = [(index, row) for index, row in account.positions.items() if row.lots]
        if not held or any(index not in self._marks_e8 for index, _ in held):
            return False
        equity_e8, maintenance_e8 = account.wallet_e8, 0
        for index, position in held:
            worth, parts = worth_parts(
                self._instruments[index], position.lots, self._marks_e8[index]
            )
            equity_e8 += worth // parts - position.cost_e8
            maintenance_e8 += abs(worth) * self._maintenance_ppm // (parts * PPM)
        return equity_e8 <= maintenance_e8

    def closing_ticks(self, index: int) -> int:
        """Return the price a position is closed at; its mark must have been seen."""
        instrument = self._instruments[index]
        ticks: int = self._marks_e8[index] * 10**instrument.price_exponent
        return max(ticks // (instrument.tick_scaled * E8), 1)


def closing_order(index: int, lots: int, venue_order_id: int) -> PaperOrder:
    """Return the venue's own order that closes a position of signed lots."""
    return PaperOrder(
        instrument_index=index,
        strategy_index=NOBODY,
        side=-1 if lots > 0 else 1,
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.GTC,
        flags=0,
        epoch_low=0,
        order_sequence=0,
        cause_sequence=0,
        price_ticks=0,
        qty_lots=abs(lots),
        venue_order_id=venue_order_id,
        name=f"autoclose-{venue_order_id}",
    )
