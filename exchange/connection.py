"""One TCP connection: HTTP requests first, a WebSocket once it asks to upgrade."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs

import orjson

from exchange import frames
from exchange.control import ControlBudget, answer_to
from exchange.http1 import HttpError, Request, Response, read_request
from exchange.link import Link
from exchange.order_api import ORDERS, PATH, OrderSession, handshake_refusal
from exchange.pings import Pings
from exchange.probe import ORDER_START
from exchange.streams import MAX_STREAMS, Outlet

if TYPE_CHECKING:
    from exchange.server import Exchange

HIGH_WATER_BYTES = 262_144  # at unlimited speed the player waits above this
MAX_BACKLOG_BYTES = 67_108_864  # a subscriber further behind is disconnected
MAX_WAITING_BYTES = 65_536  # kept while an answer is delayed; what comes later waits in the socket
GOING_AWAY = 1001


class Connection(asyncio.Protocol):
    """Reads requests or frames, writes answers and streams."""

    def __init__(self, exchange: Exchange, number: int = 0, *, control: bool = False) -> None:
        """Start as an HTTP connection; on the control port no fault reaches it."""
        self._exchange = exchange
        self.number = number  # never given again
        self.control = control
        self.link: Link | None = None  # what is wrong with it; None when nothing is
        self.opened_s = 0.0
        self.announced = False  # it was told that its life ends
        self._close_when_drained = False
        self.pings = Pings()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._busy = False  # an answer is delayed; later requests wait
        self._holds_back = False  # the peer may not send more meanwhile
        self._arrival_ns = 0
        self._message = frames.Message()
        self._budget = ControlBudget()
        self.peer = ""
        self.is_stream = False
        self.out: list[bytes] = []
        self.combined = False
        self.category = ""
        self.orders: OrderSession | None = None  # of a connection of the order API
        self.names: dict[str, Outlet | None] = {}
        self.paused = False
        self.descriptor = -1
        self.last_heard_s = 0.0

    # Transport ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        name = transport.get_extra_info("peername")
        self.peer = name[0] if name else ""
        socket = transport.get_extra_info("socket")
        plain = transport.get_extra_info("sslcontext") is None
        self.descriptor = socket.fileno() if plain and socket is not None else -1
        self.opened_s = asyncio.get_running_loop().time()
        self._exchange.connections.add(self)
        self._exchange.faults.connections.meet(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Forget everything about this connection."""
        self._transport = None
        if self.link is not None and self.link.line is not None:
            self.link.line.stop()
        self.out.clear()
        self._exchange.connections.discard(self)
        self._exchange.hub.close(self)

    def pause_writing(self) -> None:
        """Note that the peer reads slower than we write."""
        self.paused = True

    def resume_writing(self) -> None:
        """Note that the peer caught up."""
        self.paused = False

    @property
    def congested(self) -> bool:
        """Tell whether the peer reads slower than we write."""
        if self.link is not None and self.link.queued_bytes > HIGH_WATER_BYTES:
            return True
        return self.paused and self._transport is not None

    @property
    def idle(self) -> bool:
        """Tell whether every byte written has left for the kernel."""
        if self._transport is None or self.link is not None:
            return False
        return self._transport.get_write_buffer_size() == 0

    def write(self, payload: bytes) -> None:
        """Write bytes now; silently nothing when the peer is gone."""
        if self.link is not None:
            self._write_impaired(self.link, payload)
        elif self._transport is not None:
            self._transport.write(payload)

    def write_plain(self, payload: bytes) -> None:
        """Write bytes past every fault: they have already been through them."""
        if self._transport is not None:
            self._transport.write(payload)

    def flush(self) -> int:
        """Write what was queued as one piece; return how many frames left."""
        if self.link is not None:
            return self._flush_impaired(self.link)
        count = len(self.out)
        payload = b"".join(self.out)
        self.out.clear()
        if self._transport is None:
            return 0
        self._transport.write(payload)
        if self.paused and self._transport.get_write_buffer_size() > MAX_BACKLOG_BYTES:
            self._give_up()
        return count

    def _give_up(self) -> None:
        self._exchange.slow_clients += 1
        self.abort()

    def _flush_impaired(self, link: Link) -> int:
        passed, half = link.passed(self.out)
        self.out.clear()
        if passed:
            self._write_impaired(link, b"".join(passed))
        if half:
            link.dead += 1  # what follows half a frame would be read as its other half
            if link.cut_after_half:
                self._close_transport()
        return 0 if half else len(passed)

    def _write_impaired(self, link: Link, payload: bytes) -> None:
        if link.dead:
            return
        if link.line is None:
            self.write_plain(payload)
        elif not link.line.put(payload):
            self._give_up()

    def drained(self) -> None:
        """Close, when only the slow line kept the connection open."""
        if self._close_when_drained:
            self._close_transport()

    def abort(self) -> None:
        """Cut the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take bytes; the clock is read before anything else."""
        arrival_ns = time.perf_counter_ns()
        if self.link is not None and self.link.dead:
            return
        probe = self._exchange.probe
        if probe.armed and data.startswith(ORDER_START):
            probe.order_arrived(arrival_ns, data)
        if not self._buffer:
            self._arrival_ns = arrival_ns
        self._buffer += data
        if self._busy:
            self._hold_back()
        elif self.is_stream:
            self._read_frames()
        else:
            self._read_requests()

    def _hold_back(self) -> None:
        if len(self._buffer) > MAX_WAITING_BYTES and self._transport is not None:
            self._holds_back = True
            self._transport.pause_reading()

    def _let_go_on(self) -> None:
        """Read what waited for a delayed answer, and let the peer send again."""
        self._read_requests()
        if self._holds_back and not self._busy and self._transport is not None:
            self._holds_back = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def _read_requests(self) -> None:
        while self._buffer and not self._busy and not self.is_stream:
            try:
                request = read_request(self._buffer, self._arrival_ns)
            except HttpError as fault:
                body = orjson.dumps({"code": -1000, "msg": str(fault)})
                self._refuse(Response(fault.status, body))
                return
            if request is None:
                return
            request.peer = self.peer
            if request.headers.get("upgrade", "").lower() == "websocket":
                self._meet_upgrade(request)
            else:
                self._answer(request)
        if self._buffer and self.is_stream:
            self._read_frames()

    def _answer(self, request: Request) -> None:
        response, delay_s = self._exchange.answer(request, control=self.control)
        if delay_s > 0:
            self._busy = True
            asyncio.get_running_loop().call_later(delay_s, self._late, request, response)
        else:
            self._respond(request, response)
        self._exchange.player.deliver()

    def _late(self, request: Request, response: Response) -> None:
        self._busy = False
        self._respond(request, response)
        self._let_go_on()

    def _respond(self, request: Request, response: Response) -> None:
        if response.status < 0:
            self.abort()
            return
        close = request.headers.get("connection", "").lower() == "close"
        self.write_answer(response.encode(close=close), response.missing_bytes, close=close)

    def write_answer(self, payload: bytes, missing_bytes: int, *, close: bool = False) -> None:
        """Write an answer, or what a fault leaves of it; then close if either asks for it."""
        self.write(payload[: len(payload) - missing_bytes])
        if close or missing_bytes:
            self._close_transport()

    def _refuse(self, response: Response) -> None:
        self.write(response.encode(close=True))
        self._close_transport()

    def _close_transport(self) -> None:
        if self.link is not None and self.link.queued_bytes:
            self._close_when_drained = True
        elif self._transport is not None:
            self._transport.close()

    # WebSocket ------------------------------------------------------------------------------

    def _meet_upgrade(self, request: Request) -> None:
        faults = self._exchange.faults
        response, delay_s = (None, 0.0) if self.control else faults.upgrade_fault(request)
        if response is not None:
            self._refuse(response)
        elif delay_s > 0:
            self._busy = True
            asyncio.get_running_loop().call_later(delay_s, self._late_upgrade, request)
        else:
            self._upgrade(request)

    def _late_upgrade(self, request: Request) -> None:
        self._busy = False
        if self._transport is not None:
            self._upgrade(request)
            self._let_go_on()

    def _upgrade(self, request: Request) -> None:
        key = request.headers.get("sec-websocket-key", "")
        parts = [part for part in request.path.split("/") if part]
        if key and request.path == PATH:
            self._open_order_api(request, key)
            return
        self.category = parts.pop(0) if parts and parts[0] in _CATEGORIES else ""
        if not key or not parts or parts[0] not in {"ws", "stream"}:
            body = orjson.dumps({"code": -1000, "msg": "no such stream path"})
            self._refuse(Response(404, body))
            return
        self.combined = parts.pop(0) == "stream"
        self._switch(key)
        self._exchange.hub.connections.add(self)
        query = parse_qs(request.query)
        for listed in query.get("streams", []):
            parts.extend(listed.split("/"))
        self.subscribe([*(part for part in parts if part), *query.get("listenKey", [])])

    def _switch(self, key: str) -> None:
        self.is_stream = True
        self.last_heard_s = asyncio.get_running_loop().time()
        self._exchange.faults.connections.meet(self)
        self.write(frames.switching_protocols(key))

    def _open_order_api(self, request: Request, key: str) -> None:
        refusal = handshake_refusal(self._exchange.api.budgets, request)
        if refusal is not None:
            self._refuse(refusal)
            return
        self.category = ORDERS
        self.orders = OrderSession(self._exchange, self, request)
        self._switch(key)

    def subscribe(self, names: list[str]) -> bool:
        """Subscribe to streams or listen keys; False when they are too many."""
        if len(self.names) + len(names) > MAX_STREAMS:
            return False
        hub = self._exchange.hub
        for name in names:
            if self.category == "private":
                hub.open_private(self, name)
            else:
                hub.subscribe(self, name, asyncio.get_running_loop().time())
        if hub.live_count:
            self._exchange.player.subscriber_came()
        self._exchange.faults.connections.meet(self)
        return True

    def _read_frames(self) -> None:
        self.last_heard_s = asyncio.get_running_loop().time()
        while self._buffer:
            try:
                decoded = frames.decode(self._buffer)
                if decoded is None or not self._take_frame(*decoded):
                    return
            except frames.FrameError as fault:
                self.close_stream(fault.close_code)
                return

    def _take_frame(self, opcode: int, last: bool, payload: bytes) -> bool:
        if opcode == frames.CLOSE:
            self.write(frames.frame(frames.CLOSE, payload[:2]))
            self._close_transport()
            return False
        asks = self.orders is not None and opcode in {frames.TEXT, frames.CONTINUATION}
        if not asks and not self._budget.use(self.last_heard_s):  # requests have their own budgets
            self.close_stream(frames.POLICY)
            return False
        if opcode == frames.PING:
            if self.link is None or not self.link.pongless:
                self.write(frames.frame(frames.PONG, payload))
        elif opcode == frames.PONG:
            if self.link is None or not self.link.deaf_to_pongs:
                self.pings.answered(payload)
        elif opcode in {frames.TEXT, frames.CONTINUATION}:
            text = self._message.take(payload, last=last)
            if text is not None and self.orders is not None:
                self.orders.take(text)
            elif text is not None:
                self.send_text(answer_to(text, self))
        return True

    def unsubscribe(self, names: list[str]) -> None:
        """Undo subscriptions."""
        for name in names:
            self._exchange.hub.unsubscribe(self, name)

    def subscriptions(self) -> Iterable[str]:
        """Return what is subscribed, delivered or not."""
        return self.names

    def send_text(self, body: bytes) -> None:
        """Send one text frame after everything queued before."""
        if self.out:
            self.flush()
        self.write(frames.frame(frames.TEXT, body))

    def ping(self, now_s: float) -> None:
        """Ping the peer; drop it when it left a ping unanswered for too long."""
        if not self.drop_if_overdue(now_s):
            self.write(frames.frame(frames.PING, self.pings.send(now_s)))

    def drop_if_overdue(self, now_s: float) -> bool:
        """Close when a ping has gone unanswered for too long; tell whether it was so."""
        overdue = self.pings.overdue(now_s, self._exchange.pong_timeout_s)
        if overdue:
            self.close_stream(frames.POLICY)
        return overdue

    def announce_end(self, now_ms: int) -> None:
        """Tell the peer that the server is about to close."""
        self.announced = True
        self.send_text(orjson.dumps({"e": "serverShutdown", "E": now_ms}))

    def go_away(self) -> None:
        """Close because the server goes, or the connection is too old."""
        self.close_stream(GOING_AWAY)

    def close_stream(self, code: int) -> None:
        """Send a close frame and close."""
        if self.out:
            self.flush()
        self.write(frames.frame(frames.CLOSE, code.to_bytes(2, "big")))
        self._exchange.hub.close(self)
        self._close_transport()


_CATEGORIES = frozenset({"public", "market", "private"})
