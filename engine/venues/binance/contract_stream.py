"""The venue's own word that an instrument changed: `!contractInfo`, on a connection of its own.

        connect -> message of one of ours -> on_change() -> ... closed -> backoff -> connect

What changed is not read here: the message has no filters, so exchangeInfo is asked. The stream says
nothing for days and may be lost without harm, because the list is read again by the clock too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Final

import msgspec

from engine.venues.binance.attempts import ConnectionAttempts
from engine.venues.binance.http import Endpoint, parse_url
from engine.venues.binance.refusals import pause_s
from engine.venues.binance.routing import category_of
from engine.venues.binance.stream import HEALTHY_S, LIFE_S, backoff_s
from engine.venues.binance.stream_connection import StreamConnection, open_stream
from engine.venues.venue import VenueError
from native_ext._feed import Core

STREAM: Final = "!contractInfo"


class _Contract(msgspec.Struct):
    e: str = ""
    s: str = ""


_CONTRACT = msgspec.json.Decoder(_Contract)


class ContractStream:
    """Listens for as long as it is wanted; `run` is a task."""

    def __init__(
        self,
        stream_url: str,
        symbols: Collection[str],
        attempts: ConnectionAttempts,
        on_change: Callable[[], None],
    ) -> None:
        """Prepare; `on_change` hears about a message on one of `symbols`; more may come."""
        self._endpoint = parse_url(stream_url)
        self._symbols = symbols
        self._attempts = attempts
        self._on_change = on_change

    async def run(self) -> None:
        """Stay connected until cancelled."""
        path = f"{self._endpoint.path}/{category_of(STREAM)}/ws/{STREAM}"
        failures = 0
        while True:
            started_ns = time.monotonic_ns()
            wait_s = 0.0
            await self._attempts.take()
            try:
                connection = await open_stream(None, self._endpoint, path, self._connection)
            except VenueError as error:
                # A venue that is down is told by the streams that carry the market.
                wait_s = pause_s(error)
            else:
                try:
                    await connection.stay(asyncio.get_running_loop().create_future(), LIFE_S)
                finally:
                    connection.close("no longer wanted")
            healthy = time.monotonic_ns() - started_ns > HEALTHY_S * 1e9
            failures = 0 if healthy else failures + 1
            await asyncio.sleep(max(backoff_s(failures), wait_s))

    def heard(self, message: bytes) -> None:
        """Take one message; what cannot be read is as good as a change."""
        try:
            contract = _CONTRACT.decode(message)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            contract = _Contract("contractInfo")
        if contract.e == "contractInfo" and (not contract.s or contract.s in self._symbols):
            self._on_change()

    def _connection(self, core: Core | None, endpoint: Endpoint, path: str) -> StreamConnection:
        return _ContractConnection(core, endpoint, path, self.heard)


class _ContractConnection(StreamConnection):
    def __init__(
        self, core: Core | None, endpoint: Endpoint, path: str, heard: Callable[[bytes], None]
    ) -> None:
        super().__init__(core, endpoint, path)
        self._heard = heard

    def on_message(self, data: bytes) -> None:
        """Hand a message on."""
        self._heard(bytes(data))
