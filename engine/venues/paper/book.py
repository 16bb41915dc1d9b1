"""What a paper order can trade against: the engine's own quotes, and the levels behind them.

The quote is the newest word about the best price; levels come ten times a second and count only
behind it. What was taken is gone until the market says something new about that price. No fill is
made from a quote that is not live, and a hole in the records forgets what may have changed in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import (
    LEVEL_BID,
    LEVEL_SNAPSHOT_FIRST,
    Channel,
    Liveness,
    RecordType,
    Side,
)

WORDS: Final = 8  # int64 words of a market record; the last four depend on its type
FIRST_WORD: Final = 4
HEAD: Final = ("record_type", "instrument_index", "flags", "aux", "venue_time_ns")
SEEN: Final = frozenset({RecordType.QUOTE, RecordType.TRADE, RecordType.LEVEL, RecordType.MARK})


class Taken(NamedTuple):
    """Part of an order that found the other side."""

    price_ticks: int
    qty_lots: int


class Seen(NamedTuple):
    """A market record that may move queues or fill: QUOTE, TRADE, LEVEL, or a MARK."""

    kind: int
    instrument_index: int
    flags: int
    venue_ns: int
    words: list[int]  # the last four of the record

    @property
    def level_side(self) -> Side:
        """Return the side of a LEVEL."""
        return Side.BUY if self.flags & LEVEL_BID else Side.SELL


class _OneSide:
    """One side of one book: the quote's price and quantity, and the levels behind it."""

    __slots__ = ("levels", "price_ticks", "qty_lots", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign  # +1: bids, better is higher
        self.price_ticks = 0
        self.qty_lots = 0
        self.levels: dict[int, int] = {}

    def set_level(self, price_ticks: int, qty_lots: int) -> None:
        """Take over one level; 0 removes it."""
        if qty_lots > 0:
            self.levels[price_ticks] = qty_lots
        else:
            self.levels.pop(price_ticks, None)

    def offers(self) -> list[tuple[int, int]]:
        """Return (price, quantity), best first."""
        sign, best = self.sign, self.price_ticks
        behind = sorted((p for p in self.levels if (best - p) * sign > 0), reverse=sign > 0)
        return [(best, self.qty_lots), *((price, self.levels[price]) for price in behind)]

    def displayed(self, price_ticks: int) -> int | None:
        """Return the quantity at a price; None where nothing is known: beyond the levels told."""
        better = (price_ticks - self.price_ticks) * self.sign
        if better >= 0:
            return 0 if better else self.qty_lots
        if price_ticks in self.levels:
            return self.levels[price_ticks]
        is_within = any((price_ticks - known) * self.sign > 0 for known in self.levels)
        return 0 if is_within else None

    def remove(self, price_ticks: int, qty_lots: int) -> None:
        """Take a quantity off one price."""
        if price_ticks == self.price_ticks:
            self.qty_lots -= qty_lots
        else:
            self.set_level(price_ticks, self.levels[price_ticks] - qty_lots)


class PaperBook:
    """One instrument."""

    def __init__(self) -> None:
        """Start knowing nothing."""
        self.is_live = False
        self.venue_ns = 0  # of the newest record
        self._sides = {Side.BUY: _OneSide(1), Side.SELL: _OneSide(-1)}

    @property
    def is_tradable(self) -> bool:
        """Return whether there is a live quote to trade against."""
        return self.is_live and all(side.price_ticks > 0 for side in self._sides.values())

    def take_over(self, seen: Seen) -> None:
        """Take over a QUOTE or a LEVEL; other records change no book."""
        words = seen.words
        if seen.kind == RecordType.QUOTE:
            self.is_live = True
            self.set_quote((words[0], words[2]), (words[1], words[3]))
        elif seen.kind == RecordType.LEVEL:
            if seen.flags & LEVEL_SNAPSHOT_FIRST:
                self.forget_levels()
            self.set_level(seen.level_side, words[0], words[1])

    def set_quote(self, bid: tuple[int, int], ask: tuple[int, int]) -> None:
        """Take over a quote: (price, quantity) of both sides."""
        for side, (price_ticks, qty_lots) in ((Side.BUY, bid), (Side.SELL, ask)):
            self._sides[side].price_ticks = price_ticks
            self._sides[side].qty_lots = qty_lots

    def set_level(self, side: Side, price_ticks: int, qty_lots: int) -> None:
        """Take over one level; 0 removes it."""
        self._sides[side].set_level(price_ticks, qty_lots)

    def forget_levels(self) -> None:
        """Drop the levels of both sides."""
        for side in self._sides.values():
            side.levels.clear()

    def displayed(self, side: Side, price_ticks: int) -> int | None:
        """Return the quantity shown at a price of one side; None: not known."""
        return self._sides[side].displayed(price_ticks)

    def crosses(self, side: int, price_ticks: int) -> bool:
        """Return whether a limit price meets the other side's best."""
        best = self._other(side).price_ticks
        return price_ticks >= best if side > 0 else price_ticks <= best

    def take(
        self, side: int, qty_lots: int, limit_ticks: int, *, all_or_none: bool = False
    ) -> list[Taken]:
        """Take up to a quantity from the other side, best price first.

        Args:
            side: of the taker.
            qty_lots: wanted.
            limit_ticks: worst price; 0: any.
            all_or_none: take nothing unless everything is there.
        """
        other = self._other(side)
        found: list[Taken] = []
        for price_ticks, offered in other.offers():
            beyond = limit_ticks and (price_ticks - limit_ticks) * side > 0
            if qty_lots == 0 or beyond:
                break
            part = min(qty_lots, offered)
            if part > 0:
                found.append(Taken(price_ticks, part))
                qty_lots -= part
        if all_or_none and qty_lots > 0:
            return []
        for taken in found:
            other.remove(*taken)
        return found

    def _other(self, side: int) -> _OneSide:
        return self._sides[Side.SELL if side > 0 else Side.BUY]


class PaperMarket:
    """Every instrument's book, kept from market records."""

    def __init__(self, instrument_count: int) -> None:
        """Start knowing nothing."""
        self.books = [PaperBook() for _ in range(instrument_count)]

    def learn(self, count: int) -> None:
        """Keep a book for each of some more instruments."""
        self.books += [PaperBook() for _ in range(count)]

    def forget(self) -> None:
        """Records were lost: levels may be wrong; quotes are replaced by the next ones."""
        for book in self.books:
            book.forget_levels()

    def apply(self, records: NDArray[np.void]) -> Iterator[Seen]:
        """Take over MARKET_DTYPE[n] in order; yields what may move queues, fill, or pay.

        Each record has been taken over when what it shows is yielded.
        """
        columns = [records[name].tolist() for name in HEAD]
        words = records.view(np.int64).reshape(-1, WORDS)[:, FIRST_WORD:].tolist()
        for kind, index, flags, aux, venue_ns, row in zip(*columns, words, strict=True):
            book = self.books[index]
            if kind in SEEN:
                book.venue_ns = max(book.venue_ns, venue_ns)
                seen = Seen(kind, index, flags, venue_ns, row)
                book.take_over(seen)
                yield seen
            elif kind == RecordType.LIVENESS and aux == Channel.QUOTE:
                book.is_live = row[0] == Liveness.LIVE
            elif kind == RecordType.GAP and aux == Channel.BOOK:
                book.forget_levels()
