"""The order API's session: one WebSocket, logged on once; what goes over it is not signed.

        connect -> session.logon -> ready ... -> closed, shut down, or a day old -> backoff -> again
                                      |-- an order: a frame that `frame_wire` wrote, in one write
                                      |-- other requests: JSON, answered by id in any order
                                      `-- every 20 s: are we still logged on?

Answers are handed out as HTTP's are, so that one table says what they mean. When the connection
ends, every request that waits for its answer has an unknown outcome: it is queried, never sent
again. While there is no session, orders go over HTTP.

The connection is shared: the kernel thread may write an order to it (`order_line`), so everything
written here takes it back first, and pings are answered here and not by the library.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import msgspec
from picows import WSError, WSMsgType, WSTransport, ws_connect

from engine.clock import VenueClock
from engine.venues.binance.errors import classify
from engine.venues.binance.http import Response
from engine.venues.binance.rest import Params
from engine.venues.binance.session_answers import SessionAnswer, decode_answer
from engine.venues.binance.signing import Signer
from engine.venues.binance.text_listener import TextListener, close_if_abandoned
from engine.venues.binance.user_stream import CONNECT_TIMEOUT_S, HEALTHY_S, backoff_s
from engine.venues.venue import (
    ClockError,
    OutcomeUnknownError,
    VenueError,
    VenueUnreachableError,
)

PATH: Final = "/ws-fapi/v1"
RECV_WINDOW_MS: Final = 5_000
ANSWER_S: Final = 10.0  # for requests other than orders, which have a deadline of their own
STATUS_PERIOD_S: Final = 20.0
LIFE_S: Final = 23 * 3_600.0  # the venue closes after 24 h
WAITING_MAX: Final = 1_024  # answers waited for; more orders go over HTTP


class OrderSession:
    """One account's session; `run` is a task on the executor's loop."""

    is_shared: Final = True  # what is lent to the order line also carries other requests

    def __init__(
        self,
        order_url: str,
        api_key: str,
        signer: Signer,
        clock: VenueClock,
        *,
        blocked_s: Callable[[], float],
        learn_limits: Callable[[Response], None],
        relearn_clock: Callable[[], Awaitable[None]],
    ) -> None:
        """Prepare; nothing is opened before `run`.

        Args:
            order_url: WebSocket base URL of the order API, without a path.
            api_key: who we are.
            signer: of a kind that logs on.
            clock: the venue's.
            blocked_s: for how long the venue asked us not to send.
            learn_limits: hears every answer.
            relearn_clock: called when the venue finds our time wrong at the logon.
        """
        assert signer.logs_on, "a key that logs no session on"
        self._url: Final = order_url.rstrip("/") + PATH
        self._api_key = api_key
        self._signer = signer
        self._clock = clock
        self._blocked_s = blocked_s
        self._learn_limits = learn_limits
        self._relearn_clock = relearn_clock
        # Of whoever lends the connection: takes it back; hears that it is idle, or that an answer
        # came, or the end, which nobody asked for.
        self.on_needed: Callable[[], bool] = bool
        self.on_idle: Callable[[], object] = bool
        self.on_unasked: Callable[[], None] | None = None
        self._transport: WSTransport | None = None
        self._descriptor = -1  # of the socket, when what we write needs no encryption
        self._reserved = False
        self._waiting: dict[str, asyncio.Future[Response]] = {}
        self._request_count = 0
        self._ending = asyncio.Event()
        self.is_ready = False
        self.logon_count = 0
        self.last_error: VenueError | None = None

    # Life

    async def run(self) -> None:
        """Keep a session logged on until cancelled."""
        failures = 0
        while True:
            started_ns = time.monotonic_ns()
            error = await self._one_connection()
            self.last_error = error
            if isinstance(error, ClockError):
                await self._relearn()
            is_healthy = time.monotonic_ns() - started_ns > HEALTHY_S * 1e9
            failures = 0 if is_healthy else failures + 1
            await asyncio.sleep(backoff_s(failures))

    async def _relearn(self) -> None:
        try:
            await self._relearn_clock()
        except VenueError as error:
            self.last_error = error

    async def _one_connection(self) -> VenueError:
        """Connect, log on, stay until it ends, and return why it ended."""
        listener = TextListener(self._hear, self._answer_ping, self._lost)
        try:
            transport = await self._connect(listener)
        except VenueError as error:
            return error
        try:
            await self._log_on()
            await self._serve(transport)
        except VenueError as error:
            return error
        finally:
            self.close()
        return listener.error or VenueUnreachableError("the order session closed")

    async def _connect(self, listener: TextListener) -> WSTransport:
        try:
            connecting = ws_connect(
                lambda: listener,
                self._url,
                websocket_handshake_timeout=CONNECT_TIMEOUT_S,
                enable_auto_pong=False,
            )
            transport = await close_if_abandoned(connecting)
        except (OSError, TimeoutError, WSError) as error:
            raise VenueUnreachableError(f"order session: {error}") from error
        raw = transport.underlying_transport.get_extra_info("socket")
        self._descriptor = -1 if transport.is_secure or raw is None else raw.fileno()
        self._transport = None if transport.is_disconnected else transport
        self._ending.clear()
        return transport

    async def _log_on(self) -> None:
        params: dict[str, str | int] = {
            "apiKey": self._api_key,
            "recvWindow": RECV_WINDOW_MS,
            "timestamp": self._clock.now_ms(),
        }
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
        params["signature"] = self._signer.sign(payload.encode())
        error = classify(await self._exchange("session.logon", params))
        if error is not None:
            raise error
        self.is_ready = True
        self.logon_count += 1
        self.on_idle()

    async def _serve(self, transport: WSTransport) -> None:
        """Return when the connection has ended, or should at a moment when nothing waits."""
        ended = asyncio.create_task(transport.wait_disconnected())
        ending = asyncio.create_task(self._ending.wait())
        status = asyncio.create_task(self._watch_status())
        tasks = {ended, ending, status}
        try:
            await asyncio.wait(tasks, timeout=LIFE_S, return_when=asyncio.FIRST_COMPLETED)
            self.is_ready = False  # what comes now goes over HTTP
            if not ended.done() and self._waiting:
                await asyncio.wait(set(self._waiting.values()), timeout=ANSWER_S)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch_status(self) -> None:
        """Return when the venue does not answer, or no longer knows who we are."""
        while True:
            await asyncio.sleep(STATUS_PERIOD_S)
            try:
                response = await self._exchange("session.status", {})
            except VenueError as error:
                self.last_error = error
                return
            if classify(response) is not None or b'"apiKey":null' in response.body:
                return

    def close(self) -> None:
        """Close the connection; what waits for its answer has an unknown outcome."""
        self.is_ready = False
        transport = self._transport
        if transport is not None:
            self.on_needed()
            transport.disconnect()
            self._lost()

    # Requests

    async def ask(self, method: str, params: Params) -> Response:
        """Send a request of a session that is ready; return its answer, whatever its status.

        Raises:
            VenueUnreachableError: nothing was sent.
            OutcomeUnknownError: it was sent and no answer came.
        """
        if not self.is_ready:
            raise VenueUnreachableError("no order session")
        stamped = {**params, "recvWindow": RECV_WINDOW_MS, "timestamp": self._clock.now_ms()}
        return await self._exchange(method, stamped)

    async def _exchange(self, method: str, params: Params) -> Response:
        transport = self._transport
        if transport is None or len(self._waiting) >= WAITING_MAX:
            raise VenueUnreachableError("the order session takes no request")
        self._request_count += 1
        request_id = f"r{self._request_count}"
        request = {"id": request_id, "method": method, "params": params}
        self.on_needed()
        transport.send(WSMsgType.TEXT, msgspec.json.encode(request))
        answer = self.follow(b"", request_id)
        try:
            async with asyncio.timeout(ANSWER_S):
                return await answer
        except TimeoutError as error:
            raise OutcomeUnknownError(f"{method}: no answer in {ANSWER_S} s") from error

    def write(self, frame: bytes) -> bytes | None:
        """Write an order's frame now; return what `follow` has to write, None: nothing was sent."""
        transport = self._transport
        if not self.is_ready or transport is None or len(self._waiting) >= WAITING_MAX:
            return None
        self.on_needed()
        sent = 0
        if self._descriptor >= 0 and not self._queued_bytes(transport):
            try:  # noqa: SIM105  a context manager would cost more than the call
                sent = os.write(self._descriptor, frame)
            except OSError:  # full or broken: the transport finds out which
                pass
        return frame[sent:]

    def follow(self, rest: bytes, request_id: str) -> asyncio.Future[Response]:
        """Return the answer to a request whose first bytes have left; write the rest."""
        self._reserved = False
        self.finish(rest)
        waiter: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        if self._transport is None:
            waiter.set_exception(OutcomeUnknownError("the session ended before the answer"))
            return waiter
        self._waiting[request_id] = waiter
        waiter.add_done_callback(partial(self._settled, request_id))
        return waiter

    def finish(self, rest: bytes) -> None:
        """Write the rest of a frame that was begun."""
        if rest and self._transport is not None:
            self._transport.underlying_transport.write(rest)

    def _settled(self, request_id: str, waiter: asyncio.Future[Response]) -> None:
        if self._waiting.get(request_id) is waiter:
            del self._waiting[request_id]

    # What the order line borrows

    @property
    def descriptor(self) -> int:
        """Return the socket's descriptor where it takes frames as they are; -1 with TLS."""
        return self._descriptor

    def reserve(self) -> OrderSession | None:
        """Lend the connection; None where it cannot be, now."""
        transport = self._transport
        if not self.is_ready or self._reserved or self._descriptor < 0 or transport is None:
            return None
        if self._queued_bytes(transport) or self._blocked_s() > 0:
            return None
        self._reserved = True
        return self

    def release(self) -> None:
        """Take the lent connection back."""
        self._reserved = False

    def _queued_bytes(self, transport: WSTransport) -> int:
        return transport.underlying_transport.get_write_buffer_size()

    # What comes

    def _hear(self, payload: bytes) -> None:
        answer = decode_answer(payload)
        if answer.status == 0:
            if answer.e == "serverShutdown":
                self._ending.set()
            return
        self._deliver(str(answer.id), answer)
        self.on_idle()

    def _deliver(self, request_id: str, answer: SessionAnswer) -> None:
        if request_id not in self._waiting and self.on_unasked is not None:
            self.on_unasked()  # the kernel thread wrote it: its command comes first
        response = answer.response()
        self._learn_limits(response)
        waiter = self._waiting.get(request_id)
        if waiter is not None and not waiter.done():  # else: given up meanwhile
            waiter.set_result(response)

    def _answer_ping(self, transport: WSTransport, payload: bytes) -> None:
        self.on_needed()
        transport.send_pong(payload)
        self.on_idle()

    def _lost(self) -> None:
        self.is_ready = False
        self._transport = None
        self._descriptor = -1
        if self.on_unasked is not None:
            self.on_unasked()
        for waiter in list(self._waiting.values()):
            if not waiter.done():
                waiter.set_exception(OutcomeUnknownError("the session ended before the answer"))
