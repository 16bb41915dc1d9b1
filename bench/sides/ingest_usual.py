"""The usual ways from a socket to a ring: websockets + orjson, aiohttp + msgspec, both on uvloop.

Frames are taken as bytes, without compression or pings. `read_only` turns every number of a frame
into a float and forgets it. `UsualFeed` does what a plain program needs beside that to put the
market into a ring: prices in ticks, one 64-byte record per quote and trade, books as dictionaries
and one record per diff. That is less than the feed does, which also checks every field and id,
keeps sorted books, and publishes each changed level of the best twenty.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from typing import Any, Final

import aiohttp
import msgspec
import orjson
import websockets

from bench.decode import RING_SLOTS, STEPS, Recording, understood
from bench.sides.typed_frames import Diff, Quote, Trade, Wrapped
from engine.domain.codes import TRADE_BUYER_AGGRESSOR, RecordType
from ringbuffer.ring import Producer, Ring

RECORD: Final = struct.Struct("<qqHBBiqqqq")  # a market record behind its sequence
INDEX: Final = {symbol: index for index, symbol in enumerate(STEPS)}
TICKS: Final = {symbol: round(1 / float(tick)) for symbol, (tick, _) in STEPS.items()}
LOTS: Final = {symbol: round(1 / float(lot)) for symbol, (_, lot) in STEPS.items()}
NS_PER_MS: Final = 1_000_000
ID_MASK: Final = 0x7FFF_FFFF

Take = Callable[[bytes], object]
Levels = list[tuple[float, float]]


class UsualFeed:
    """Turns decoded messages into records of a ring that nobody gates."""

    def __init__(self) -> None:
        """Start with empty books."""
        self.ring = Ring.local("bench-ingest-usual", RING_SLOTS, 64)
        self.producer = Producer(self.ring)
        self.books: dict[str, tuple[dict[float, float], dict[float, float]]] = {
            symbol: ({}, {}) for symbol in STEPS
        }
        self.records = 0

    def quote(self, symbol: str, venue_ms: int, update_id: int, sides: tuple[float, ...]) -> None:
        """Publish a quote: bid, ask, bid quantity, ask quantity."""
        tick, lot = TICKS[symbol], LOTS[symbol]
        bid, ask, bid_qty, ask_qty = sides
        prices = (round(bid * tick), round(ask * tick))
        quantities = (round(bid_qty * lot), round(ask_qty * lot))
        id_low = update_id & ID_MASK
        self._publish(RecordType.QUOTE, symbol, venue_ms, 0, id_low, *prices, *quantities)

    def trade(
        self, symbol: str, venue_ms: int, trade_id: int, price: float, qty: float, sells: bool
    ) -> None:
        """Publish a trade."""
        ticks, lots = round(price * TICKS[symbol]), round(qty * LOTS[symbol])
        flags = 0 if sells else TRADE_BUYER_AGGRESSOR
        self._publish(RecordType.TRADE, symbol, venue_ms, flags, 0, ticks, lots, trade_id, 1)

    def diff(self, symbol: str, update_id: int, bids: Levels, asks: Levels) -> None:
        """Apply a diff to the book and publish one record about it."""
        for side, levels in zip(self.books[symbol], (bids, asks), strict=True):
            for price, qty in levels:
                if qty:
                    side[price] = qty
                else:
                    side.pop(price, None)
        self._publish(RecordType.LEVEL, symbol, 0, 0, 0, len(bids), len(asks), update_id, 0)

    def close(self) -> int:
        """Return how many records were published."""
        self.producer.close()
        self.ring.close()
        return self.records

    def _publish(
        self, kind: int, symbol: str, venue_ms: int, flags: int, aux: int, *payload: int
    ) -> None:
        now_ns = time.monotonic_ns()
        head = (now_ns, venue_ms * NS_PER_MS, INDEX[symbol], kind, flags, aux)
        self.producer.try_publish(RECORD.pack(*head, *payload))
        self.records += 1


def orjson_to(feed: UsualFeed) -> Take:
    """Return what decodes a frame with orjson and hands it to the feed."""

    def take(frame: bytes) -> None:
        data: dict[str, Any] = orjson.loads(frame)["data"]
        symbol, kind = data["s"], data["e"]
        if kind == "bookTicker":
            sides = (float(data["b"]), float(data["a"]), float(data["B"]), float(data["A"]))
            feed.quote(symbol, data["T"], data["u"], sides)
        elif kind == "trade":
            numbers = (float(data["p"]), float(data["q"]), data["m"])
            feed.trade(symbol, data["T"], data["t"], *numbers)
        else:
            bids = [(float(price), float(qty)) for price, qty in data["b"]]
            asks = [(float(price), float(qty)) for price, qty in data["a"]]
            feed.diff(symbol, data["u"], bids, asks)

    return take


def msgspec_to(feed: UsualFeed) -> Take:
    """Return what decodes a frame into a typed message with msgspec and hands it to the feed."""
    decode = msgspec.json.Decoder(Wrapped, strict=False).decode

    def take(frame: bytes) -> None:
        data = decode(frame).data
        if isinstance(data, Quote):
            feed.quote(data.s, data.T, data.u, (data.b, data.a, data.B, data.A))
        elif isinstance(data, Trade):
            feed.trade(data.s, data.T, data.t, data.p, data.q, data.m)
        else:
            assert isinstance(data, Diff)
            feed.diff(data.s, data.u, data.b, data.a)

    return take


def orjson_only() -> Take:
    """Return what decodes a frame with orjson and turns its numbers into floats."""
    return lambda frame: understood(orjson.loads(frame))


def msgspec_only() -> Take:
    """Return what decodes a frame into a typed message with msgspec."""
    return msgspec.json.Decoder(Wrapped, strict=False).decode


async def with_websockets(recording: Recording, port: int, take: Take) -> None:
    """Receive every frame with `websockets`."""
    async with websockets.connect(
        f"ws://127.0.0.1:{port}/x", compression=None, max_size=None, ping_interval=None
    ) as connection:
        for _ in range(len(recording.frames)):
            take(await connection.recv(decode=False))


async def with_aiohttp(recording: Recording, port: int, take: Take) -> None:
    """Receive every frame with aiohttp."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            f"ws://127.0.0.1:{port}/x", compress=0, max_msg_size=0, decode_text=False
        ) as connection,
    ):
        for _ in range(len(recording.frames)):
            take((await connection.receive()).data)
