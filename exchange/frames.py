"""WebSocket frames of the server side: headers of outgoing, decoding of incoming ones."""

from __future__ import annotations

import base64
import hashlib

TEXT = 0x1
CLOSE = 0x8
PING = 0x9
PONG = 0xA
CONTINUATION = 0x0
PROTOCOL_ERROR = 1002
POLICY = 1008
MAX_INBOUND_BYTES = 65_536  # a message in all its fragments; clients send control only
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SHORT = 126
_MEDIUM = 65_536


def accept_key(client_key: str) -> str:
    """Return the handshake's answer to a client's key."""
    digest = hashlib.sha1(client_key.encode() + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def switching_protocols(client_key: str) -> bytes:
    """Return the answer that turns an HTTP connection into a WebSocket."""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_key(client_key).encode() + b"\r\n\r\n"
    )


def frame_header(opcode: int, size: int) -> bytes:
    """Return the header of an unmasked, unfragmented frame."""
    if size < _SHORT:
        return bytes((0x80 | opcode, size))
    if size < _MEDIUM:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big")
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big")


HEADERS_KEPT = 1_024  # headers of text frames below this size are looked up, not made
TEXT_HEADERS = [frame_header(TEXT, size) for size in range(HEADERS_KEPT)]


def frame(opcode: int, payload: bytes) -> bytes:
    """Return a whole frame."""
    return frame_header(opcode, len(payload)) + payload


class FrameError(Exception):
    """A client broke the protocol; the connection must close."""

    def __init__(self, message: str, close_code: int = PROTOCOL_ERROR) -> None:
        """Keep the code to close with."""
        super().__init__(message)
        self.close_code = close_code


class Message:
    """A text in all its fragments, up to its bound."""

    def __init__(self) -> None:
        """Start with nothing received."""
        self._received = bytearray()

    def take(self, fragment: bytes, *, last: bool) -> bytes | None:
        """Add a fragment; return the whole text with its last one.

        Raises:
            FrameError: it is longer than a text may be.
        """
        if len(self._received) + len(fragment) > MAX_INBOUND_BYTES:
            raise FrameError("a text beyond its bound", POLICY)
        self._received += fragment
        if not last:
            return None
        text = bytes(self._received)
        self._received.clear()
        return text


def decode(buffer: bytearray) -> tuple[int, bool, bytes] | None:
    """Take one client frame off the front of `buffer`, in place.

    Returns:
        Opcode, whether it is the last fragment, and the unmasked payload; None when incomplete.

    Raises:
        FrameError: for unmasked, reserved or oversized frames.
    """
    if len(buffer) < 2:
        return None
    first, second = buffer[0], buffer[1]
    if first & 0x70 or not second & 0x80:
        raise FrameError("reserved bits or an unmasked client frame")
    size, start = second & 0x7F, 2
    if size == 126:
        if len(buffer) < 4:
            return None
        size, start = int.from_bytes(buffer[2:4], "big"), 4
    elif size == 127:
        raise FrameError("an inbound frame beyond 65,535 bytes")
    end = start + 4 + size
    if len(buffer) < end:
        return None
    mask = bytes(buffer[start : start + 4])
    payload = bytes(buffer[start + 4 : end])
    del buffer[:end]
    if size:
        pattern = (mask * (size // 4 + 1))[:size]
        mixed = int.from_bytes(payload, "big") ^ int.from_bytes(pattern, "big")
        payload = mixed.to_bytes(size, "big")
    return first & 0x0F, bool(first & 0x80), payload
