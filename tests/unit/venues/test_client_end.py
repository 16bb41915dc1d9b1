"""A client that is closed while it connects leaves no connection open."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from picows import ws_connect

from engine.clock import VenueClock
from engine.venues.binance import text_listener
from engine.venues.binance.rest import BinanceRest
from engine.venues.binance.text_listener import TextListener, close_if_abandoned
from engine.venues.venue import ProtocolError, VenueUnreachableError
from exchange.frames import switching_protocols


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


def test_a_websocket_whose_owner_is_cancelled_amid_the_handshake_is_closed() -> None:
    async def scenario() -> bytes:
        asked, answered = asyncio.Event(), asyncio.Event()
        rest: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def accept_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            asked.set()
            await answered.wait()
            key = next(
                line for line in request.splitlines() if line.startswith("Sec-WebSocket-Key")
            )
            writer.write(switching_protocols(key.split(": ")[1]))
            rest.set_result(await reader.read())
            writer.close()

        server = await asyncio.start_server(accept_late, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        listener = TextListener(lambda _: None)
        connecting = ws_connect(lambda: listener, f"ws://127.0.0.1:{port}/")
        owner = asyncio.create_task(close_if_abandoned(connecting))
        await asked.wait()
        owner.cancel()
        await asyncio.sleep(0)
        answered.set()
        with pytest.raises(asyncio.CancelledError):
            await owner
        async with asyncio.timeout(10):
            sent = await rest
        server.close()
        await server.wait_closed()
        return sent

    assert asyncio.run(scenario()) == b""


@pytest.mark.parametrize(("fragments", "is_heard"), [(3, True), (5, False)])
def test_a_text_without_end_is_not_collected_for_ever(
    fragments: int, is_heard: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_listener, "TEXT_BYTES_MAX", 400)
    heard: list[bytes] = []

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = (line.partition(": ") for line in request.split("\r\n"))
        head = {name.lower(): value for name, _, value in lines}
        writer.write(switching_protocols(head["sec-websocket-key"]))
        for number in range(fragments):
            opcode = 1 if number == 0 else 0
            end = 0x80 if number == fragments - 1 else 0
            writer.write(bytes((opcode | end, 100)) + b"x" * 100)
        await reader.read()
        writer.close()

    async def scenario() -> TextListener:
        server = await asyncio.start_server(send, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]

        def hear(text: bytes) -> bool:
            heard.append(text)
            return False

        listener = TextListener(hear)
        transport = await close_if_abandoned(
            ws_connect(lambda: listener, f"ws://127.0.0.1:{port}/")
        )
        async with asyncio.timeout(10):
            await transport.wait_disconnected()
        server.close()
        await server.wait_closed()
        return listener

    listener = asyncio.run(scenario())
    assert heard == ([b"x" * 300] if is_heard else [])
    assert isinstance(listener.error, ProtocolError) != is_heard
