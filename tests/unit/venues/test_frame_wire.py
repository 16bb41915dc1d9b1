"""Orders as frames of a session: the order of a request, masked, unsigned, named by its id."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs, parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import EVENT_POST_ONLY, EVENT_REDUCE_ONLY, OrderType, Side, TimeInForce
from engine.venues.binance.order_wire import Account, OrderEncoder, frame_wire
from engine.venues.binance.signing import Ed25519Signer, KeyTextError, signer_of
from exchange import frames as venue_frames
from native_ext._native import OrderWire
from tests.builders import make_instrument
from tests.order_api_client import PRIVATE_KEY, pem_of
from tests.unit.venues.test_order_wire import encoder, order, parts

INSTRUMENTS = [
    make_instrument(),
    make_instrument("DOGEUSDT", instrument_index=1, price_exponent=5, qty_exponent=0),
]
VENUE_MS = 1_723_000_000_123


def account(secret: str = "secret") -> Account:
    return Account("http://localhost:9", "", "key", secret, "a", 1, 1_000)


def opened(frame: bytes) -> dict[str, Any]:
    """Return what a venue reads out of one frame, and nothing may be left."""
    buffer = bytearray(frame)
    decoded = venue_frames.decode(buffer)
    assert decoded is not None
    opcode, is_last, text = decoded
    assert (opcode, is_last, bytes(buffer)) == (venue_frames.TEXT, True, b"")
    return dict(json.loads(text))


def test_frame_is_the_request_the_venue_reads() -> None:
    frame = frame_wire(account(), INSTRUMENTS).order(order(flags=EVENT_POST_ONLY), VENUE_MS)
    assert opened(frame) == {
        "method": "order.place",
        "params": {
            "symbol": "BTCUSDT",
            "side": "BUY",
            "type": "LIMIT",
            "timeInForce": "GTX",
            "selfTradePreventionMode": "EXPIRE_MAKER",
            "quantity": "0.004",
            "price": "61800.1",
            "newClientOrderId": "a1-1-1-rt",
            "recvWindow": 5_000,
            "timestamp": VENUE_MS,
        },
        "id": "a1-1-1-rt",
    }


@given(
    side=st.sampled_from([Side.BUY, Side.SELL]),
    order_type=st.sampled_from([OrderType.LIMIT, OrderType.MARKET]),
    time_in_force=st.sampled_from([TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK]),
    flags=st.sampled_from([0, EVENT_REDUCE_ONLY, EVENT_POST_ONLY]),
    good_till_ms=st.integers(0, 2**48),
    instrument_index=st.integers(0, 1),
    price_ticks=st.integers(0, 10**12),
    qty_lots=st.integers(0, 10**12),
    order_sequence=st.integers(0, 2**40),
    venue_ms=st.integers(0, 2**45),
)
def test_frame_says_what_the_signed_request_says(venue_ms: int, **fields: int) -> None:
    if fields["good_till_ms"] and not fields["flags"] & EVENT_POST_ONLY:
        fields["time_in_force"] = TimeInForce.GTD
    command = order(**fields)
    _, _, params, _ = parts(encoder().encode_order(command, venue_ms))
    params.pop("signature")
    said = opened(frame_wire(account(), INSTRUMENTS).order(command, venue_ms))
    assert {name: str(word) for name, word in said["params"].items()} == params
    assert said["id"] == params["newClientOrderId"]


def test_every_frame_has_a_mask_of_its_own_and_every_wire_a_seed() -> None:
    wire = frame_wire(account(), INSTRUMENTS)
    masks = {wire.order(order(order_sequence=n), VENUE_MS)[4:8] for n in range(200)}
    assert len(masks) == 200
    other = frame_wire(account(), INSTRUMENTS)
    assert wire.order(order(), VENUE_MS)[4:8] != other.order(order(), VENUE_MS)[4:8]


def test_short_text_has_the_short_head() -> None:
    wire = OrderWire(b"{", b"", b',"t":', None, b"a", 1, (b"",) * 24, mask_seed=5)
    wire.add_instrument(b'"s":1', 1, 0, 1, 0)
    command = order(order_type=OrderType.MARKET, qty_lots=1)
    frame = wire.order(command, 1)
    assert frame[1] & 0x7F == len(frame) - 6 < 126
    decoded = venue_frames.decode(bytearray(frame))
    assert decoded is not None
    assert decoded[2] == b'{"s":1,"quantity":"1","newClientOrderId":"a1-1-1-rt","t":1a1-1-1-rt"}'


def test_wire_of_frames_signs_nothing() -> None:
    with pytest.raises(ValueError, match="no key"):
        frame_wire(account(), INSTRUMENTS).signature(b"a=1")


def test_what_is_signed_is_the_request_without_its_signature() -> None:
    made = encoder()
    _, _, query = made.encode_order(order(), VENUE_MS).split(b" ")[1].partition(b"?")
    signed, _, _ = query.partition(b"&signature=")
    assert made.wire.unsigned(order(), VENUE_MS) == signed


# Keys ---------------------------------------------------------------------------------------


def test_request_of_an_ed25519_account_is_signed_with_its_key() -> None:
    made = OrderEncoder(account(pem_of()), INSTRUMENTS)
    requests = [
        made.encode_order(order(), VENUE_MS),
        made.encode_about("DELETE", made.which(order(venue_order_id=7), ""), VENUE_MS),
        made.encode_about("PUT", made.change(order(), "a1-1-1-rt"), VENUE_MS),
    ]
    for request in requests:
        query = request.split(b" ")[1].partition(b"?")[2].decode()
        signed = query.partition("&signature=")[0]
        (signature,) = parse_qs(query)["signature"]
        PRIVATE_KEY.public_key().verify(base64.b64decode(signature), signed.encode())
        assert dict(parse_qsl(query))["symbol"] == "BTCUSDT"


def test_key_may_stand_in_one_line() -> None:
    signer = signer_of(pem_of().replace("\n", "\\n"))
    assert isinstance(signer, Ed25519Signer)
    assert signer.sign(b"text") == base64.b64encode(PRIVATE_KEY.sign(b"text")).decode()
    assert not signer_of("secret").logs_on


@pytest.mark.parametrize("text", ["-----BEGIN", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END"])
def test_private_key_that_is_none_is_refused_without_its_text(text: str) -> None:
    with pytest.raises(KeyTextError) as refused:
        signer_of(text)
    assert "AAAA" not in str(refused.value)
