"""What happens to orders in the venue, and which user events tell about it in which order."""

from typing import Any

import pytest

from exchange.book import BUY, SELL
from exchange.errors import ApiError
from exchange.matching import Market
from exchange.orders import Order
from exchange.venue import Venue
from tests.exchange_rig import KEY, USDT, fill_book, quiet_venue

BID = 60_000_00
ASK = 60_000_10


def rig() -> tuple[Venue, Market]:
    venue, market = quiet_venue()
    fill_book(market)
    return venue, market


def place(venue: Venue, **change: str) -> Order:
    params = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "0.010"}
    params |= change
    if params["type"] == "LIMIT":
        params.setdefault("timeInForce", "GTC")
        params.setdefault("price", "60000.00")
    return venue.place(venue.accounts[KEY], params)


def told(venue: Venue) -> list[dict[str, Any]]:
    events = [dict(event) for _account, event in venue.outbox]
    venue.outbox.clear()
    return events


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [e["o"]["x"] if e["e"] == "ORDER_TRADE_UPDATE" else e["e"] for e in events]


def test_resting_order_is_told_once() -> None:
    venue, market = rig()
    order = place(venue)
    events = told(venue)
    assert kinds(events) == ["NEW"]
    assert events[0]["o"]["i"] == order.order_id
    assert market.resting == [order]


def test_fill_is_told_as_hint_account_and_order() -> None:
    venue, _market = rig()
    place(venue, type="MARKET")
    events = told(venue)
    assert kinds(events) == ["NEW", "TRADE_LITE", "ACCOUNT_UPDATE", "TRADE"]
    lite, account, trade = events[1], events[2]["a"], events[3]["o"]
    assert lite["t"] == trade["t"]
    assert (trade["X"], trade["l"], trade["z"], trade["L"]) == (
        "FILLED",
        "0.010",
        "0.010",
        "60000.10",
    )
    assert (trade["n"], trade["N"], trade["m"]) == ("0.30000050", "USDT", False)
    assert account["m"] == "ORDER"
    assert account["B"][0]["wb"] == "9999.69999950"
    assert account["P"][0]["pa"] == "0.010"


def test_order_update_carries_every_documented_field() -> None:
    venue, _market = rig()
    place(venue)
    fields = set(told(venue)[0]["o"])
    assert fields >= {
        "s", "c", "S", "o", "f", "q", "p", "ap", "sp", "x", "X", "i", "l", "z", "L", "N", "n",
        "T", "t", "b", "a", "m", "R", "wt", "ot", "ps", "cp", "pP", "rp", "V", "pm", "gtd", "er",
    }  # fmt: skip


def test_crossing_limit_order_takes_and_rests() -> None:
    venue, market = rig()
    order = place(venue, quantity="1.500", price="60000.10")
    assert (order.status, order.cum_qty) == ("PARTIALLY_FILLED", 1_000)
    assert market.resting == [order]
    assert kinds(told(venue)) == ["NEW", "TRADE_LITE", "ACCOUNT_UPDATE", "TRADE"]


def test_immediate_or_cancel_expires_the_rest() -> None:
    venue, market = rig()
    order = place(venue, quantity="1.500", price="60000.10", timeInForce="IOC")
    assert (order.status, order.cum_qty) == ("EXPIRED", 1_000)
    assert kinds(told(venue))[-1] == "EXPIRED"
    assert market.resting == []
    assert venue.accounts[KEY].open_orders == {}


def test_fill_or_kill_fills_whole_over_levels() -> None:
    venue, _market = rig()
    order = place(venue, quantity="1.500", price="60000.20", timeInForce="FOK")
    assert order.status == "FILLED"
    assert order.average_price_text() == "60000.13333333"


def test_post_only_order_rests_at_the_touch() -> None:
    venue, market = rig()
    order = place(venue, timeInForce="GTX", price="60000.00")
    assert order.status == "NEW"
    assert order in market.resting


def test_market_order_beyond_the_band_expires_its_rest() -> None:
    venue, market = quiet_venue()
    market.book.apply_snapshot(1, [(BID, 1_000)], [(ASK, 20)])
    order = place(venue, type="MARKET", quantity="0.050")
    assert (order.status, order.cum_qty) == ("EXPIRED", 20)


def test_second_taker_finds_what_the_first_left() -> None:
    venue, _market = rig()
    place(venue, type="MARKET", quantity="0.900")
    order = place(venue, type="MARKET", quantity="0.200")
    assert [fill.price for fill in venue.accounts[KEY].fills if fill.order is order] == [
        ASK,
        ASK + 10,
    ]


def test_public_trade_fills_resting_orders_as_maker() -> None:
    venue, market = rig()
    order = place(venue)
    told(venue)
    venue.public_trade(market, BID, 1_004, SELL)
    assert (order.status, order.cum_qty) == ("PARTIALLY_FILLED", 4)
    venue.public_trade(market, BID, 50, SELL)
    assert order.status == "FILLED"
    fills = venue.accounts[KEY].fills
    assert [(fill.price, fill.qty, fill.maker) for fill in fills] == [
        (BID, 4, True),
        (BID, 6, True),
    ]
    assert market.resting == []


def test_passive_fill_costs_the_maker_fee() -> None:
    venue, market = rig()
    place(venue)
    venue.public_trade(market, BID - 10, 10, SELL)
    assert venue.accounts[KEY].wallet == 10_000 * USDT - 12_000_000


def test_cancelled_order_is_told_and_gone() -> None:
    venue, market = rig()
    order = place(venue, newClientOrderId="mine")
    told(venue)
    found = venue.cancel(venue.accounts[KEY], {"symbol": "BTCUSDT", "origClientOrderId": "mine"})
    assert found is order
    assert kinds(told(venue)) == ["CANCELED"]
    assert market.resting == []
    with pytest.raises(ApiError) as refusal:
        venue.cancel(venue.accounts[KEY], {"symbol": "BTCUSDT", "origClientOrderId": "mine"})
    assert refusal.value.code == -2011


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"symbol": "BTCUSDT"}, -1102),
        ({"symbol": "BTCUSDT", "orderId": "1"}, -2013),
        ({"symbol": "BTCUSDT", "orderId": "x"}, -2013),
        ({"symbol": "BTCUSDT", "origClientOrderId": "nobody"}, -2013),
    ],
)
def test_look_up_of_unknown_orders(params: dict[str, str], code: int) -> None:
    venue, _market = rig()
    with pytest.raises(ApiError) as refusal:
        venue.find_order(venue.accounts[KEY], params, code=-2013)
    assert refusal.value.code == code


def test_look_up_needs_the_right_symbol() -> None:
    venue, _market = rig()
    order = place(venue)
    with pytest.raises(ApiError):
        venue.find_order(
            venue.accounts[KEY], {"symbol": "ETHUSDT", "orderId": str(order.order_id)}, code=-2013
        )


def test_orders_of_others_are_unknown() -> None:
    venue, _market = rig()
    other = venue.add_account("other", "secret")
    order = place(venue)
    with pytest.raises(ApiError):
        venue.cancel(other, {"symbol": "BTCUSDT", "orderId": str(order.order_id)})


def test_cancel_all_spares_other_symbols() -> None:
    venue, _market = rig()
    first, second = place(venue), place(venue, side="SELL", price="60010.00")
    assert venue.cancel_all(venue.accounts[KEY], "ETHUSDT") == []
    assert venue.cancel_all(venue.accounts[KEY], "BTCUSDT") == [first, second]
    assert kinds(told(venue)) == ["NEW", "NEW", "CANCELED", "CANCELED"]


def test_reduce_only_order_never_turns_the_position() -> None:
    venue, market = rig()
    account = venue.accounts[KEY]
    place(venue, type="MARKET", quantity="0.030")
    closing = place(venue, side="SELL", price="60020.00", quantity="0.030", reduceOnly="true")
    place(venue, side="SELL", type="MARKET", quantity="0.020")
    venue.public_trade(market, 60_030_00, 500, BUY)
    assert account.positions["BTCUSDT"].qty == 0
    assert (closing.status, closing.cum_qty) == ("PARTIALLY_FILLED", 10)
    venue.public_trade(market, 60_030_00, 500, BUY)
    assert closing.status == "EXPIRED"
    assert account.positions["BTCUSDT"].qty == 0


def test_position_by_hand_moves_no_money() -> None:
    venue, _market = rig()
    account = venue.accounts[KEY]
    venue.set_position(account, "BTCUSDT", -500, 59_000_00)
    assert account.wallet == 10_000 * USDT
    assert account.positions["BTCUSDT"].entry_price_text() == "59000.00000000"
    event = told(venue)[0]
    assert (event["e"], event["a"]["m"]) == ("ACCOUNT_UPDATE", "ADJUSTMENT")
    assert event["a"]["P"][0]["pa"] == "-0.500"


def test_dry_run_changes_nothing() -> None:
    venue, market = rig()
    account = venue.accounts[KEY]
    params = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}
    venue.place(account, params, dry_run=True)
    assert (account.orders, venue.outbox, market.book.taken) == ({}, [], {})


def test_available_margin_follows_wallet_profit_positions_and_orders() -> None:
    venue, market = rig()
    account = venue.accounts[KEY]
    assert venue.available_margin(account) == 10_000 * USDT
    venue.set_position(account, "BTCUSDT", 1_000, BID)
    market.book.apply_quote((200, 60_100_00, 5, 60_100_10, 5))
    # Mark 60,100.05: profit 100.05, margin 60,100.05 / 20.
    assert venue.unrealised(account) == 10_005_000_000
    assert venue.position_margin(account, "BTCUSDT") == 300_500_250_000
    place(venue, price="60000.00", quantity="0.100")
    assert venue.open_order_margin(account) == 300 * USDT
    expected = 1_000_000_000_000 + 10_005_000_000 - 300_500_250_000 - 300 * USDT
    assert venue.available_margin(account) == expected
