"""A paper account: wallet, positions at average cost, numbers of orders and trades.

Money that was realised and fees move the wallet, as at the venue; exact integers. Nothing of it is
stored here: the engine's journal is the account's memory, and what it restored to the brain is
restored to the account too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from engine.domain.instrument_row import E8, Instrument

IDS_PER_MS: Final = 100  # ids stay below 2 ** 49 until the year 2148
FEE_SCALE: Final = 1_000_000  # fees are kept in parts per million


class PaperPosition(msgspec.Struct):
    """Signed lots and what the open ones cost."""

    lots: int = 0
    cost_e8: int = 0


def worth_parts(instrument: Instrument, lots: int, mark_price_e8: int) -> tuple[int, int]:
    """Return what signed lots are worth at mark, 1e-8 quote, as numerator and denominator."""
    # unit_e8 is the money of one tick and one lot
    scale: int = 10**instrument.price_exponent
    return lots * mark_price_e8 * instrument.unit_e8 * scale, instrument.tick_scaled * E8


class PaperAccount:
    """Wallet and positions of one account."""

    def __init__(self, instruments: Sequence[Instrument], wallet_e8: int) -> None:
        """Start flat with an opening wallet."""
        self._instruments = list(instruments)
        self.wallet_e8 = wallet_e8
        self.positions: dict[int, PaperPosition] = {}
        self._last_id = 0

    def learn(self, instruments: Sequence[Instrument]) -> None:
        """Take up more instruments, the next ones by index."""
        self._instruments += instruments

    def position(self, index: int) -> PaperPosition:
        """Return an instrument's position."""
        return self.positions.setdefault(index, PaperPosition())

    def next_id(self, venue_ms: int) -> int:
        """Return a number that no order or trade of this account had, in any session."""
        self._last_id = max(self._last_id + 1, venue_ms * IDS_PER_MS)
        return self._last_id

    def keep_above(self, number: int) -> None:
        """Never give out a number up to this one again."""
        self._last_id = max(self._last_id, number)

    def fee_e8(self, index: int, price_ticks: int, qty_lots: int, fee_ppm: int) -> int:
        """Return the fee of a fill, rounded up: against us."""
        notional_e8 = price_ticks * qty_lots * self._instruments[index].unit_e8
        return -(-notional_e8 * fee_ppm // FEE_SCALE)

    def fill(self, index: int, side: int, price_ticks: int, qty_lots: int, fee_e8: int) -> int:
        """Apply one fill; return the PnL it realised, before the fee."""
        position = self.position(index)
        lot_price_e8 = price_ticks * self._instruments[index].unit_e8
        closed = realised = 0
        if position.lots * side < 0:
            closed = min(abs(position.lots), qty_lots)
            share = abs(position.cost_e8) * closed // abs(position.lots)
            removed = share if position.cost_e8 >= 0 else -share
            realised = -side * closed * lot_price_e8 - removed
            position.cost_e8 -= removed
        position.cost_e8 += side * (qty_lots - closed) * lot_price_e8
        position.lots += side * qty_lots
        self.wallet_e8 += realised - fee_e8
        return realised
