"""The executor's end of the order line: a connection lent to the thread that decides.

        arm      a connection is idle, plain, the venue lets us send, and its clock is known
        release  anything of that changed, or another request needs the connection
        collect  a command says that the kernel thread took the line: follow what it wrote

Whoever is first decides what becomes of the connection, and the state of the line says who was
(`native_ext/order_line.h`). When the kernel thread was, its command is in the command ring before
the first byte leaves; so an answer, or the end of the connection, that comes before this thread has
taken the command makes it take its commands first.

A connection of HTTP is lent idle and carries nothing else until its answer. A session is shared: to
write anything of its own this thread takes it back, and keeps what the kernel thread had written
meanwhile for the command that tells of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from engine.clock import VenueClock
from engine.venues.binance.http import Response
from native_ext import _native


class KernelLine(NamedTuple):
    """What an order side needs of the process it runs in to let another thread write orders."""

    line: _native.OrderLine
    take_commands: Callable[[], None]  # submits every command that is in the ring


class Written(NamedTuple):
    """An order that the kernel thread wrote, or began to write."""

    answer: asyncio.Future[Response]
    write_ns: int


class Lent(Protocol):
    """A connection that can be lent: of HTTP, or a session's."""

    on_unasked: Callable[[], None] | None

    @property
    def descriptor(self) -> int:
        """Return the socket's descriptor; -1: it takes nothing as it is."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Lender(Protocol):
    """Who has connections to lend: the client of HTTP, or a session."""

    on_needed: Callable[[], bool]
    on_idle: Callable[[], object]

    @property
    def is_shared(self) -> bool:
        """Return whether the lent connection also carries other requests."""
        ...

    def reserve(self) -> Lent | None:
        """Set a connection apart; None: there is none to lend."""
        ...

    def release(self) -> None:
        """Take it back."""
        ...

    def follow(self, rest: bytes, request_id: str, /) -> asyncio.Future[Response]:
        """Return the answer to what was begun on it; write the rest."""
        ...

    def finish(self, rest: bytes, /) -> None:
        """Write the rest of what was begun on a shared one, to be followed later."""
        ...


class LineEnd:
    """Lends one connection of a client at a time. One event loop."""

    def __init__(
        self,
        kernel: KernelLine,
        lender: Lender,
        clock: VenueClock,
        wire: _native.OrderWire,
        order_wait_s: Callable[[], float],
    ) -> None:
        """Take care of the lender's reserved connection; nothing is lent before `arm`.

        Args:
            kernel: the line, and how its commands are taken.
            lender: has the connections.
            clock: the venue's.
            wire: writes what the lender's connections take.
            order_wait_s: for how long the venue would take no further order.
        """
        self._order_wait_s = order_wait_s
        self._line: Final = kernel.line
        self._take_commands: Final = kernel.take_commands
        self._lender = lender
        self._clock = clock
        self._wire = wire
        self._connection: Lent | None = None
        self._kept: tuple[int, int, int, bytes] | None = None  # collected before its command came
        self._closed = False
        lender.on_needed = self.reclaim if lender.is_shared else self.release
        lender.on_idle = self.arm

    @property
    def is_lent(self) -> bool:
        """Return whether the kernel thread may write an order, or has written one unseen yet."""
        return self._connection is not None

    def arm(self) -> None:
        """Lend an idle connection, where that is possible and none is lent."""
        if self._connection is not None or self._closed or not self._clock.is_known:
            return
        if self._order_wait_s() > 0:
            return
        connection = self._lender.reserve()
        if connection is None:
            return
        clock = self._clock
        last_ms = clock.now_ms()
        mapping = (clock.anchor_ns, clock.venue_at_anchor_ns, clock.rate_ppb, last_ms)
        if not self._line.arm(self._wire, connection.descriptor, *mapping):
            self._lender.release()
            return
        connection.on_unasked = self._hear
        self._connection = connection

    def release(self) -> bool:
        """Take the connection back; False: none is lent, or the kernel thread was first."""
        connection = self._connection
        if connection is None or self._kept is not None or not self._line.disarm():
            return False
        self._forget(connection)
        self._lender.release()
        return True

    def reclaim(self) -> bool:
        """Take a shared connection back, whoever was first; what is written next comes after."""
        if self.release():
            return True
        if self._connection is not None and self._kept is None:
            sent, write_ns, venue_ms, rest = self._line.collect()
            self._lender.finish(rest)
            self._kept = sent, write_ns, venue_ms, b""
        return False

    def change(self, wire: _native.OrderWire) -> None:
        """Lend with another wire from now on."""
        self._wire = wire
        self.renew()

    def renew(self) -> None:
        """Lend again what is lent, with what the clock has learned."""
        self.release()
        self.arm()

    def collect(self, request_id: str) -> Written | None:
        """Follow the order of a command that is on the line; None: no byte of it left."""
        connection = self._connection
        assert connection is not None, "a command on the line, and no connection lent"
        sent, write_ns, venue_ms, rest = self._kept or self._line.collect()
        self._kept = None
        self._forget(connection)
        self._clock.keep_ms(venue_ms)
        if sent <= 0:
            if sent == 0:
                connection.close()  # its socket takes nothing
            self._lender.release()
            return None
        return Written(self._lender.follow(rest, request_id), write_ns)

    def close(self) -> None:
        """Lend nothing any more. An order that was written and not followed is in doubt."""
        self._closed = True
        if not self.release() and self._connection is not None:
            if self._kept is None:
                self._line.collect()
            self._forget(self._connection)
            self._lender.release()

    def _forget(self, connection: Lent) -> None:
        self._connection = None
        connection.on_unasked = None

    def _hear(self) -> None:
        if not self.release():
            self._take_commands()
