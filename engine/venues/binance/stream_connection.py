"""One market-data connection: handshake, subscription, pings, close.

Frames are read and decoded in C (`native_ext._feed.FrameReader`); this class does what happens a
few times per connection. No compression is offered: inflating costs more than the decoder.

        connection_made -> upgrade asked -> on_handshake: 101 -> frames ... -> connection_lost
                                                          on_ping, on_answer, on_close, ...
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Final, cast

import msgspec

from engine.venues.binance.http import Endpoint, split_head
from engine.venues.binance.refusals import socket_error, upgrade_error
from engine.venues.venue import ProtocolError, VenueError, VenueUnreachableError
from native_ext._feed import Core, FrameReader

OPEN_TIMEOUT_S: Final = 10.0
ANSWER_TIMEOUT_S: Final = 10.0
QUIET_PING_S: Final = 30.0
PONG_S: Final = 10.0
STREAMS_PER_MESSAGE: Final = 100
MESSAGE_SPACING_S: Final = 0.25  # the venue takes 10 control messages a second
HEAD_BYTES_MAX: Final = 16_384
_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA
_NORMAL, _PROTOCOL = 1000, 1002


class _Answer(msgspec.Struct):
    id: int | None = None
    error: dict[str, int | str] | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


class StreamConnection(FrameReader, asyncio.BufferedProtocol):
    """One connection. `opened` is done at the 101, `closed` when the transport is gone."""

    def __init__(self, core: Core | None, endpoint: Endpoint, path: str) -> None:
        """Prepare the handshake for a path of the endpoint; on the running loop."""
        del core  # FrameReader's own constructor has it
        loop = asyncio.get_running_loop()
        key = base64.b64encode(os.urandom(16)).decode()
        digest = hashlib.sha1(f"{key}{_GUID}".encode(), usedforsecurity=False).digest()
        self._accept = base64.b64encode(digest).decode()
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: {endpoint.host_header}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode()
        self._transport: asyncio.Transport | None = None
        self._answers: dict[int, asyncio.Future[None]] = {}
        self._message_id = 0
        self._sent_close = False
        self.opened: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[str] = loop.create_future()
        self.rotate: asyncio.Future[str] = loop.create_future()
        self.reason = "closed by the other side"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        # WHY: uvloop's transports are asyncio's in all but name.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody who waits."""
        self._transport = None
        if exc is not None:
            self.reason = str(exc) or type(exc).__name__
        gone = VenueUnreachableError(f"stream: {self.reason}")
        if not self.opened.done():
            self.opened.set_exception(gone)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(gone)
        if not self.closed.done():
            self.closed.set_result(self.reason)

    def on_handshake(self, data: bytes) -> int:
        """Check the answer to the upgrade; return how many bytes it took."""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > HEAD_BYTES_MAX:
                self._refuse(ProtocolError("the answer to the upgrade has no end"))
            return 0
        try:
            status, headers = split_head(data[:end])
        except ProtocolError as error:
            self._refuse(error)
            return 0
        if status != 101:
            self._refuse(upgrade_error(status, headers))
        elif headers.get("sec-websocket-accept") != self._accept:
            self._refuse(VenueUnreachableError("the upgrade was accepted with a wrong key"))
        elif not self.opened.done():
            self.upgrade()
            self.opened.set_result(None)
        return end + 4

    def on_ping(self, payload: bytes) -> None:
        """Answer with the same payload."""
        self.send(_PONG, payload)

    def on_pong(self, payload: bytes) -> None:
        """Need nothing more than the bytes that were counted."""

    def on_close(self, payload: bytes) -> None:
        """Answer a close and let the transport go."""
        code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else _NORMAL
        self.close(f"the venue closed with {code} {payload[2:].decode('utf-8', 'replace')}".strip())

    def on_answer(self, payload: bytes) -> None:
        """Resolve the control message that this answers."""
        try:
            said = _ANSWER.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return
        waiter = self._answers.pop(said.id or 0, None)
        if waiter is None or waiter.done():
            return
        if said.error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(VenueUnreachableError(f"SUBSCRIBE refused: {said.error}"))

    def on_shutdown(self, payload: bytes) -> None:  # noqa: ARG002
        """The venue is about to close: ask for a replacement."""
        if not self.rotate.done():
            self.rotate.set_result("the venue announced it")

    def on_protocol_error(self, code: int) -> None:
        """Close on a broken frame; what follows it cannot be read."""
        self.reason = f"broken frame {code}"
        self.send(_CLOSE, _PROTOCOL.to_bytes(2, "big"))
        if self._transport is not None:
            self._transport.abort()

    def close(self, reason: str) -> None:
        """Close in order; a second call changes nothing."""
        if self._sent_close or self._transport is None:
            return
        self._sent_close = True
        self.reason = reason
        self.send(_CLOSE, _NORMAL.to_bytes(2, "big"))
        self._transport.close()

    def send(self, opcode: int, payload: bytes) -> None:
        """Send one frame, masked as a client's must be."""
        if self._transport is not None:
            self._transport.write(client_frame(opcode, payload))

    async def subscribe(self, streams: Sequence[str]) -> None:
        """Subscribe to streams, paced, and wait for each acknowledgement.

        Raises:
            VenueError: refused, or no answer.
        """
        loop = asyncio.get_running_loop()
        for first in range(0, len(streams), STREAMS_PER_MESSAGE):
            if first:
                await asyncio.sleep(MESSAGE_SPACING_S)
            self._message_id += 1
            waiter: asyncio.Future[None] = loop.create_future()
            self._answers[self._message_id] = waiter
            part = list(streams[first : first + STREAMS_PER_MESSAGE])
            body = {"method": "SUBSCRIBE", "params": part, "id": self._message_id}
            self.send(_TEXT, msgspec.json.encode(body))
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    await waiter
            except TimeoutError as error:
                raise VenueUnreachableError("no answer to SUBSCRIBE") from error

    async def stay(self, asked: asyncio.Future[str], life_s: float) -> None:
        """Return when it has closed, or is to be replaced: asked for, old, or the venue said so."""
        watch = asyncio.create_task(self.watch())
        try:
            await asyncio.wait(
                {self.closed, self.rotate, asked},
                timeout=life_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            watch.cancel()

    async def watch(self) -> None:
        """Abort when a quiet connection does not answer a ping: its peer is gone."""
        while not self.closed.done():
            before = self.byte_count
            await asyncio.sleep(QUIET_PING_S)
            if self.byte_count != before:
                continue
            self.send(_PING, b"quiet")
            await asyncio.sleep(PONG_S)
            if self.byte_count == before and self._transport is not None:
                self.reason = "no answer to a ping"
                self._transport.abort()

    def _refuse(self, error: VenueError) -> None:
        if not self.opened.done():
            self.opened.set_exception(error)
        if self._transport is not None:
            self._transport.abort()


async def open_stream(
    core: Core | None,
    endpoint: Endpoint,
    path: str,
    make: Callable[[Core | None, Endpoint, str], StreamConnection] = StreamConnection,
) -> StreamConnection:
    """Return a connection whose upgrade succeeded; `make` constructs it.

    Raises:
        VenueError: it did not, by kind.
    """
    loop = asyncio.get_running_loop()
    context = None
    if endpoint.secure:
        import ssl

        context = ssl.create_default_context()
    connection: StreamConnection | None = None
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            _, connection = await loop.create_connection(
                lambda: make(core, endpoint, path),
                endpoint.host,
                endpoint.port,
                ssl=context,
            )
            await connection.opened
    except (OSError, TimeoutError) as error:
        if connection is not None:
            connection.close("no upgrade in time")
        raise socket_error(endpoint.host, endpoint.port, error) from error
    return connection


def client_frame(opcode: int, payload: bytes) -> bytes:
    """Return one masked frame, as a client must send it."""
    length = len(payload)
    if length < 126:
        head = bytes((0x80 | opcode, 0x80 | length))
    else:
        assert length < 65536, length
        head = bytes((0x80 | opcode, 0x80 | 126)) + length.to_bytes(2, "big")
    mask = os.urandom(4)
    pad = mask * (length // 4 + 1)
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(pad[:length], "big")
    return head + mask + mixed.to_bytes(length, "big")
