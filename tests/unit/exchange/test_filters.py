"""Every refusal of an order before it exists, with the venue's code."""

from dataclasses import replace

import pytest

from exchange.clock import VirtualClock
from exchange.errors import TEXT_OF_CODE, ApiError
from exchange.matching import Market
from exchange.symbols import spec_for
from exchange.venue import Venue
from tests.exchange_rig import KEY, USDT, fill_book, quiet_venue

GOOD = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.010",
    "price": "59990.00",
}
MARKET = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}


def refused(params: dict[str, str], *, deposit: int = 10_000 * USDT) -> int:
    venue, market = quiet_venue(deposit=deposit)
    fill_book(market)
    account = venue.accounts[KEY]
    wallet = account.wallet
    with pytest.raises(ApiError) as refusal:
        venue.place(account, params)
    assert account.orders == {}
    assert account.wallet == wallet
    assert venue.outbox == []
    return refusal.value.code


def test_a_good_order_passes() -> None:
    venue, market = quiet_venue()
    fill_book(market)
    assert venue.place(venue.accounts[KEY], GOOD).status == "NEW"


@pytest.mark.parametrize("name", ["symbol", "side", "type", "timeInForce", "quantity", "price"])
def test_missing_parameters_are_named(name: str) -> None:
    params = {key: text for key, text in GOOD.items() if key != name}
    assert refused(params) == -1102
    assert refused(GOOD | {name: ""}) == -1102


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"symbol": "NOSUCHUSDT"}, -1121),
        ({"side": "LONG"}, -1117),
        ({"type": "ICEBERG"}, -1116),
        ({"type": "STOP_MARKET"}, -4120),
        ({"type": "TRAILING_STOP_MARKET"}, -4120),
        ({"timeInForce": "DAY"}, -1115),
        ({"positionSide": "LONG"}, -4061),
        ({"quantity": "NaN"}, -1013),
        ({"price": "1e5"}, -1013),
        ({"quantity": "-0.01"}, -1013),
        ({"quantity": "0.0101"}, -1111),
        ({"price": "59990.001"}, -1111),
        ({"price": "59990.05"}, -4014),
        ({"price": "0"}, -4001),
        ({"price": "9999999999"}, -4002),
        ({"quantity": "0"}, -4003),
        ({"quantity": "1000.001"}, -4005),
        ({"price": "63001.00"}, -4016),
        ({"side": "SELL", "price": "56999.00"}, -4024),
        ({"quantity": "0.001"}, -4164),
        ({"newClientOrderId": "x" * 37}, -4015),
        ({"newClientOrderId": "a b"}, -1100),
        ({"reduceOnly": "true"}, -2022),
        ({"timeInForce": "GTX", "price": "60000.10"}, -5022),
        ({"timeInForce": "FOK", "price": "60000.10", "quantity": "1.001"}, -5021),
        ({"quantity": "500"}, -2019),
    ],
)
def test_limit_order_is_refused_with_the_venues_code(change: dict[str, str], code: int) -> None:
    assert refused(GOOD | change) == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"quantity": "500.001"}, -4005),
        ({"price": "60000"}, -1106),
        ({"timeInForce": "IOC"}, -1106),
        ({"quantity": "0.001"}, -4164),
    ],
)
def test_market_order_is_refused_with_the_venues_code(change: dict[str, str], code: int) -> None:
    assert refused(MARKET | change) == code


def test_market_order_needs_a_counterparty() -> None:
    venue, _market = quiet_venue()
    with pytest.raises(ApiError) as refusal:
        venue.place(venue.accounts[KEY], MARKET)
    assert refusal.value.code == -4131


def test_margin_counts_open_orders_and_positions() -> None:
    venue, market = quiet_venue(deposit=100 * USDT)
    fill_book(market)
    account = venue.accounts[KEY]
    # 20 times leverage: 100 USDT carry 2,000 of notional.
    venue.place(account, GOOD | {"quantity": "0.020"})
    with pytest.raises(ApiError) as refusal:
        venue.place(account, GOOD | {"quantity": "0.020"})
    assert refusal.value.code == -2019
    account.leverage["BTCUSDT"] = 100
    venue.place(account, GOOD | {"quantity": "0.020"})


def test_closing_a_position_needs_no_margin() -> None:
    venue, market = quiet_venue(deposit=100 * USDT)
    fill_book(market)
    account = venue.accounts[KEY]
    venue.place(account, MARKET | {"quantity": "0.030"})
    assert venue.available_margin(account) < 50 * USDT
    closing = venue.place(account, MARKET | {"side": "SELL", "quantity": "0.030"})
    assert closing.status == "FILLED"


def test_client_id_is_unique_among_open_orders_only() -> None:
    venue, market = quiet_venue()
    fill_book(market)
    account = venue.accounts[KEY]
    named = GOOD | {"newClientOrderId": "mine"}
    first = venue.place(account, named)
    with pytest.raises(ApiError) as refusal:
        venue.place(account, named)
    assert refusal.value.code == -4116
    venue.cancel(account, {"symbol": "BTCUSDT", "orderId": str(first.order_id)})
    assert venue.place(account, named).order_id != first.order_id


def test_reduce_only_orders_may_not_promise_more_than_the_position() -> None:
    venue, market = quiet_venue()
    fill_book(market)
    account = venue.accounts[KEY]
    venue.place(account, MARKET | {"quantity": "0.030"})
    closing = GOOD | {"side": "SELL", "price": "60100.00", "reduceOnly": "true"}
    venue.place(account, closing | {"quantity": "0.020"})
    with pytest.raises(ApiError) as refusal:
        venue.place(account, closing | {"quantity": "0.011"})
    assert refusal.value.code == -2022
    venue.place(account, closing | {"quantity": "0.010"})


def test_reduce_only_order_may_be_smaller_than_the_minimum_notional() -> None:
    venue, market = quiet_venue()
    fill_book(market)
    account = venue.accounts[KEY]
    venue.place(account, MARKET | {"quantity": "0.010"})
    small = MARKET | {"side": "SELL", "quantity": "0.001", "reduceOnly": "true"}
    assert venue.place(account, small).status == "FILLED"


def test_open_orders_per_symbol_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exchange.filters.MAX_OPEN_ORDERS", 2)
    venue, market = quiet_venue()
    fill_book(market)
    account = venue.accounts[KEY]
    venue.place(account, GOOD)
    venue.place(account, GOOD)
    with pytest.raises(ApiError) as refusal:
        venue.place(account, GOOD)
    assert refusal.value.code == -1015


def coarse_venue() -> tuple[Venue, Market]:
    """Return a venue whose only symbol has a minimum, a step and a tick of their own."""
    venue = Venue(VirtualClock(start_ms=1), 10_000 * USDT)
    spec = replace(spec_for("XYZUSDT", price_decimals=2, qty_decimals=1), min_qty=20, step=5)
    market = venue.add_market(replace(spec, tick=10, min_price=500))
    venue.add_account(KEY, KEY)
    market.book.apply_snapshot(1, [(5_00, 10_000)], [(5_10, 10_000)])
    return venue, market


@pytest.mark.parametrize(
    ("quantity", "price", "code"),
    [
        ("1.9", "5.00", -4004),
        ("2.1", "5.00", -4023),
        ("2.5", "5.05", -4014),
        ("2.5", "4.90", -4013),
        ("1000000", "5.00", -4005),
    ],
)
def test_filters_of_a_coarse_symbol(quantity: str, price: str, code: int) -> None:
    venue, _ = coarse_venue()
    order = GOOD | {"symbol": "XYZUSDT", "quantity": quantity, "price": price}
    with pytest.raises(ApiError) as refusal:
        venue.place(venue.accounts[KEY], order)
    assert refusal.value.code == code


def test_order_on_the_coarse_grid_passes() -> None:
    venue, _ = coarse_venue()
    order = GOOD | {"symbol": "XYZUSDT", "quantity": "2.5", "price": "5.00"}
    assert venue.place(venue.accounts[KEY], order).status == "NEW"


def test_limit_prices_are_free_before_there_is_a_mark() -> None:
    venue, _ = quiet_venue()
    order = GOOD | {"quantity": "0.100", "price": "1000.00"}
    assert venue.place(venue.accounts[KEY], order).status == "NEW"


def test_every_code_has_a_sentence_of_its_own() -> None:
    sentences = list(TEXT_OF_CODE.values())
    assert len(set(sentences)) == len(sentences)
    assert ApiError(-9999).message
    assert ApiError(-2015).status == 401
    assert ApiError(-4164).body() == {"code": -4164, "msg": TEXT_OF_CODE[-4164]}
