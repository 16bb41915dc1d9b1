"""The best twenty levels of a book, and what changed in them: LEVEL rows of a tape."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Final

import numpy as np

from engine.domain.codes import LEVEL_BID, LEVEL_LAST_OF_DIFF, LEVEL_SNAPSHOT_FIRST, RecordType
from engine.tapes.drafts import Draft

LEVELS: Final = 20
Side = dict[float, float]


class TopBook:
    """One symbol's book as it is told: rows of levels, changes only after the first."""

    def __init__(self, symbol: str) -> None:
        """Start without a book."""
        self.symbol = symbol
        self._sides: dict[bool, Side] = {True: {}, False: {}}  # is it the bids
        self._prices: dict[bool, list[float]] = {True: [], False: []}  # of each side, rising
        self._told: tuple[Side, Side] | None = None  # bids, asks
        self._rows: list[tuple[int, int, int, int, float, float]] = []

    def replace(self, bids: Side, asks: Side) -> None:
        """Take a whole book."""
        self._sides = {True: bids, False: asks}
        self._prices = {True: sorted(bids), False: sorted(asks)}

    def change(self, levels: Iterable[tuple[float, float]], *, is_bid: bool) -> None:
        """Apply absolute quantities to a side; 0 removes."""
        side, prices = self._sides[is_bid], self._prices[is_bid]
        for price, quantity in levels:
            if quantity:
                if price not in side:
                    insort(prices, price)
                side[price] = quantity
            elif side.pop(price, None) is not None:
                del prices[bisect_left(prices, price)]

    def quantity(self, price: float, *, is_bid: bool) -> float:
        """Return what stands at a price."""
        return self._sides[is_bid].get(price, 0.0)

    def tell(self, receive_ns: int, venue_ns: int, update_id: int) -> None:
        """Note what changed among the best levels, as one diff; the first time all of them."""
        all_bids, all_asks = self._sides[True], self._sides[False]
        bids = {price: all_bids[price] for price in self._prices[True][-LEVELS:]}
        asks = {price: all_asks[price] for price in self._prices[False][:LEVELS]}
        before = self._told or ({}, {})
        rows = [
            (flag, price, quantity)
            for flag, side, was in ((LEVEL_BID, bids, before[0]), (0, asks, before[1]))
            for price, quantity in _changes(side, was)
        ]
        if not rows:
            return
        first = LEVEL_SNAPSHOT_FIRST if self._told is None else 0
        for place, (flag, price, quantity) in enumerate(rows):
            flags = flag | (first if place == 0 else 0)
            flags |= LEVEL_LAST_OF_DIFF if place == len(rows) - 1 else 0
            self._rows.append((receive_ns, venue_ns, flags, update_id, price, quantity))
        self._told = bids, asks

    def draft(self) -> Draft:
        """Return every row told."""
        columns = list(zip(*self._rows, strict=True)) or [()] * 6
        whole = [np.array(column, dtype=np.int64) for column in columns[:4]]
        return Draft(
            self.symbol,
            RecordType.LEVEL,
            whole[0],
            whole[1],
            {"price_ticks": np.array(columns[4], dtype=np.float64)},
            {"qty_lots": np.array(columns[5], dtype=np.float64)},
            {"flags": whole[2], "update_id": whole[3]},
        )


def _changes(side: Side, was: Side) -> list[tuple[float, float]]:
    gone = [(price, 0.0) for price in was if price not in side]
    return gone + [entry for entry in side.items() if was.get(entry[0]) != entry[1]]
