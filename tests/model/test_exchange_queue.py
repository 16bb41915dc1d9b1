"""The queue of a price level against a model that keeps every unit in line.

The model is the slow truth: a line of single units, strangers' and ours, in order of arrival. The
venue keeps one number per order. Whatever happens at the level, our fills must be equal as long as
strangers cancel only from the back, which is what the venue promises to assume.
"""

from itertools import pairwise

import hypothesis.strategies as st
from hypothesis import given, settings

from exchange.book import BUY, SELL
from exchange.matching import Market
from exchange.orders import Order
from tests.exchange_rig import btc, limit_order

PRICE = 60_000_00
STRANGER = -1


class Line:
    """The model: one unit per place."""

    def __init__(self, strangers: int) -> None:
        self.units = [STRANGER] * strangers
        self.filled: dict[int, int] = {}

    @property
    def displayed(self) -> int:
        """Return what the tape would show: strangers only."""
        return self.units.count(STRANGER)

    def join(self, order: Order) -> None:
        self.units += [order.order_id] * order.qty

    def strangers_join(self, qty: int) -> None:
        self.units += [STRANGER] * qty

    def strangers_leave_from_the_back(self, qty: int) -> None:
        places = [k for k, unit in enumerate(self.units) if unit == STRANGER]
        for place in reversed(places[max(0, len(places) - qty) :]):
            del self.units[place]

    def trade(self, qty: int) -> None:
        """Serve a taker from the front."""
        served, self.units = self.units[:qty], self.units[qty:]
        for unit in served:
            if unit != STRANGER:
                self.filled[unit] = self.filled.get(unit, 0) + 1


def venue_at(displayed: int, side: int) -> Market:
    market = Market(btc(), 0)
    levels = [(PRICE, displayed)] if displayed else []
    other = [(PRICE + 10 * side, 100)]
    bids, asks = (levels, other) if side == BUY else (other, levels)
    market.book.apply_snapshot(1, bids, asks)
    return market


def show(market: Market, side: int, update_id: int, displayed: int) -> None:
    change = [(PRICE, displayed)]
    bids, asks = (change, []) if side == BUY else ([], change)
    market.on_diff((update_id, update_id, update_id - 1, bids, asks))


STEPS = st.lists(
    st.tuples(st.sampled_from(["ours", "join", "leave", "trade"]), st.integers(1, 12)),
    min_size=1,
    max_size=25,
)


@settings(max_examples=300)
@given(strangers=st.integers(0, 30), side=st.sampled_from([BUY, SELL]), steps=STEPS)
def test_fills_equal_those_of_a_line_of_units(
    strangers: int, side: int, steps: list[tuple[str, int]]
) -> None:
    line, market = Line(strangers), venue_at(strangers, side)
    orders: dict[int, Order] = {}
    update_id = 1
    for kind, qty in steps:
        if kind == "ours":
            order = limit_order(side, PRICE, qty, len(orders) + 1)
            orders[order.order_id] = order
            market.rest(order)
            line.join(order)
        elif kind == "trade":
            venue_trade(market, side, qty)
            line.trade(qty)
        elif kind == "join":
            line.strangers_join(qty)
        else:
            line.strangers_leave_from_the_back(qty)
        update_id += 1
        show(market, side, update_id, line.displayed)
    for order_id, order in orders.items():
        assert order.cum_qty == line.filled.get(order_id, 0), (order_id, steps)


def venue_trade(market: Market, side: int, qty: int) -> None:
    """Let a trade happen at the venue and book its fills on the orders."""
    for order, filled in market.on_trade(PRICE, qty, -side):
        order.cum_qty += filled
        if order.leaves_qty == 0:
            market.remove(order)


@settings(max_examples=200)
@given(
    strangers=st.integers(0, 40),
    ours=st.integers(1, 30),
    trades=st.lists(st.integers(1, 15), max_size=12),
    side=st.sampled_from([BUY, SELL]),
)
def test_order_fills_exactly_what_exceeds_the_queue(
    strangers: int, ours: int, trades: list[int], side: int
) -> None:
    market = venue_at(strangers, side)
    order = limit_order(side, PRICE, ours)
    market.rest(order)
    for qty in trades:
        venue_trade(market, side, qty)
    assert order.cum_qty == min(ours, max(0, sum(trades) - strangers))


@settings(max_examples=200)
@given(
    prices=st.lists(st.integers(-5, 5), min_size=1, max_size=6),
    trade_price=st.integers(-8, 8),
    qty=st.integers(1, 60),
    side=st.sampled_from([BUY, SELL]),
)
def test_better_prices_are_served_first_and_never_beyond_the_trade(
    prices: list[int], trade_price: int, qty: int, side: int
) -> None:
    market = Market(btc(), 0)
    orders = [limit_order(side, PRICE + 10 * p, 10, k + 1) for k, p in enumerate(prices)]
    for order in orders:
        market.rest(order)
    fills = market.on_trade(PRICE + 10 * trade_price, qty, -side)
    assert sum(filled for _, filled in fills) <= qty
    served = [side * order.price for order, _ in fills]
    assert all(better >= worse for better, worse in pairwise(served))
    for order, filled in fills:
        assert filled <= order.qty
        assert (order.price - (PRICE + 10 * trade_price)) * side >= 0
    # Whoever was passed over left nothing for those behind.
    for order, filled in fills[:-1]:
        assert filled == order.qty


@settings(max_examples=200)
@given(shown=st.lists(st.integers(0, 50), max_size=20), start=st.integers(0, 50))
def test_queue_ahead_never_grows_and_never_exceeds_the_display(
    shown: list[int], start: int
) -> None:
    market = venue_at(start, BUY)
    order = limit_order(BUY, PRICE, 10)
    market.rest(order)
    before = order.ahead_qty
    assert before == start
    for step, displayed in enumerate(shown):
        show(market, BUY, 2 + step, displayed)
        assert order.ahead_qty == min(before, displayed)
        before = order.ahead_qty
