"""One kept-alive HTTP/1.1 connection: bytes out at once, one answer back, nothing else.

A connection carries one request at a time, so an answer always belongs to the request before it.
`send` writes in the caller's own turn of the loop and returns a future; there is no queue between
a decision and the socket. TCP_NODELAY is set, so a request is never held back for a second one.

A request may also be written by another thread (`order_line`): `follow` then takes it over.
`on_unasked` is called before bytes that nobody asked for, or the end of an idle connection, are
taken as such: whoever knows of a request that was written elsewhere follows it.

        idle --send--> waiting --answer complete--> idle --...--> closed
                          `-- lost: the future fails with OutcomeUnknownError

Bodies are bounded (BODY_BYTES_MAX) and so are heads (HEAD_BYTES_MAX): a peer cannot make us keep
more than that.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

import msgspec

from engine.venues.venue import OutcomeUnknownError, ProtocolError, VenueUnreachableError

HEAD_BYTES_MAX = 64 * 1024
CONTINUE = 100
DIGITS_MAX = 18  # of a number: it fits a word
BODY_BYTES_MAX = 32 * 1024 * 1024  # the largest answer used is the instrument list, about 2 MB
_HEAD_END = b"\r\n\r\n"
_UNKNOWN_LENGTH = -1


class Response(msgspec.Struct, frozen=True):
    """An answer: status, header names in lower case, body."""

    status: int
    headers: dict[str, str]
    body: bytes


class Endpoint(msgspec.Struct, frozen=True):
    """Where a base URL points."""

    host: str
    port: int
    secure: bool
    path: str

    @property
    def host_header(self) -> str:
        """Return what the Host header says: the port only where it is not the scheme's own."""
        own = 443 if self.secure else 80
        return self.host if self.port == own else f"{self.host}:{self.port}"


def parse_url(url: str) -> Endpoint:
    """Return the endpoint of an http, https, ws or wss URL.

    Raises:
        ValueError: another scheme, or no host.
    """
    parts = urlsplit(url)
    secure = parts.scheme in {"https", "wss"}
    if not parts.hostname or not (secure or parts.scheme in {"http", "ws"}):
        raise ValueError(f"not an http, https, ws or wss URL with a host: {url!r}")
    port = parts.port or (443 if secure else 80)
    return Endpoint(parts.hostname, port, secure, parts.path.rstrip("/"))


class HttpConnection(asyncio.Protocol):
    """A client's end of one connection."""

    def __init__(self) -> None:
        """Start unconnected; `open_connection` makes connected ones."""
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Response] | None = None
        self._received = bytearray()
        self._head: tuple[int, dict[str, str], int] | None = None  # status, headers, length
        self._chunks: bytearray | None = None
        self._descriptor = -1  # of the socket, when what we write needs no encryption
        self.on_unasked: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def usable(self) -> bool:
        """Return whether the next request may go out on it."""
        transport = self._transport
        return transport is not None and not transport.is_closing() and self._waiter is None

    @property
    def descriptor(self) -> int:
        """Return the socket's descriptor where it takes requests as they are; -1 with TLS."""
        return self._descriptor

    def send(self, request: bytes) -> asyncio.Future[Response] | None:
        """Write a request now; the future holds its answer. None: closed, and nothing was sent.

        The answer's future may be cancelled to give up, which closes the connection.
        """
        assert self._waiter is None, "one request at a time"
        transport = self._transport
        if transport is None or transport.is_closing():
            return None
        # WHY: the loop writes what it is given at the end of its turn. One request at a time means
        # that nothing of ours is queued, so an unencrypted one can go to the socket at once.
        sent = 0
        if self._descriptor >= 0:
            try:  # noqa: SIM105  a context manager would cost more than the call
                sent = os.write(self._descriptor, request)
            except OSError:  # full or broken: the transport finds out which
                pass
        return self.follow(request[sent:])

    def follow(self, rest: bytes) -> asyncio.Future[Response]:
        """Return the answer to a request whose first bytes have left; write the rest."""
        assert self._waiter is None, "one request at a time"
        waiter: asyncio.Future[Response] = self._loop.create_future()
        if self._transport is None:
            waiter.set_exception(OutcomeUnknownError("the connection closed before the answer"))
            return waiter
        if rest:
            self._transport.write(rest)
        self._waiter = waiter
        waiter.add_done_callback(self._abandon_if_cancelled)
        return waiter

    def close(self) -> None:
        """Close the connection; a waiting request fails."""
        self._descriptor = -1
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport and switch Nagle's delay off."""
        # WHY: uvloop's transports are asyncio's in all but name.
        self._transport = cast("asyncio.Transport", transport)
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if transport.get_extra_info("sslcontext") is None:
                self._descriptor = raw.fileno()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the waiting request: it left, so its outcome is unknown."""
        self._transport = None
        self._descriptor = -1
        if self._waiter is None and self.on_unasked is not None:
            self.on_unasked()
        if self._head is not None and self._head[2] == _UNKNOWN_LENGTH and self._chunks is None:
            self._finish(bytes(self._received))  # the body ends where the connection does
        self._fail(OutcomeUnknownError(f"the connection closed before the answer: {exc}"))

    def data_received(self, data: bytes) -> None:
        """Collect bytes until the answer is complete."""
        if self._waiter is None and self.on_unasked is not None:
            self.on_unasked()
        if self._waiter is None:
            self.close()  # nobody asked: the next request must not get this as its answer
            return
        self._received += data
        try:
            self._parse()
        except ProtocolError as error:
            self._fail(error)
            self.close()

    def _parse(self) -> None:
        if self._head is None and not self._parse_head():
            return
        assert self._head is not None
        length = self._head[2]
        if self._chunks is not None:
            self._parse_chunks()
        elif length == _UNKNOWN_LENGTH:
            if len(self._received) > BODY_BYTES_MAX:
                raise ProtocolError("the answer is longer than an answer may be")
        elif len(self._received) >= length:
            body = bytes(self._received[:length])
            del self._received[:length]
            self._finish(body)

    def _parse_head(self) -> bool:
        status = CONTINUE
        while status == CONTINUE:
            end = self._received.find(_HEAD_END)
            if end < 0:
                if len(self._received) > HEAD_BYTES_MAX:
                    raise ProtocolError("the answer's head is longer than a head may be")
                return False
            status, headers = split_head(bytes(self._received[:end]))
            del self._received[: end + len(_HEAD_END)]
        if headers.get("transfer-encoding", "").lower() == "chunked":
            self._chunks = bytearray()
            self._head = (status, headers, _UNKNOWN_LENGTH)
            return True
        text = headers.get("content-length", "0" if status in {204, 304} else "")
        length = whole_number(text) if text else _UNKNOWN_LENGTH
        if length is None:
            raise ProtocolError(f"content-length is {text[:40]!r}")
        if length > BODY_BYTES_MAX:
            raise ProtocolError(f"the answer announces {length} bytes")
        self._head = (status, headers, length)
        return True

    def _parse_chunks(self) -> None:
        assert self._chunks is not None
        while True:
            end = self._received.find(b"\r\n")
            if end < 0:
                return
            size_text = bytes(self._received[:end]).split(b";", 1)[0].strip()
            try:
                size = int(size_text, 16)
            except ValueError:
                raise ProtocolError(f"chunk size is {size_text[:20]!r}") from None
            if size < 0 or len(self._chunks) + size > BODY_BYTES_MAX:
                raise ProtocolError("the answer is longer than an answer may be")
            if len(self._received) < end + 2 + size + 2:
                return
            self._chunks += self._received[end + 2 : end + 2 + size]
            del self._received[: end + 2 + size + 2]
            if size == 0:
                self._finish(bytes(self._chunks))
                return

    def _finish(self, body: bytes) -> None:
        assert self._head is not None
        status, headers, _ = self._head
        waiter = self._waiter
        self._head = self._chunks = self._waiter = None
        # Surplus bytes are nobody's answer, and the next request must not get them as its own.
        if headers.get("connection", "").lower() == "close" or self._received:
            self.close()
        if waiter is not None and not waiter.done():
            waiter.set_result(Response(status, headers, body))

    def _fail(self, error: Exception) -> None:
        waiter = self._waiter
        self._waiter = None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def _abandon_if_cancelled(self, waiter: asyncio.Future[Response]) -> None:
        if waiter.cancelled():
            self._waiter = None
            self.close()


def whole_number(text: str) -> int | None:
    """Return a header's number; None: it is none, or longer than any that means something."""
    return int(text) if text.isdecimal() and len(text) <= DIGITS_MAX else None


def split_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Return status and headers of an answer's head, names in lower case.

    Raises:
        ProtocolError: the first line is no HTTP/1 status line.
    """
    first, *lines = head.decode("latin-1").split("\r\n")
    parts = first.split(" ", 2)
    status = whole_number(parts[1]) if len(parts) > 1 else None
    if status is None or not parts[0].startswith("HTTP/1."):
        raise ProtocolError(f"not an HTTP answer: {first[:80]!r}")
    headers = {}
    for line in lines:
        name, _, text = line.partition(":")
        headers[name.strip().lower()] = text.strip()
    return status, headers


async def open_connection(endpoint: Endpoint) -> HttpConnection:
    """Connect to an endpoint.

    Raises:
        VenueUnreachableError: refused, no such name, or TLS failed.
    """
    loop = asyncio.get_running_loop()
    context = None
    if endpoint.secure:
        import ssl

        context = ssl.create_default_context()
    try:
        _, connection = await loop.create_connection(
            HttpConnection, endpoint.host, endpoint.port, ssl=context
        )
    except OSError as error:
        raise VenueUnreachableError(f"{endpoint.host}:{endpoint.port}: {error}") from error
    return connection
