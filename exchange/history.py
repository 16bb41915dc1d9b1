"""Aggregated trades of the past, for who has a gap to fill: bounded over all instruments.

Ids are dense per instrument, so that a gap in them is a gap in what was heard. When there is no
more room the oldest trades of the whole market go, whoever made them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from exchange.instruments import NumberText
from exchange.symbols import SymbolSpec

HISTORY_CAPACITY = 250_000  # about 60 MB when full
TEXTS_KEPT = 2_000  # prices, and as many quantities, of one symbol


class AggTrade(NamedTuple):
    """One aggregated trade; price and quantity in the symbol's units."""

    agg_id: int
    price: int
    qty: int
    buyer_is_maker: int
    first_id: int
    last_id: int
    trade_ms: int


# The fields of an AggTrade as they are kept: the collector forgets plain tuples of numbers.
Row = tuple[int, int, int, int, int, int, int]


class TradeHistory:
    """The latest aggregated trades of every instrument."""

    def __init__(self, count: int, capacity: int) -> None:
        """Start empty, for `count` instruments."""
        self._capacity = capacity
        self._trades: list[deque[Row]] = [deque() for _ in range(count)]
        self._order: deque[int] = deque()  # instrument of each trade kept, oldest first

    def __len__(self) -> int:
        return len(self._order)

    def add(self, index: int, row: Row) -> None:
        """Keep a trade; `trim` makes room."""
        self._trades[index].append(row)
        self._order.append(index)

    def trim(self) -> None:
        """Forget the oldest trades beyond the capacity."""
        order, trades = self._order, self._trades
        for _ in range(len(order) - self._capacity):
            trades[order.popleft()].popleft()

    def since_id(self, index: int, agg_id: int, limit: int) -> list[AggTrade]:
        """Return trades from an id on, oldest first; from the oldest kept when it is forgotten."""
        trades = self._trades[index]
        if not trades:
            return []
        start = max(0, agg_id - trades[0][0])
        return [AggTrade._make(row) for row in islice(trades, start, start + limit)]

    def between(self, index: int, start_ms: int, end_ms: int, limit: int) -> list[AggTrade]:
        """Return trades of a span of time, both ends included, oldest first."""
        return list(islice(self._span(index, start_ms, end_ms), limit))

    def _span(self, index: int, start_ms: int, end_ms: int) -> Iterator[AggTrade]:
        for row in self._trades[index]:
            if start_ms <= row[6] <= end_ms:
                yield AggTrade._make(row)

    def latest(self, index: int, limit: int) -> list[AggTrade]:
        """Return the last trades, oldest first."""
        trades = self._trades[index]
        start = max(0, len(trades) - limit)
        return [AggTrade._make(row) for row in islice(trades, start, len(trades))]


class AggText:
    """Payloads of one symbol's aggregated trades; texts of its numbers are remembered."""

    def __init__(self, spec: SymbolSpec) -> None:
        """Prepare what does not change."""
        self._prices = NumberText(spec.price_decimals, TEXTS_KEPT)
        self._quantities = NumberText(spec.qty_decimals, TEXTS_KEPT)
        self._body = (
            b'{"e":"aggTrade","E":%%d,"a":%%d,"s":"%b","p":"%%b","q":"%%b","nq":"%%b",'
            b'"f":%%d,"l":%%d,"T":%%d,"m":%%b,"st":1}' % spec.symbol.encode()
        )

    def body(self, row: Row, event_ms: int) -> bytes:
        """Return the payload of one aggregated trade."""
        agg_id, price, qty, buyer_is_maker, first_id, last_id, trade_ms = row
        qty_text = self._quantities[qty]
        return self._body % (
            event_ms, agg_id, self._prices[price], qty_text, qty_text, first_id, last_id, trade_ms,
            b"true" if buyer_is_maker else b"false",
        )  # fmt: skip
