"""What tests of the practice exchange share: tapes written by hand, a running one, its clients."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect

from exchange.clock import VirtualClock
from exchange.events import EventSource
from exchange.http1 import Request
from exchange.matching import Market
from exchange.orders import Order
from exchange.server import Exchange, Options
from exchange.symbols import SymbolSpec, known_spec
from exchange.tape import Tape
from exchange.venue import Venue

START_NS = 1_723_161_255_000_000_000
START_MS = START_NS // 1_000_000
EVENT_LEAD_MS = 1_270  # event times of the recorded captures run ahead of the receive stamp
DEADLINE_S = 20.0
KEY = "practice"
USDT = 10**8


def btc() -> SymbolSpec:
    """Return the filters of BTCUSDT."""
    spec = known_spec("BTCUSDT")
    assert spec is not None
    return spec


def quiet_venue(*, deposit: int = 10_000 * USDT) -> tuple[Venue, Market]:
    """Return a venue with one account and BTCUSDT, at a standing clock."""
    venue = Venue(VirtualClock(start_ms=START_MS), deposit)
    market = venue.add_market(btc())
    venue.add_account(KEY, KEY)
    return venue, market


def fill_book(market: Market, *, bid: int = 60_000_00, ask: int = 60_000_10) -> None:
    """Give a market ten levels of one whole coin on each side."""
    bids = [(bid - 10 * k, 1_000) for k in range(10)]
    asks = [(ask + 10 * k, 1_000) for k in range(10)]
    market.book.apply_snapshot(100, bids, asks)


# Tapes --------------------------------------------------------------------------------------


@dataclass
class TapeWriter:
    """Writes a capture line by line; times are milliseconds since its start."""

    symbol: str = "BTCUSDT"

    def __post_init__(self) -> None:
        self.lines: list[str] = []

    def _wrap(self, at_ms: float, channel: str, body: dict[str, Any]) -> None:
        stamp = START_NS + int(at_ms * 1_000_000)
        stream = f"{self.symbol.lower()}@{channel}"
        frame = json.dumps({"stream": stream, "data": body}, separators=(",", ":"))
        self.lines.append(f"{stamp} {frame}")

    def _times(self, at_ms: float) -> dict[str, int]:
        event_ms = START_MS + EVENT_LEAD_MS + int(at_ms)
        return {"E": event_ms, "T": event_ms}

    def quote(self, at_ms: float, u: int, bid: tuple[str, str], ask: tuple[str, str]) -> None:
        body = {"e": "bookTicker", "u": u, "s": self.symbol, "b": bid[0], "B": bid[1]}
        body |= {"a": ask[0], "A": ask[1]}
        self._wrap(at_ms, "bookTicker", body | self._times(at_ms))

    def trade(self, at_ms: float, t: int, price: str, qty: str, *, seller: bool) -> None:
        body = {"e": "trade"} | self._times(at_ms)
        body |= {"s": self.symbol, "t": t, "p": price, "q": qty, "X": "MARKET", "m": seller}
        self._wrap(at_ms, "trade", body)

    def diff(
        self,
        at_ms: float,
        ids: tuple[int, int, int],
        bids: list[tuple[str, str]],
        asks: list[tuple[str, str]],
    ) -> None:
        body: dict[str, Any] = {"e": "depthUpdate"} | self._times(at_ms)
        body |= {"s": self.symbol, "U": ids[0], "u": ids[1], "pu": ids[2], "b": bids, "a": asks}
        self._wrap(at_ms, "depth@0ms", body)

    def snapshot(
        self, at_ms: float, u: int, bids: list[tuple[str, str]], asks: list[tuple[str, str]]
    ) -> None:
        body = {"lastUpdateId": u} | self._times(at_ms) | {"bids": bids, "asks": asks}
        stamp = START_NS + int(at_ms * 1_000_000)
        self.lines.append(f"{stamp} {json.dumps(body, separators=(',', ':'))}")

    def mark(self, at_ms: float, price: str, index: str, rate: str, next_ms: int) -> None:
        body: dict[str, Any] = {"e": "markPriceUpdate"} | self._times(at_ms)
        body |= {"s": self.symbol, "p": price, "i": index, "P": price, "r": rate, "T": next_ms}
        self._wrap(at_ms, "markPrice@1s", body)

    def liquidation(self, at_ms: float, side: str, qty: str, price: str, average: str) -> None:
        times = self._times(at_ms)
        order: dict[str, Any] = {
            "s": self.symbol,
            "S": side,
            "o": "LIMIT",
            "f": "IOC",
            "q": qty,
            "p": price,
        }
        order |= {"ap": average, "X": "FILLED", "l": qty, "z": qty, "T": times["T"]}
        body = {"e": "forceOrder", "E": times["E"], "o": order}
        self._wrap(at_ms, "forceOrder", body)

    def write(self, path: Path) -> Path:
        path.write_text("\n".join(self.lines) + "\n", encoding="utf-8")
        return path


def short_tape(
    path: Path, *, symbol: str = "BTCUSDT", gap_ms: float = 20, tail_ms: float = 0
) -> Path:
    """Write a capture with a snapshot after two diffs, then quotes, trades and diffs.

    With `tail_ms` one more quote follows at that time, so that the tape has not ended before.
    """
    tape = TapeWriter(symbol)
    tape.diff(0, (1001, 1010, 1000), [("60000.00", "1.000")], [("60000.10", "1.000")])
    tape.diff(gap_ms, (1011, 1020, 1010), [("59999.90", "2.000")], [])
    tape.snapshot(
        2 * gap_ms,
        1015,
        [("60000.00", "1.000"), ("59999.90", "1.500"), ("59999.80", "3.000")],
        [("60000.10", "1.000"), ("60000.20", "2.000"), ("60000.30", "3.000")],
    )
    tape.quote(3 * gap_ms, 1022, ("60000.00", "1.000"), ("60000.10", "0.700"))
    tape.trade(4 * gap_ms, 501, "60000.10", "0.300", seller=False)
    tape.diff(5 * gap_ms, (1021, 1030, 1020), [], [("60000.10", "0.700")])
    tape.trade(6 * gap_ms, 502, "60000.00", "0.400", seller=True)
    tape.quote(7 * gap_ms, 1032, ("60000.00", "0.600"), ("60000.10", "0.700"))
    tape.diff(8 * gap_ms, (1031, 1040, 1030), [("60000.00", "0.600")], [])
    if tail_ms:
        tape.quote(tail_ms, 1050, ("60000.00", "0.600"), ("60000.10", "0.700"))
    return tape.write(path)


# A running exchange -------------------------------------------------------------------------


@dataclass
class Running:
    """A running exchange and its port."""

    exchange: Exchange
    port: int

    def rest(self, key: str = KEY, secret: str = KEY) -> Rest:
        return Rest(self, key, secret)

    async def stream(self, path: str) -> Stream:
        """Open a WebSocket at a path."""
        url = f"ws://127.0.0.1:{self.port}{path}"
        return Stream(await connect(url, compression=None, open_timeout=DEADLINE_S))

    async def user_stream(self, rest: Rest) -> Stream:
        """Open the private stream of an account."""
        answer = await rest.keyed("POST", "/fapi/v1/listenKey")
        return await self.stream(f"/private/ws?listenKey={answer.json['listenKey']}")

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds."""
        await until(condition)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, or fail at the deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - any condition, not only an event
            await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def running(source: EventSource, options: Options | None = None) -> AsyncIterator[Running]:
    """Run an exchange on a free port for the length of a test."""
    exchange = Exchange(source, options or Options())
    port = await exchange.listen("127.0.0.1", 0)
    try:
        yield Running(exchange, port)
    finally:
        await exchange.close()


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run the body of a test with a deadline."""

    async def bounded() -> None:
        async with asyncio.timeout(3 * DEADLINE_S):
            await test

    asyncio.run(bounded())


def tape_of(*paths: Path) -> Tape:
    """Open captures as one tape."""
    return Tape([str(path) for path in paths])


@dataclass
class Answer:
    """What a REST call came back with."""

    status: int
    json: Any
    headers: dict[str, str]


class Rest:
    """A client written for these tests alone: one connection per request."""

    def __init__(self, running_exchange: Running, key: str, secret: str) -> None:
        self._running = running_exchange
        self.key = key
        self.secret = secret

    async def open(self, path: str, **params: object) -> Answer:
        """Send an unsigned GET."""
        query = f"?{urlencode(params)}" if params else ""
        return await self.send("GET", path + query, keyed=False)

    async def keyed(self, method: str, path: str) -> Answer:
        """Send a request with the API key only."""
        return await self.send(method, path)

    async def signed(self, method: str, path: str, **params: object) -> Answer:
        """Send a signed request with everything in the query."""
        params.setdefault("timestamp", self._running.exchange.clock.now_ms())
        query = urlencode(params)
        return await self.send(method, f"{path}?{query}&signature={self.sign(query)}")

    async def form(self, method: str, path: str, **params: object) -> Answer:
        """Send a signed request with everything in a form body."""
        params.setdefault("timestamp", self._running.exchange.clock.now_ms())
        text = urlencode(params)
        body = f"{text}&signature={self.sign(text)}".encode()
        return await self.send(method, path, body, "application/x-www-form-urlencoded")

    async def practice(self, path: str, body: dict[str, Any]) -> Answer:
        """Send a practice command."""
        return await self.send("POST", path, json.dumps(body).encode(), "application/json")

    async def order(self, **params: object) -> Answer:
        """Place an order in BTCUSDT; LIMIT GTC unless told otherwise."""
        full: dict[str, object] = {"symbol": "BTCUSDT", "type": "LIMIT"} | params
        if full["type"] == "LIMIT":
            full.setdefault("timeInForce", "GTC")
        return await self.signed("POST", "/fapi/v1/order", **full)

    def sign(self, text: str) -> str:
        return hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).hexdigest()

    async def send(
        self, method: str, target: str, body: bytes = b"", kind: str = "", *, keyed: bool = True
    ) -> Answer:
        """Send raw bytes of one request and read one answer."""
        lines = [f"{method} {target} HTTP/1.1", "Host: test", "Connection: close"]
        if keyed and self.key:
            lines.append(f"X-MBX-APIKEY: {self.key}")
        if body:
            lines += [f"Content-Length: {len(body)}", f"Content-Type: {kind}"]
        data = ("\r\n".join(lines) + "\r\n\r\n").encode() + body
        raw = await exchange_bytes(self._running.port, data)
        return parse_answer(raw)


async def exchange_bytes(port: int, data: bytes) -> bytes:
    """Write bytes to a port and read until the peer closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    raw = await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return raw


def parse_answer(raw: bytes) -> Answer:
    """Return status, headers and JSON of an answer."""
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    pairs = (line.partition(": ") for line in lines[1:])
    headers = {name.lower(): text for name, _, text in pairs}
    return Answer(int(lines[0].split(" ")[1]), json.loads(body) if body else None, headers)


class Stream:
    """A WebSocket whose messages are read with a deadline."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def next_text(self) -> str:
        async with asyncio.timeout(DEADLINE_S):
            message = await self.socket.recv()
        return message if isinstance(message, str) else message.decode()

    async def next(self) -> Any:  # noqa: ANN401 - whatever JSON the venue sends
        return json.loads(await self.next_text())

    async def take(self, count: int) -> list[Any]:
        return [await self.next() for _ in range(count)]

    async def next_event(self, kind: str) -> Any:  # noqa: ANN401
        """Return the next event of one kind, passing over others."""
        while True:
            event = await self.next()
            if event.get("e") == kind:
                return event

    async def silent_for(self, seconds: float) -> bool:
        """Tell whether nothing arrives for a while."""
        try:
            async with asyncio.timeout(seconds):
                await self.socket.recv()
        except TimeoutError:
            return True
        return False

    async def ask(
        self, method: str, params: list[str] | None = None, request_id: int = 1
    ) -> dict[str, Any]:
        """Send a control message and return its answer."""
        message: dict[str, object] = {"method": method, "id": request_id}
        if params is not None:
            message["params"] = params
        await self.socket.send(json.dumps(message))
        while True:
            answer = await self.next()
            if answer.get("id") == request_id and ("result" in answer or "error" in answer):
                return answer

    async def close(self) -> None:
        await self.socket.close()

    def cut(self) -> None:
        """Drop the connection without reading what is still under way."""
        self.socket.transport.abort()


def request(method: str, target: str, **headers: str) -> Request:
    """Return a parsed request, as the server would read it."""
    path, _, query = target.partition("?")
    lowered = {name.replace("_", "-"): text for name, text in headers.items()}
    return Request(method, path, query, lowered, b"", 0, "127.0.0.1")


@contextlib.asynccontextmanager
async def settled(tmp_path: Path) -> AsyncIterator[Running]:
    """Run an exchange whose short tape has been played and has not ended."""
    tape = tape_of(short_tape(tmp_path / "a", tail_ms=60_000))
    async with running(tape, Options(autostart=True)) as exchange:
        await exchange.until(lambda: exchange.exchange.player.event_count == 9)
        yield exchange


async def fault(rest: Rest, **order: object) -> Answer:
    """Carry out one fault command."""
    answer = await rest.practice("/practice/fault", order)
    assert answer.status == 200, answer.json
    return answer


def limit_order(
    side: int, price: int, qty: int, order_id: int = 1, client_order_id: str = ""
) -> Order:
    """Return a GTC order in BTCUSDT as the venue keeps it."""
    return Order(
        order_id=order_id,
        client_order_id=client_order_id or f"c{order_id}",
        spec=btc(),
        side=side,
        order_type="LIMIT",
        time_in_force="GTC",
        price=price,
        qty=qty,
        reduce_only=False,
        created_ms=1,
        updated_ms=1,
        account_key="k",
    )
