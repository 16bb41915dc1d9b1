"""A WebSocket server of a few lines that does what a test says, for the feed's connections."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import ssl
from collections.abc import Awaitable, Callable

import uvloop

from tests.feed_rig import FeedRig

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10

Handler = Callable[["Session"], Awaitable[None]]


def server_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return one frame as a server sends it."""
    length = len(payload)
    head = bytes([0x80 | opcode])
    if length < 126:
        return head + bytes([length]) + payload
    return head + bytes([126]) + length.to_bytes(2, "big") + payload


class Session:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take over a connection."""
        self.reader, self.writer = reader, writer
        self.path = ""

    async def shake(self, status: str = "101 Switching Protocols", *, lie: bool = False) -> None:
        """Answer the upgrade, with a wrong key when told to lie."""
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
        """Send one frame."""
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.writer.write(server_frame(raw, opcode))

    async def receive(self) -> tuple[int, bytes]:
        """Return the next frame, unmasked."""
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
    """Serve with `handler` while `body` runs against the URL."""

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
    """Wait until a condition holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  the state is in C
            await asyncio.sleep(0.002)


def hold_clock(rig: FeedRig) -> None:
    """Hold the venue's clock still: a connection stamps by the host's."""
    rig.core.set_clock(0, rig.venue_ms * 1_000_000, -1_000_000_000, 0)
