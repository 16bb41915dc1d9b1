"""Hostile bytes: whatever arrives, the exchange answers or cuts, and serves the next client."""

import asyncio
import contextlib
from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import urlencode

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange import frames
from exchange.connection import Connection
from exchange.generator import Generator
from exchange.http1 import HttpError, read_request
from exchange.server import Exchange, Options
from tests.exchange_rig import KEY, Rest

SAMPLES = [
    b"GET /fapi/v1/time HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /fapi/v1/depth?symbol=BTCUSDT&limit=5 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /fapi/v1/order?side=BUY HTTP/1.1\r\nX-MBX-APIKEY: practice\r\n\r\n",
    b"GET /public/ws/btcusdt@depth HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n",
    b'POST /practice/fault HTTP/1.1\r\nContent-Length: 16\r\n\r\n{"kind":"clear"}',
]


class Wire(asyncio.Transport):
    """A transport that keeps what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Take the limits; nothing is buffered here."""

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: object = None) -> object:
        return ("127.0.0.1", 1) if name == "peername" else default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    made = Exchange(Generator(1, 1), Options())
    made.player.stop()
    yield made
    made.connections.clear()


def talk(exchange: Exchange, pieces: list[bytes]) -> bytes:
    """Give pieces to a connection of its own and return what it wrote."""

    async def conversation() -> bytes:
        wire, connection = Wire(), Connection(exchange)
        connection.connection_made(wire)
        for piece in pieces:
            if wire.closed:
                break
            connection.data_received(piece)
        connection.connection_lost(None)
        return bytes(wire.written)

    return asyncio.run(conversation())


@st.composite
def mangled(draw: st.DrawFn) -> list[bytes]:
    """A request with some bytes changed, cut into pieces anywhere."""
    data = bytearray(draw(st.sampled_from(SAMPLES)))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(data) - 1))
        data[place] = draw(st.integers(0, 255))
    if draw(st.booleans()):
        data += draw(st.binary(max_size=40))
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=4)))
    edges = [0, *cuts, len(data)]
    return [bytes(data[a:b]) for a, b in pairwise(edges) if b > a]


@settings(max_examples=300)
@given(pieces=mangled())
def test_mangled_requests_never_break_the_server(exchange: Exchange, pieces: list[bytes]) -> None:
    written = talk(exchange, pieces)
    assert written == b"" or written.startswith(b"HTTP/1.1 ") or written[0] & 0x80
    exchange.api.budgets.weights.clear()
    exchange.api.budgets.banned_until_s.clear()
    exchange.faults.clear()
    answer = talk(exchange, [SAMPLES[0]])
    assert answer.startswith(b"HTTP/1.1 200 OK")


@given(noise=st.binary(max_size=200))
def test_noise_is_refused_or_waits_for_more(exchange: Exchange, noise: bytes) -> None:
    written = talk(exchange, [noise])
    assert written == b"" or written.startswith(b"HTTP/1.1 4")


@given(noise=st.binary(max_size=300), upgrade=st.just(SAMPLES[3]))
def test_noise_after_the_handshake_closes_or_waits(
    exchange: Exchange, noise: bytes, upgrade: bytes
) -> None:
    written = talk(exchange, [upgrade, noise])
    assert written.startswith(b"HTTP/1.1 101 ")
    rest = written[written.index(b"\r\n\r\n") + 4 :]
    assert rest == b"" or rest[0] & 0x80


@given(raw=st.binary(max_size=400))
def test_request_reader_raises_only_its_own_error(raw: bytes) -> None:
    buffer = bytearray(raw)
    with contextlib.suppress(HttpError):
        read_request(buffer, 0)
    assert len(buffer) <= len(raw)


@given(raw=st.binary(max_size=400))
def test_frame_reader_raises_only_its_own_error(raw: bytes) -> None:
    buffer = bytearray(raw)
    with contextlib.suppress(frames.FrameError):
        while frames.decode(buffer) is not None:
            pass
    assert len(buffer) <= len(raw)


TEXTS = st.text(max_size=12)
NUMBERS = st.one_of(
    TEXTS,
    st.sampled_from(
        ["NaN", "-0", "1e400", "0" * 30, "9" * 5_000, "0.0000000000001", "\u0661", "\u00b2"]
    ),
    st.decimals(allow_nan=True, allow_infinity=True).map(str),
)


@settings(max_examples=300)
@given(
    params=st.fixed_dictionaries(
        {},
        optional={
            "symbol": st.one_of(st.just("BTCUSDT"), TEXTS),
            "side": st.one_of(st.just("BUY"), TEXTS),
            "type": st.one_of(st.sampled_from(["LIMIT", "MARKET"]), TEXTS),
            "timeInForce": st.one_of(st.just("GTC"), TEXTS),
            "quantity": NUMBERS,
            "price": NUMBERS,
            "newClientOrderId": TEXTS,
            "reduceOnly": TEXTS,
            "recvWindow": NUMBERS,
            "timestamp": NUMBERS,
        },
    )
)
def test_hostile_orders_are_refused_with_a_code(exchange: Exchange, params: dict[str, str]) -> None:
    params.setdefault("timestamp", str(exchange.clock.now_ms()))
    query = urlencode(params)
    signature = Rest(None, KEY, KEY).sign(query)  # type: ignore[arg-type]
    raw = (
        f"POST /fapi/v1/order?{query}&signature={signature} HTTP/1.1\r\nX-MBX-APIKEY: {KEY}\r\n\r\n"
    )
    exchange.api.budgets.orders.clear()
    written = talk(exchange, [raw.encode()])
    status, _, body = written.partition(b"\r\n\r\n")
    assert status.startswith(b"HTTP/1.1 4"), status
    assert orjson.loads(body)["code"] < -1000
    assert exchange.venue.accounts[KEY].orders == {}
