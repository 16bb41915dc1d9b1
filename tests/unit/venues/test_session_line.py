"""The order line over a session: lent while it is shared, and what comes first on the wire."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from engine.clock import VenueClock
from engine.domain.codes import EventType
from engine.venues.binance.order_wire import Account
from engine.venues.order_records import LocalReason, read_command
from tests.line_rig import (
    ARMED,
    DEADLINE_S,
    EMPTY,
    TAKEN,
    WRITTEN,
    LineSide,
    make_command,
    open_descriptors,
    take,
)
from tests.order_api_client import Json, pem_of

ORDERS = 300
SENT, UPDATE, UNKNOWN = EventType.ORDER_SENT, EventType.ORDER_UPDATE, EventType.ORDER_UNKNOWN
CLOCK = EventType.VENUE_CLOCK
Scene = Callable[["Side"], Awaitable[None]]


class Peer:
    """A venue with a foreign WebSocket library: keeps what it is asked, answers when told to."""

    def __init__(self) -> None:
        self.requests: list[Json] = []
        self.sockets: list[ServerConnection] = []
        self.is_silent = False

    async def talk(self, socket: ServerConnection) -> None:
        """Serve one connection; a frame that is broken ends it."""
        self.sockets.append(socket)
        async for text in socket:
            request = json.loads(text)
            self.requests.append(request)
            is_order = request["method"] == "order.place"
            if not (is_order and self.is_silent):
                await socket.send(json.dumps(self.answer_to(request)))

    def answer_to(self, request: Json) -> Json:
        """Return what a venue says: an accepted order, or an empty result."""
        if request["method"] != "order.place":
            return {"id": request["id"], "status": 200, "result": {"apiKey": "pair"}}
        said = request["params"]
        names = ("symbol", "side", "type", "timeInForce", "price")
        order = {name: said[name] for name in names if name in said}
        order |= {"origQty": said["quantity"], "clientOrderId": said["newClientOrderId"]}
        return {
            "id": request["id"],
            "status": 200,
            "result": order | {"orderId": len(self.requests), "status": "NEW"},
        }

    def orders(self) -> list[int]:
        """Return the numbers of the orders that arrived, in order."""
        placed = [row for row in self.requests if row["method"] == "order.place"]
        return [int(row["params"]["newClientOrderId"].split("-")[2], 36) for row in placed]

    def methods(self) -> list[str]:
        """Return what arrived after the logon."""
        return [row["method"] for row in self.requests[1:]]


class Side(LineSide):
    """An order side over a session; it may put nothing off."""

    def __init__(self, port: int, peer: Peer) -> None:
        self.peer = peer
        clock = VenueClock()
        clock.learn(0, 0, 1_723_000_000_000_000_000)
        url = f"http://127.0.0.1:{port}"
        account = Account(url, "", "pair", pem_of(), "a", 1, 5_000, url.replace("http", "ws"))
        super().__init__(account, clock, self._refuse)
        session = self.context.session
        assert session is not None
        self.session = session
        self.on_line = 0

    def _refuse(self, _name: str, _job: Callable[[], Any]) -> bool:
        return False


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Side]:
    """Run an order side against a peer of its own, logged on and lent."""
    peer = Peer()
    async with serve(peer.talk, "127.0.0.1", 0, compression=None) as server:
        side = Side(next(iter(server.sockets)).getsockname()[1], peer)
        life = asyncio.create_task(side.session.run())
        await side.until(lambda: side.line.state == ARMED, "nothing is lent")
        try:
            yield side
        finally:
            side.end.close()
            side.sender.abandon()
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
            await asyncio.sleep(0.01)


def play(scene: Scene) -> None:
    """Run a scene in which the session is lent."""

    async def scenario() -> None:
        async with running() as side:
            await scene(side)

    asyncio.run(scenario())


def test_an_order_that_the_kernel_thread_wrote_is_followed_as_our_own() -> None:
    async def scene(side: Side) -> None:
        assert side.decide()
        side.take_commands()
        assert side.kinds() == [SENT]
        await side.until(lambda: side.kinds() == [SENT, UPDATE], "no answer")
        order = side.peer.requests[-1]
        assert "signature" not in order["params"]
        assert order["id"] == order["params"]["newClientOrderId"] == side.reports[-1].text
        assert side.line.state == ARMED

    play(scene)


def test_the_session_is_lent_again_while_an_order_waits_for_its_answer() -> None:
    async def scene(side: Side) -> None:
        side.peer.is_silent = True
        for number in (1, 2, 3):
            assert side.decide(number)
            side.take_commands()
        await side.until(lambda: side.peer.orders() == [1, 2, 3], "not written")
        assert side.sender.in_flight_count == 3

    play(scene)


def test_answer_that_comes_before_the_command_was_taken_makes_it_taken() -> None:
    async def scene(side: Side) -> None:
        assert side.decide()
        await side.until(lambda: side.kinds() == [SENT, UPDATE], "not followed")
        assert not side.ring

    play(scene)


def test_what_this_thread_writes_comes_after_what_the_kernel_thread_wrote() -> None:
    async def scene(side: Side) -> None:
        side.peer.is_silent = True
        assert side.decide(1)
        answer = asyncio.create_task(side.session.ask("session.status", {}))
        await asyncio.sleep(0)
        assert side.line.state == EMPTY, "taken back, and kept for the command to come"
        assert side.kinds() == []
        assert not take(side.line)
        assert side.decide(2) is False
        side.take_commands()
        assert side.kinds() == [SENT, SENT]
        await answer
        await side.until(lambda: len(side.peer.methods()) == 3, "not written")
        assert side.peer.methods() == ["order.place", "session.status", "order.place"]
        assert side.peer.orders() == [1, 2]

    play(scene)


def test_rest_of_a_frame_is_written_before_anything_else() -> None:
    async def scene(side: Side) -> None:
        record = make_command(order_sequence=1)
        frame = side.context.frames.order(
            read_command(record.tobytes()[8:]), side.context.clock.now_ms()
        )
        # A socket that took only a part: the part goes out here, the line says what is left.
        half = len(frame) // 2
        transport: Any = side.session._transport
        side.end.release()
        connection = side.session.reserve()
        assert connection is side.session
        transport.underlying_transport.write(frame[:half])
        side.session.finish(frame[half:])
        answer = side.session.follow(b"", "a1-1-1-rt")
        assert (await answer).status == 200
        assert side.peer.orders() == [1]

    play(scene)


@pytest.mark.parametrize("is_taken_first", [True, False])
def test_end_of_the_session_leaves_a_written_order_in_doubt(is_taken_first: bool) -> None:
    async def scene(side: Side) -> None:
        side.peer.is_silent = True
        assert side.decide()
        if is_taken_first:
            side.take_commands()
        await side.until(lambda: side.peer.orders() == [1], "not written")
        side.peer.sockets[0].transport.abort()
        await side.until(lambda: side.kinds() == [SENT, UNKNOWN], "not in doubt")
        assert side.reports[-1].reason == LocalReason.CONNECTION_LOST
        await side.until(lambda: side.line.state == ARMED, "not lent again")
        assert side.session.logon_count == 2
        assert side.peer.orders() == [1], "never a second time"

    play(scene)


def test_close_of_the_order_side_leaves_nothing_open() -> None:
    before = open_descriptors()

    async def scene(side: Side) -> None:
        side.peer.is_silent = True
        assert side.decide()
        side.end.close()
        assert side.line.state == EMPTY
        side.end.arm()
        assert side.line.state == EMPTY

    play(scene)
    assert open_descriptors() == before


def test_nothing_is_lent_while_the_venue_asks_us_to_stop() -> None:
    async def scene(side: Side) -> None:
        side.end.release()
        side.context.rest._blocked_until_ns = time.monotonic_ns() + 10**12
        side.end.arm()
        assert side.line.state == EMPTY

    play(scene)


def test_a_thread_that_decides_and_a_loop_that_shares_lose_and_double_nothing() -> None:
    """The loop asks, answers pings and renews on the connection to which orders are written."""
    decided = threading.Event()

    def decide(side: Side) -> None:
        for number in range(1, ORDERS + 1):
            deadline = time.monotonic() + DEADLINE_S
            while side.ring and time.monotonic() < deadline:
                time.sleep(0)
            side.on_line += side.decide(number)
            time.sleep(0)
        decided.set()

    async def scene(side: Side) -> None:
        thread = threading.Thread(target=decide, args=(side,))
        thread.start()
        turn = 0
        asked: list[asyncio.Task[Any]] = []
        while not decided.is_set() or side.ring:
            turn += 1
            if turn % 4 == 0:
                asked.append(asyncio.create_task(side.session.ask("session.status", {"n": turn})))
            if turn % 9 == 0:
                side.end.renew()
            if turn % 50 == 0:
                await side.peer.sockets[0].ping()
            if turn % 5 != 0:  # on every fifth turn an answer may be first
                side.take_commands()
            await asyncio.sleep(0)
        thread.join(DEADLINE_S)
        await asyncio.gather(*asked)
        updates = lambda: side.kinds().count(UPDATE)  # noqa: E731
        await side.until(lambda: updates() == ORDERS, f"{updates()} of {ORDERS} answered")
        assert sorted(side.peer.orders()) == list(range(1, ORDERS + 1))
        sent = [row.order_sequence for row in side.reports if row.event_type == SENT]
        assert sorted(sent) == list(range(1, ORDERS + 1)), "each once"
        assert side.session.logon_count == 1, "no frame was broken"
        assert side.on_line > 0
        assert side.line.state not in {TAKEN, WRITTEN}

    play(scene)
