"""The executor's end of the order line: when it lends, what it follows, and what comes first."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from engine.clock import VenueClock
from engine.domain.codes import EventType, OrderStatus
from engine.venues.binance.order_line import KernelLine
from engine.venues.binance.order_wire import Account
from engine.venues.binance.orders import BinanceOrders
from engine.venues.binance.rest import BinanceRest
from engine.venues.order_records import LocalReason, read_command
from native_ext._native import OrderLine
from tests.line_rig import (
    ARMED,
    DEADLINE_S,
    EMPTY,
    UNSENT,
    LineSide,
    make_command,
    open_descriptors,
    take,
)

ORDERS = 300
NAME = re.compile(rb"newClientOrderId=(a1-1-(\w+)-\w+)&")
REST_S = 0.01
SENT, UPDATE, UNKNOWN = EventType.ORDER_SENT, EventType.ORDER_UPDATE, EventType.ORDER_UNKNOWN

Scene = Callable[["Side"], Awaitable[None]]


def accepted(number: int, name: str) -> bytes:
    """Return the venue's answer to an order."""
    body = (
        f'{{"symbol":"BTCUSDT","orderId":{number},"clientOrderId":"{name}",'
        f'"status":"NEW","side":"BUY","type":"LIMIT","timeInForce":"GTX","price":"61800.1",'
        f'"origQty":"0.004","executedQty":"0","avgPrice":"0","updateTime":1}}'
    ).encode()
    return answer("200 OK", body)


def answer(status: str, body: bytes = b"{}", *lines: str) -> bytes:
    """Return an HTTP answer."""
    head = "\r\n".join((f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines, "", ""))
    return head.encode() + body


class Peer:
    """A venue that keeps what it is asked and answers orders when it is told to."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.replies: deque[bytes] = deque()  # to the next requests; then every order is accepted
        self.silent = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(request)
                if not self.silent:
                    writer.write(self.replies.popleft() if self.replies else self._reply(request))
        writer.close()

    def _reply(self, request: bytes) -> bytes:
        found = NAME.search(request)
        if found is None:
            return answer("200 OK", b'{"serverTime":5000}')
        return accepted(int(found[2], 36), found[1].decode())

    def order_numbers(self) -> list[int]:
        """Return the numbers of the orders that arrived, in order."""
        return [int(found[2], 36) for found in map(NAME.search, self.requests) if found]


class Side(LineSide):
    """An order side over requests, with what it puts off done by tasks."""

    def __init__(self, url: str, peer: Peer) -> None:
        self.peer = peer
        self.clock = VenueClock()
        self.jobs: list[asyncio.Task[None]] = []
        account = Account(url, "", "key", "secret", "a", 1, 5_000)
        super().__init__(account, self.clock, self._later)
        self.rest = self.context.rest

    def _later(self, _name: str, job: Callable[[], Any]) -> bool:
        self.jobs.append(asyncio.get_running_loop().create_task(job()))
        return True

    async def close(self) -> None:
        """Close as the order side does."""
        self.end.close()
        self.sender.abandon()
        await asyncio.sleep(0)
        await self.rest.close()
        await asyncio.gather(*self.jobs, return_exceptions=True)


@contextlib.asynccontextmanager
async def running(connections: int = 2, *, clock: bool = True) -> AsyncIterator[Side]:
    """Run an order side against a peer of its own, with a connection lent."""
    peer = Peer()
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    side = Side(f"http://127.0.0.1:{port}", peer)
    await side.rest.connect(connections)
    if clock:
        await side.context.sample_clock()
    try:
        yield side
    finally:
        await side.close()
        server.close()
        for writer in peer.writers:
            writer.close()
        await asyncio.sleep(REST_S)


def play(scene: Scene, connections: int = 2) -> None:
    """Run a scene in which a connection is lent."""

    async def scenario() -> None:
        async with running(connections) as side:
            assert side.line.state == ARMED
            await scene(side)

    asyncio.run(scenario())


def test_an_order_that_the_kernel_thread_wrote_is_followed_as_our_own() -> None:
    async def scene(side: Side) -> None:
        before_ns = time.monotonic_ns()
        assert side.decide()
        side.take_commands()
        assert side.kinds() == [SENT]
        assert before_ns <= side.reports[-1].word_2 <= time.monotonic_ns()
        assert side.sender.in_flight_count == 1
        assert side.line.state == ARMED, "the next idle connection is lent at once"
        await side.until(lambda: side.kinds() == [SENT, UPDATE], "no answer")
        assert side.reports[-1].order_status == OrderStatus.NEW
        assert side.sender.in_flight_count == 0
        assert side.peer.order_numbers() == [1]
        assert side.rest.idle_count == 2

    play(scene)


def test_an_answer_that_comes_before_the_command_waits_for_it() -> None:
    async def scene(side: Side) -> None:
        assert side.decide()
        await side.until(lambda: UPDATE in side.kinds(), "nobody rang, the answer does")
        assert side.kinds() == [SENT, UPDATE]
        assert side.ring == deque()
        assert side.rest.idle_count == 2

    play(scene)


def test_bytes_that_nobody_asked_for_close_the_connection_that_is_lent() -> None:
    async def scene(side: Side) -> None:
        for writer in side.peer.writers:
            writer.write(answer("408 Request Timeout"))
        await side.until(lambda: side.rest.idle_count == 0, "both connections are closed")
        assert side.line.state == EMPTY
        assert not side.decide()
        assert side.kinds() == []

    play(scene)


def test_a_connection_that_ends_while_it_is_lent_is_lent_no_more() -> None:
    async def scene(side: Side) -> None:
        for writer in side.peer.writers:
            writer.close()
        await side.until(lambda: side.line.state == EMPTY, "taken back")
        assert not side.decide()
        side.take_commands()
        await side.until(lambda: UPDATE in side.kinds(), "the usual way, on a fresh connection")
        assert side.peer.order_numbers() == [1]

    play(scene)


def test_a_connection_that_ends_after_the_write_leaves_the_outcome_unknown() -> None:
    async def scene(side: Side) -> None:
        side.peer.silent = True
        assert side.decide()
        await side.until(lambda: side.peer.order_numbers() == [1], "it arrives")
        for writer in side.peer.writers:
            writer.close()
        await side.until(lambda: UNKNOWN in side.kinds(), "the end of the connection tells")
        assert side.kinds() == [SENT, UNKNOWN]
        assert side.reports[-1].reason == LocalReason.CONNECTION_LOST
        assert side.peer.order_numbers() == [1], "and nobody sends it again"

    play(scene)


def test_an_order_of_which_nothing_left_goes_the_usual_way_once() -> None:
    async def scene(side: Side) -> None:
        lent = next(iter(side.rest._opened & {side.rest._reserved}))
        assert lent is not None
        with socket.socket(fileno=os.dup(lent.descriptor)) as ours:
            ours.shutdown(socket.SHUT_WR)
        assert side.decide()
        assert side.line.state == UNSENT
        side.take_commands()
        await side.until(lambda: UPDATE in side.kinds(), "no answer")
        assert side.kinds() == [SENT, UPDATE]
        assert side.peer.order_numbers() == [1]

    play(scene)


class HalfLine:
    """A line whose socket takes half of a request."""

    def __init__(self) -> None:
        self.descriptor = -1
        self.request = b""

    def arm(self, _wire: object, descriptor: int, *_clock: int) -> bool:
        """Lend."""
        self.descriptor = descriptor
        return True

    def disarm(self) -> bool:
        """Take back, unless written to."""
        return not self.request

    def write(self, request: bytes) -> None:
        """Write the first half."""
        assert os.write(self.descriptor, request[: len(request) // 2]) == len(request) // 2
        self.request = request

    def collect(self) -> tuple[int, int, int, bytes]:
        """Return the other half."""
        request, self.request = self.request, b""
        return len(request) // 2, time.monotonic_ns(), 0, request[len(request) // 2 :]


def test_the_rest_of_a_request_that_left_in_part_is_written() -> None:
    async def scene(side: Side) -> None:
        assert side.end is not None
        side.end.release()
        half = HalfLine()
        side.end._line = half  # type: ignore[misc,assignment]
        side.end.arm()
        record = make_command()
        command = read_command(record.tobytes()[8:])
        half.write(side.context.encoder.encode_order(command, 1))
        side.ring.append(record)
        side.take_commands()
        await side.until(lambda: UPDATE in side.kinds(), "no answer")
        assert side.peer.order_numbers() == [1]

    play(scene)


def test_a_venue_that_asks_us_to_stop_gets_nothing_from_the_line() -> None:
    async def scene(side: Side) -> None:
        side.peer.replies.append(answer("429 Too Many Requests", b"{}", "Retry-After: 100"))
        await side.rest.request("GET", "/fapi/v1/time")
        assert side.line.state == EMPTY
        assert not side.decide()
        side.take_commands()
        assert [row.reason for row in side.reports[-1:]] == [LocalReason.RATE_PAUSED]
        side.rest._blocked_until_ns = time.monotonic_ns()  # the time the venue named is over
        assert side.end is not None
        side.end.arm()
        assert side.line.state == ARMED

    play(scene)


def test_nothing_is_lent_before_the_venues_clock_is_known() -> None:
    async def scenario() -> None:
        async with running(clock=False) as side:
            assert side.end is not None
            side.end.arm()
            assert side.line.state == EMPTY
            await side.context.sample_clock()
            assert side.line.state == ARMED
            side.clock.restart()
            side.end.renew()
            assert side.line.state == EMPTY, "the venue called our time wrong"

    asyncio.run(scenario())


def test_the_line_says_the_time_the_clock_has_learned() -> None:
    async def scene(side: Side) -> None:
        side.peer.replies.append(answer("200 OK", b'{"serverTime":9000}'))
        side.clock.restart()
        await side.context.sample_clock()
        assert side.decide()
        side.take_commands()
        await side.until(lambda: UPDATE in side.kinds(), "no answer")
        stamp = int(side.peer.requests[-1].split(b"timestamp=")[1].split(b"&")[0])
        assert 9_000 <= stamp <= side.clock.now_ms()

    play(scene)


def test_a_request_that_finds_no_other_connection_gets_the_one_lent() -> None:
    async def scene(side: Side) -> None:
        held = side.rest.submit_bytes(b"GET / HTTP/1.1\r\n\r\n")
        assert held is not None
        assert side.line.state == EMPTY
        await held
        assert len(side.peer.writers) == 1, "no second one was opened"
        assert side.line.state == ARMED, "and it is lent again"

    play(scene, connections=1)


def test_a_connection_with_encryption_is_not_lent() -> None:
    async def scenario() -> None:
        async with running() as side:
            assert side.end is not None
            side.end.release()
            secure = BinanceRest("https://127.0.0.1:1", side.clock)
            secure._idle = side.rest._idle
            assert secure.reserve() is None
            assert side.rest.reserve() is not None
            side.rest.release()

    asyncio.run(scenario())


@pytest.mark.parametrize("written", [False, True])
def test_after_the_close_nothing_is_taken_and_nothing_is_left_open(written: bool) -> None:
    before = open_descriptors()

    async def scenario() -> None:
        async with running() as side:
            if written:
                assert side.decide()
            await side.close()
            assert side.line.state == EMPTY
            assert not take(side.line)
            assert side.end is not None
            side.end.arm()
            assert side.line.state == EMPTY

    asyncio.run(scenario())
    assert open_descriptors() == before


def test_the_order_side_lends_by_itself_and_counts_what_it_lent() -> None:
    async def scenario() -> None:
        async with running() as side:
            assert side.end is not None
            orders = BinanceOrders(
                side.context.account,
                side.clock,
                side.context.instruments,
                side.reports.append,
                side.context.offload,
                KernelLine(line := OrderLine(), side.take_commands),
            )
            await orders.context.rest.connect(4)
            orders.expire(time.monotonic_ns())
            assert line.state == ARMED
            assert orders.context.rest.idle_count == 4
            connections = len(side.peer.writers)
            await orders.keep_warm()
            assert len(side.peer.writers) == connections, "the one lent is not missing"
            await orders.close()
            assert line.state == EMPTY

    asyncio.run(scenario())


def test_a_thread_that_decides_and_a_loop_that_lends_lose_and_double_nothing() -> None:
    """The loop takes back, renews, samples and needs connections while orders are written."""
    decided = threading.Event()

    def decide(side: Side) -> None:
        on_line = 0
        for number in range(1, ORDERS + 1):
            deadline = time.monotonic() + DEADLINE_S
            while side.ring and time.monotonic() < deadline:
                time.sleep(0)
            on_line += side.decide(number)
            time.sleep(0)
        decided.set()
        side.on_line = on_line  # type: ignore[attr-defined]

    async def scene(side: Side) -> None:
        thread = threading.Thread(target=decide, args=(side,))
        thread.start()
        assert side.end is not None
        turn = 0
        while not decided.is_set() or side.ring:
            turn += 1
            if turn % 3 == 0:
                side.end.renew()
            if turn % 7 == 0:
                await side.context.sample_clock()
            if turn % 5 != 0:  # on every fifth turn an answer may be first
                side.take_commands()
            await asyncio.sleep(0)
        thread.join(DEADLINE_S)
        updates = lambda: side.kinds().count(UPDATE)  # noqa: E731
        await side.until(lambda: updates() == ORDERS, f"{updates()} of {ORDERS} answered")
        assert sorted(side.peer.order_numbers()) == list(range(1, ORDERS + 1))
        sent = [row.order_sequence for row in side.reports if row.event_type == SENT]
        assert sorted(sent) == list(range(1, ORDERS + 1)), "each once"
        assert side.on_line > 0  # type: ignore[attr-defined]

    play(scene, connections=3)
