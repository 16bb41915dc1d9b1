"""Orders that are amended, and orders that are good till a date."""

import pytest

from exchange.errors import ApiError
from exchange.filters import GTD_LEAST_MS
from exchange.orders import Order
from exchange.venue import MAX_AMENDMENTS, Venue
from tests.exchange_rig import KEY, START_MS, USDT, fill_book, quiet_venue
from tests.unit.exchange.test_venue import kinds, place, rig, told


def amend(venue: Venue, order: Order, **change: str) -> Order:
    params = {"symbol": "BTCUSDT", "side": order.side_text, "orderId": str(order.order_id)}
    numbers = {"quantity": order.spec.qty_text(order.qty), "price": "59000.00"}
    return venue.amend(venue.accounts[KEY], params | numbers | change)


def refusal_of(venue: Venue, order: Order, **change: str) -> int:
    before = (order.price, order.qty, order.status, list(venue.outbox))
    with pytest.raises(ApiError) as refused:
        amend(venue, order, **change)
    assert (order.price, order.qty, order.status, list(venue.outbox)) == before
    return refused.value.code


def test_amended_order_keeps_its_ids_and_loses_its_place() -> None:
    venue, market = rig()
    first, second = place(venue), place(venue)
    told(venue)
    market.resting[0].ahead_qty = 0
    amended = amend(venue, first, price="60000.00", quantity="0.020")
    assert amended is first
    assert market.resting == [second, first]
    assert first.ahead_qty == 1_000
    events = told(venue)
    assert kinds(events) == ["AMENDMENT"]
    assert (events[0]["o"]["X"], events[0]["o"]["q"]) == ("NEW", "0.020")


def test_amended_price_that_crosses_takes() -> None:
    venue, _market = rig()
    order = place(venue, price="59000.00")
    told(venue)
    assert amend(venue, order, price="60001.00").status == "FILLED"
    assert kinds(told(venue)) == ["AMENDMENT", "TRADE_LITE", "ACCOUNT_UPDATE", "TRADE"]


def test_post_only_order_amended_to_take_is_cancelled() -> None:
    venue, market = rig()
    order = place(venue, price="59000.00", timeInForce="GTX")
    told(venue)
    assert amend(venue, order, price="60000.10").status == "CANCELED"
    assert kinds(told(venue)) == ["CANCELED"]
    assert market.resting == []


def test_quantity_amended_to_what_is_filled_ends_the_order() -> None:
    venue, market = rig()
    order = place(venue, quantity="0.020")
    order.ahead_qty = 0
    venue.public_trade(market, 60_000_00, 12, -1)
    assert order.cum_qty == 12
    assert amend(venue, order, quantity="0.012", price="60000.00").status == "CANCELED"
    assert (order.cum_qty, order.leaves_qty) == (12, 0)


def test_refused_amendments_change_nothing() -> None:
    venue, _market = rig()
    order = place(venue)
    told(venue)
    same = {"price": "60000.00", "quantity": "0.010"}
    assert refusal_of(venue, order, **same) == -5027
    assert refusal_of(venue, order, price="59000.005") == -1111
    assert refusal_of(venue, order, price="59000.05") == -4014
    assert refusal_of(venue, order, quantity="0.000") == -4003
    assert refusal_of(venue, order, quantity="0.001", price="10.00") != 0
    assert refusal_of(venue, order, side="SELL") == -1117
    assert refusal_of(venue, order, price="") == -1102
    assert refusal_of(venue, order, orderId="1") == -2013
    order.amendments = MAX_AMENDMENTS
    assert refusal_of(venue, order) == -5026


def test_amendment_needs_the_margin_of_the_difference() -> None:
    venue, market = quiet_venue(deposit=100 * USDT)
    fill_book(market)
    order = place(venue, quantity="0.030")  # binds 90 USDT of 100
    assert amend(venue, order, quantity="0.033").qty == 33
    assert refusal_of(venue, order, quantity="0.040") == -2019


def test_closed_orders_cannot_be_amended() -> None:
    venue, _market = rig()
    order = place(venue)
    venue.cancel(venue.accounts[KEY], {"symbol": "BTCUSDT", "orderId": str(order.order_id)})
    told(venue)
    assert refusal_of(venue, order) == -2013


def test_good_till_date_expires_when_its_time_has_come() -> None:
    venue, market = rig()
    date_ms = START_MS + GTD_LEAST_MS + 5_999
    order = place(venue, timeInForce="GTD", goodTillDate=str(date_ms))
    assert order.good_till_ms == date_ms // 1_000 * 1_000
    told(venue)
    venue.expire_due()
    assert market.resting == [order]
    venue.clock.shift_ms(GTD_LEAST_MS + 10_000)
    venue.expire_due()
    assert (order.status, market.resting) == ("EXPIRED", [])
    assert kinds(told(venue)) == ["EXPIRED"]


@pytest.mark.parametrize("date", ["", "soon", str(START_MS + GTD_LEAST_MS - 1), str(10**16)])
def test_good_till_date_that_is_none_is_refused(date: str) -> None:
    venue, _market = rig()
    with pytest.raises(ApiError) as refused:
        place(venue, timeInForce="GTD", goodTillDate=date)
    assert refused.value.code == -1102
