"""A small HTTP/1.1 reader and writer: kept-alive connections, bodies by Content-Length only."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from exchange.symbols import is_whole

MAX_HEAD_BYTES = 16_384
MAX_BODY_BYTES = 1_048_576
_REASONS = {
    101: "Switching Protocols",
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    413: "Payload Too Large",
    418: "I'm a teapot",
    429: "Too Many Requests",
    451: "Unavailable For Legal Reasons",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class HttpError(Exception):
    """Bytes that are not a request this server reads; the connection must close."""

    def __init__(self, status: int, message: str) -> None:
        """Keep the status to answer with."""
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class Request:
    """One request; header names are lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    arrival_ns: int  # perf_counter at the first byte
    peer: str = ""
    params: dict[str, str] = field(default_factory=dict)
    payload: str | None = None  # of a frame: what its signature covers
    session_key: str = ""  # of a frame: whose session it came over

    def parse_params(self) -> None:
        """Read parameters from the query and from a form body; the body wins.

        A frame has brought its own.
        """
        if self.payload is not None:
            return
        self.params = dict(parse_qsl(self.query, keep_blank_values=True))
        if self.body and "json" not in self.headers.get("content-type", ""):
            form = self.body.decode("utf-8", "replace")
            self.params.update(parse_qsl(form, keep_blank_values=True))


@dataclass(slots=True)
class Response:
    """One answer; a status below zero means: close without an answer."""

    status: int
    body: bytes
    headers: list[tuple[str, str]] = field(default_factory=list)
    missing_bytes: int = 0  # of the body, when the connection breaks in the middle of it

    def encode(self, *, close: bool = False) -> bytes:
        """Return the bytes on the wire."""
        html = self.body.startswith(b"<")
        lines = [
            f"HTTP/1.1 {self.status} {_REASONS.get(self.status, 'Status')}",
            f"Content-Type: {'text/html' if html else 'application/json;charset=UTF-8'}",
            f"Content-Length: {len(self.body)}",
            *(f"{name}: {text}" for name, text in self.headers),
        ]
        if close:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + self.body


def read_request(buffer: bytearray, arrival_ns: int) -> Request | None:
    """Take one request off the front of `buffer`, in place; None when incomplete.

    Raises:
        HttpError: for malformed or oversized requests.
    """
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > MAX_HEAD_BYTES:
            raise HttpError(413, "request head too large")
        return None
    head = buffer[:end].decode("latin-1").split("\r\n")
    words = head[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise HttpError(400, "malformed request line")
    headers: dict[str, str] = {}
    for line in head[1:]:
        name, separator, text = line.partition(":")
        if not separator:
            raise HttpError(400, "malformed header")
        headers[name.strip().lower()] = text.strip()
    size = _body_size(headers)
    if len(buffer) < end + 4 + size:
        return None
    body = bytes(buffer[end + 4 : end + 4 + size])
    del buffer[: end + 4 + size]
    path, _, query = words[1].partition("?")
    return Request(words[0].upper(), unquote(path), query, headers, body, arrival_ns)


def _body_size(headers: dict[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise HttpError(400, "chunked bodies are not read here")
    text = headers.get("content-length", "0")
    if not is_whole(text):
        raise HttpError(400, "malformed Content-Length")
    size = int(text)
    if size > MAX_BODY_BYTES:
        raise HttpError(413, "request body too large")
    return size
