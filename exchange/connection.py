"""One TCP connection: HTTP requests first, a WebSocket once it asks to upgrade."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs

import orjson

from exchange import frames
from exchange.http1 import HttpError, Request, Response, read_request
from exchange.probe import ORDER_START
from exchange.streams import MAX_STREAMS, Outlet

if TYPE_CHECKING:
    from exchange.server import Exchange

HIGH_WATER_BYTES = 262_144  # at unlimited speed the player waits above this
MAX_BACKLOG_BYTES = 67_108_864  # a subscriber further behind is disconnected
MAX_WAITING_BYTES = 65_536  # kept while an answer is delayed; what comes later waits in the socket
CONTROL_PER_SECOND = 10  # inbound control messages a client may send
PONG_TIMEOUT_S = 600.0
GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
POLICY = 1008


class Connection(asyncio.Protocol):
    """Reads requests or frames, writes answers and streams."""

    def __init__(self, exchange: Exchange) -> None:
        """Start as an HTTP connection."""
        self._exchange = exchange
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._busy = False  # an answer is delayed; later requests wait
        self._holds_back = False  # the peer may not send more meanwhile
        self._arrival_ns = 0
        self._fragments = bytearray()
        self._control_second = 0
        self._control_count = 0
        self.peer = ""
        self.is_stream = False
        self.out: list[bytes] = []
        self.combined = False
        self.category = ""
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
        self._exchange.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Forget everything about this connection."""
        self._transport = None
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
        return self.paused and self._transport is not None

    @property
    def idle(self) -> bool:
        """Tell whether every byte written has left for the kernel."""
        return self._transport is not None and self._transport.get_write_buffer_size() == 0

    def write(self, payload: bytes) -> None:
        """Write bytes now; silently nothing when the peer is gone."""
        if self._transport is not None:
            self._transport.write(payload)

    def flush(self) -> None:
        """Write what was queued as one piece."""
        payload = b"".join(self.out)
        self.out.clear()
        if self._transport is None:
            return
        self._transport.write(payload)
        if self.paused and self._transport.get_write_buffer_size() > MAX_BACKLOG_BYTES:
            self._exchange.slow_clients += 1
            self._transport.abort()

    def abort(self) -> None:
        """Cut the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take bytes; the clock is read before anything else."""
        arrival_ns = time.perf_counter_ns()
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

    # HTTP -----------------------------------------------------------------------------------

    def _read_requests(self) -> None:
        while self._buffer and not self._busy and not self.is_stream:
            try:
                request = read_request(self._buffer, self._arrival_ns)
            except HttpError as fault:
                body = orjson.dumps({"code": -1000, "msg": str(fault)})
                self.write(Response(fault.status, body).encode(close=True))
                self._close_transport()
                return
            if request is None:
                return
            request.peer = self.peer
            if request.headers.get("upgrade", "").lower() == "websocket":
                self._upgrade(request)
            else:
                self._answer(request)
        if self._buffer and self.is_stream:
            self._read_frames()

    def _answer(self, request: Request) -> None:
        response, delay_s = self._exchange.answer(request)
        if delay_s > 0:
            self._busy = True
            asyncio.get_running_loop().call_later(delay_s, self._late, request, response)
        else:
            self._respond(request, response)
        self._exchange.player.deliver()

    def _late(self, request: Request, response: Response) -> None:
        self._busy = False
        self._respond(request, response)
        self._read_requests()
        if self._holds_back and not self._busy and self._transport is not None:
            self._holds_back = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def _respond(self, request: Request, response: Response) -> None:
        if response.status < 0:
            self.abort()
            return
        close = request.headers.get("connection", "").lower() == "close"
        payload = response.encode(close=close)
        if response.half:
            self.write(payload[: len(payload) - (len(response.body) + 1) // 2])
            self._close_transport()
            return
        self.write(payload)
        if close:
            self._close_transport()

    def _close_transport(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # WebSocket ------------------------------------------------------------------------------

    def _upgrade(self, request: Request) -> None:
        key = request.headers.get("sec-websocket-key", "")
        parts = [part for part in request.path.split("/") if part]
        self.category = parts.pop(0) if parts and parts[0] in _CATEGORIES else ""
        if not key or not parts or parts[0] not in {"ws", "stream"}:
            body = orjson.dumps({"code": -1000, "msg": "no such stream path"})
            self.write(Response(404, body).encode(close=True))
            self._close_transport()
            return
        self.combined = parts.pop(0) == "stream"
        self.is_stream = True
        self.last_heard_s = asyncio.get_running_loop().time()
        self.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + frames.accept_key(key).encode() + b"\r\n\r\n"
        )
        self._exchange.hub.connections.add(self)
        query = parse_qs(request.query)
        for listed in query.get("streams", []):
            parts.extend(listed.split("/"))
        self._subscribe([part for part in parts if part], query.get("listenKey", []))

    def _subscribe(self, names: list[str], listen_keys: list[str]) -> bool:
        if len(self.names) + len(names) > MAX_STREAMS:
            return False
        hub = self._exchange.hub
        for name in [*names, *listen_keys]:
            if self.category == "private":
                hub.open_private(self, name)
            else:
                hub.subscribe(self, name, asyncio.get_running_loop().time())
        if hub.live_count:
            self._exchange.player.subscriber_came()
        return True

    def _read_frames(self) -> None:
        self.last_heard_s = asyncio.get_running_loop().time()
        while self._buffer:
            try:
                decoded = frames.decode(self._buffer)
            except frames.FrameError:
                self.close_stream(PROTOCOL_ERROR)
                return
            if decoded is None:
                return
            opcode, last, payload = decoded
            if not self._take_frame(opcode, payload, last=last):
                return

    def _take_frame(self, opcode: int, payload: bytes, *, last: bool) -> bool:
        if opcode == frames.CLOSE:
            self.write(frames.frame(frames.CLOSE, payload[:2]))
            self._close_transport()
            return False
        if self._over_control_budget():
            self.close_stream(POLICY)
            return False
        if opcode == frames.PING:
            self.write(frames.frame(frames.PONG, payload))
        elif opcode in {frames.TEXT, frames.CONTINUATION}:
            if len(self._fragments) + len(payload) > frames.MAX_INBOUND_BYTES:
                self.close_stream(POLICY)
                return False
            self._fragments += payload
            if last:
                text = bytes(self._fragments)
                self._fragments.clear()
                self._control(text)
        return True

    def _over_control_budget(self) -> bool:
        second = int(self.last_heard_s)
        if second != self._control_second:
            self._control_second, self._control_count = second, 0
        self._control_count += 1
        return self._control_count > CONTROL_PER_SECOND

    def _control(self, text: bytes) -> None:
        try:
            message = orjson.loads(text)
            method, request_id = message["method"], message.get("id")
            params = [str(name) for name in message.get("params") or []]
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            self._acknowledge({"error": {"code": 2, "msg": "Invalid request"}, "id": None})
            return
        answer: dict[str, object] = {"result": None, "id": request_id}
        if method == "SUBSCRIBE":
            if not self._subscribe(params, []):
                error = {"code": 2, "msg": f"more than {MAX_STREAMS} streams"}
                answer = {"error": error, "id": request_id}
        elif method == "UNSUBSCRIBE":
            for name in params:
                self._exchange.hub.unsubscribe(self, name)
        elif method == "LIST_SUBSCRIPTIONS":
            answer["result"] = list(self.names)
        else:
            error = {"code": 2, "msg": f"unknown method {method}"}
            answer = {"error": error, "id": request_id}
        self._acknowledge(answer)

    def _acknowledge(self, answer: dict[str, object]) -> None:
        self.send_text(orjson.dumps(answer))

    def send_text(self, body: bytes) -> None:
        """Send one text frame after everything queued before."""
        self.out.append(frames.frame(frames.TEXT, body))
        self.flush()

    def ping(self, now_s: float) -> None:
        """Ping the peer; drop it when it has been silent too long."""
        if now_s - self.last_heard_s > PONG_TIMEOUT_S:
            self.close_stream(POLICY)
        else:
            self.write(frames.frame(frames.PING, str(int(now_s * 1000)).encode()))

    def close_stream(self, code: int) -> None:
        """Send a close frame and close."""
        if self.out:
            self.flush()
        self.write(frames.frame(frames.CLOSE, code.to_bytes(2, "big")))
        self._exchange.hub.close(self)
        self._close_transport()


_CATEGORIES = frozenset({"public", "market", "private"})
