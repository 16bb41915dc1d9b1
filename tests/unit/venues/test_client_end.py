"""A client that is closed while it connects leaves no connection open."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from engine.clock import VenueClock
from engine.venues.binance.rest import BinanceRest
from engine.venues.venue import VenueUnreachableError


@asynccontextmanager
async def mute_venue() -> AsyncIterator[BinanceRest]:
    """Run a client of a venue that takes connections and never answers."""

    async def wait_for_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(wait_for_the_end, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield BinanceRest(f"http://127.0.0.1:{port}", VenueClock())
    server.close()
    await server.wait_closed()


def test_connections_that_come_after_the_end_are_closed() -> None:
    async def scenario() -> int:
        async with mute_venue() as rest:
            ahead = asyncio.create_task(rest.connect(3))
            await asyncio.sleep(0)
            await rest.close()
            await ahead
            return rest.idle_count

    assert asyncio.run(scenario()) == 0


def test_a_request_that_waits_for_a_connection_fails_with_the_client() -> None:
    async def scenario() -> None:
        async with mute_venue() as rest:
            request = asyncio.create_task(rest.request("GET", "/fapi/v1/time"))
            await asyncio.sleep(0)
            await rest.close()
            with pytest.raises(VenueUnreachableError):
                await request

    asyncio.run(scenario())
