"""A connection for as long as it is wanted: subscribed, brought back, replaced in time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from engine.domain.codes import Channel, Liveness, RecordType
from engine.venues.binance import stream, stream_connection
from engine.venues.binance.attempts import ConnectionAttempts
from engine.venues.binance.routing import ConnectionPlan, Subscription
from engine.venues.binance.stream import MarketStream, backoff_s
from tests.feed_rig import FeedRig, Frame, Frames
from tests.stream_server import CLOSE, Session, against, hold_clock, until

PLAN = ConnectionPlan("public", (Subscription("btcusdt@bookTicker", 0, Channel.QUOTE),))


class Hooks:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def up(self, market: MarketStream) -> None:
        self.heard.append(f"up {market.plan.category}")

    def down(self, market: MarketStream, reason: str) -> None:
        self.heard.append(f"down {market.plan.category}: {reason}")


def market_stream(
    rig: FeedRig, url: str, plan: ConnectionPlan = PLAN, *more: str, life_s: float = 1_000.0
) -> tuple[MarketStream, Hooks]:
    hooks = Hooks()
    market = MarketStream(
        rig.core,
        (url, *more),
        plan,
        ConnectionAttempts(),
        on_up=hooks.up,
        on_down=hooks.down,
        life_s=life_s,
    )
    return market, hooks


@contextlib.asynccontextmanager
async def wanted(market: MarketStream) -> AsyncIterator[asyncio.Task[None]]:
    """Keep a stream connected for a while."""
    task = asyncio.create_task(market.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_frames_of_a_connection_reach_the_ring() -> None:
    rig, frames = FeedRig(), Frames()
    hold_clock(rig)
    paths = []

    async def handler(session: Session) -> None:
        await session.shake()
        paths.append(session.path)
        for _ in range(3):
            session.send(frames.book_ticker(rig.venue_ms))
        await session.receive()

    async def body(url: str) -> None:
        market, hooks = market_stream(rig, url)
        async with wanted(market):
            await until(lambda: rig.core.counters()[2] == 3)
            assert hooks.heard == ["up public"]

    against(handler, body)
    assert paths == ["/public/stream?streams=btcusdt@bookTicker"]
    assert len(rig.records(RecordType.QUOTE)) == 3


def test_streams_beyond_the_url_are_subscribed_in_paced_messages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_connection, "MESSAGE_SPACING_S", 0.001)
    names = [f"s{n}usdt@bookTicker" for n in range(350)]
    plan = ConnectionPlan("public", tuple(Subscription(name, 0, Channel.QUOTE) for name in names))
    asked: list[str] = []

    async def handler(session: Session) -> None:
        await session.shake()
        asked.extend(session.path.split("=")[1].split("/"))
        while True:
            _, raw = await session.receive()
            message = json.loads(raw)
            assert message["method"] == "SUBSCRIBE"
            asked.extend(message["params"])
            session.send({"result": None, "id": message["id"]})

    async def body(url: str) -> None:
        market, hooks = market_stream(FeedRig(), url, plan)
        async with wanted(market):
            await until(lambda: hooks.heard == ["up public"])

    against(handler, body)
    assert asked == names


def test_a_lost_connection_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "BACKOFF_FIRST_S", 0.001)
    rig, frames = FeedRig(), Frames()
    hold_clock(rig)

    async def handler(session: Session) -> None:
        await session.shake()
        session.send(frames.book_ticker(rig.venue_ms))

    async def body(url: str) -> None:
        market, hooks = market_stream(rig, url)
        async with wanted(market):
            await until(lambda: market.connect_count >= 3)
        assert hooks.heard[:3] == [
            "up public",
            "down public: closed by the other side",
            "up public",
        ]

    against(handler, body)


class Replaced:
    """A server whose first connection delivers at once, and the next ones as a test says."""

    def __init__(self, rig: FeedRig, frames: Frames, *, delivers: Callable[[int], bool]) -> None:
        self.rig, self.frames, self.delivers = rig, frames, delivers
        self.order: list[str] = []
        self.sessions: list[Session] = []

    async def handle(self, session: Session) -> None:
        """Serve one connection until it is closed."""
        await session.shake()
        number = len(self.sessions)
        self.sessions.append(session)
        self.order.append(f"open {number}")
        if self.delivers(number):
            session.send(self.frames.book_ticker(self.rig.venue_ms))
        with contextlib.suppress(asyncio.IncompleteReadError):
            opcode, _ = await session.receive()
            self.order.append(f"close {number}" if opcode == CLOSE else "other")


def lively(rig: FeedRig) -> FeedRig:
    """Return the rig with its quotes subscribed now, and the venue's clock held."""
    hold_clock(rig)
    rig.core.subscribed(0, Channel.QUOTE, time.monotonic_ns())
    return rig


def test_a_connection_is_replaced_before_the_first_one_closes() -> None:
    rig, frames = lively(FeedRig()), Frames()
    server = Replaced(rig, frames, delivers=lambda _: True)

    async def body(url: str) -> None:
        market, hooks = market_stream(rig, url)
        async with wanted(market):
            await until(lambda: rig.liveness(0, Channel.QUOTE) is Liveness.LIVE)
            server.sessions[0].send({"e": "serverShutdown", "E": 1})
            await until(lambda: "close 0" in server.order)
            assert server.order == ["open 0", "open 1", "close 0"]
            assert hooks.heard == ["up public"], "nobody noticed"
            assert market.replaced_count == 1

    against(server.handle, body)
    assert len(rig.records(RecordType.QUOTE)) == 2


After = Callable[[MarketStream, list[Session]], Awaitable[None]]


async def nothing_more(_market: MarketStream, _sessions: list[Session]) -> None:
    """Let a test end with the replacement."""


def replaced_by_one_that_repeats(rig: FeedRig, first: Frame, after: After = nothing_more) -> None:
    """Replace a connection by one that begins with the same frame; then do `after`."""
    sessions: list[Session] = []

    async def handler(session: Session) -> None:
        sessions.append(session)
        await session.shake()
        session.send(first)
        await session.receive()

    async def body(url: str) -> None:
        market, _ = market_stream(rig, url)
        async with wanted(market):
            await until(lambda: rig.liveness(0, Channel.QUOTE) is Liveness.LIVE)
            assert market.replace("a test says so")
            assert not market.replace("and again"), "asked for already"
            await until(lambda: market.replaced_count == 1)
            await after(market, sessions)

    against(handler, body)
    assert rig.rejects() == {}


def test_what_a_replacement_repeats_is_no_refusal() -> None:
    rig, frames = lively(FeedRig()), Frames()
    replaced_by_one_that_repeats(rig, frames.book_ticker(rig.venue_ms))
    assert len(rig.records(RecordType.QUOTE)) == 1


def test_what_a_slow_replacement_repeats_after_the_first_one_went_is_no_refusal() -> None:
    rig, frames = lively(FeedRig()), Frames()
    first, second = frames.book_ticker(rig.venue_ms), frames.book_ticker(rig.venue_ms)

    async def after(market: MarketStream, sessions: list[Session]) -> None:
        market.share(False)  # as the feed does each time it looks
        rig.records()
        sessions[1].send(first)
        sessions[1].send(second)
        await until(lambda: len(rig.records(RecordType.QUOTE)) > 0)

    replaced_by_one_that_repeats(rig, first, after)


def test_a_replacement_that_does_not_deliver_is_closed_and_the_first_one_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "DELIVER_S", 0.1)
    rig, frames = lively(FeedRig()), Frames()
    server = Replaced(rig, frames, delivers=lambda number: number != 1)

    async def body(url: str) -> None:
        market, hooks = market_stream(rig, url)
        async with wanted(market):
            await until(lambda: rig.liveness(0, Channel.QUOTE) is Liveness.LIVE)
            market.replace("a test says so")
            await until(lambda: "close 1" in server.order)
            assert "close 0" not in server.order
            assert market.is_up
            assert market.refusal == "a replacement is silent: btcusdt@bookTicker"
            await asyncio.sleep(0.2)
            assert len(server.sessions) == 2, "asked for once, tried once"
            assert hooks.heard == ["up public"]

    against(server.handle, body)


def test_a_life_that_is_over_is_replaced_until_it_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "DELIVER_S", 0.05)
    monkeypatch.setattr(stream, "BACKOFF_FIRST_S", 0.01)
    rig, frames = lively(FeedRig()), Frames()
    server = Replaced(rig, frames, delivers=lambda number: number in {0, 3})

    async def body(url: str) -> None:
        market, hooks = market_stream(rig, url, life_s=0.4)
        async with wanted(market):
            await until(lambda: "close 0" in server.order)
            order = ["open 0", "open 1", "close 1", "open 2", "close 2", "open 3", "close 0"]
            assert server.order[:7] == order
            assert hooks.heard == ["up public"]

    against(server.handle, body)


def test_a_first_one_that_dies_meanwhile_is_followed_without_a_word() -> None:
    rig, frames = lively(FeedRig()), Frames()
    server = Replaced(rig, frames, delivers=lambda number: number == 0)

    async def body(url: str) -> None:
        market, hooks = market_stream(rig, url)
        async with wanted(market):
            await until(lambda: rig.liveness(0, Channel.QUOTE) is Liveness.LIVE)
            market.replace("a test says so")
            await until(lambda: len(server.sessions) == 2)
            server.sessions[0].writer.close()
            await until(lambda: market.replaced_count == 1)
            assert hooks.heard == ["up public"]

    against(server.handle, body)


def test_addresses_are_tried_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "BACKOFF_FIRST_S", 0.001)
    rig = FeedRig()

    async def handler(session: Session) -> None:
        await session.shake()
        await session.receive()

    async def body(url: str) -> None:
        market, hooks = market_stream(rig, "ws://127.0.0.1:1", PLAN, url)
        async with wanted(market):
            await until(lambda: market.is_up)
            assert hooks.heard == ["down public: 127.0.0.1:1: nobody listens there", "up public"]
            assert market.host == url.removeprefix("ws://")

    against(handler, body)


def test_a_venue_that_says_stop_stops_every_stream_of_the_budget() -> None:
    rig = FeedRig()
    asked: list[float] = []

    async def handler(session: Session) -> None:
        asked.append(time.monotonic())
        await session.shake("429 Too Many Requests\r\nRetry-After: 7")

    async def body(url: str) -> None:
        attempts = ConnectionAttempts()
        hooks = Hooks()
        streams = [
            MarketStream(rig.core, (url,), PLAN, attempts, on_up=hooks.up, on_down=hooks.down)
            for _ in range(3)
        ]
        async with wanted(streams[0]):
            await until(lambda: bool(hooks.heard))
            refusal = "HTTP 429: too many requests from this address; the next is taken in 7 s"
            assert hooks.heard == [f"down public: {refusal}"]
            async with wanted(streams[1]), wanted(streams[2]):
                await asyncio.sleep(0.3)
        assert 6.0 < attempts.wait_s() <= 7.0

    against(handler, body)
    assert len(asked) == 1


def test_waiting_grows_with_jitter_to_a_bound() -> None:
    for failures in range(40):
        bound = min(0.1 * 2**failures, 15.0)
        waits = [backoff_s(failures) for _ in range(20)]
        assert all(bound / 2 <= wait <= bound for wait in waits)
        assert len(set(waits)) > 1
