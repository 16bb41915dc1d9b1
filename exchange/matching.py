"""Matching of our clients' orders against one instrument's recorded or generated market.

Taking: an order walks the displayed levels of the other side; what it takes is gone until the
level changes on the tape. Resting: an order waits behind the quantity that was displayed at its
price; only recorded trades at that price beyond the quantity ahead, or trades through the price,
fill it. Cancels ahead of it count only as far as the displayed quantity proves them.
INVARIANT: one recorded trade never fills more than its own quantity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.book import BUY, Book, Diff, Quote
from exchange.events import Mark
from exchange.listing import perpetual
from exchange.orders import Order
from exchange.symbols import PERCENT_PRICE_DOWN, PERCENT_PRICE_UP, SymbolSpec, nearest_units

if TYPE_CHECKING:
    from exchange.algo import AlgoOrder

PassiveFill = tuple[Order, int]  # resting order, quantity


class Market:
    """One instrument: its public book, its last trade and our resting orders."""

    def __init__(self, spec: SymbolSpec, index: int) -> None:
        """Start with an empty book; `index` is the instrument's place in the event source."""
        self.spec = spec  # replaced when filters change; decimals never do
        self.listing = perpetual(spec)
        self.index = index
        self.book = Book()
        self.last_price = 0
        self.told_mark: Mark | None = None  # the last that its source told
        self.tells_marks = False  # the source tells marks: none is derived
        self.resting: list[Order] = []  # in order of arrival
        self.algos: list[AlgoOrder] = []  # conditional orders that wait for a price

    def mark_price(self) -> int:
        """Return the mark told, else the middle of the book, else the last trade, else 0."""
        if self.told_mark is not None:
            return nearest_units(self.told_mark.price_e8, self.spec.price_decimals)
        bid, ask = self.book.best(BUY), self.book.best(-BUY)
        if bid and ask:
            return (bid + ask) // 2
        return bid or ask or self.last_price

    def on_quote(self, quote: Quote) -> None:
        """Take a best quote from the tape."""
        self.book.apply_quote(quote)
        if self.resting:
            self._shrink_queues()

    def on_diff(self, diff: Diff) -> None:
        """Take a depth diff from the tape."""
        self.book.apply_diff(diff)
        if self.resting:
            self._shrink_queues()

    def _shrink_queues(self) -> None:
        for order in self.resting:
            if order.ahead_qty:
                shown = self.book.displayed(order.side, order.price)
                order.ahead_qty = min(order.ahead_qty, shown)

    def on_trade(self, price: int, qty: int, aggressor: int) -> list[PassiveFill]:
        """Take a public trade and return the fills it means for resting orders."""
        self.last_price = price
        if not self.resting:
            return []
        fills: list[PassiveFill] = []
        used = 0
        for order in sorted(self.resting, key=_priority):
            share = self._share_of_trade(order, price, qty, aggressor, used)
            if share > 0:
                fills.append((order, share))
                used += share
        assert used <= qty, (used, qty)
        return fills

    def _share_of_trade(self, order: Order, price: int, qty: int, aggressor: int, used: int) -> int:
        if (order.price - price) * order.side > 0:
            order.ahead_qty = 0
            return min(order.leaves_qty, qty - used)
        if order.price != price or aggressor != -order.side:
            return 0
        # What our earlier orders took never reached the strangers ahead of this one.
        reached = qty - used
        left = reached - order.ahead_qty
        order.ahead_qty = max(0, order.ahead_qty - reached)
        return min(order.leaves_qty, left)

    def rest(self, order: Order) -> None:
        """Put what is left of an order behind the quantity displayed at its price."""
        order.ahead_qty = self.book.displayed(order.side, order.price)
        self.resting.append(order)

    def remove(self, order: Order) -> None:
        """Take an order off the market; absent orders are no fault."""
        if order in self.resting:
            self.resting.remove(order)

    def takeable(self, side: int, limit_price: int) -> list[tuple[int, int]]:
        """Return the levels an order of `side` could take now, best first.

        A limit price of 0 means a MARKET order: bounded by the percent-price band only.
        """
        bound = limit_price or self.price_bound(side)
        levels = self.book.available(-side)
        return [level for level in levels if (bound - level[0]) * side >= 0]

    def would_take(self, side: int, price: int) -> bool:
        """Tell whether a limit order would cross the displayed book."""
        best = self.book.best(-side)
        return best > 0 and (price - best) * side >= 0

    def price_bound(self, side: int) -> int:
        """Return the furthest price a MARKET order of this side may reach."""
        mark = self.mark_price()
        if side == BUY:
            return mark * PERCENT_PRICE_UP // 100
        return -(-mark * PERCENT_PRICE_DOWN // 100)

    def take(self, side: int, limit_price: int, qty: int) -> list[tuple[int, int]]:
        """Take up to `qty` from the other side; return (price, quantity) per level."""
        taken: list[tuple[int, int]] = []
        left = qty
        for price, level_qty in self.takeable(side, limit_price):
            if left == 0:
                break
            part = min(left, level_qty)
            self.book.take(-side, price, part)
            taken.append((price, part))
            left -= part
        return taken


def _priority(order: Order) -> tuple[int, int]:
    return (-order.side * order.price, order.order_id)
