"""Aggregated trades of the past, for who has a gap to fill: bounded over all instruments.

Ids are dense per instrument, so that a gap in them is a gap in what was heard. When there is no
more room the oldest trades of the whole market go, whoever made them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

HISTORY_CAPACITY = 250_000  # about 60 MB when full


class AggTrade(NamedTuple):
    """One aggregated trade; price and quantity in the symbol's units."""

    agg_id: int
    price: int
    qty: int
    buyer_is_maker: int
    first_id: int
    last_id: int
    trade_ms: int


class TradeHistory:
    """The latest aggregated trades of every instrument."""

    def __init__(self, count: int, capacity: int) -> None:
        """Start empty, for `count` instruments."""
        self._capacity = capacity
        self._trades: list[deque[AggTrade]] = [deque() for _ in range(count)]
        self._order: deque[int] = deque()  # instrument of each trade kept, oldest first

    def __len__(self) -> int:
        return len(self._order)

    def add(self, index: int, trade: AggTrade) -> None:
        """Keep a trade; `trim` makes room."""
        self._trades[index].append(trade)
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
        start = max(0, agg_id - trades[0].agg_id)
        return list(islice(trades, start, start + limit))

    def between(self, index: int, start_ms: int, end_ms: int, limit: int) -> list[AggTrade]:
        """Return trades of a span of time, both ends included, oldest first."""
        return list(islice(self._span(index, start_ms, end_ms), limit))

    def _span(self, index: int, start_ms: int, end_ms: int) -> Iterator[AggTrade]:
        for trade in self._trades[index]:
            if start_ms <= trade.trade_ms <= end_ms:
                yield trade

    def latest(self, index: int, limit: int) -> list[AggTrade]:
        """Return the last trades, oldest first."""
        trades = self._trades[index]
        return list(islice(trades, max(0, len(trades) - limit), len(trades)))
