"""Faults of whole connections, through real sockets: they begin, they end, the others go on."""

import asyncio
import itertools
import time
from pathlib import Path
from typing import Any

import pytest

from exchange import frames
from exchange.connection import GOING_AWAY
from exchange.frames import POLICY
from exchange.server import Options
from tests.exchange_rig import Running, parse_answer, run
from tests.fault_rig import (
    DIFF_ROUTE,
    DIFFS,
    QUOTE_ROUTE,
    QUOTES,
    RawStream,
    contiguous,
    ended,
    fault,
    good_quote,
    number_of,
    raw_stream,
    ticking,
    upgrade_answer,
)

SILENCE_S = 0.15  # thirty frames long


async def pong_after(stream: RawStream, payload: bytes) -> bytes:
    """Send a ping and return the payload of the next pong."""
    stream.send(frames.PING, payload)
    while True:
        opcode, found = await stream.frame()
        if opcode == frames.PONG:
            return found


def test_one_silent_connection_answers_pings_and_comes_back(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            streams = [await raw_stream(exchange.port, QUOTE_ROUTE) for _ in range(2)]
            early = await streams[0].take(2)
            number = await number_of(rest, 0)
            answer = await fault(rest, kind="silent_connection", connection=number)
            early += await streams[0].until_silent(SILENCE_S)
            assert len(await contiguous(streams[1], 30)) == 30
            assert await pong_after(streams[0], b"still there") == b"still there"
            await fault(rest, kind="end", id=answer.json["id"])
            back = await contiguous(streams[0])
            assert back[0] > early[-1]["u"] + 20
            for stream in streams:
                stream.close()

    run(test())


def test_dead_connection_hears_and_says_nothing_until_it_ends(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            stream = await raw_stream(exchange.port, QUOTE_ROUTE)
            await stream.take(2)
            answer = await fault(rest, kind="dead_connection", stream=QUOTES)
            await stream.until_silent(SILENCE_S)
            stream.send(frames.PING, b"lost")
            assert await stream.silent_for(SILENCE_S)
            other = await raw_stream(exchange.port, QUOTE_ROUTE)
            await contiguous(other)
            await fault(rest, kind="end", id=answer.json["id"])
            await contiguous(stream)
            assert await pong_after(stream, b"heard") == b"heard"
            connections = exchange.exchange.connections
            assert all(connection.link is None for connection in connections)
            stream.close()
            other.close()

    run(test())


def test_faults_of_one_connection_are_counted(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            stream = await raw_stream(exchange.port, QUOTE_ROUTE)
            await stream.take(2)
            first = await fault(rest, kind="silent_connection")
            second = await fault(rest, kind="silent_connection")
            await fault(rest, kind="end", id=first.json["id"])
            await stream.until_silent(SILENCE_S)
            await fault(rest, kind="end", id=second.json["id"])
            await contiguous(stream)
            stream.close()

    run(test())


def test_future_connections_are_meant_when_asked_for(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            first = await raw_stream(exchange.port, QUOTE_ROUTE)
            order = {"kind": "silent_connection", "category": "public", "future": True}
            answer = await fault(rest, **order)
            later = await raw_stream(exchange.port, QUOTE_ROUTE)
            market = await raw_stream(exchange.port, "/market/ws/btcusdt@trade")
            assert await later.silent_for(SILENCE_S)
            assert len(await market.take(20)) == 20
            await fault(rest, kind="end", id=answer.json["id"])
            await contiguous(later)
            assert (await ended(exchange, answer.json["id"]))["uses"] == 2
            for stream in (first, later, market):
                stream.close()

    run(test())


def test_missing_pong_leaves_the_data(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            stream = await raw_stream(exchange.port, QUOTE_ROUTE)
            await stream.take(2)
            answer = await fault(rest, kind="no_pong")
            stream.send(frames.PING, b"one")
            opcodes = [(await stream.frame())[0] for _ in range(40)]
            assert opcodes == [frames.TEXT] * 40
            await fault(rest, kind="end", id=answer.json["id"])
            assert await pong_after(stream, b"two") == b"two"
            stream.close()

    run(test())


def test_pings_come_in_another_rhythm_and_are_answered(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest, server = exchange.rest(), exchange.exchange
            stream = await raw_stream(exchange.port, QUOTE_ROUTE)
            answer = await fault(rest, kind="pings", period_ms=10, timeout_ms=60_000)
            while len(stream.pings) < 3:
                await stream.next()
            assert len(set(stream.pings)) == 3
            await fault(rest, kind="end", id=answer.json["id"])
            assert (server.ping_period_s, server.pong_timeout_s) == (180.0, 600.0)
            none = await fault(rest, kind="pings", period_ms=0)
            await stream.take(10)
            heard = len(stream.pings)
            await stream.take(120)
            assert len(stream.pings) == heard
            await fault(rest, kind="end", id=none.json["id"])
            stream.close()

    run(test())


@pytest.mark.parametrize("lost", [True, False])
def test_missed_pongs_end_the_connection(tmp_path: Path, lost: bool) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            stream = await raw_stream(exchange.port, QUOTE_ROUTE)
            stream.pongs = lost  # else the client itself leaves pings unanswered
            if lost:
                await fault(rest, kind="lost_pongs")
            await fault(rest, kind="pings", period_ms=10, timeout_ms=100)
            assert await stream.closing() == POLICY
            await fault(rest, kind="clear")
            fresh = await raw_stream(exchange.port, QUOTE_ROUTE)
            await contiguous(fresh)
            fresh.close()

    run(test())


@pytest.mark.parametrize("cut", [True, False])
def test_half_a_frame_and_then_nothing(tmp_path: Path, cut: bool) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            stream = await raw_stream(exchange.port, QUOTE_ROUTE)
            other = await raw_stream(exchange.port, DIFF_ROUTE)
            await stream.take(2)
            answer = await fault(rest, kind="half_frame", stream=QUOTES, cut=cut)
            broken = asyncio.create_task(read_to_the_break(stream))
            await other.take(40)
            if not cut:
                assert not broken.done()
            await fault(rest, kind="end", id=answer.json["id"])
            whole, half = await broken
            assert all(good_quote(frame) for frame in whole)
            assert half.startswith(b'{"e":"bookTicker"')
            assert len(half) < 140
            assert all(b["pu"] == a["u"] for a, b in itertools.pairwise(await other.take(20)))
            fresh = await raw_stream(exchange.port, QUOTE_ROUTE)
            await contiguous(fresh)
            fresh.close()
            other.close()

    run(test())


async def read_to_the_break(stream: RawStream) -> tuple[list[dict[str, Any]], bytes]:
    """Return the whole frames, and what came of the one that breaks off."""
    whole = []
    try:
        while True:
            whole.append(await stream.next())
    except asyncio.IncompleteReadError as broken:
        stream.close()
        return whole, broken.partial


def test_life_ends_early_announced_and_later_connections_live(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            order = {"kind": "life_limit", "life_ms": 1_200, "announce_ms": 600}
            answer = await fault(rest, **order)
            stream = await raw_stream(exchange.port, QUOTE_ROUTE)
            opened_s = time.monotonic()
            while (await stream.next())["e"] != "serverShutdown":
                pass
            assert await stream.closing() == GOING_AWAY
            assert time.monotonic() - opened_s >= 0.9
            await fault(rest, kind="end", id=answer.json["id"])
            assert exchange.exchange.life_s == 86_400.0
            await contiguous(fresh := await raw_stream(exchange.port, QUOTE_ROUTE), 300)
            fresh.close()

    run(test())


def test_shutdown_is_followed_by_the_close_it_announced(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            market = await raw_stream(exchange.port, "/market/ws/btcusdt@trade")
            stream = await raw_stream(exchange.port, QUOTE_ROUTE)
            order = {"kind": "server_shutdown", "category": "public", "close_after_ms": 50}
            assert (await fault(exchange.rest(), **order)).json == {"told": 1}
            while (await stream.next())["e"] != "serverShutdown":
                pass
            assert await stream.closing() == GOING_AWAY
            assert {trade["e"] for trade in await market.take(40)} == {"trade"}
            market.close()

    run(test())


async def connects(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


async def until_connects(port: int, wanted: bool) -> None:
    async with asyncio.timeout(20):
        while await connects(port) != wanted:  # noqa: ASYNC110 - a port tells nobody
            await asyncio.sleep(0.002)


def test_connections_are_refused_and_the_control_port_is_not(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path, Options(control_port=0)) as exchange:
            control = Running(exchange.exchange, exchange.exchange.control_port).rest()
            stream = await raw_stream(exchange.port, QUOTE_ROUTE)
            answer = await fault(control, kind="refuse_connections", duration_ms=60_000)
            await until_connects(exchange.port, wanted=False)
            await contiguous(stream)
            assert (await control.open("/fapi/v1/time")).status == 200
            await fault(control, kind="end", id=answer.json["id"])
            await until_connects(exchange.port, wanted=True)
            await contiguous(fresh := await raw_stream(exchange.port, QUOTE_ROUTE))
            for one in (stream, fresh):
                one.close()

    run(test())


def test_control_port_is_reached_by_no_fault(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path, Options(control_port=0)) as exchange:
            control = Running(exchange.exchange, exchange.exchange.control_port).rest()
            await fault(control, kind="dead_connection", category="all", future=True)
            await fault(control, kind="http_status", status=500, count=100)
            await fault(control, kind="disconnect", category="all")
            assert (await control.open("/fapi/v1/time")).status == 200
            await fault(control, kind="clear")
            assert (await exchange.rest().open("/fapi/v1/time")).status == 200

    run(test())


def test_handshake_waits_and_the_next_does_not(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            order = {"kind": "slow_handshake", "category": "public", "delay_ms": 400, "count": 1}
            answer = await fault(rest, **order)
            begin_s = time.monotonic()
            waiting = asyncio.create_task(raw_stream(exchange.port, QUOTE_ROUTE))
            row = await ended(exchange, answer.json["id"])
            assert row["uses"] == 1
            second = await raw_stream(exchange.port, QUOTE_ROUTE)
            assert not waiting.done()
            stream = await waiting
            assert time.monotonic() - begin_s >= 0.4
            await contiguous(stream)
            for one in (stream, second):
                one.close()

    run(test())


@pytest.mark.parametrize(
    ("status", "retry_after"), [(451, ""), (403, ""), (418, "120"), (429, "10"), (503, "")]
)
def test_handshake_is_refused_by_status(tmp_path: Path, status: int, retry_after: str) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            open_already = await raw_stream(exchange.port, QUOTE_ROUTE)
            order = {"kind": "http_status", "status": status, "streams": True, "count": 5}
            answer = await fault(rest, **order)
            head, refused = await upgrade_answer(exchange.port, QUOTE_ROUTE)
            found = parse_answer(head)
            assert found.status == status
            assert found.headers.get("retry-after", "") == retry_after
            refused.close()
            await contiguous(open_already)
            await fault(rest, kind="end", id=answer.json["id"])
            stream = await raw_stream(exchange.port, QUOTE_ROUTE)
            await contiguous(stream)
            for one in (stream, open_already):
                one.close()

    run(test())


def test_accepted_subscription_stays_silent_beside_one_that_speaks(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            before = await raw_stream(exchange.port, QUOTE_ROUTE)
            answer = await fault(rest, kind="accepted_silent", stream=QUOTES, count=1)
            stream = await raw_stream(exchange.port, DIFF_ROUTE)
            stream.ask("SUBSCRIBE", QUOTES)
            told = await stream.take(60)
            assert {"result": None, "id": 1} in told
            assert {frame.get("e", "depthUpdate") for frame in told} == {"depthUpdate"}
            await contiguous(before)
            assert (await ended(exchange, answer.json["id"]))["uses"] == 1
            # The subscription stays as it is; a further one is served.
            stream.ask("UNSUBSCRIBE", QUOTES)
            stream.ask("SUBSCRIBE", QUOTES)
            while (await stream.next()).get("e") != "bookTicker":
                pass
            for one in (stream, before):
                one.close()

    run(test())


@pytest.mark.parametrize(("words", "code"), [({"stream": DIFFS}, 0), ({"code": 1008}, 1008)])
def test_connections_are_cut_by_stream_or_closed_with_a_code(
    tmp_path: Path, words: dict[str, Any], code: int
) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            market = await raw_stream(exchange.port, "/market/ws/btcusdt@trade")
            stream = await raw_stream(exchange.port, DIFF_ROUTE)
            answer = await fault(exchange.rest(), kind="disconnect", category="public", **words)
            assert answer.json == {"closed": 1}
            assert await stream.closing() == code
            assert len(await market.take(20)) == 20
            market.close()

    run(test())
