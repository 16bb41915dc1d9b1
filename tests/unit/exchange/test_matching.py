"""Matching against a recorded market: walking levels, queues, trades through, conservation."""

from exchange.book import BUY, SELL
from exchange.matching import Market
from exchange.orders import Order
from tests.exchange_rig import btc, fill_book, limit_order

BID = 60_000_00
ASK = 60_000_10


def market() -> Market:
    made = Market(btc(), 0)
    fill_book(made)
    return made


def rested(made: Market, side: int, price: int, qty: int, order_id: int = 1) -> Order:
    resting = limit_order(side, price, qty, order_id)
    made.rest(resting)
    return resting


def test_market_order_walks_levels() -> None:
    made = market()
    assert made.take(BUY, 0, 2_500) == [(ASK, 1_000), (ASK + 10, 1_000), (ASK + 20, 500)]
    assert made.take(BUY, 0, 1_000) == [(ASK + 20, 500), (ASK + 30, 500)]


def test_limit_order_takes_no_worse_than_its_price() -> None:
    made = market()
    assert made.take(SELL, BID - 10, 5_000) == [(BID, 1_000), (BID - 10, 1_000)]


def test_market_order_stops_at_the_percent_price_band() -> None:
    made = Market(btc(), 0)
    made.book.apply_snapshot(1, [(100_00, 10)], [(100_10, 10), (106_00, 10)])
    assert made.take(BUY, 0, 20) == [(100_10, 10)]
    assert made.price_bound(SELL) == 95_05


def test_resting_order_waits_for_the_quantity_ahead() -> None:
    made = market()
    resting = rested(made, BUY, BID, 300)
    assert resting.ahead_qty == 1_000
    assert made.on_trade(BID, 600, SELL) == []
    assert made.on_trade(BID, 400, SELL) == []
    assert made.on_trade(BID, 200, SELL) == [(resting, 200)]


def test_one_trade_beyond_the_queue_fills_its_excess() -> None:
    made = market()
    resting = rested(made, BUY, BID, 300)
    assert made.on_trade(BID, 1_100, SELL) == [(resting, 100)]


def test_trade_of_the_same_side_fills_nobody() -> None:
    made = market()
    resting = rested(made, BUY, BID, 300)
    assert made.on_trade(BID, 5_000, BUY) == []
    assert resting.ahead_qty == 1_000


def test_trade_through_fills_whatever_the_queue() -> None:
    made = market()
    resting = rested(made, BUY, BID, 300)
    assert made.on_trade(BID - 10, 250, SELL) == [(resting, 250)]


def test_trade_never_fills_more_than_its_quantity() -> None:
    made = market()
    first = rested(made, BUY, BID + 10, 300, 1)
    second = rested(made, BUY, BID, 300, 2)
    assert made.on_trade(BID - 10, 400, SELL) == [(first, 300), (second, 100)]


def test_better_price_then_earlier_arrival_fill_first() -> None:
    made = market()
    late_better = rested(made, SELL, ASK, 100, 3)
    early = rested(made, SELL, ASK + 10, 100, 1)
    late = rested(made, SELL, ASK + 10, 100, 2)
    fills = made.on_trade(ASK + 20, 250, BUY)
    assert fills == [(late_better, 100), (early, 100), (late, 50)]


def test_queue_shrinks_only_as_far_as_the_display_proves() -> None:
    made = market()
    resting = rested(made, BUY, BID, 300)
    made.on_quote((101, BID, 1_500, ASK, 1_000))
    assert resting.ahead_qty == 1_000
    made.on_quote((102, BID, 400, ASK, 1_000))
    assert resting.ahead_qty == 400
    made.on_diff((101, 103, 100, [(BID, 0)], []))
    assert resting.ahead_qty == 0
    made.on_diff((104, 105, 103, [(BID, 900)], []))
    assert resting.ahead_qty == 0


def test_order_inside_the_spread_has_nobody_ahead() -> None:
    made = Market(btc(), 0)
    fill_book(made, bid=BID, ask=BID + 50)
    resting = rested(made, BUY, BID + 20, 300)
    assert resting.ahead_qty == 0
    assert made.on_trade(BID, 100, SELL) == [(resting, 100)]


def test_second_order_at_a_price_waits_for_the_first() -> None:
    made = market()
    first = rested(made, BUY, BID, 100, 1)
    second = rested(made, BUY, BID, 100, 2)
    assert made.on_trade(BID, 1_150, SELL) == [(first, 100), (second, 50)]


def test_removed_order_fills_no_more() -> None:
    made = market()
    resting = rested(made, BUY, BID, 100)
    made.remove(resting)
    made.remove(resting)
    assert made.on_trade(BID - 10, 900, SELL) == []


def test_crossing_is_seen_on_the_displayed_book() -> None:
    made = market()
    assert made.would_take(BUY, ASK)
    assert not made.would_take(BUY, ASK - 10)
    assert made.would_take(SELL, BID)
    assert not made.would_take(SELL, BID + 10)


def test_mark_price_is_the_middle_then_the_last_trade() -> None:
    made = market()
    assert made.mark_price() == BID + 5
    empty = Market(btc(), 0)
    assert empty.mark_price() == 0
    empty.on_trade(123_40, 1, BUY)
    assert empty.mark_price() == 123_40
