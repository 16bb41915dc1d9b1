"""One HTTP connection of the API, bounded: in the size of its head, in time, and in number.

A client that only connects, sends a byte now and then, or asks and does not read must cost neither
`/health` nor the file descriptors that the engine lives on. Every connection is looked at now and
then; of too many, the one that has owed us a request for longest goes.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_BYTES_MAX: Final = 16_384
REQUEST_S: Final = 10.0  # from the connection, or the last answer, to the end of a request
LOOK_S: Final = 2.0  # a reader who takes nothing between two looks is gone
CONNECTIONS_MAX: Final = 256  # a quarter of the descriptors a process is usually given
LATE = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class BoundedConnection(H11Protocol):
    """A connection that is closed when its client is too slow, or one too many."""

    owing_since_s = 0.0  # CLOCK_MONOTONIC
    _unsent_bytes = 0  # at the last look
    _look: asyncio.TimerHandle | None = None

    # uvicorn narrows the argument too
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a client, and let another go when there are too many."""
        super().connection_made(transport)
        self.owing_since_s = time.monotonic()
        self._look = self.loop.call_later(LOOK_S, self._judge)
        if len(self.connections) > CONNECTIONS_MAX:
            crowd = cast("set[BoundedConnection]", self.connections)
            owing = [each for each in crowd if each.owes_request]  # this one among them
            min(owing, key=lambda each: each.owing_since_s).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes in pieces: the parser bounds what it keeps, not what it is given at once."""
        for start in range(0, len(data), HEAD_BYTES_MAX):
            if self.transport.is_closing():
                return
            super().data_received(data[start : start + HEAD_BYTES_MAX])

    def on_response_complete(self) -> None:
        """Wait for the next request; uvicorn itself closes a connection that stays idle."""
        self.owing_since_s = time.monotonic()
        super().on_response_complete()

    def shutdown(self) -> None:
        """End with the server: who is waited for, or would be told on and on, is cut off."""
        cycle = self.cycle
        is_open = cycle is not None and not cycle.response_complete
        if is_open and (cycle.response_started or cycle.more_body):
            self.transport.abort()
        else:
            super().shutdown()

    @property
    def owes_request(self) -> bool:
        """Tell whether it is the client's turn: its request is not here, or not whole."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return True
        return cycle.more_body and not cycle.response_started

    def _judge(self) -> None:
        # What is being closed must get rid of its last bytes too.
        unsent_bytes = self.transport.get_write_buffer_size()
        if unsent_bytes and unsent_bytes == self._unsent_bytes:
            self.transport.abort()
            return
        self._unsent_bytes = unsent_bytes
        late = time.monotonic() - self.owing_since_s > REQUEST_S
        if late and self.owes_request and not self.transport.is_closing():
            if self.conn.trailing_data[0]:
                self.transport.write(LATE)
            self.transport.close()
        self._look = self.loop.call_later(LOOK_S, self._judge)
