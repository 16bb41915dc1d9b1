"""Faults of requests through real sockets: refusals, broken answers, untrue snapshots, clocks."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from exchange.server import Options
from tests.exchange_rig import Rest, exchange_bytes, run, until
from tests.fault_rig import DIFF_ROUTE, ended, fault, raw_stream, ticking

DEPTH = "/fapi/v1/depth"
TIME = "/fapi/v1/time"


async def depth(rest: Rest, limit: int = 1000) -> dict[str, Any]:
    answer = await rest.open(DEPTH, symbol="BTCUSDT", limit=limit)
    assert answer.status == 200, answer.json
    found: dict[str, Any] = answer.json
    return found


@pytest.mark.parametrize(
    ("status", "code", "retry_after"),
    [(401, -2015, ""), (408, -1007, ""), (418, -1003, "120"), (429, -1003, "10"),
     (451, 0, ""), (500, -1000, ""), (503, -1001, "")],
)  # fmt: skip
def test_requests_are_refused_in_the_form_of_the_venue(
    tmp_path: Path, status: int, code: int, retry_after: str
) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            answer = await fault(rest, kind="http_status", status=status, path=TIME, count=2)
            for _ in range(2):
                refused = await rest.open(TIME)
                assert (refused.status, refused.json["code"]) == (status, code)
                assert refused.headers.get("retry-after", "") == retry_after
            assert (await ended(exchange, answer.json["id"]))["uses"] == 2
            assert (await rest.open(TIME)).status == 200
            assert (await rest.open("/fapi/v1/ping")).status == 200

    run(test())


@pytest.mark.parametrize("status", [403, 502, 504])
def test_some_refusals_are_a_page_and_no_json(tmp_path: Path, status: int) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            await fault(exchange.rest(), kind="http_status", status=status, path=TIME)
            request = b"GET /fapi/v1/time HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            raw = await exchange_bytes(exchange.port, request)
            head, _, body = raw.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 %d " % status)
            assert b"text/html" in head
            assert body.startswith(b"<html>")
            assert (await exchange.rest().open(TIME)).status == 200

    run(test())


def test_ban_names_its_end_and_lasts_as_long_as_it_is_told(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            order = {"kind": "http_status", "status": 418, "retry_after_s": 2, "duration_ms": 200}
            answer = await fault(rest, **order)
            banned = await rest.open(TIME)
            until_ms = int(banned.json["msg"].rstrip(".").rpartition(" ")[2])
            assert banned.headers["retry-after"] == "2"
            assert until_ms > exchange.exchange.clock.now_ms()
            await ended(exchange, answer.json["id"])
            assert (await rest.open(TIME)).status == 200

    run(test())


def test_slow_snapshot_is_older_than_the_stream_when_it_comes(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            stream = await raw_stream(exchange.port, DIFF_ROUTE)
            await stream.take(3)
            await fault(rest, kind="slow_answer", delay_ms=300)
            begin_s = time.monotonic()
            late = asyncio.create_task(depth(rest))
            assert (await rest.open(TIME)).status == 200  # others do not wait
            snapshot = await late
            assert time.monotonic() - begin_s >= 0.3
            book = exchange.exchange.venue.markets["BTCUSDT"].book
            assert book.update_id > snapshot["lastUpdateId"] + 20
            assert (await depth(rest))["lastUpdateId"] > snapshot["lastUpdateId"] + 20
            stream.close()

    run(test())


def test_half_an_answer_breaks_off_and_the_next_is_whole(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            await rest.practice("/practice/play", {})
            await until(lambda: exchange.exchange.player.event_count > 10)
            await fault(rest, kind="half_answer")
            request = b"GET /fapi/v1/depth?symbol=BTCUSDT HTTP/1.1\r\nHost: x\r\n\r\n"
            raw = await exchange_bytes(exchange.port, request)
            head, _, body = raw.partition(b"\r\n\r\n")
            announced = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
            assert 0 < len(body) < announced
            with pytest.raises(json.JSONDecodeError):
                json.loads(body)
            assert (await depth(rest))["bids"]

    run(test())


def test_stale_snapshot_is_the_book_of_the_order(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            stream = await raw_stream(exchange.port, DIFF_ROUTE)
            await stream.take(3)
            answer = await fault(rest, kind="stale_snapshot", symbol="BTCUSDT", count=3)
            await stream.take(60)
            stale = [await depth(rest), await depth(rest), await depth(rest, 5)]
            assert len({snapshot["lastUpdateId"] for snapshot in stale}) == 1
            assert len(stale[2]["bids"]) <= 5
            # Every frame the client can have buffered is newer.
            newest = (await stream.next())["U"]
            assert stale[0]["lastUpdateId"] + 20 < newest
            assert (await ended(exchange, answer.json["id"]))["uses"] == 3
            assert (await depth(rest))["lastUpdateId"] >= newest
            stream.close()

    run(test())


@pytest.mark.parametrize("kind", ["snapshot_behind", "snapshot_ahead"])
def test_snapshot_ids_move_and_come_back(tmp_path: Path, kind: str) -> None:
    async def test() -> None:
        async with ticking(tmp_path, symbols=("BTCUSDT", "ETHUSDT")) as exchange:
            rest = exchange.rest()
            stream = await raw_stream(exchange.port, DIFF_ROUTE)
            await stream.take(3)
            await fault(rest, kind=kind, symbol="BTCUSDT", ids=90)
            other = await rest.open(DEPTH, symbol="ETHUSDT")
            before = exchange.exchange.venue.markets["BTCUSDT"].book.update_id
            moved = (await depth(rest))["lastUpdateId"]
            after = exchange.exchange.venue.markets["BTCUSDT"].book.update_id
            sign = 1 if kind == "snapshot_ahead" else -1
            assert before <= moved - sign * 90 <= after
            assert abs(other.json["lastUpdateId"] - before) < 60
            assert after <= (await depth(rest))["lastUpdateId"] < after + 60
            stream.close()

    run(test())


def test_crossed_and_empty_snapshots(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            await rest.practice("/practice/play", {})
            await until(lambda: exchange.exchange.player.event_count > 30)
            await fault(rest, kind="crossed_snapshot")
            crossed = await depth(rest)
            assert float(crossed["bids"][0][0]) > float(crossed["asks"][0][0])
            await fault(rest, kind="empty_snapshot")
            empty = await depth(rest)
            assert (empty["bids"], empty["asks"]) == ([], [])
            good = await depth(rest)
            assert float(good["bids"][0][0]) < float(good["asks"][0][0])

    run(test())


@pytest.mark.parametrize("hidden", [False, True])
def test_skewed_clock_refuses_who_does_not_follow_it(tmp_path: Path, hidden: bool) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            order = {"kind": "clock_skew", "offset_ms": 60_000, "hidden": hidden}
            answer = await fault(rest, **order)
            refused = await rest.signed("GET", "/fapi/v2/balance")
            assert (refused.status, refused.json["code"]) == (400, -1021)
            told_ms = (await rest.open(TIME)).json["serverTime"]
            follows = await rest.signed("GET", "/fapi/v2/balance", timestamp=told_ms)
            assert (follows.status == 200) is not hidden
            await fault(rest, kind="end", id=answer.json["id"])
            assert (await rest.signed("GET", "/fapi/v2/balance")).status == 200

    run(test())


def test_smaller_weight_ends_in_429_then_418_and_the_end_lifts_the_ban(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path, Options(control_port=0)) as exchange:
            rest = exchange.rest()
            answer = await fault(rest, kind="weight_limit", weight_1m=5)
            info = (await rest.open("/fapi/v1/exchangeInfo")).json
            assert info["rateLimits"][0]["limit"] == 5
            statuses = [(await rest.open(TIME)).status for _ in range(13)]
            assert sorted(set(statuses), key=statuses.index) == [200, 429, 418]
            await fault(rest, kind="end", id=answer.json["id"])
            after = await rest.open(TIME)
            assert after.status == 200
            assert int(after.headers["x-mbx-used-weight-1m"]) < 2_400

    run(test())


def test_rule_for_one_path_and_method_leaves_the_others(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            order = {"kind": "http_status", "status": 503, "path": "/fapi/v1/order"}
            await fault(rest, **order, method="POST", count=1)
            assert (await rest.open(TIME)).status == 200
            assert (await rest.order(side="BUY", quantity="0.010", price="1")).status == 503
            assert (await rest.order(side="BUY", quantity="0.010", price="1")).status == 400

    run(test())
