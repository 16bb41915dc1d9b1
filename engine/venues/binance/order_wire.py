"""Orders to bytes: complete HTTP requests, signed, each in one piece.

What does not change between two orders of a kind is prepared once: the request line up to the
first number for every (instrument, side, type, flags), the headers behind it, and the two halves
of the HMAC key. What is left per order, numbers and hash, is one call of `native_ext/order_wire.c`.

        POST /fapi/v1/order?symbol=..&side=..&type=.. | &quantity=..&price=..&newClientOrderId=..
        &recvWindow=..&timestamp=.. | &signature=.. |  HTTP/1.1 and headers

The signature covers the query exactly as it is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.domain.codes import EVENT_POST_ONLY, EVENT_REDUCE_ONLY, OrderType, Side, TimeInForce
from engine.domain.instrument_row import Instrument
from engine.venues.binance.http import parse_url
from engine.venues.order_records import Command
from native_ext import _native

ORDER_PATH: Final = "/fapi/v1/order"
ALL_ORDERS_PATH: Final = "/fapi/v1/allOpenOrders"
RECV_WINDOW_MS: Final = 5_000
SIDE_TEXT: Final = {Side.BUY: "BUY", Side.SELL: "SELL"}
TIME_IN_FORCE_TEXT: Final = {TimeInForce.GTC: "GTC", TimeInForce.IOC: "IOC", TimeInForce.FOK: "FOK"}


class OrderEncoder:
    """Builds the requests of one account at one address."""

    def __init__(
        self, rest_url: str, api_key: str, api_secret: str, instruments: Sequence[Instrument]
    ) -> None:
        """Prepare headers and key; requests are prepared when first used."""
        self._instruments = instruments
        endpoint = parse_url(rest_url)
        self._path = endpoint.path
        headers = f"Host: {endpoint.host_header}\r\nX-MBX-APIKEY: {api_key}\r\n"
        self._tail = f" HTTP/1.1\r\n{headers}\r\n".encode()
        self._wire = _native.OrderWire(
            f"POST {self._path}{ORDER_PATH}?".encode(),
            f" HTTP/1.1\r\n{headers}Content-Length: 0\r\n\r\n".encode(),
            f"&recvWindow={RECV_WINDOW_MS}&timestamp=".encode(),
            api_secret.encode(),
        )
        self._orders: dict[tuple[int, int, int, int, int], bytes] = {}

    def encode_order(self, command: Command, id_prefix: bytes, venue_ms: int) -> bytes:
        """Return the request that places an order named by prefix, order and cause sequence."""
        instrument = self._instruments[command.instrument_index]
        key = (
            command.instrument_index,
            command.side,
            command.order_type,
            command.time_in_force,
            command.flags & (EVENT_POST_ONLY | EVENT_REDUCE_ONLY),
        )
        fixed = self._orders.get(key)
        if fixed is None:
            fixed = self._orders[key] = _fixed_part(instrument.symbol, command).encode()
        is_limit = command.order_type == OrderType.LIMIT
        return self._wire.order(
            fixed,
            command.qty_lots * instrument.lot_scaled,
            instrument.qty_exponent,
            command.price_ticks * instrument.tick_scaled if is_limit else _native.NO_PRICE,
            instrument.price_exponent,
            id_prefix,
            command.order_sequence,
            command.cause_sequence,
            venue_ms,
        )

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
                self._wire.signature(whole),
                self._tail,
            )
        )


def _fixed_part(symbol: str, command: Command) -> str:
    side = SIDE_TEXT[Side(command.side)]
    reduce_only = "&reduceOnly=true" if command.flags & EVENT_REDUCE_ONLY else ""
    if command.order_type == OrderType.MARKET:
        return f"symbol={symbol}&side={side}&type=MARKET{reduce_only}"
    text = TIME_IN_FORCE_TEXT[TimeInForce(command.time_in_force)]
    if command.flags & EVENT_POST_ONLY:
        text = "GTX"
    return f"symbol={symbol}&side={side}&type=LIMIT&timeInForce={text}{reduce_only}"
