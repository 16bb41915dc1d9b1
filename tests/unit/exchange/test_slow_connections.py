"""Slow lines through real sockets: late, thin, bounded, and nothing lost."""

import time
from pathlib import Path
from typing import Any

from exchange.connection import GOING_AWAY
from tests.exchange_rig import Running, exchange_bytes, parse_answer, run, until
from tests.fault_rig import (
    QUOTE_ROUTE,
    QUOTES,
    STEP_MS,
    contiguous,
    fault,
    number_of,
    raw_stream,
    ticking,
)

SILENCE_S = 0.15  # thirty frames long


def test_latency_delays_and_loses_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            order = {"kind": "shape", "category": "public", "latency_ms": 600, "jitter_ms": 20}
            answer = await fault(rest, **order)
            before_s = time.monotonic()
            stream = await raw_stream(exchange.port, QUOTE_ROUTE)
            early = await stream.take(30)
            late_s = time.monotonic() - before_s
            sent_s = (early[-1]["u"] - 101) * STEP_MS / 1000
            # The handshake was late too: its answer travelled before the first frame could.
            assert late_s >= 0.6 + sent_s
            queued = (await rest.open("/practice/connections")).json
            assert max(row["queued_bytes"] for row in queued) > 1_000
            await fault(rest, kind="end", id=answer.json["id"])
            ids = [frame["u"] for frame in [*early, *await stream.take(200)]]
            assert ids == list(range(ids[0], ids[0] + len(ids)))
            assert all(connection.link is None for connection in exchange.exchange.connections)
            stream.close()

    run(test())


def test_bandwidth_is_never_exceeded(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            stream = await raw_stream(exchange.port, QUOTE_ROUTE)
            await stream.take(2)
            rate = 16_000  # bytes a second; the quotes alone are 26,000
            await fault(exchange.rest(), kind="shape", stream=QUOTES, bytes_per_s=rate)
            begin_s = time.monotonic()
            payloads = [await stream.payload() for _ in range(150)]
            taken_s = time.monotonic() - begin_s
            # What had left before, and one slice, are free.
            assert taken_s >= (sum(map(len, payloads)) - 4_000) / rate
            ids = [int(p[p.index(b'"u":') + 4 : p.index(b',"s"')]) for p in payloads]
            assert ids == list(range(ids[0], ids[0] + 150))
            stream.close()

    run(test())


def test_full_buffer_cuts_the_slow_connection_and_no_other(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            slow = await raw_stream(exchange.port, QUOTE_ROUTE)
            free = await raw_stream(exchange.port, QUOTE_ROUTE)
            order = {"kind": "shape", "connection": await number_of(rest, 0)}
            await fault(rest, **order, bytes_per_s=1_000, buffer_bytes=4_096)
            assert await slow.closing() == 0
            assert (await rest.open("/practice/state")).json["slow_clients"] == 1
            await contiguous(free)
            free.close()

    run(test())


def test_slow_line_delivers_what_precedes_a_close(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            stream = await raw_stream(exchange.port, QUOTE_ROUTE)
            await stream.take(2)
            await fault(rest, kind="shape", latency_ms=300)
            await until(lambda: any(c.link and c.link.queued_bytes for c in streams_of(exchange)))
            await fault(rest, kind="disconnect", code=1001)
            assert await stream.closing() == GOING_AWAY

    run(test())


def streams_of(exchange: Running) -> list[Any]:
    return [connection for connection in exchange.exchange.connections if connection.is_stream]


def test_plain_requests_can_be_slow_too(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            answer = await fault(rest, kind="shape", category="rest", latency_ms=250)
            begin_s = time.monotonic()
            request = b"GET /fapi/v1/time HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            raw = await exchange_bytes(exchange.port, request)
            assert parse_answer(raw).status == 200
            assert time.monotonic() - begin_s >= 0.25
            await fault(rest, kind="end", id=answer.json["id"])

    run(test())
