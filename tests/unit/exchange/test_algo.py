"""Conditional orders: what triggers them, what is born, and how it is told."""

from __future__ import annotations

from typing import Any

import pytest

from exchange.algo import MAX_ALGO_ORDERS, AlgoOrder
from exchange.errors import ApiError
from exchange.matching import Market
from exchange.venue import Venue
from tests.exchange_rig import KEY, USDT, fill_book, quiet_venue

BID, ASK = 60_000_00, 60_000_10


def rig(*, deposit: int = 10_000 * USDT) -> tuple[Venue, Market]:
    venue, market = quiet_venue(deposit=deposit)
    fill_book(market)
    market.last_price = BID
    return venue, market


def place(venue: Venue, **change: str) -> AlgoOrder:
    params = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET"}
    params |= {"quantity": "0.010", "triggerPrice": "59000.00"} | change
    sent = {name: word for name, word in params.items() if word}
    return venue.algo_desk.place(venue.accounts[KEY], sent)


def refusal_of(venue: Venue, **change: str) -> int:
    with pytest.raises(ApiError) as refused:
        place(venue, **change)
    assert venue.algo_desk.orders == {}
    assert venue.outbox == []
    return refused.value.code


def told(venue: Venue) -> list[dict[str, Any]]:
    events = [dict(event) for _, event in venue.outbox]
    venue.outbox.clear()
    return events


def states(events: list[dict[str, Any]]) -> list[str]:
    return [event["o"]["X"] for event in events if event["e"] == "ALGO_UPDATE"]


def trade_at(venue: Venue, market: Market, price: int) -> None:
    market.last_price = price
    venue.algo_desk.watch(market)


def hold(venue: Venue, side: str = "BUY", quantity: str = "0.020") -> None:
    params = {"symbol": "BTCUSDT", "side": side, "type": "MARKET", "quantity": quantity}
    venue.place(venue.accounts[KEY], params)
    venue.outbox.clear()


@pytest.mark.parametrize(
    ("kind", "side", "trigger", "before", "at"),
    [
        ("STOP_MARKET", "SELL", "59000.00", 59_000_10, 59_000_00),
        ("STOP_MARKET", "BUY", "61000.00", 60_999_90, 61_000_00),
        ("TAKE_PROFIT_MARKET", "SELL", "61000.00", 60_999_90, 61_000_50),
        ("TAKE_PROFIT_MARKET", "BUY", "59000.00", 59_000_10, 58_000_00),
    ],
)
def test_price_that_is_reached_places_the_order(
    kind: str, side: str, trigger: str, before: int, at: int
) -> None:
    venue, market = rig()
    order = place(venue, type=kind, side=side, triggerPrice=trigger, clientAlgoId="c1")
    trade_at(venue, market, before)
    assert (order.status, market.resting) == ("NEW", [])
    trade_at(venue, market, at)
    born = venue.accounts[KEY].orders[order.order_id]
    assert (born.client_order_id, born.side_text, born.order_type) == ("c1", side, "MARKET")
    assert born.status == "FILLED"
    events = told(venue)
    assert states(events) == ["NEW", "TRIGGERED", "FINISHED"]
    assert [e["e"] for e in events if e["e"] == "ORDER_TRADE_UPDATE"] != []
    last = [e for e in events if e["e"] == "ALGO_UPDATE"][-1]["o"]
    assert (last["ai"], last["caid"]) == (str(born.order_id), "c1")
    assert market.algos == []


def test_limit_order_is_born_with_price_and_time_in_force() -> None:
    venue, market = rig()
    words = {"type": "STOP", "side": "BUY", "triggerPrice": "60500.00", "price": "59990.00"}
    order = place(venue, timeInForce="GTX", **words)
    trade_at(venue, market, 60_500_00)
    born = venue.accounts[KEY].orders[order.order_id]
    assert (born.price, born.time_in_force, born.status) == (59_990_00, "GTX", "NEW")
    assert market.resting == [born]


def test_trading_with_oneself_is_prevented_only_as_asked_for() -> None:
    venue, _market = rig()
    orders = [place(venue), place(venue, selfTradePreventionMode="EXPIRE_MAKER")]
    asked = ["NONE", "EXPIRE_MAKER"]
    assert [order.view()["selfTradePreventionMode"] for order in orders] == asked
    assert [event["o"]["V"] for event in told(venue)] == asked


def test_mark_price_is_watched_when_asked_for() -> None:
    venue, market = rig()
    order = place(venue, workingType="MARK_PRICE")
    trade_at(venue, market, 58_000_00)
    assert order.is_open
    fill_book(market, bid=58_000_00, ask=58_000_10)
    venue.algo_desk.watch(market)
    assert order.status == "FINISHED"


def test_trailing_stop_follows_the_best_price_back() -> None:
    venue, market = rig()
    order = place(venue, type="TRAILING_STOP_MARKET", triggerPrice="", callbackRate="1.0")
    for price in (60_000_00, 61_000_00, 60_400_00, 62_000_00, 61_390_00):
        trade_at(venue, market, price)
        assert order.is_open
    trade_at(venue, market, 61_380_00)  # 1 per cent below 62000
    assert order.status == "FINISHED"


def test_trailing_buy_waits_for_its_activation_and_tells_of_it() -> None:
    venue, market = rig()
    words = {"type": "TRAILING_STOP_MARKET", "triggerPrice": "", "side": "BUY"}
    order = place(venue, callbackRate="0.5", activatePrice="59000.00", **words)
    assert [e["o"]["ia"] for e in told(venue)] == [False]
    trade_at(venue, market, 59_500_00)
    trade_at(venue, market, 60_500_00)  # up by far more than the callback, and not active
    assert told(venue) == []
    trade_at(venue, market, 59_000_00)
    assert [(e["o"]["X"], e["o"]["ia"]) for e in told(venue)] == [("NEW", True)]
    trade_at(venue, market, 59_294_00)
    assert order.is_open
    trade_at(venue, market, 59_295_00)
    assert order.status == "FINISHED"


def test_closing_order_closes_what_is_held_then() -> None:
    venue, market = rig()
    hold(venue)
    order = place(venue, quantity="", closePosition="true")
    hold(venue, "SELL", "0.005")
    trade_at(venue, market, 59_000_00)
    born = venue.accounts[KEY].orders[order.order_id]
    assert (born.qty, born.reduce_only) == (15, True)
    assert venue.accounts[KEY].position(market.spec).qty == 0


def test_closing_order_without_a_position_expires() -> None:
    venue, market = rig()
    order = place(venue, quantity="", closePosition="true")
    trade_at(venue, market, 59_000_00)
    assert (order.status, order.order_id) == ("EXPIRED", 0)
    assert states(told(venue)) == ["NEW", "EXPIRED"]


def test_order_that_is_refused_when_it_is_born_is_rejected_with_the_reason() -> None:
    venue, market = rig(deposit=USDT)
    order = place(venue, quantity="1.000")
    trade_at(venue, market, 59_000_00)
    assert (order.status, order.order_id) == ("REJECTED", 0)
    assert order.reason == "Margin is insufficient."
    assert states(told(venue)) == ["NEW", "TRIGGERED", "REJECTED"]


def test_cancelled_orders_trigger_nothing_and_cannot_be_cancelled_twice() -> None:
    venue, market = rig()
    account = venue.accounts[KEY]
    first, second = place(venue, clientAlgoId="a"), place(venue)
    venue.algo_desk.cancel(account, {"clientAlgoId": "a"})
    with pytest.raises(ApiError) as refused:
        venue.algo_desk.cancel(account, {"algoId": str(first.algo_id)})
    assert refused.value.code == -2011
    venue.algo_desk.cancel_all(account, "BTCUSDT")
    trade_at(venue, market, 58_000_00)
    assert {first.status, second.status} == {"CANCELED"}
    assert account.orders == {}


def test_two_orders_of_one_price_trigger_both() -> None:
    venue, market = rig()
    orders = [place(venue), place(venue)]
    trade_at(venue, market, 58_900_00)
    assert [order.status for order in orders] == ["FINISHED"] * 2


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"algoType": "TWAP"}, -1102),
        ({"symbol": "NOSUCH"}, -1121),
        ({"side": "UP"}, -1117),
        ({"type": "LIMIT"}, -1116),
        ({"positionSide": "LONG"}, -4061),
        ({"clientAlgoId": "x" * 37}, -4015),
        ({"clientAlgoId": "a b"}, -1100),
        ({"workingType": "LAST"}, -1102),
        ({"quantity": ""}, -1102),
        ({"quantity": "0.000"}, -4003),
        ({"triggerPrice": ""}, -1102),
        ({"triggerPrice": "0"}, -4001),
        ({"triggerPrice": "59000.05"}, -4014),
        ({"triggerPrice": "60001.00"}, -2021),
        ({"type": "STOP", "price": ""}, -1102),
        ({"type": "STOP", "price": "59000.00", "timeInForce": "GTD"}, -1115),
        ({"selfTradePreventionMode": "EXPIRE"}, -1102),
        ({"closePosition": "true"}, -4136),
        ({"closePosition": "true", "quantity": "", "reduceOnly": "true"}, -4136),
        ({"closePosition": "true", "quantity": "", "type": "STOP"}, -4136),
        ({"type": "TRAILING_STOP_MARKET", "callbackRate": ""}, -1102),
        ({"type": "TRAILING_STOP_MARKET", "callbackRate": "0"}, -2007),
        ({"type": "TRAILING_STOP_MARKET", "callbackRate": "20.1"}, -2007),
    ],
)
def test_refused_conditional_orders_change_nothing(change: dict[str, str], code: int) -> None:
    venue, _market = rig()
    assert refusal_of(venue, **change) == code


def test_client_ids_are_unique_among_the_open_and_their_number_is_bounded() -> None:
    venue, market = rig()
    place(venue, clientAlgoId="a")
    with pytest.raises(ApiError) as refused:
        place(venue, clientAlgoId="a")
    assert refused.value.code == -4116
    for _ in range(MAX_ALGO_ORDERS - 1):
        place(venue)
    with pytest.raises(ApiError) as refused:
        place(venue)
    assert refused.value.code == -4045
    assert len(market.algos) == MAX_ALGO_ORDERS


def test_order_of_another_account_is_nobodys_here() -> None:
    venue, _market = rig()
    order = place(venue)
    other = venue.add_account("other", "other")
    for which in ({"algoId": str(order.algo_id)}, {"clientAlgoId": order.client_id}):
        with pytest.raises(ApiError) as refused:
            venue.algo_desk.find(other, which, code=-2013)
        assert refused.value.code == -2013
