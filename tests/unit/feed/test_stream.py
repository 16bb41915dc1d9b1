"""A connection for as long as it is wanted: subscribed, brought back, replaced in time."""

from __future__ import annotations

import asyncio
import json

import pytest

from engine.domain.codes import Channel, RecordType
from engine.venues.binance import stream, stream_connection
from engine.venues.binance.routing import ConnectionPlan, Subscription
from engine.venues.binance.stream import MarketStream, backoff_s
from tests.feed_rig import FeedRig, Frames
from tests.stream_server import CLOSE, Session, against, hold_clock, until

PLAN = ConnectionPlan("public", (Subscription("btcusdt@bookTicker", 0, Channel.QUOTE),))


class Hooks:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def up(self, plan: ConnectionPlan) -> None:
        self.heard.append(f"up {plan.category}")

    def down(self, plan: ConnectionPlan, reason: str) -> None:
        self.heard.append(f"down {plan.category}: {reason}")


def market_stream(
    rig: FeedRig, url: str, plan: ConnectionPlan = PLAN
) -> tuple[MarketStream, Hooks]:
    hooks = Hooks()
    return MarketStream(rig.core, url, plan, on_up=hooks.up, on_down=hooks.down), hooks


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
        task = asyncio.create_task(market.run())
        await until(lambda: rig.core.counters()[2] == 3)
        assert hooks.heard == ["up public"]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

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
        task = asyncio.create_task(market.run())
        await until(lambda: hooks.heard == ["up public"])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

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
        task = asyncio.create_task(market.run())
        await until(lambda: market.connect_count >= 3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert hooks.heard[:3] == [
            "up public",
            "down public: closed by the other side",
            "up public",
        ]

    against(handler, body)


def test_a_connection_is_replaced_before_the_old_one_closes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "FIRST_BYTES_S", 5.0)
    rig, frames = FeedRig(), Frames()
    hold_clock(rig)
    order: list[str] = []

    async def handler(session: Session) -> None:
        await session.shake()
        number = len([entry for entry in order if entry.startswith("open")])
        order.append(f"open {number}")
        session.send(frames.book_ticker(rig.venue_ms))
        if number == 0:
            session.send({"e": "serverShutdown", "E": 1})
        opcode, _ = await session.receive()
        order.append(f"close {number}" if opcode == CLOSE else "other")

    async def body(url: str) -> None:
        market, hooks = market_stream(rig, url)
        task = asyncio.create_task(market.run())
        await until(lambda: "close 0" in order)
        assert order == ["open 0", "open 1", "close 0"]
        assert hooks.heard == ["up public"], "nobody noticed"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    against(handler, body)
    assert len(rig.records(RecordType.QUOTE)) == 2


def test_waiting_grows_with_jitter_to_a_bound() -> None:
    for failures in range(40):
        bound = min(0.1 * 2**failures, 15.0)
        waits = [backoff_s(failures) for _ in range(20)]
        assert all(bound / 2 <= wait <= bound for wait in waits)
        assert len(set(waits)) > 1
