"""Books that are told whole, and books made of orders, to the changes of their best levels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from engine.domain.codes import TRADE_BUYER_AGGRESSOR, RecordType
from engine.tapes.drafts import Draft
from engine.tapes.tables import Table
from engine.tapes.top_book import Side, TopBook

SNAPSHOT_FLAG: Final = 32  # a row of the state at the start, not of an event
BID, ASK = "B", "A"
ADD, CANCEL, MODIFY, TRADE, CLEAR = "A", "C", "M", "T", "R"


def snapshot_lists(table: Table, _symbol: str) -> list[Draft]:
    """Return the changes between books told as lists of prices and quantities."""
    book = TopBook(str(table.texts("symbol")[0]))
    lists = [table.lists(name) for name in ("bids_px", "bids_qty", "asks_px", "asks_qty")]
    received, venue = table.times("ts_ms", "ms"), table.times("exch_ts_ms", "ms")
    ids = table.whole("seq")
    for row in range(len(received)):
        bids, bid_quantities, asks, ask_quantities = (column[row] for column in lists)
        book.replace(_side(bids, bid_quantities), _side(asks, ask_quantities))
        book.tell(int(received[row]), int(venue[row]), int(ids[row]))
    return [book.draft()]


def snapshot_columns(table: Table, symbol: str) -> list[Draft]:
    """Return the changes between books told as one column per level."""
    named = str(table.texts("symbol")[0]) if "symbol" in table.names else symbol
    book = TopBook(named)
    received = table.times("local_timestamp", "us")
    venue = table.times("timestamp", "us") if "timestamp" in table.names else received
    depth = sum(1 for name in table.names if name.startswith("asks[") and name.endswith(".price"))
    cells = {
        side: [
            (table.floats(f"{side}[{k}].price"), table.floats(f"{side}[{k}].amount"))
            for k in range(depth)
        ]
        for side in ("bids", "asks")
    }
    for row in range(len(received)):
        told = [
            _side(*zip(*((prices[row], sizes[row]) for prices, sizes in cells[side]), strict=True))
            for side in ("bids", "asks")
        ]
        book.replace(*told)
        book.tell(int(received[row]), int(venue[row]), row + 1)
    return [book.draft()]


def _side(prices: Iterable[float], quantities: Iterable[float]) -> Side:
    return {
        float(price): float(quantity)
        for price, quantity in zip(prices, quantities, strict=True)
        if quantity > 0 and np.isfinite(price)
    }


def order_book(table: Table, _symbol: str) -> list[Draft]:
    """Return levels summed from orders, and trades; changes of one sequence are one diff."""
    orders = _Orders(str(table.texts("symbol")[0]))
    columns = (
        table.times("ts_recv_ns").tolist(),
        table.times("ts_event_ns").tolist(),
        table.whole("sequence").tolist(),
        table.texts("action").tolist(),
        table.texts("side").tolist(),
        table.floats("price").tolist(),
        table.whole("size").tolist(),
        table.whole("order_id").tolist(),
        table.whole("flags").tolist(),
    )
    for row in zip(*columns, strict=True):
        orders.take(*row)
    return orders.drafts()


class _Orders:
    """Orders of one instrument by id, and the book they make."""

    def __init__(self, symbol: str) -> None:
        self._book = TopBook(symbol)
        self._orders: dict[int, tuple[str, float, int]] = {}  # side, price, size
        self._trades: list[tuple[int, int, float, float, int, int]] = []
        self._open = (0, 0, 0)  # receive, venue, sequence of the diff that is gathered

    def take(
        self,
        receive_ns: int,
        venue_ns: int,
        sequence: int,
        action: str,
        side: str,
        price: float,
        size: int,
        order_id: int,
        flags: int,
    ) -> None:
        """Take one row; the row after the last of an event tells what the event changed."""
        is_snapshot = bool(flags & SNAPSHOT_FLAG)
        if self._open[2] and (sequence, venue_ns) != self._open[2:0:-1] and not is_snapshot:
            self._book.tell(*self._open)
        self._open = (receive_ns, venue_ns, sequence)
        if action == TRADE and price > 0 and size > 0:
            buyer = TRADE_BUYER_AGGRESSOR if side == BID else 0
            self._trades.append((receive_ns, venue_ns, price, size, sequence, buyer))
        elif action == CLEAR:
            self._orders.clear()
            self._book.replace({}, {})
        elif action in {ADD, MODIFY}:
            self._change(order_id, None)
            self._change(order_id, (side, price, size))
        elif action == CANCEL:
            kept = self._orders.get(order_id)
            self._change(order_id, None)
            if kept is not None and kept[2] > size:
                self._change(order_id, (kept[0], kept[1], kept[2] - size))

    def _change(self, order_id: int, order: tuple[str, float, int] | None) -> None:
        """Put an order in, or take the one of this id out."""
        moved = order if order is not None else self._orders.pop(order_id, None)
        if moved is None:
            return
        side, price, size = moved
        is_bid = side == BID
        total = self._book.quantity(price, is_bid=is_bid) + (size if order is not None else -size)
        self._book.change([(price, max(total, 0.0))], is_bid=is_bid)
        if order is not None:
            self._orders[order_id] = order

    def drafts(self) -> list[Draft]:
        """Return the book's changes and the trades."""
        self._book.tell(*self._open)
        columns = list(zip(*self._trades, strict=True)) or [()] * 6
        whole = [np.array(columns[place], dtype=np.int64) for place in (0, 1, 4, 5)]
        trades = Draft(
            self._book.symbol,
            RecordType.TRADE,
            whole[0],
            whole[1],
            {"price_ticks": np.array(columns[2], dtype=np.float64)},
            {"qty_lots": np.array(columns[3], dtype=np.float64)},
            {
                "trade_id": whole[2],
                "trade_count": np.ones(len(whole[0]), dtype=np.int64),
                "flags": whole[3],
            },
        )
        return [self._book.draft(), trades]
