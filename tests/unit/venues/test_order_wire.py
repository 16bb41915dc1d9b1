"""Orders as bytes: exact decimals, the right parameters, a signature over what is sent."""

from __future__ import annotations

import hashlib
import hmac
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.client_id import ClientId, encode_client_id
from engine.domain.codes import (
    EVENT_POST_ONLY,
    EVENT_REDUCE_ONLY,
    EventType,
    OrderType,
    Side,
    TimeInForce,
)
from engine.domain.instrument_row import decimal_text
from engine.venues.binance.order_wire import Account, OrderEncoder
from engine.venues.order_records import Command
from native_ext._native import OrderWire
from tests.builders import make_instrument

NUMBERS = dict.fromkeys(Command._fields, 0) | {"client_order_id": ""}
ID = "a1-1-1-rt"
DATE_MS = 1_800_000_000_000
TERMS = tuple(b"&term=%d" % place for place in range(24))


def encoder(secret: str = "secret", url: str = "http://localhost:9") -> OrderEncoder:
    coarse = make_instrument("DOGEUSDT", instrument_index=1, price_exponent=5, qty_exponent=0)
    account = Account(url, "", "key", secret, "a", 1, 1_000)
    return OrderEncoder(account, [make_instrument(), coarse])


def wire(secret: bytes = b"key", epoch: int = 1, terms: tuple[bytes, ...] = TERMS) -> OrderWire:
    return OrderWire(b"POST /o?", b" HTTP/1.1", b"&w=5&timestamp=", secret, b"a", epoch, terms)


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
        "epoch_low": 1,
    }
    return Command(**(NUMBERS | defaults | fields))  # type: ignore[arg-type]


def cancel(made: OrderEncoder, command: Command, venue_ms: int) -> bytes:
    return made.encode_about("DELETE", made.which(command, ID), venue_ms)


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
    method, path, params, headers = parts(encoder().encode_order(order(), 1_723_000_000_123))
    assert (method, path) == ("POST", "/fapi/v1/order")
    signature = params.pop("signature")
    assert len(signature) == 64
    assert params == {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "quantity": "0.004",
        "price": "61800.1",
        "newClientOrderId": ID,
        "recvWindow": "5000",
        "timestamp": "1723000000123",
    }
    assert headers == {"Host": "localhost:9", "X-MBX-APIKEY": "key", "Content-Length": "0"}


def test_market_order_has_no_price_and_no_time_in_force() -> None:
    command = order(order_type=OrderType.MARKET, side=Side.SELL, flags=EVENT_REDUCE_ONLY)
    _, _, params, _ = parts(encoder().encode_order(command, 1))
    assert {"price", "timeInForce"}.isdisjoint(params)
    assert (params["side"], params["type"], params["reduceOnly"]) == ("SELL", "MARKET", "true")


@pytest.mark.parametrize(
    ("time_in_force", "flags", "text"),
    [
        (TimeInForce.GTC, 0, "GTC"),
        (TimeInForce.IOC, 0, "IOC"),
        (TimeInForce.FOK, 0, "FOK"),
        (TimeInForce.GTD, 0, "GTD"),
        (TimeInForce.GTC, EVENT_POST_ONLY, "GTX"),
    ],
)
def test_time_in_force_and_post_only(time_in_force: TimeInForce, flags: int, text: str) -> None:
    command = order(time_in_force=time_in_force, flags=flags, good_till_ms=DATE_MS)
    _, _, params, _ = parts(encoder().encode_order(command, 1))
    assert params["timeInForce"] == text
    assert params.get("goodTillDate") == (str(DATE_MS) if text == "GTD" else None)
    assert "reduceOnly" not in params


def test_prepared_parts_of_two_orders_do_not_mix() -> None:
    made = encoder()
    for _ in range(2):
        _, _, first, _ = parts(made.encode_order(order(), 1))
        _, _, second, _ = parts(made.encode_order(order(instrument_index=1, side=-1), 1))
        assert (first["symbol"], first["side"]) == ("BTCUSDT", "BUY")
        assert (second["symbol"], second["side"]) == ("DOGEUSDT", "SELL")


@given(st.integers(1, 10**15), st.integers(1, 10**15), st.sampled_from([0, 1]))
def test_decimals_are_exact_and_without_exponent(price: int, qty: int, index: int) -> None:
    command = order(price_ticks=price, qty_lots=qty, instrument_index=index)
    _, _, params, _ = parts(encoder().encode_order(command, 1))
    exponents = ((1, 3), (5, 0))[index]
    assert Decimal(params["price"]) == Decimal(price).scaleb(-exponents[0])
    assert Decimal(params["quantity"]) == Decimal(qty).scaleb(-exponents[1])
    assert set(params["price"] + params["quantity"]) <= set("0123456789.")


@given(st.binary(max_size=300), st.text(min_size=1, max_size=100))
def test_signature_is_hmac_sha256(query: bytes, secret: str) -> None:
    expected = hmac.new(secret.encode(), query, hashlib.sha256).hexdigest().encode()
    assert wire(secret.encode()).signature(query) == expected


NUMBER = st.integers(0, 2**63 - 1)
SCALE = st.integers(1, 10**6)
EXPONENT = st.integers(0, 18)


@given(
    NUMBER,
    NUMBER,
    NUMBER,
    SCALE,
    SCALE,
    EXPONENT,
    EXPONENT,
    st.sampled_from(["market", "GTC", "GTD"]),
    st.integers(1, 2**63 - 1),
)
def test_an_order_is_what_the_parts_say(
    quantity: int,
    price: int,
    venue_ms: int,
    lot: int,
    tick: int,
    quantity_exponent: int,
    price_exponent: int,
    kind: str,
    good_till_ms: int,
) -> None:
    quantity //= lot
    price //= tick
    made = wire()
    made.add_instrument(b"s=A", lot, quantity_exponent, tick, price_exponent)
    has_price = kind != "market"
    command = order(
        qty_lots=quantity,
        price_ticks=price,
        order_type=OrderType.LIMIT if has_price else OrderType.MARKET,
        time_in_force=TimeInForce[kind] if has_price else TimeInForce.GTC,
        good_till_ms=good_till_ms,
    )
    found = made.order(command, venue_ms)
    terms = TERMS[{"market": 12, "GTC": 14, "GTD": 20}[kind]].decode()
    query = f"s=A{terms}&quantity={decimal_text(quantity * lot, quantity_exponent)}"
    if has_price:
        query += f"&price={decimal_text(price * tick, price_exponent)}"
    if kind == "GTD":
        query += f"&goodTillDate={good_till_ms}"
    query += f"&newClientOrderId={ID}&w=5&timestamp={venue_ms}"
    signature = hmac.new(b"key", query.encode(), hashlib.sha256).hexdigest()
    assert found.decode() == f"POST /o?{query}&signature={signature} HTTP/1.1"


@given(
    st.integers(0, 2**31), st.integers(0, 255), st.integers(-1, 299), st.integers(0, 2**40), NUMBER
)
def test_the_name_is_the_one_the_rest_of_the_engine_knows(
    epoch: int, age: int, strategy: int, sequence: int, cause: int
) -> None:
    age = min(age, epoch)
    expected = (epoch - age, strategy, sequence, cause)
    try:
        text = encode_client_id("a", ClientId(*expected))
    except AssertionError:
        text = ""  # too long
    made = wire(epoch=epoch)
    made.add_instrument(b"s=A", 1, 0, 1, 0)
    command = order(
        epoch_low=(epoch - age) & 255,
        strategy_index=strategy,
        order_sequence=sequence,
        cause_sequence=cause,
    )
    if not text:
        with pytest.raises(AssertionError, match="a name of"):
            made.order(command, 1)
        return
    query = made.order(command, 1).split(b" ")[1].decode()
    assert dict(parse_qsl(query))["newClientOrderId"] == text


def test_each_kind_of_order_has_terms_of_its_own() -> None:
    made = wire()
    made.add_instrument(b"s=A", 1, 0, 1, 0)
    kinds = [(OrderType.MARKET, 0, 0)]
    kinds += [(OrderType.LIMIT, code, 0) for code in TimeInForce]
    kinds += [(OrderType.LIMIT, TimeInForce.GTC, EVENT_POST_ONLY)]
    found = [
        made.order(
            order(
                side=side,
                order_type=kind,
                time_in_force=code,
                flags=flags | reduce_only,
                good_till_ms=DATE_MS,
            ),
            1,
        )
        for side in (Side.SELL, Side.BUY)
        for kind, code, flags in kinds
        for reduce_only in (0, EVENT_REDUCE_ONLY)
    ]
    assert [request.split(b"&")[1] for request in found] == [term[1:] for term in TERMS]


@pytest.mark.parametrize(
    "fields",
    [
        {"qty_lots": -1},
        {"price_ticks": -1},
        {"order_sequence": -1},
        {"cause_sequence": -1},
        {"strategy_index": -2},
        {"instrument_index": -1},
        {"instrument_index": 2},
        {"time_in_force": 0},
        {"time_in_force": 5},
        {"time_in_force": TimeInForce.GTD},  # without a date
        {"time_in_force": TimeInForce.GTD, "good_till_ms": -1},
        {"time_in_force": TimeInForce.GTD, "good_till_ms": 1, "flags": EVENT_POST_ONLY},
        {"epoch_low": 200},  # of an epoch before the first
        {"instrument_index": 1, "price_ticks": 2**62},  # times the tick: over an int64
        {"instrument_index": 1, "qty_lots": 2**62},
    ],
)
def test_a_number_out_of_range_is_an_invariant_broken(fields: dict[str, int]) -> None:
    made = wire()
    made.add_instrument(b"s=A", 1, 0, 1, 0)
    made.add_instrument(b"s=B", 10, 0, 10, 0)
    with pytest.raises(AssertionError, match="out of its range"):
        made.order(order(**fields), 1)
    with pytest.raises(AssertionError, match="out of its range"):
        made.order(order(), -1)


@pytest.mark.parametrize("arguments", [(), (1, 1), ((), 1), (order(), "1"), (order(), 1, 1)])
def test_a_wire_takes_a_command_and_a_time_only(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        wire().order(*arguments)


@pytest.mark.parametrize(
    "numbers", [(0, 0, 1, 0), (1, 0, 0, 0), (1, -1, 1, 0), (1, 19, 1, 0), (1, 0, 1, 19)]
)
def test_an_instrument_off_every_grid_is_refused(numbers: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="s=A"):
        wire().add_instrument(b"s=A", *numbers)


@pytest.mark.parametrize(
    ("tag", "epoch", "terms"), [(b"abc", 1, TERMS), (b"a", -1, TERMS), (b"a", 1, TERMS[1:])]
)
def test_a_wire_needs_a_tag_an_epoch_and_every_term(
    tag: bytes, epoch: int, terms: tuple[bytes, ...]
) -> None:
    with pytest.raises(ValueError, match="tag of at most"):
        OrderWire(b"", b"", b"", b"", tag, epoch, terms)


def test_a_wire_without_its_parts_signs_nothing() -> None:
    bare = OrderWire.__new__(OrderWire)
    with pytest.raises(ValueError, match="no key"):
        bare.signature(b"")


def test_signature_covers_the_query_exactly_as_sent() -> None:
    for request in (
        encoder("s3cret").encode_order(order(), 77),
        cancel(encoder("s3cret"), order(), 77),
        encoder("s3cret").encode_cancel_all(0, 77),
    ):
        query = request.split(b" ")[1].split(b"?", 1)[1]
        signed, signature = query.split(b"&signature=")
        expected = hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest()
        assert signature.decode() == expected


def test_cancel_prefers_the_venues_own_id() -> None:
    _, _, by_ours, _ = parts(cancel(encoder(), order(), 1))
    method, _, by_theirs, _ = parts(cancel(encoder(), order(venue_order_id=55), 1))
    assert method == "DELETE"
    assert by_ours["origClientOrderId"] == ID
    assert by_theirs["orderId"] == "55"
    assert "origClientOrderId" not in by_theirs


def test_path_of_a_base_url_is_kept() -> None:
    made = encoder(url="https://example.com/proxy")
    method, path, _, headers = parts(made.encode_cancel_all(0, 1))
    assert (method, path) == ("DELETE", "/proxy/fapi/v1/allOpenOrders")
    assert headers["Host"] == "example.com"
    assert parts(made.encode_order(order(), 1))[1] == "/proxy/fapi/v1/order"
