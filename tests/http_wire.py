"""HTTP as bytes on a socket, for clients that break its rules."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from typing import Self

DEADLINE_S = 60.0
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


def head(first: str, *lines: str) -> bytes:
    """Return a request's head."""
    return "\r\n".join((first, *lines, "", "")).encode("latin-1")


def statuses(answer: bytes) -> list[int]:
    """Return the status of each answer among these bytes."""
    return [int(found) for found in STATUS.findall(answer)]


def ask(port: int, request: bytes) -> bytes:
    """Send bytes and return what comes until the other side closes; it has to."""
    with Wire(port) as wire:
        wire.send(request)
        return wire.rest()


class Wire:
    """One connection."""

    def __init__(self, port: int) -> None:
        """Connect."""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.socket.close()

    def send(self, sent: bytes) -> None:
        """Send bytes; a peer that closes meanwhile is no fault of the sender."""
        with contextlib.suppress(OSError):
            self.socket.sendall(sent)

    def first_line(self) -> bytes:
        """Return the bytes up to the first line's end, or to the end of the connection."""
        found = b""
        while b"\n" not in found:
            part = self.socket.recv(1)
            if not part:
                break
            found += part
        return found

    def rest(self) -> bytes:
        """Return what comes until the peer closes."""
        found = b""
        with contextlib.suppress(ConnectionError):
            while part := self.socket.recv(65_536):
                found += part
        return found

    def drip_until_closed(self, deadline: float) -> None:
        """Send a byte now and then until the peer has closed; fail at the deadline."""
        self.socket.settimeout(0.05)
        while time.monotonic() < deadline:
            try:
                self.socket.sendall(b"a")
                if not self.socket.recv(65_536):
                    return
            except TimeoutError:
                continue
            except OSError:
                return
        message = "a slow client is still connected"
        raise AssertionError(message)
