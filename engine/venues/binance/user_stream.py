"""The user-data stream: listen key, socket, renewal and reconnection, for as long as it is wanted.

        create key -> connect /private/ws -> frames ... -> closed or expired -> backoff -> again
                          `-- every 30 min: extend the key; -1125: it is gone, make another

Each time the stream is up again the caller hears `on_connected`: fills may have been missed, so it
reconciles. A frame that does not decode closes the socket, because state is unknown from there on.
The key is never deleted: that would end the stream of every other process of the account.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final

from picows import WSError, WSTransport, ws_connect
from picows.picows import WSAutoPingStrategy

from engine.venues.binance.account import ask
from engine.venues.binance.attempts import ConnectionAttempts
from engine.venues.binance.order_views import AccountReader, ListenKeyView, decode_view
from engine.venues.binance.rest import BinanceRest
from engine.venues.binance.text_listener import TextListener, close_if_abandoned
from engine.venues.binance.user_events import UserEvents, decode_user_frame
from engine.venues.venue import (
    RateLimitError,
    VenueError,
    VenueUnreachableError,
)

LISTEN_KEY_PATH: Final = "/fapi/v1/listenKey"
RENEWAL_S: Final = 1_800.0  # the key lives 60 min
RENEWAL_RETRY_S: Final = 60.0  # after a renewal that failed
IDLE_PING_S: Final = 20.0  # quiet accounts send nothing for days; a dead socket neither
PONG_S: Final = 10.0
CONNECT_TIMEOUT_S: Final = 10.0
BACKOFF_FIRST_S: Final = 0.2
BACKOFF_MAX_S: Final = 15.0
HEALTHY_S: Final = 10.0  # a connection that held this long resets the backoff
CODE_KEY_GONE: Final = -1125
ATTEMPTS_MAX: Final = 60  # of the venue's 300 in five minutes; the feed has 200


class UserStream:
    """One account's user-data stream; `run` is a task on the executor's loop."""

    def __init__(
        self,
        rest: BinanceRest,
        stream_url: str,
        reader: AccountReader,
        *,
        on_connected: Callable[[], None],
        on_events: Callable[[UserEvents], None],
        on_lost: Callable[[VenueError], None],
    ) -> None:
        """Prepare; nothing is opened before `run`."""
        self._rest = rest
        self._url = stream_url.rstrip("/")
        self._reader = reader
        self._on_connected = on_connected
        self._on_events = on_events
        self._on_lost = on_lost
        self._failures = 0
        self.attempts = ConnectionAttempts(ATTEMPTS_MAX)
        self.connected = asyncio.Event()

    async def run(self) -> None:
        """Keep the stream up until cancelled."""
        while True:
            started_ns = time.monotonic_ns()
            error = await self._one_connection()
            self.connected.clear()
            self._on_lost(error)
            healthy = time.monotonic_ns() - started_ns > HEALTHY_S * 1e9
            self._failures = 0 if healthy else self._failures + 1
            await asyncio.sleep(backoff_s(self._failures))

    async def _one_connection(self) -> VenueError:
        """Open, stay until it ends, and return why it ended."""
        await self.attempts.take()
        try:
            key = await self._create_key()
            listener = TextListener(self._hear)
            transport = await self._connect(listener, key)
        except VenueError as error:
            if isinstance(error, RateLimitError):
                self.attempts.pause(error.retry_after_s)
            return error
        renewal = asyncio.create_task(self._renew(key, transport))
        try:
            self.connected.set()
            self._on_connected()  # raises where the kernel takes no report any more
            await transport.wait_disconnected()
        finally:
            renewal.cancel()
            transport.disconnect()
        return listener.error or VenueUnreachableError("the user stream closed")

    async def _create_key(self) -> str:
        body = await ask(self._rest, "POST", LISTEN_KEY_PATH, signed=False)
        return decode_view(body, ListenKeyView).listenKey

    def _hear(self, payload: bytes) -> bool:
        events = decode_user_frame(payload, self._reader)
        self._on_events(events)
        return not events.expired

    async def _connect(self, listener: TextListener, key: str) -> WSTransport:
        url = f"{self._url}/private/ws?listenKey={key}"
        try:
            connecting = ws_connect(
                lambda: listener,
                url,
                websocket_handshake_timeout=CONNECT_TIMEOUT_S,
                enable_auto_ping=True,
                auto_ping_idle_timeout=IDLE_PING_S,
                auto_ping_reply_timeout=PONG_S,
                auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE,
            )
            return await close_if_abandoned(connecting)
        except (OSError, TimeoutError, WSError) as error:
            raise VenueUnreachableError(f"user stream: {error}") from error

    async def _renew(self, key: str, transport: WSTransport) -> None:
        pause_s = RENEWAL_S
        while True:
            await asyncio.sleep(pause_s)
            try:
                await ask(self._rest, "PUT", LISTEN_KEY_PATH, {"listenKey": key}, signed=False)
            except VenueError as error:
                if error.code == CODE_KEY_GONE:
                    transport.disconnect()
                    return
                pause_s = RENEWAL_RETRY_S
            else:
                pause_s = RENEWAL_S


def backoff_s(failures: int) -> float:
    """Return how long to wait after so many failures in a row: exponential with full jitter."""
    bound = min(BACKOFF_FIRST_S * 2 ** min(failures, 16), BACKOFF_MAX_S)
    return random.uniform(0.0, bound)  # noqa: S311  jitter, not a secret
