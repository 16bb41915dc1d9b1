"""Binance USD-M over HTTP: a few kept-alive connections, prebuilt heads, signatures.

        client = BinanceRest(url, clock, api_key=..., api_secret=...)
        await client.connect(2)                                  # warm connections
        response = await client.request("POST", "/fapi/v1/order", params, signed=True)

Every parameter travels in the query string, also of POST, PUT and DELETE; the signature covers the
query exactly as sent. `submit` writes in the caller's own turn when a connection is idle, which is
the way an order takes; `request` also connects, bounds the wait and retries reads once.

What is not urgent stands aside for a moment while cancels are under way: a fetch has thousands of
rows, and venue and loop are busy with each page of them.

After 429 or 418 the client refuses further requests itself until the time the venue named;
`urgent` ones (cancels) still go.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from urllib.parse import quote
from weakref import WeakSet

from engine.clock import VenueClock
from engine.venues.binance.budget import Budget, monotonic_ms
from engine.venues.binance.errors import RATE_STATUS
from engine.venues.binance.http import (
    Endpoint,
    HttpConnection,
    Response,
    open_connection,
    parse_url,
)
from engine.venues.binance.refusals import retry_after_s
from engine.venues.binance.signing import in_query, signer_of
from engine.venues.venue import (
    OutcomeUnknownError,
    RateLimitError,
    VenueUnreachableError,
)

CONNECTIONS_MAX = 8  # requests in flight at once; more wait for one to come back
TIMEOUT_S = 10.0
STAND_ASIDE_S = 0.25  # of a page of the account's history, while orders are being cancelled
RECV_WINDOW_MS = 5_000
NS_PER_S = 1_000_000_000
_HEADS_MAX = 64  # distinct (method, path) pairs kept prebuilt

Params = Mapping[str, str | int]


class BinanceRest:
    """A client of one base URL. One event loop; not for use from several threads."""

    def __init__(
        self,
        base_url: str,
        clock: VenueClock,
        *,
        api_key: str = "",
        api_secret: str = "",
        connections_max: int = CONNECTIONS_MAX,
        recv_window_ms: int = RECV_WINDOW_MS,
    ) -> None:
        """Prepare; nothing is opened before `connect` or the first request."""
        assert connections_max > 0, connections_max
        self._endpoint: Endpoint = parse_url(base_url)
        self.clock = clock
        self._signer = signer_of(api_secret)
        self._window = f"recvWindow={recv_window_ms}&timestamp=".encode()
        key = f"X-MBX-APIKEY: {api_key}\r\n" if api_key else ""
        host = f"Host: {self._endpoint.host_header}\r\n"
        self._tail = f" HTTP/1.1\r\n{host}{key}Content-Length: 0\r\n\r\n".encode()
        self._tail_get = f" HTTP/1.1\r\n{host}{key}\r\n".encode()
        self._heads: dict[tuple[str, str], bytes] = {}
        self._idle: list[HttpConnection] = []
        self._opened: WeakSet[HttpConnection] = WeakSet()
        self._reserved: HttpConnection | None = None
        # Of whoever reserves a connection: releases it and says whether; hears that one is idle.
        self.on_needed: Callable[[], bool] = bool
        self.on_idle: Callable[[], object] = bool
        self.is_shared = False  # a connection that is lent carries nothing else meanwhile
        self._places = asyncio.Semaphore(connections_max)
        self._is_closed = False  # what is opened from then on is closed at once
        self._way_needed_by = 0  # cancels that are under way
        self._way = asyncio.Event()
        self._way.set()
        self._blocked_until_ns = 0
        self.budget = Budget()

    async def connect(self, connection_count: int = 1) -> None:
        """Open connections ahead of the first request.

        Raises:
            VenueUnreachableError: the venue does not answer.
        """
        opened = await asyncio.gather(
            *(open_connection(self._endpoint) for _ in range(connection_count))
        )
        self._opened.update(opened)
        if self._is_closed:
            await self.close()
        else:  # the newest is taken first: those below it die unnoticed, and would pile up
            self._idle = [*(idle for idle in self._idle if idle.usable), *opened]

    async def request(
        self,
        method: str,
        path: str,
        params: Params | None = None,
        *,
        signed: bool = False,
        urgent: bool = False,
        timeout_s: float = TIMEOUT_S,
    ) -> Response:
        """Send a request and return its answer, whatever its status.

        Raises:
            VenueUnreachableError: nothing was sent.
            OutcomeUnknownError: it was sent and no answer came in time.
            RateLimitError: the venue asked us to stop; nothing was sent.
        """
        if signed and not urgent:
            await self._stand_aside()
        self._check_rate(urgent=urgent)
        async with self._places:
            try:
                return await self._exchange(method, path, params, signed, timeout_s)
            except (OutcomeUnknownError, VenueUnreachableError):
                # A kept-alive connection may die unnoticed; asking again has no effect on a read.
                if method != "GET":
                    raise
            return await self._exchange(method, path, params, signed, timeout_s)

    def need_way(self) -> None:
        """Let signed requests that are not urgent stand aside, until as many `clear_way` come."""
        self._way_needed_by += 1
        self._way.clear()

    def clear_way(self) -> None:
        """Take back one `need_way`."""
        self._way_needed_by -= 1
        if self._way_needed_by == 0:
            self._way.set()

    async def _stand_aside(self) -> None:
        """Wait while cancels are under way; an account that cancels all the time is read too."""
        if not self._way.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(STAND_ASIDE_S):
                    await self._way.wait()

    def submit(
        self, method: str, path: str, params: Params | None = None, *, signed: bool = False
    ) -> asyncio.Future[Response] | None:
        """Write a request now on an idle connection; None when none is idle.

        The caller bounds the wait; the connection comes back when the answer is complete. There is
        no retry and no rate check: see `blocked_s`.
        """
        return self.submit_bytes(self._build(method, path, params, signed))

    def submit_bytes(self, request: bytes) -> asyncio.Future[Response] | None:
        """Write a complete request of the caller's own now; otherwise as `submit`."""
        while (connection := self._take_idle()) is not None:
            answer = connection.send(request)
            if answer is not None:
                answer.add_done_callback(partial(self._give_back, connection))
                return answer
        return None

    def reserve(self) -> HttpConnection | None:
        """Take an idle connection that needs no encryption out of the pool; None: there is none.

        One at a time, and none while the venue asks us to stop. It comes back by `release`, or by
        `follow` with the answer.
        """
        assert self._reserved is None, "one at a time"
        if self._endpoint.secure or not self._idle or self.blocked_s() > 0:
            return None
        self._reserved = self._take_idle()
        return self._reserved

    def release(self) -> None:
        """Put the reserved connection back into the pool."""
        connection, self._reserved = self._reserved, None
        if connection is not None and connection.usable:
            self._idle.append(connection)

    def follow(self, rest: bytes, _request_id: str) -> asyncio.Future[Response]:
        """Return the answer to a request begun on the reserved connection; write its rest."""
        connection, self._reserved = self._reserved, None
        assert connection is not None, "reserved"
        answer = connection.follow(rest)
        answer.add_done_callback(partial(self._give_back, connection))
        return answer

    def finish(self, rest: bytes) -> None:
        """Not for connections of HTTP, which are not shared."""
        raise AssertionError(f"{len(rest)} bytes for a connection that is not shared")

    async def exchange_bytes(self, request: bytes, timeout_s: float = TIMEOUT_S) -> Response:
        """Send a complete request of the caller's own, urgent and never repeated.

        Raises:
            VenueUnreachableError: nothing was sent.
            OutcomeUnknownError: it was sent and no answer came in time.
        """
        connection = self._take_idle() or await self._open(timeout_s)
        return await self._converse(connection, request, timeout_s)

    @property
    def idle_count(self) -> int:
        """Return how many connections could take a request now."""
        reserved = self._reserved is not None and self._reserved.usable
        return sum(connection.usable for connection in self._idle) + reserved

    @property
    def used_weight(self) -> int:
        """Return what this minute's requests have weighed, over all processes of the address."""
        return self.budget.weight.count(monotonic_ms())

    def blocked_s(self) -> float:
        """Return for how long the venue asked us not to send; 0: not at all."""
        if self._blocked_until_ns == 0:
            return 0.0
        return max(0, self._blocked_until_ns - time.monotonic_ns()) / NS_PER_S

    async def close(self) -> None:
        """Close every connection; a request that waits for its answer, or for one, fails."""
        self._is_closed = True
        self.on_needed()
        self._idle.clear()
        for connection in list(self._opened):
            connection.close()
        await asyncio.sleep(0)

    async def _exchange(
        self, method: str, path: str, params: Params | None, signed: bool, timeout_s: float
    ) -> Response:
        connection = self._take_idle() or await self._open(timeout_s)
        request = self._build(method, path, params, signed)
        return await self._converse(connection, request, timeout_s)

    async def _converse(
        self, connection: HttpConnection, request: bytes, timeout_s: float
    ) -> Response:
        answer = connection.send(request)
        if answer is None:
            raise VenueUnreachableError("the connection closed before the request")
        try:
            # WHY: not wait_for, which loses a cancel that comes in the turn of the answer (3.11).
            async with asyncio.timeout(timeout_s):
                response = await answer
        except TimeoutError as error:
            what = request.split(b"?", 1)[0].decode()
            raise OutcomeUnknownError(f"{what}: no answer in {timeout_s} s") from error
        finally:
            self._give_back(connection, answer)
        return response

    async def _open(self, timeout_s: float) -> HttpConnection:
        try:
            async with asyncio.timeout(timeout_s):
                connection = await open_connection(self._endpoint)
        except TimeoutError as error:
            raise VenueUnreachableError(f"no connection in {timeout_s} s") from error
        self._opened.add(connection)
        if self._is_closed:
            await self.close()
            raise VenueUnreachableError("the client was closed meanwhile")
        return connection

    def _take_idle(self) -> HttpConnection | None:
        while self._idle or self.on_needed():
            # What was given back may be closed already: then it is in no pool.
            if self._idle and (connection := self._idle.pop()).usable:
                return connection
        return None

    def _give_back(self, connection: HttpConnection, done: asyncio.Future[Response]) -> None:
        if connection.usable:
            self._idle.append(connection)
        if done.done() and not done.cancelled() and done.exception() is None:
            self.learn_limits(done.result())
        self.on_idle()

    def learn_limits(self, response: Response) -> None:
        """Hear what an answer, of whatever connection, says about the limits."""
        self.budget.hear(response.headers)
        if response.status in RATE_STATUS:
            wait_s = retry_after_s(response.headers.get("retry-after", ""))
            until = time.monotonic_ns() + int(wait_s * NS_PER_S)
            self._blocked_until_ns = max(self._blocked_until_ns, until)
            self.on_needed()

    def _check_rate(self, *, urgent: bool) -> None:
        wait_s = self.blocked_s()
        if wait_s > 0 and not urgent:
            raise RateLimitError("the venue asked us to stop", retry_after_s=wait_s)
        wait_s = self.budget.request_wait_s(urgent=urgent)
        if wait_s > 0:
            message = "only the reserve for cancels is left of this minute's weight"
            raise RateLimitError(message, retry_after_s=wait_s)

    def _build(self, method: str, path: str, params: Params | None, signed: bool) -> bytes:
        query = encode_query(params) if params else b""
        if signed:
            query = self._sign(query)
        tail = self._tail_get if method == "GET" else self._tail
        return b"".join((self._head(method, path), b"?" if query else b"", query, tail))

    def _head(self, method: str, path: str) -> bytes:
        head = self._heads.get((method, path))
        if head is None:
            head = f"{method} {self._endpoint.path}{path}".encode()
            if len(self._heads) < _HEADS_MAX:
                self._heads[method, path] = head
        return head

    def _sign(self, query: bytes) -> bytes:
        stamp = self._window + str(self.clock.now_ms()).encode()
        signed = query + b"&" + stamp if query else stamp
        return signed + in_query(self._signer.sign(signed))


def encode_query(params: Params) -> bytes:
    """Return parameters percent-encoded, in the order given, without the empty ones."""
    parts = (
        f"{name}={entry if isinstance(entry, int) else quote(entry, safe='')}"
        for name, entry in params.items()
        if entry != ""
    )
    return "&".join(parts).encode()
