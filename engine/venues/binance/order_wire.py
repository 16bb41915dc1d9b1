"""Orders to bytes: complete HTTP requests, signed, each in one piece.

What does not change between two orders is prepared once: how each instrument is called, what an
order can say beside its numbers, the headers, and the two halves of the HMAC key. What is left of a
new order is one call of `native_ext/order_wire.c`.

        POST /fapi/v1/order? | symbol=.. | &side=..&type=.. | &quantity=..&price=..
        &newClientOrderId=..&recvWindow=..&timestamp=.. | &signature=.. |  HTTP/1.1 and headers

The signature covers the query exactly as it is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from engine.domain.instrument_row import Instrument
from engine.venues.binance.http import parse_url
from engine.venues.order_records import Command
from native_ext import _native

ORDER_PATH: Final = "/fapi/v1/order"
ALL_ORDERS_PATH: Final = "/fapi/v1/allOpenOrders"
RECV_WINDOW_MS: Final = 5_000
# What an order can say beside its numbers: by side, kind, and whether it may only reduce. The order
# of the rows is that of `terms_of` in `native_ext/order_wire.c`.
TERMS: Final = tuple(
    f"&side={side}&type={kind}{reduce_only}".encode()
    for side in ("SELL", "BUY")
    for kind in ("MARKET", *(f"LIMIT&timeInForce={text}" for text in ("GTC", "IOC", "FOK", "GTX")))
    for reduce_only in ("", "&reduceOnly=true")
)


class Account(NamedTuple):
    """Whose orders these are, and how they are named."""

    rest_url: str
    stream_url: str
    api_key: str
    api_secret: str
    engine_tag: str
    epoch: int
    order_timeout_ms: int


class OrderEncoder:
    """Builds the requests of one account at one address."""

    def __init__(self, account: Account, instruments: Sequence[Instrument]) -> None:
        """Prepare headers, key, and what an order can say; the rest is one call an order."""
        self._instruments = instruments
        endpoint = parse_url(account.rest_url)
        self._path = endpoint.path
        headers = f"Host: {endpoint.host_header}\r\nX-MBX-APIKEY: {account.api_key}\r\n"
        self._tail = f" HTTP/1.1\r\n{headers}\r\n".encode()
        self.wire = _native.OrderWire(
            f"POST {self._path}{ORDER_PATH}?".encode(),
            f" HTTP/1.1\r\n{headers}Content-Length: 0\r\n\r\n".encode(),
            f"&recvWindow={RECV_WINDOW_MS}&timestamp=".encode(),
            account.api_secret.encode(),
            account.engine_tag.encode(),
            account.epoch,
            TERMS,
        )
        for instrument in instruments:
            self.wire.add_instrument(
                f"symbol={instrument.symbol}".encode(),
                instrument.lot_scaled,
                instrument.qty_exponent,
                instrument.tick_scaled,
                instrument.price_exponent,
            )
        # encode_order(command, venue_ms): the request that places an order, under the name that
        # `engine.domain.client_id` says; AssertionError: a number is out of its range.
        self.encode_order: Final[Callable[[Command, int], bytes]] = self.wire.order
        # signature(query): HMAC-SHA256 as 64 hexadecimal digits.
        self.signature: Final[Callable[[bytes], bytes]] = self.wire.signature

    def encode_cancel(self, command: Command, client_order_id: str, venue_ms: int) -> bytes:
        """Return the request that cancels one order, by the venue's id where it is known."""
        symbol = self._instruments[command.instrument_index].symbol
        which = (
            f"orderId={command.venue_order_id}"
            if command.venue_order_id > 0
            else f"origClientOrderId={client_order_id}"
        )
        return self._signed("DELETE", ORDER_PATH, f"symbol={symbol}&{which}", venue_ms)

    def encode_cancel_all(self, instrument_index: int, venue_ms: int) -> bytes:
        """Return the request that cancels every open order of an instrument."""
        symbol = self._instruments[instrument_index].symbol
        return self._signed("DELETE", ALL_ORDERS_PATH, f"symbol={symbol}", venue_ms)

    def _signed(self, method: str, path: str, query: str, venue_ms: int) -> bytes:
        whole = f"{query}&recvWindow={RECV_WINDOW_MS}&timestamp={venue_ms}".encode()
        return b"".join(
            (
                f"{method} {self._path}{path}?".encode(),
                whole,
                b"&signature=",
                self.signature(whole),
                self._tail,
            )
        )
