"""Market data over REST from two addresses: the second stands in, refusals are the venue's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from engine.clock import VenueClock
from engine.venues.binance import market
from engine.venues.binance.market import BinanceMarketData
from engine.venues.binance.rest import BinanceRest
from engine.venues.venue import RateLimitError, RejectedError, VenueUnreachableError
from tests.unit.feed.test_rest import Answer, Peer, ok


def status(code: int, body: bytes = b"{}", extra: str = "") -> bytes:
    return f"HTTP/1.1 {code} X\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


Scene = Callable[[BinanceMarketData, Peer, Peer], Awaitable[None]]


def between(first: Answer, second: Answer, scene: Scene) -> None:
    async def run() -> None:
        peers = Peer(first), Peer(second)
        servers = [await asyncio.start_server(peer.serve, "127.0.0.1", 0) for peer in peers]
        clients = [
            BinanceRest(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", VenueClock())
            for server in servers
        ]
        venue = BinanceMarketData(clients[0], clients[1])
        try:
            async with asyncio.timeout(30):
                await scene(venue, *peers)
        finally:
            await venue.close()
            for server in servers:
                server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(run())


def weighing(number: int) -> bytes:
    return ok(b"[]", f"X-MBX-USED-WEIGHT-1M: {number}")


@pytest.mark.parametrize(
    "broken",
    [lambda _: None, lambda _: status(502), lambda _: status(503, b"Service Unavailable")],
    ids=["closes", "502", "503"],
)
def test_the_second_answers_while_the_first_does_not(
    broken: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market, "FIRST_AGAIN_S", 3_600.0)

    async def scene(venue: BinanceMarketData, first: Peer, second: Peer) -> None:
        for _ in range(3):
            assert await venue.fetch_quotes() == b"[]"
        assert venue.switch_count == 1
        assert len(second.heads) == 3
        asked = len(first.heads)
        await venue.fetch_quotes()
        assert len(first.heads) == asked, "not asked for a while"
        assert venue.used_weight == 17, "as the one that is asked has counted"

    between(broken, lambda _: weighing(17), scene)


def test_one_that_says_nothing_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market, "SECOND_AFTER_S", 0.05)

    async def run() -> None:
        async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()  # until the other side gives up
            writer.close()

        silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
        peer = Peer(lambda _: weighing(1))
        other = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
        first, second = (
            BinanceRest(f"http://127.0.0.1:{one.sockets[0].getsockname()[1]}", VenueClock())
            for one in (silent, other)
        )
        venue = BinanceMarketData(first, second)
        async with asyncio.timeout(30):
            assert await venue.fetch_quotes() == b"[]"
        assert venue.switch_count == 1
        await venue.close()
        for server in (silent, other):
            server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(run())


def test_the_first_is_asked_again_after_its_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market, "FIRST_AGAIN_S", 0.0)
    answers = [None, None, weighing(1), weighing(1)]

    async def scene(venue: BinanceMarketData, first: Peer, second: Peer) -> None:
        await venue.fetch_quotes()
        await venue.fetch_quotes()
        assert (len(first.heads), len(second.heads)) == (3, 1)

    between(lambda _: answers.pop(0), lambda _: weighing(2), scene)


def test_the_first_stands_in_for_the_second_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market, "FIRST_AGAIN_S", 3_600.0)
    firsts = [None, None, weighing(1)]
    seconds = [weighing(2), None, None]

    async def scene(venue: BinanceMarketData, _first: Peer, _second: Peer) -> None:
        await venue.fetch_quotes()
        assert await venue.fetch_quotes() == b"[]"
        assert venue.used_weight == 1

    between(lambda _: firsts.pop(0), lambda _: seconds.pop(0), scene)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (status(429, extra="Retry-After: 1\r\n"), RateLimitError),
        (status(400, b'{"code":-1121,"msg":"Invalid symbol."}'), RejectedError),
    ],
)
def test_what_the_venue_refuses_both_would(answer: bytes, error: type[Exception]) -> None:
    async def scene(venue: BinanceMarketData, _first: Peer, second: Peer) -> None:
        with pytest.raises(error):
            await venue.fetch_quotes()
        assert second.heads == []

    between(lambda _: answer, lambda _: weighing(1), scene)


def test_when_neither_answers_it_is_said() -> None:
    async def run() -> None:
        dead = [BinanceRest("http://127.0.0.1:1", VenueClock()) for _ in range(2)]
        with pytest.raises(VenueUnreachableError):
            await BinanceMarketData(dead[0], dead[1]).fetch_quotes()

    asyncio.run(run())
