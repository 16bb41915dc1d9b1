"""Faults of whole connections: which ones are meant, what is wrong with them, until when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet

from exchange.fault_life import Begin, Fault, Undo, listed
from exchange.fault_orders import (
    ConnectionOrder,
    DisconnectOrder,
    HalfFrameOrder,
    HandshakeOrder,
    LifeOrder,
    PingsOrder,
    RefuseOrder,
    ShapeOrder,
    ShutdownOrder,
)
from exchange.link import Link
from exchange.shaping import Shaper
from exchange.slow_line import SlowLine

if TYPE_CHECKING:
    from exchange.connection import Connection
    from exchange.server import Exchange

NS_PER_MS = 1_000_000
FIELD_OF_KIND = {
    "silent_connection": "silent",
    "dead_connection": "dead",
    "no_pong": "pongless",
    "lost_pongs": "deaf_to_pongs",
}


@dataclass(slots=True, eq=False)
class Touch:
    """One fault and the connections it has touched."""

    order: ConnectionOrder
    spoil: Callable[[Connection], None]
    mend: Callable[[Connection], None]
    touched: WeakSet[Connection] = field(default_factory=WeakSet)

    def meet(self, connection: Connection) -> None:
        """Spoil a connection, once."""
        if connection not in self.touched and is_meant(connection, self.order):
            self.touched.add(connection)
            self.spoil(connection)

    def end(self) -> None:
        """Mend what was spoilt."""
        for connection in list(self.touched):
            self.mend(connection)


def is_meant(connection: Connection, order: ConnectionOrder | DisconnectOrder) -> bool:
    """Tell whether an order names a connection; none names one of the control port."""
    if connection.control:
        return False
    if order.connection:
        return connection.number == order.connection
    if order.stream:
        return order.stream in connection.names
    if order.category == "all":
        return True
    if not connection.is_stream:
        return order.category == "rest"
    return order.category in {"*", "stream", connection.category}


def _link_of(connection: Connection) -> Link:
    if connection.link is None:
        connection.link = Link()
    return connection.link


def _forget_if_healthy(connection: Connection) -> None:
    if connection.link is not None and connection.link.healthy:
        connection.link = None


class ConnectionFaults:
    """What is wrong with connections now."""

    def __init__(self, exchange: Exchange) -> None:
        """Keep the assembled exchange."""
        self._exchange = exchange
        self._future: list[Touch] = []
        self._handshakes: list[tuple[HandshakeOrder, Fault]] = []

    def meet(self, connection: Connection) -> None:
        """Look at a connection that is new, or has become a stream."""
        for touch in self._future:
            touch.meet(connection)

    def _touching(self, touch: Touch) -> Begin:
        def begin(fault: Fault) -> Undo:
            for connection in list(self._exchange.connections):
                touch.meet(connection)
            fault.uses = len(touch.touched)
            if touch.order.future:
                self._future.append(touch)

            def undo() -> None:
                fault.uses = max(fault.uses, len(touch.touched))
                if touch in self._future:
                    self._future.remove(touch)
                touch.end()

            return undo

        return begin

    def impaired(self, kind: str, order: ConnectionOrder) -> Begin:
        """Return a fault that silences: data, everything, pongs we send, pongs we hear."""
        name = FIELD_OF_KIND[kind]

        def spoil(connection: Connection) -> None:
            link = _link_of(connection)
            setattr(link, name, getattr(link, name) + 1)

        def mend(connection: Connection) -> None:
            if connection.link is not None:
                setattr(connection.link, name, getattr(connection.link, name) - 1)
                _forget_if_healthy(connection)

        return self._touching(Touch(order, spoil, mend))

    def half_frame(self, order: HalfFrameOrder) -> Begin:
        """Return a fault that breaks off in the middle of the next frame."""

        def spoil(connection: Connection) -> None:
            link = _link_of(connection)
            link.halves += 1
            link.cut_after_half = order.cut

        def mend(connection: Connection) -> None:
            link = connection.link
            if link is None:
                return
            if link.halves:
                link.halves -= 1
                _forget_if_healthy(connection)
            else:
                connection.abort()  # nothing can follow half a frame

        return self._touching(Touch(order, spoil, mend))

    def shape(self, order: ShapeOrder) -> Begin:
        """Return a fault that slows connections down."""
        seeds = Random(order.seed)
        lines: WeakKeyDictionary[Connection, SlowLine] = WeakKeyDictionary()

        def spoil(connection: Connection) -> None:
            link = _link_of(connection)
            if link.line is not None:
                link.line.finish()
            shaper = Shaper(
                latency_ns=int(order.latency_ms * NS_PER_MS),
                jitter_ns=int(order.jitter_ms * NS_PER_MS),
                bytes_per_s=order.bytes_per_s,
                buffer_bytes=order.buffer_bytes,
                random=Random(seeds.getrandbits(64)),
            )
            line = SlowLine(shaper, connection.write_plain, connection.drained)
            link.line = lines[connection] = line

        def mend(connection: Connection) -> None:
            link, line = connection.link, lines.get(connection)
            if link is not None and line is not None and link.line is line:
                link.line = None
                line.finish()
                _forget_if_healthy(connection)

        return self._touching(Touch(order, spoil, mend))

    # The rules all connections live by ------------------------------------------------------

    def pings(self, order: PingsOrder) -> Begin:
        """Return a fault that changes the rhythm of pings, or ends them."""
        exchange = self._exchange

        def begin(_fault: Fault) -> Undo:
            before = exchange.ping_period_s, exchange.pong_timeout_s
            exchange.set_pings(order.period_ms / 1000, order.timeout_ms / 1000)
            return lambda: exchange.set_pings(*before)

        return begin

    def life(self, order: LifeOrder) -> Begin:
        """Return a fault that shortens the life of stream connections."""
        exchange = self._exchange

        def begin(_fault: Fault) -> Undo:
            before = exchange.life_s, exchange.announce_s
            exchange.life_s, exchange.announce_s = order.life_ms / 1000, order.announce_ms / 1000

            def undo() -> None:
                exchange.life_s, exchange.announce_s = before

            return undo

        return begin

    def refuse(self, _order: RefuseOrder) -> Begin:
        """Return a fault that shuts the doors."""
        exchange = self._exchange

        def begin(_fault: Fault) -> Undo:
            exchange.spawn(exchange.shut_doors())
            return lambda: exchange.spawn(exchange.reopen_doors())

        return begin

    def handshake(self, order: HandshakeOrder) -> Begin:
        """Return a fault that lets upgrades wait."""
        return listed(self._handshakes, order)

    def handshake_delay_s(self, category: str) -> float:
        """Return how long an upgrade waits; that is one use of the fault."""
        for order, fault in self._handshakes:
            if order.category in {"*", "stream", category}:
                fault.uses += 1
                if order.count and fault.uses >= order.count:
                    asyncio.get_running_loop().call_soon(self._exchange.faults.register.end, fault)
                return order.delay_ms / 1000
        return 0.0

    # At once --------------------------------------------------------------------------------

    def disconnect(self, order: DisconnectOrder) -> int:
        """Cut connections; return how many."""
        chosen = [c for c in self._exchange.connections if is_meant(c, order)]
        for connection in chosen:
            if order.code and connection.is_stream:
                connection.close_stream(order.code)
            else:
                connection.abort()
        return len(chosen)

    def announce_shutdown(self, order: ShutdownOrder, now_ms: int) -> int:
        """Tell stream connections that the server will close them; return how many."""
        meant = DisconnectOrder(category=order.category)
        chosen = [c for c in self._exchange.connections if c.is_stream and is_meant(c, meant)]
        for connection in chosen:
            connection.announce_end(now_ms)
            if order.close_after_ms is not None:
                loop = asyncio.get_running_loop()
                loop.call_later(order.close_after_ms / 1000, connection.go_away)
        return len(chosen)

    def view(self) -> list[dict[str, object]]:
        """Return every connection as the control routes tell it."""
        now_s = asyncio.get_running_loop().time()
        return [
            {
                "connection": connection.number,
                "peer": connection.peer,
                "category": connection.category if connection.is_stream else "rest",
                "control": connection.control,
                "streams": list(connection.names),
                "age_ms": round((now_s - connection.opened_s) * 1000),
                "impaired": connection.link is not None,
                "queued_bytes": connection.link.queued_bytes if connection.link else 0,
            }
            for connection in sorted(self._exchange.connections, key=lambda c: c.number)
        ]
