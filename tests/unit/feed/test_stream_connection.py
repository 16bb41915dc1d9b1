"""One connection: handshake, encryption, pings, subscriptions, and every way it may end."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from engine.domain.codes import RecordType
from engine.venues.binance import stream_connection
from engine.venues.binance.http import parse_url
from engine.venues.binance.stream_connection import StreamConnection, client_frame, open_stream
from engine.venues.venue import RateLimitError, VenueError, VenueUnreachableError
from tests.feed_rig import FeedRig, Frames
from tests.stream_server import CLOSE, PING, PONG, TEXT, Session, against, hold_clock, until


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
    hold_clock(rig)

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
        session.send(b'{"error":{"\xff":1}}')  # says nothing
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


@pytest.mark.parametrize("length", [0, 1, 125, 126, 4_000])
def test_a_clients_frame_is_masked_and_whole(length: int) -> None:
    payload = bytes(range(256)) * 16
    raw = client_frame(TEXT, payload[:length])
    at = 2 if length < 126 else 4
    mask, mixed = raw[at : at + 4], raw[at + 4 :]
    assert raw[0] == 0x81
    assert raw[1] & 0x80
    assert bytes(b ^ mask[i % 4] for i, b in enumerate(mixed)) == payload[:length]


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
