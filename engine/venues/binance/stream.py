"""A market-data connection for as long as it is wanted: rotation and reconnection.

connect -> 101 -> SUBSCRIBE the rest, paced -> up ... -> closed -> down -> backoff -> connect
                                            `-- before a day is over, or when the venue
                                                says so: open another, then close this
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final

from engine.venues.binance.http import parse_url
from engine.venues.binance.routing import ConnectionPlan
from engine.venues.binance.stream_connection import StreamConnection, open_stream
from engine.venues.venue import VenueError
from native_ext._feed import Core

FIRST_BYTES_S: Final = 10.0  # a replacement must speak before the old connection is closed
HEALTHY_S: Final = 10.0  # a connection that held this long resets the backoff
BACKOFF_FIRST_S: Final = 0.1
BACKOFF_MAX_S: Final = 15.0
STREAMS_IN_URL: Final = 100


class MarketStream:
    """Keeps one connection plan connected; `run` is a task."""

    def __init__(
        self,
        core: Core,
        stream_url: str,
        plan: ConnectionPlan,
        *,
        on_up: Callable[[ConnectionPlan], None],
        on_down: Callable[[ConnectionPlan, str], None],
    ) -> None:
        """Prepare; `on_up` is called when every stream is subscribed, `on_down` after that."""
        self._core = core
        self._endpoint = parse_url(stream_url)
        self.plan = plan
        self._on_up = on_up
        self._on_down = on_down
        self._connection: StreamConnection | None = None
        self.connect_count = 0

    async def run(self) -> None:
        """Stay connected until cancelled."""
        failures = 0
        try:
            while True:
                started_ns = time.monotonic_ns()
                reason = await self._connect_and_stay()
                self._on_down(self.plan, reason)
                healthy = time.monotonic_ns() - started_ns > HEALTHY_S * 1e9
                failures = 0 if healthy else failures + 1
                await asyncio.sleep(backoff_s(failures))
        finally:
            if self._connection is not None:
                self._connection.close("the feed stops")

    async def _connect_and_stay(self) -> str:
        try:
            self._connection = await self._open()
        except VenueError as error:
            return str(error)
        self._on_up(self.plan)
        while not self._connection.closed.done():
            await self._connection.stay()
            if not self._connection.closed.done():
                self._connection = await self._replace(self._connection)
        return self._connection.closed.result()

    async def _open(self) -> StreamConnection:
        """Connect and subscribe to every stream of the plan."""
        streams = self.plan.streams
        listed = "/".join(streams[:STREAMS_IN_URL])
        path = f"{self._endpoint.path}/{self.plan.category}/stream?streams={listed}"
        connection = await open_stream(self._core, self._endpoint, path)
        self.connect_count += 1
        try:
            await connection.subscribe(streams[STREAMS_IN_URL:])
        except VenueError:
            connection.close("SUBSCRIBE failed")
            raise
        return connection

    async def _replace(self, old: StreamConnection) -> StreamConnection:
        """Open a second connection, wait until it speaks, then close the first.

        What both deliver meanwhile is refused as duplicate by its ids.
        """
        try:
            fresh = await self._open()
        except VenueError:
            await asyncio.sleep(BACKOFF_MAX_S)
            return old
        deadline = time.monotonic() + FIRST_BYTES_S
        first_bytes = fresh.byte_count
        while fresh.byte_count == first_bytes and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # the bytes are counted in C
        old.close("replaced before its day was over")
        return fresh


def backoff_s(failures: int) -> float:
    """Return how long to wait after so many failures in a row, with jitter."""
    bound = min(BACKOFF_FIRST_S * 2.0 ** min(failures, 16), BACKOFF_MAX_S)
    return bound * random.uniform(0.5, 1.0)  # noqa: S311  spreads reconnects, no secret
