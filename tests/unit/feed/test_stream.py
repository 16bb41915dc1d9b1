"""Connections shake hands, subscribe, answer pings, come back, and are replaced in time."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import shutil
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from engine.domain.codes import Channel, RecordType
from engine.venues.binance import stream, stream_connection
from engine.venues.binance.http import parse_url
from engine.venues.binance.routing import ConnectionPlan, Subscription
from engine.venues.binance.stream import MarketStream, backoff_s
from engine.venues.binance.stream_connection import StreamConnection, client_frame, open_stream
from engine.venues.venue import RateLimitError, VenueError, VenueUnreachableError
from tests.feed_rig import FeedRig, Frames

PLAN = ConnectionPlan("public", (Subscription("btcusdt@bookTicker", 0, Channel.QUOTE),))
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10

Handler = Callable[["Session"], Awaitable[None]]


def server_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    length = len(payload)
    head = bytes([0x80 | opcode])
    if length < 126:
        return head + bytes([length]) + payload
    return head + bytes([126]) + length.to_bytes(2, "big") + payload


class Session:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.path = ""

    async def shake(self, status: str = "101 Switching Protocols", *, lie: bool = False) -> None:
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.path = head.split(b" ")[1].decode()
        key = next(
            line[19:] for line in head.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key")
        )
        accept = base64.b64encode(hashlib.sha1((b"x" if lie else b"") + key + GUID).digest())
        self.writer.write(
            f"HTTP/1.1 {status}\r\nUpgrade: websocket\r\n".encode()
            + b"Sec-WebSocket-Accept: "
            + accept
            + b"\r\n\r\n"
        )

    def send(self, payload: object, opcode: int = TEXT) -> None:
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.writer.write(server_frame(raw, opcode))

    async def receive(self) -> tuple[int, bytes]:
        head = await self.reader.readexactly(2)
        assert head[1] & 0x80, "a client masks"
        length = head[1] & 0x7F
        if length == 126:
            length = int.from_bytes(await self.reader.readexactly(2), "big")
        mask = await self.reader.readexactly(4)
        raw = await self.reader.readexactly(length)
        return head[0] & 0x0F, bytes(b ^ mask[i % 4] for i, b in enumerate(raw))


def against(
    handler: Handler,
    body: Callable[[str], Awaitable[None]],
    context: ssl.SSLContext | None = None,
) -> None:
    async def run() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await handler(Session(reader, writer))
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        scheme = "ws" if context is None else "wss"
        try:
            await asyncio.wait_for(body(f"{scheme}://127.0.0.1:{port}"), 20)
        finally:
            server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  the state is in C
            await asyncio.sleep(0.002)


class Hooks:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def up(self, plan: ConnectionPlan) -> None:
        self.heard.append(f"up {plan.category}")

    def down(self, plan: ConnectionPlan, reason: str) -> None:
        self.heard.append(f"down {plan.category}: {reason}")


def market_stream(
    rig: FeedRig, url: str, plan: ConnectionPlan = PLAN
) -> tuple[MarketStream, Hooks]:
    hooks = Hooks()
    return MarketStream(rig.core, url, plan, on_up=hooks.up, on_down=hooks.down), hooks


def host_clock(rig: FeedRig) -> None:
    # The core stamps by the host's clock here: hold the venue's still.
    rig.core.set_clock(0, rig.venue_ms * 1_000_000, -1_000_000_000, 0)


def test_frames_of_a_connection_reach_the_ring() -> None:
    rig, frames = FeedRig(), Frames()
    host_clock(rig)
    paths = []

    async def handler(session: Session) -> None:
        await session.shake()
        paths.append(session.path)
        for _ in range(3):
            session.send(frames.book_ticker(rig.venue_ms))
        await session.receive()

    async def body(url: str) -> None:
        market, hooks = market_stream(rig, url)
        task = asyncio.create_task(market.run())
        await until(lambda: rig.core.counters()[2] == 3)
        assert hooks.heard == ["up public"]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    against(handler, body)
    assert paths == ["/public/stream?streams=btcusdt@bookTicker"]
    assert len(rig.records(RecordType.QUOTE)) == 3


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Return a server's context whose certificate this process trusts."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    words = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=127.0.0.1",
    ]
    words += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(
        ["openssl", *words],
        check=True,
        capture_output=True,
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def test_an_encrypted_connection_is_read_like_any_other(certificate: ssl.SSLContext) -> None:
    rig, frames = FeedRig(), Frames()
    host_clock(rig)

    async def handler(session: Session) -> None:
        await session.shake()
        for _ in range(200):
            session.send(frames.book_ticker(rig.venue_ms))
        await session.receive()

    async def body(url: str) -> None:
        connection = await open_stream(rig.core, parse_url(url), "/public/stream")
        await until(lambda: rig.core.counters()[2] == 200)
        connection.close("done")
        await connection.closed

    against(handler, body, certificate)
    assert len(rig.records(RecordType.QUOTE)) == 200


def test_a_certificate_nobody_vouches_for_is_refused(
    certificate: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")

    async def handler(session: Session) -> None:
        await session.shake()

    async def body(url: str) -> None:
        with pytest.raises(VenueUnreachableError, match=r"(?i)certificate"):
            await open_stream(None, parse_url(url), "/x")

    against(handler, body, certificate)


def test_a_ping_is_answered_with_its_payload() -> None:
    heard: list[tuple[int, bytes]] = []

    async def handler(session: Session) -> None:
        await session.shake()
        session.send(b"1723161255000", PING)
        heard.append(await session.receive())
        session.send((1000).to_bytes(2, "big"), CLOSE)
        heard.append(await session.receive())

    async def body(url: str) -> None:
        connection = await open_stream(FeedRig().core, parse_url(url), "/x")
        assert await connection.closed == "the venue closed with 1000"

    against(handler, body)
    assert heard == [(PONG, b"1723161255000"), (CLOSE, (1000).to_bytes(2, "big"))]


def test_streams_beyond_the_url_are_subscribed_in_paced_messages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_connection, "MESSAGE_SPACING_S", 0.001)
    names = [f"s{n}usdt@bookTicker" for n in range(350)]
    plan = ConnectionPlan("public", tuple(Subscription(name, 0, Channel.QUOTE) for name in names))
    asked: list[str] = []

    async def handler(session: Session) -> None:
        await session.shake()
        asked.extend(session.path.split("=")[1].split("/"))
        while True:
            _, raw = await session.receive()
            message = json.loads(raw)
            assert message["method"] == "SUBSCRIBE"
            asked.extend(message["params"])
            session.send({"result": None, "id": message["id"]})

    async def body(url: str) -> None:
        market, hooks = market_stream(FeedRig(), url, plan)
        task = asyncio.create_task(market.run())
        await until(lambda: hooks.heard == ["up public"])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    against(handler, body)
    assert asked == names


def test_a_lost_connection_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "BACKOFF_FIRST_S", 0.001)
    rig, frames = FeedRig(), Frames()
    host_clock(rig)

    async def handler(session: Session) -> None:
        await session.shake()
        session.send(frames.book_ticker(rig.venue_ms))

    async def body(url: str) -> None:
        market, hooks = market_stream(rig, url)
        task = asyncio.create_task(market.run())
        await until(lambda: market.connect_count >= 3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert hooks.heard[:3] == [
            "up public",
            "down public: closed by the other side",
            "up public",
        ]

    against(handler, body)


@pytest.mark.parametrize(
    ("status", "lie", "kind"),
    [
        ("101 Switching Protocols", True, VenueUnreachableError),
        ("404 Not Found", False, VenueUnreachableError),
        ("429 Too Many Requests", False, RateLimitError),
        ("200 OK", False, VenueUnreachableError),
    ],
)
def test_a_refused_upgrade_has_its_error(status: str, lie: bool, kind: type[VenueError]) -> None:
    async def handler(session: Session) -> None:
        await session.shake(status, lie=lie)

    async def body(url: str) -> None:
        with pytest.raises(kind):
            await open_stream(None, parse_url(url), "/x")

    against(handler, body)


def test_nobody_listening_is_unreachable() -> None:
    async def body(_: str) -> None:
        with pytest.raises(VenueUnreachableError):
            await open_stream(None, parse_url("ws://127.0.0.1:1"), "/x")

    async def handler(_: Session) -> None:
        return

    against(handler, body)


def test_a_handshake_without_end_is_refused() -> None:
    async def handler(session: Session) -> None:
        await session.reader.readuntil(b"\r\n\r\n")
        session.writer.write(b"HTTP/1.1 101 X\r\n" + b"a: b\r\n" * 5_000)
        await session.reader.read()

    async def body(url: str) -> None:
        with pytest.raises(VenueError, match="no end"):
            await open_stream(None, parse_url(url), "/x")

    against(handler, body)


def test_a_refused_subscription_is_an_error() -> None:
    async def handler(session: Session) -> None:
        await session.shake()
        _, raw = await session.receive()
        session.send({"error": {"code": 2, "msg": "no"}, "id": json.loads(raw)["id"]})
        await session.receive()

    async def body(url: str) -> None:
        connection = await open_stream(FeedRig().core, parse_url(url), "/x")
        with pytest.raises(VenueUnreachableError, match="SUBSCRIBE refused"):
            await connection.subscribe(["a@trade"])
        connection.close("done")

    against(handler, body)


def test_a_broken_frame_ends_the_connection() -> None:
    async def handler(session: Session) -> None:
        await session.shake()
        session.writer.write(b"\xf1\x01x")
        await session.reader.read()

    async def body(url: str) -> None:
        connection = await open_stream(FeedRig().core, parse_url(url), "/x")
        assert "broken frame" in await connection.closed

    against(handler, body)


def test_a_peer_that_answers_no_ping_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_connection, "QUIET_PING_S", 0.01)
    monkeypatch.setattr(stream_connection, "PONG_S", 0.01)

    async def handler(session: Session) -> None:
        await session.shake()
        opcode, payload = await session.receive()
        assert opcode == PING
        session.send(payload, PONG)
        await session.receive()
        await session.reader.read()

    async def body(url: str) -> None:
        connection = await open_stream(FeedRig().core, parse_url(url), "/x")
        watch = asyncio.create_task(connection.watch())
        assert await connection.closed == "no answer to a ping"
        await watch

    against(handler, body)


def test_a_connection_is_replaced_before_the_old_one_closes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "FIRST_BYTES_S", 5.0)
    rig, frames = FeedRig(), Frames()
    host_clock(rig)
    order: list[str] = []

    async def handler(session: Session) -> None:
        await session.shake()
        number = len([entry for entry in order if entry.startswith("open")])
        order.append(f"open {number}")
        session.send(frames.book_ticker(rig.venue_ms))
        if number == 0:
            session.send({"e": "serverShutdown", "E": 1})
        opcode, _ = await session.receive()
        order.append(f"close {number}" if opcode == CLOSE else "other")

    async def body(url: str) -> None:
        market, hooks = market_stream(rig, url)
        task = asyncio.create_task(market.run())
        await until(lambda: "close 0" in order)
        assert order == ["open 0", "open 1", "close 0"]
        assert hooks.heard == ["up public"], "nobody noticed"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    against(handler, body)
    assert len(rig.records(RecordType.QUOTE)) == 2


@pytest.mark.parametrize("length", [0, 1, 125, 126, 4_000])
def test_a_clients_frame_is_masked_and_whole(length: int) -> None:
    payload = bytes(range(256)) * 16
    raw = client_frame(TEXT, payload[:length])
    at = 2 if length < 126 else 4
    mask, mixed = raw[at : at + 4], raw[at + 4 :]
    assert raw[0] == 0x81
    assert raw[1] & 0x80
    assert bytes(b ^ mask[i % 4] for i, b in enumerate(mixed)) == payload[:length]


def test_waiting_grows_with_jitter_to_a_bound() -> None:
    for failures in range(40):
        bound = min(0.1 * 2**failures, 15.0)
        waits: list[Any] = [backoff_s(failures) for _ in range(20)]
        assert all(bound / 2 <= wait <= bound for wait in waits)
        assert len(set(waits)) > 1


def test_a_connection_that_never_opened_says_so() -> None:
    async def body(url: str) -> None:
        connection = StreamConnection(None, parse_url(url), "/x")
        connection.connection_lost(OSError("gone"))
        with pytest.raises(VenueUnreachableError, match="gone"):
            await connection.opened
        assert await connection.closed == "gone"

    async def handler(_: Session) -> None:
        return

    against(handler, body)
