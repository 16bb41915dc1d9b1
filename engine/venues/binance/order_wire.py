"""Orders to bytes: complete HTTP requests, signed, or frames of a session, each in one piece.

What does not change between two orders is prepared once: how each instrument is called, what an
order can say beside its numbers, the headers, and the two halves of the HMAC key. What is left of a
new order is one call of `native_ext/order_wire.c`.

        POST /fapi/v1/order? | symbol=.. | &side=..&type=.. | &quantity=..&price=..
        [&goodTillDate=..]&newClientOrderId=..&recvWindow=..&timestamp=.. | &signature=.. |
         HTTP/1.1 and headers

The signature covers the query exactly as it is sent. With an Ed25519 key orders are frames of a
session that was logged on (`order_session`), without signature; requests are what is left when
there is no session, and are then signed in Python.

        {"method":"order.place","params":{ | "symbol":".." | ,"side":"..","type":".." |
        ,"quantity":"..","price":"..","newClientOrderId":"..","recvWindow":..,"timestamp":.. |
        },"id":" | the name of the order | "}
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from engine.domain.instrument_row import Instrument
from engine.venues.binance.http import parse_url
from engine.venues.binance.rest import Params, encode_query
from engine.venues.binance.signing import in_query, signer_of
from engine.venues.order_records import Command
from native_ext import _native

ORDER_PATH: Final = "/fapi/v1/order"
BATCH_PATH: Final = "/fapi/v1/batchOrders"
ALL_ORDERS_PATH: Final = "/fapi/v1/allOpenOrders"
RECV_WINDOW_MS: Final = 5_000
# Where two orders of the account meet the venue drops the one that rests; its default for orders,
# but not for conditional ones, said so that nothing else decides it (`engine.domain.own_orders`).
SELF_TRADE: Final = "EXPIRE_MAKER"
# What an order can say beside its numbers: by side, kind, and whether it may only reduce. The order
# of the rows is that of `terms_of` in `native_ext/order_wire.c`.
TERMS: Final = tuple(
    f"&side={side}&type={kind}{reduce_only}&selfTradePreventionMode={SELF_TRADE}".encode()
    for side in ("SELL", "BUY")
    for kind in (
        "MARKET",
        *(f"LIMIT&timeInForce={text}" for text in ("GTC", "IOC", "FOK", "GTD", "GTX")),
    )
    for reduce_only in ("", "&reduceOnly=true")
)
FRAME_TERMS: Final = tuple(
    "".join(
        f',"{name}":"{word}"'
        for name, word in (pair.split("=") for pair in terms.decode()[1:].split("&"))
    ).encode()
    for terms in TERMS
)
MASK_SEED_BITS: Final = 64


class Account(NamedTuple):
    """Whose orders these are, and how they are named."""

    rest_url: str
    stream_url: str
    api_key: str
    api_secret: str
    engine_tag: str
    epoch: int
    order_timeout_ms: int
    order_url: str = ""  # of the order API over a WebSocket
    countdown_ms: int = 0  # silence after which the venue cancels what rests; 0: never
    leverage: int = 0  # 0: as the account has it
    margin_type: str = ""  # cross, isolated; empty: as the account has it


class OrderEncoder:
    """Builds the requests of one account at one address."""

    def __init__(self, account: Account, instruments: Sequence[Instrument]) -> None:
        """Prepare headers, key, and what an order can say; the rest is one call an order."""
        self._instruments = instruments
        endpoint = parse_url(account.rest_url)
        self._path = endpoint.path
        headers = f"Host: {endpoint.host_header}\r\nX-MBX-APIKEY: {account.api_key}\r\n"
        self._tail = f" HTTP/1.1\r\n{headers}\r\n".encode()
        self._order_head = f"POST {self._path}{ORDER_PATH}?".encode()
        self._order_tail = f" HTTP/1.1\r\n{headers}Content-Length: 0\r\n\r\n".encode()
        self._signer = signer_of(account.api_secret)
        self.wire = _native.OrderWire(
            self._order_head,
            self._order_tail,
            f"&recvWindow={RECV_WINDOW_MS}&timestamp=".encode(),
            account.api_secret.encode(),
            account.engine_tag.encode(),
            account.epoch,
            TERMS,
        )
        _add_instruments(self.wire, instruments, "symbol={}")
        # encode_order(command, venue_ms): the request that places an order, under the name that
        # `engine.domain.client_id` says; AssertionError: a number is out of its range.
        self.encode_order: Final[Callable[[Command, int], bytes]] = (
            self._encode_order if self._signer.logs_on else self.wire.order
        )
        # signature(query): HMAC-SHA256 as 64 hexadecimal digits.
        self.signature: Final[Callable[[bytes], bytes]] = self.wire.signature

    def _encode_order(self, command: Command, venue_ms: int) -> bytes:
        query = self.wire.unsigned(command, venue_ms)
        return b"".join((self._order_head, self._signed_query(query), self._order_tail))

    def _signed_query(self, query: bytes) -> bytes:
        if self._signer.logs_on:
            return query + in_query(self._signer.sign(query))
        return query + b"&signature=" + self.signature(query)

    def which(self, command: Command, client_order_id: str) -> Params:
        """Return what names an order to the venue: its own id where it is known, else ours."""
        symbol = self._instruments[command.instrument_index].symbol
        if command.venue_order_id > 0:
            return {"symbol": symbol, "orderId": command.venue_order_id}
        return {"symbol": symbol, "origClientOrderId": client_order_id}

    def change(self, command: Command, client_order_id: str) -> Params:
        """Return what an amendment says: which order, its side, and what it is to be."""
        instrument = self._instruments[command.instrument_index]
        return {
            **self.which(command, client_order_id),
            "side": "BUY" if command.side > 0 else "SELL",
            "quantity": instrument.qty_text(command.qty_lots),
            "price": instrument.price_text(command.price_ticks),
        }

    def encode_about(self, method: str, params: Params, venue_ms: int) -> bytes:
        """Return a request about one order over HTTP: DELETE, GET or PUT."""
        tail = self._order_tail if method == "PUT" else self._tail
        return self._signed(method, ORDER_PATH, encode_query(params), venue_ms, tail)

    def encode_cancels(self, commands: Sequence[Command], venue_ms: int) -> bytes:
        """Return the request that cancels several orders of an instrument, by the venue's ids."""
        ids = ",".join(str(command.venue_order_id) for command in commands)
        symbol = self._instruments[commands[0].instrument_index].symbol
        query = encode_query({"symbol": symbol, "orderIdList": f"[{ids}]"})
        return self._signed("DELETE", BATCH_PATH, query, venue_ms, self._tail)

    def encode_cancel_all(self, instrument_index: int, venue_ms: int) -> bytes:
        """Return the request that cancels every open order of an instrument."""
        symbol = self._instruments[instrument_index].symbol
        return self._signed(
            "DELETE", ALL_ORDERS_PATH, f"symbol={symbol}".encode(), venue_ms, self._tail
        )

    def _signed(self, method: str, path: str, query: bytes, venue_ms: int, tail: bytes) -> bytes:
        whole = query + f"&recvWindow={RECV_WINDOW_MS}&timestamp={venue_ms}".encode()
        return b"".join(
            (
                f"{method} {self._path}{path}?".encode(),
                self._signed_query(whole),
                tail,
            )
        )


def frame_wire(account: Account, instruments: Sequence[Instrument]) -> _native.OrderWire:
    """Return what writes new orders as frames of a session that was logged on."""
    wire = _native.OrderWire(
        b'{"method":"order.place","params":{',
        b'},"id":"',
        f',"recvWindow":{RECV_WINDOW_MS},"timestamp":'.encode(),
        None,
        account.engine_tag.encode(),
        account.epoch,
        FRAME_TERMS,
        mask_seed=secrets.randbits(MASK_SEED_BITS),
    )
    _add_instruments(wire, instruments, '"symbol":"{}"')
    return wire


def _add_instruments(
    wire: _native.OrderWire, instruments: Sequence[Instrument], symbol: str
) -> None:
    for instrument in instruments:
        wire.add_instrument(
            symbol.format(instrument.symbol).encode(),
            instrument.lot_scaled,
            instrument.qty_exponent,
            instrument.tick_scaled,
            instrument.price_exponent,
        )
