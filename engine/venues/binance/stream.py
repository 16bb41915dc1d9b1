"""A market-data connection for as long as it is wanted: reconnection and replacement.

connect -> 101 -> SUBSCRIBE the rest, paced -> up ... -> closed -> down -> backoff -> connect
                                            `-- before its life is over, when the venue says so, or
                                                when asked to: open another, wait until it delivers
                                                what the first one does, then close the first

Make before break: while both are open what comes twice is dropped by its ids, and a replacement
that does not deliver is closed again, not the one that does.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from engine.domain.codes import Liveness
from engine.venues.binance.attempts import ConnectionAttempts
from engine.venues.binance.http import Endpoint, parse_url
from engine.venues.binance.refusals import pause_s
from engine.venues.binance.routing import ConnectionPlan, Subscription
from engine.venues.binance.stream_connection import StreamConnection, open_stream
from engine.venues.venue import RateLimitError, VenueError
from native_ext._feed import Core

LIFE_S: Final = 23 * 3600.0  # the venue closes after 24 h
LIFE_JITTER: Final = 0.05  # of the life, so that connections opened together do not go together
SHARED_AFTER_S: Final = 5.0  # the slower of two may repeat what the one that went delivered
DELIVER_S: Final = 10.0  # a replacement must deliver before the first connection is closed
EXPECT_AGE_NS: Final = 2_000_000_000  # channels that spoke so lately must speak on it too
EXPECT_INTERVAL_NS: Final = 1_000_000_000  # and speak so often that they can
HEALTHY_S: Final = 10.0  # a connection that held this long resets the backoff
BACKOFF_FIRST_S: Final = 0.1
BACKOFF_MAX_S: Final = 15.0
STREAMS_IN_URL: Final = 100


class MarketStream:
    """Keeps one connection plan connected; `run` is a task."""

    def __init__(
        self,
        core: Core,
        urls: Sequence[str],
        plan: ConnectionPlan,
        attempts: ConnectionAttempts,
        *,
        on_up: Callable[[MarketStream], None],
        on_down: Callable[[MarketStream, str], None],
        life_s: float = LIFE_S,
    ) -> None:
        """Prepare.

        Args:
            core: where frames go.
            urls: base addresses, tried in turn.
            plan: what it carries.
            attempts: the budget it shares.
            on_up: called when every stream is subscribed.
            on_down: called with the reason after that, and after each attempt that failed.
            life_s: after so long it is replaced.
        """
        self._core = core
        self._endpoints = [parse_url(url) for url in urls]
        self.plan = plan
        self._attempts = attempts
        self._on_up = on_up
        self._on_down = on_down
        self._life_s = life_s
        self._is_shared = False
        self._repeats_until_s = 0.0  # what a replaced connection delivered
        self._open_ones: set[StreamConnection] = set()
        self._asked: asyncio.Future[str] | None = None
        self.connection: StreamConnection | None = None  # while it is up
        self.carried: ConnectionPlan | None = None  # by the connection that is up
        self._opened_for = plan
        self._turn = 0  # whose address is next
        self.failures = 0
        self.connect_count = 0
        self.replaced_count = 0
        self.since_ns = time.monotonic_ns()  # up or down
        self.refusal = ""  # why it is not up
        self.host = ""

    @property
    def is_up(self) -> bool:
        """Return whether every stream is subscribed."""
        return self.connection is not None

    def share(self, is_shared: bool) -> None:
        """Say whether another connection delivers the same, so that duplicates are expected."""
        self._is_shared = is_shared
        repeats = len(self._open_ones) > 1 or time.monotonic() < self._repeats_until_s
        for connection in self._open_ones:
            connection.is_shared = int(is_shared or repeats)

    def replace(self, reason: str) -> bool:
        """Ask for a replacement of the connection; return whether it was not asked for before."""
        if self._asked is None or self._asked.done():
            return False
        self._asked.set_result(reason)
        return True

    async def run(self) -> None:
        """Stay connected until cancelled."""
        try:
            while True:
                wait_s = await self._connect_and_stay()
                await asyncio.sleep(max(backoff_s(self.failures), wait_s))
        finally:
            self.connection = None
            for connection in list(self._open_ones):
                connection.close("no longer wanted")

    async def _connect_and_stay(self) -> float:
        """Live through one connection and its replacements; return how long to wait at least."""
        try:
            connection = await self._open()
        except VenueError as error:
            self.failures += 1
            self.refusal = str(error)
            self._on_down(self, self.refusal)
            return pause_s(error)
        self._set_up(connection)
        self._on_up(self)
        started_s = time.monotonic()
        reason = await self._stay(connection)
        self.connection = None
        self.since_ns = time.monotonic_ns()
        self.refusal = reason
        self._turn += 1
        self.failures = 0 if time.monotonic() - started_s > HEALTHY_S else self.failures + 1
        self._on_down(self, reason)
        return 0.0

    def _set_up(self, connection: StreamConnection) -> None:
        self.connection = connection
        self.carried = self._opened_for
        self.since_ns = time.monotonic_ns()
        self.refusal = ""

    async def _stay(self, connection: StreamConnection) -> str:
        """Return why the last of the connections that followed each other closed."""
        failures = 0
        due_s = self._due_s()
        while not connection.closed.done():
            self._asked = asyncio.get_running_loop().create_future()
            await connection.stay(self._asked, max(due_s - time.monotonic(), 0.0))
            if connection.closed.done():
                break
            if failures == 0:
                self._turn = 0  # the first address is the one that is wanted
            fresh = await self._replacement(connection)
            if fresh is None:
                failures += 1
                with suppress(TimeoutError):
                    async with asyncio.timeout(backoff_s(failures)):
                        await asyncio.shield(connection.closed)
                continue
            failures = 0
            due_s = self._due_s()
            connection = fresh
            self.replaced_count += 1
            self._set_up(connection)
        self._asked = None
        return connection.closed.result()

    def _due_s(self) -> float:
        life_s = self._life_s * random.uniform(1 - LIFE_JITTER, 1)  # noqa: S311  no secret
        return time.monotonic() + life_s

    async def _open(self) -> StreamConnection:
        """Connect and subscribe to every stream of the plan."""
        endpoint = self._endpoints[self._turn % len(self._endpoints)]
        plan = self.plan  # another one may be wanted before this one is up
        streams = plan.streams
        listed = "/".join(streams[:STREAMS_IN_URL])
        path = f"{endpoint.path}/{self.plan.category}/stream?streams={listed}"
        await self._attempts.take()
        before = set(self._open_ones)
        try:
            connection = await open_stream(self._core, endpoint, path, self._make)
        except VenueError as error:
            self._turn += 1
            for failed in self._open_ones - before:
                self._forget(failed)
            if isinstance(error, RateLimitError):
                self._attempts.pause(error.retry_after_s)
            raise
        self.connect_count += 1
        self.host = endpoint.host_header
        try:
            await connection.subscribe(streams[STREAMS_IN_URL:])
        except VenueError:
            connection.close("SUBSCRIBE failed")
            raise
        self._opened_for = plan
        return connection

    def _make(self, core: Core | None, endpoint: Endpoint, path: str) -> StreamConnection:
        """Return a connection that is known from its first byte on: it may repeat another's."""
        connection = StreamConnection(core, endpoint, path)
        self._open_ones.add(connection)
        connection.closed.add_done_callback(lambda _: self._forget(connection))
        self.share(self._is_shared)
        return connection

    def _forget(self, connection: StreamConnection) -> None:
        self._open_ones.discard(connection)
        if self._open_ones:
            self._repeats_until_s = time.monotonic() + SHARED_AFTER_S
        self.share(self._is_shared)

    async def _replacement(self, first: StreamConnection) -> StreamConnection | None:
        """Return a connection that delivers in the first one's stead; None: the first one stays."""
        try:
            fresh = await self._open()
        except VenueError as error:
            self.refusal = str(error)
            return None
        deadline_s = time.monotonic() + DELIVER_S
        waits_for = self._expected()
        while not first.closed.done() and not fresh.closed.done():
            waits_for = [row for row in waits_for if not has_delivered(fresh, row)]
            if not waits_for:
                first.close("replaced")
                return fresh
            if time.monotonic() > deadline_s:
                self.refusal = f"a replacement is silent: {waits_for[0].stream}"
                fresh.close(self.refusal)
                return None
            await asyncio.sleep(0.01)  # what it delivered is noted in C
        return None if fresh.closed.done() else fresh

    def _expected(self) -> list[Subscription]:
        """Return what speaks so often that a replacement must deliver it soon."""
        now_ns = time.monotonic_ns()

        def is_expected(row: Subscription) -> bool:
            liveness, _, last_ns, interval_ns = self._core.channel(
                row.instrument_index, row.channel
            )
            is_lively = now_ns - last_ns < EXPECT_AGE_NS and interval_ns < EXPECT_INTERVAL_NS
            return liveness == Liveness.LIVE and is_lively

        return [row for row in self.plan.subscriptions if is_expected(row)]


def has_delivered(connection: StreamConnection, row: Subscription) -> bool:
    """Return whether a stream has spoken on a connection."""
    return bool(connection.delivered(row.instrument_index) >> row.channel & 1)


def backoff_s(failures: int) -> float:
    """Return how long to wait after so many failures in a row, with jitter."""
    bound = min(BACKOFF_FIRST_S * 2.0 ** min(failures, 16), BACKOFF_MAX_S)
    return bound * random.uniform(0.5, 1.0)  # noqa: S311  spreads reconnects, no secret
