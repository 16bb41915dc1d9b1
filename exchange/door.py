"""The ports the exchange listens on, and how they can be shut for a while.

A shut port stays ours: a socket that is bound and does not listen holds it, so that the kernel
refuses connections as it does for a server that is down, and nobody else takes the port meanwhile.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

RESERVE_TRIES = 400  # a closing listener is gone a turn or two later
RESERVE_PAUSE_S = 0.005

Factory = Callable[[], asyncio.Protocol]


@dataclass(slots=True, eq=False)
class Door:
    """One port."""

    factory: Factory
    tls: ssl.SSLContext | None = None
    port: int = 0
    _server: asyncio.Server | None = None
    _address: tuple[str, int] = ("", 0)
    _family: int = socket.AF_INET
    _reserved: socket.socket | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def open(self, host: str, port: int) -> int:
        """Listen, and return the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self.factory, host, port, ssl=self.tls)
        listener = self._server.sockets[0]
        self._family = listener.family
        self._address = listener.getsockname()[:2]
        self.port = self._address[1]
        return self.port

    async def shut(self) -> None:
        """Stop to listen; connections that exist go on."""
        async with self._lock:
            if self._server is None:
                return
            self._server.close()
            self._server = None
            self._reserved = await self._reserve()

    async def _reserve(self) -> socket.socket:
        for _ in range(RESERVE_TRIES):
            holder = socket.socket(self._family, socket.SOCK_STREAM)
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.setblocking(False)
            try:
                holder.bind(self._address)
            except OSError as fault:
                holder.close()
                if fault.errno != errno.EADDRINUSE:
                    raise
                await asyncio.sleep(RESERVE_PAUSE_S)
            else:
                return holder
        raise OSError(errno.EADDRINUSE, f"port {self.port} was taken while it was shut")

    async def reopen(self) -> None:
        """Listen again on the same port."""
        async with self._lock:
            if self._reserved is None:
                return
            reserved, self._reserved = self._reserved, None
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self.factory, sock=reserved, ssl=self.tls)

    async def close(self) -> None:
        """Stop for good."""
        async with self._lock:
            if self._reserved is not None:
                self._reserved.close()
                self._reserved = None
            if self._server is not None:
                # Not waited for: from Python 3.12 on that is until who came meanwhile has gone.
                self._server.close()
                self._server = None
