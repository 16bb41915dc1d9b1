"""Orders as bytes: exact decimals, the right parameters, a signature over what is sent."""

from __future__ import annotations

import hashlib
import hmac
from decimal import Decimal
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.client_id import encode_base36
from engine.domain.codes import (
    EVENT_POST_ONLY,
    EVENT_REDUCE_ONLY,
    EventType,
    OrderType,
    Side,
    TimeInForce,
)
from engine.domain.instrument_row import decimal_text
from engine.venues.binance.order_wire import OrderEncoder
from engine.venues.order_records import Command
from native_ext import _native
from tests.builders import make_instrument

NUMBERS = dict.fromkeys(Command._fields, 0) | {"client_order_id": ""}
ID = "a1-1-1-rt"
PREFIX = b"a1-1-"


def encoder(secret: str = "secret", url: str = "http://localhost:9") -> OrderEncoder:
    coarse = make_instrument("DOGEUSDT", instrument_index=1, price_exponent=5, qty_exponent=0)
    return OrderEncoder(url, "key", secret, [make_instrument(), coarse])


def order(**fields: int) -> Command:
    defaults = {
        "event_type": EventType.COMMAND_NEW,
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "time_in_force": TimeInForce.GTC,
        "price_ticks": 618_001,
        "qty_lots": 4,
        "order_sequence": 1,
        "cause_sequence": 1001,
    }
    return Command(**(NUMBERS | defaults | fields))  # type: ignore[arg-type]


def parts(request: bytes) -> tuple[str, str, dict[str, str], dict[str, str]]:
    """Return method, path, parameters and headers."""
    head, body = request.split(b"\r\n\r\n")
    assert body == b"", "everything is in the query"
    first, *lines = head.decode().split("\r\n")
    method, target, version = first.split(" ")
    assert version == "HTTP/1.1"
    path, query = target.split("?")
    headers = dict(line.split(": ", 1) for line in lines)
    return method, path, dict(parse_qsl(query, strict_parsing=True)), headers


def test_limit_order_has_exactly_the_parameters_the_venue_takes() -> None:
    method, path, params, headers = parts(
        encoder().encode_order(order(), PREFIX, 1_723_000_000_123)
    )
    assert (method, path) == ("POST", "/fapi/v1/order")
    signature = params.pop("signature")
    assert len(signature) == 64
    assert params == {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "0.004",
        "price": "61800.1",
        "newClientOrderId": ID,
        "recvWindow": "5000",
        "timestamp": "1723000000123",
    }
    assert headers == {"Host": "localhost:9", "X-MBX-APIKEY": "key", "Content-Length": "0"}


def test_market_order_has_no_price_and_no_time_in_force() -> None:
    command = order(order_type=OrderType.MARKET, side=Side.SELL, flags=EVENT_REDUCE_ONLY)
    _, _, params, _ = parts(encoder().encode_order(command, PREFIX, 1))
    assert {"price", "timeInForce"}.isdisjoint(params)
    assert (params["side"], params["type"], params["reduceOnly"]) == ("SELL", "MARKET", "true")


@pytest.mark.parametrize(
    ("time_in_force", "flags", "text"),
    [
        (TimeInForce.GTC, 0, "GTC"),
        (TimeInForce.IOC, 0, "IOC"),
        (TimeInForce.FOK, 0, "FOK"),
        (TimeInForce.GTC, EVENT_POST_ONLY, "GTX"),
    ],
)
def test_time_in_force_and_post_only(time_in_force: TimeInForce, flags: int, text: str) -> None:
    command = order(time_in_force=time_in_force, flags=flags)
    _, _, params, _ = parts(encoder().encode_order(command, PREFIX, 1))
    assert params["timeInForce"] == text
    assert "reduceOnly" not in params


def test_prepared_parts_of_two_orders_do_not_mix() -> None:
    made = encoder()
    for _ in range(2):
        _, _, first, _ = parts(made.encode_order(order(), PREFIX, 1))
        _, _, second, _ = parts(made.encode_order(order(instrument_index=1, side=-1), PREFIX, 1))
        assert (first["symbol"], first["side"]) == ("BTCUSDT", "BUY")
        assert (second["symbol"], second["side"]) == ("DOGEUSDT", "SELL")


@given(st.integers(1, 10**15), st.integers(1, 10**15), st.sampled_from([0, 1]))
def test_decimals_are_exact_and_without_exponent(price: int, qty: int, index: int) -> None:
    command = order(price_ticks=price, qty_lots=qty, instrument_index=index)
    _, _, params, _ = parts(encoder().encode_order(command, PREFIX, 1))
    exponents = ((1, 3), (5, 0))[index]
    assert Decimal(params["price"]) == Decimal(price).scaleb(-exponents[0])
    assert Decimal(params["quantity"]) == Decimal(qty).scaleb(-exponents[1])
    assert set(params["price"] + params["quantity"]) <= set("0123456789.")


@given(st.binary(max_size=300), st.text(min_size=1, max_size=100))
def test_signature_is_hmac_sha256(query: bytes, secret: str) -> None:
    expected = hmac.new(secret.encode(), query, hashlib.sha256).hexdigest().encode()
    wire = _native.OrderWire(b"", b"", b"", secret.encode())
    assert wire.signature(query) == expected


@given(*[st.integers(0, 2**63 - 1)] * 5, st.integers(0, 18), st.integers(0, 18), st.booleans())
def test_an_order_is_what_the_parts_say(
    quantity: int,
    price: int,
    order_sequence: int,
    cause: int,
    venue_ms: int,
    quantity_exponent: int,
    price_exponent: int,
    has_price: bool,
) -> None:
    numbers = (quantity, quantity_exponent, price if has_price else _native.NO_PRICE)
    wire = _native.OrderWire(b"POST /o?", b" HTTP/1.1", b"&w=5&timestamp=", b"key")
    found = wire.order(b"s=A", *numbers, price_exponent, PREFIX, order_sequence, cause, venue_ms)
    query = f"s=A&quantity={decimal_text(quantity, quantity_exponent)}"
    if has_price:
        query += f"&price={decimal_text(price, price_exponent)}"
    query += f"&newClientOrderId=a1-1-{encode_base36(order_sequence)}-{encode_base36(cause)}"
    query += f"&w=5&timestamp={venue_ms}"
    signature = hmac.new(b"key", query.encode(), hashlib.sha256).hexdigest()
    assert found.decode() == f"POST /o?{query}&signature={signature} HTTP/1.1"


@pytest.mark.parametrize("place", [1, 2, 3, 4, 6, 7, 8])
def test_a_number_out_of_range_is_an_invariant_broken(place: int) -> None:
    arguments: list[bytes | int] = [b"", 1, 1, 1, 1, b"", 1, 1, 1]
    arguments[place] = -1
    wire = _native.OrderWire(b"", b"", b"", b"")
    with pytest.raises(AssertionError, match="out of its range"):
        wire.order(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("arguments", [(), (b"",) * 9, (1,) * 9, (b"", "1", 1, 1, 1, b"", 1, 1, 1)])
def test_a_wire_takes_bytes_and_numbers_only(arguments: tuple[bytes | int, ...]) -> None:
    with pytest.raises(TypeError):
        _native.OrderWire(b"", b"", b"", b"").order(*arguments)  # type: ignore[arg-type]


def test_a_wire_without_its_parts_signs_nothing() -> None:
    bare = _native.OrderWire.__new__(_native.OrderWire)
    with pytest.raises(ValueError, match="no key"):
        bare.signature(b"")


def test_signature_covers_the_query_exactly_as_sent() -> None:
    for request in (
        encoder("s3cret").encode_order(order(), PREFIX, 77),
        encoder("s3cret").encode_cancel(order(), ID, 77),
        encoder("s3cret").encode_cancel_all(0, 77),
    ):
        query = request.split(b" ")[1].split(b"?", 1)[1]
        signed, signature = query.split(b"&signature=")
        expected = hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest()
        assert signature.decode() == expected


def test_cancel_prefers_the_venues_own_id() -> None:
    _, _, by_ours, _ = parts(encoder().encode_cancel(order(), ID, 1))
    method, _, by_theirs, _ = parts(encoder().encode_cancel(order(venue_order_id=55), ID, 1))
    assert method == "DELETE"
    assert by_ours["origClientOrderId"] == ID
    assert by_theirs["orderId"] == "55"
    assert "origClientOrderId" not in by_theirs


def test_path_of_a_base_url_is_kept() -> None:
    made = encoder(url="https://example.com/proxy")
    method, path, _, headers = parts(made.encode_cancel_all(0, 1))
    assert (method, path) == ("DELETE", "/proxy/fapi/v1/allOpenOrders")
    assert headers["Host"] == "example.com"
    assert parts(made.encode_order(order(), PREFIX, 1))[1] == "/proxy/fapi/v1/order"
