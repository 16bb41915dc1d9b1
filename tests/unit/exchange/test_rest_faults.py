"""Faults of answers and of user data: lost, late, refused, doubled, reordered, made up."""

import asyncio
from pathlib import Path

import pytest

from exchange.connection import MAX_WAITING_BYTES
from tests.exchange_rig import (
    KEY,
    exchange_bytes,
    fault,
    run,
    settled,
)

BALANCE = "/fapi/v2/balance"
RECEIVED_BYTES_MAX = 262_144  # what one turn of asyncio takes from a socket


ORDER = {"side": "BUY", "quantity": "0.010", "price": "59990.00"}
UNKNOWN = {"code": -1000, "msg": "Unknown error, please check your request or try again later."}


@pytest.mark.parametrize("executed", [True, False])
def test_lost_answer_of_an_order_executed_or_not(tmp_path: Path, executed: bool) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            await fault(
                rest, kind="rest", path="/fapi/v1/order", method="POST", status=503,
                body=UNKNOWN, execute=executed, count=1,
            )  # fmt: skip
            answer = await rest.order(**ORDER, newClientOrderId="lost")
            assert (answer.status, answer.json) == (503, UNKNOWN)
            found = await rest.signed(
                "GET", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="lost"
            )
            if executed:
                assert found.json["status"] == "NEW"
            else:
                assert found.json["code"] == -2013
            assert (await rest.order(**ORDER)).status == 200

    run(test())


def test_next_orders_can_be_rejected_with_a_code(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            body = {"code": -2010, "msg": "no"}
            await fault(
                rest, kind="rest", path="/fapi/v1/order", method="POST", status=400, body=body,
                execute=False, count=2,
            )  # fmt: skip
            answers = [await rest.order(**ORDER) for _ in range(3)]
            assert [a.status for a in answers] == [400, 400, 200]
            # Only POST was named: a query is answered all the while.
            assert (await rest.signed("GET", BALANCE)).status == 200

    run(test())


def test_delayed_answer_comes_after_its_user_event(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            user = await exchange.user_stream(rest)
            await fault(rest, kind="rest", path="/fapi/v1/order", method="POST", delay_ms=300)
            waiting = asyncio.create_task(rest.order(**ORDER))
            assert (await user.next())["o"]["x"] == "NEW"
            assert not waiting.done()
            assert (await waiting).json["status"] == "NEW"
            await user.close()

    run(test())


def test_answer_can_be_a_dead_socket(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            await fault(rest, kind="rest", path="/fapi/v1/order", method="POST", status=-1)
            with pytest.raises((ConnectionError, IndexError)):
                await rest.order(**ORDER)
            assert len(exchange.exchange.venue.accounts[KEY].open_orders) == 1

    run(test())


def test_answer_can_be_cut_in_the_middle(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            order = {"kind": "rest", "path": "/fapi/v1/time", "half": True, "body": "x" * 100}
            await fault(rest, **order, status=200)
            raw = await exchange_bytes(exchange.port, b"GET /fapi/v1/time HTTP/1.1\r\n\r\n")
            assert b"Content-Length: 100\r\n" in raw
            assert raw.endswith(b"\r\n\r\n" + b"x" * 50)

    run(test())


def test_a_flood_behind_a_delayed_answer_waits_in_the_socket(tmp_path: Path) -> None:
    asked = 50_000
    request = b"GET /practice/state HTTP/1.1\r\n\r\n"

    async def test() -> None:
        async with settled(tmp_path) as exchange:
            await fault(exchange.rest(), kind="rest", path="/fapi/v1/time", delay_ms=1_000)
            reader, writer = await asyncio.open_connection("127.0.0.1", exchange.port)
            writer.write(b"GET /fapi/v1/time HTTP/1.1\r\n\r\n" + request * asked)
            (connection,) = exchange.exchange.connections
            await exchange.until(lambda: connection._holds_back)
            assert len(connection._buffer) < 2 * MAX_WAITING_BYTES + RECEIVED_BYTES_MAX
            for _ in range(1 + asked):  # the delayed one, and then every one that waited
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200")
                await reader.readexactly(int(head.partition(b"Content-Length: ")[2].split()[0]))
            writer.close()

    run(test())


def test_user_events_can_be_lost_doubled_and_reordered(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            user = await exchange.user_stream(rest)

            async def told(count: int) -> list[str]:
                await rest.order(side="BUY", type="MARKET", quantity="0.010")
                events = await user.take(count)
                return [event.get("o", {}).get("x", event["e"]) for event in events]

            await fault(rest, kind="drop", account=KEY, count=3)
            assert await told(1) == ["TRADE"]
            await fault(rest, kind="duplicate", account=KEY, count=1)
            assert await told(5) == ["NEW", "NEW", "TRADE_LITE", "ACCOUNT_UPDATE", "TRADE"]
            await fault(rest, kind="reorder", account=KEY)
            assert await told(4) == ["TRADE_LITE", "NEW", "ACCOUNT_UPDATE", "TRADE"]
            assert await told(4) == ["NEW", "TRADE_LITE", "ACCOUNT_UPDATE", "TRADE"]
            await user.close()

    run(test())


def test_answers_can_carry_headers(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            await fault(
                rest, kind="rest", path="/fapi/v1/time", status=429, execute=False,
                body={"code": -1003, "msg": "slow down"}, headers={"Retry-After": 7},
            )  # fmt: skip
            answer = await rest.open("/fapi/v1/time")
            assert (answer.status, answer.headers["retry-after"]) == (429, "7")

    run(test())


def test_faults_can_be_cleared_and_never_touch_practice_requests(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            await fault(rest, kind="rest", path="*", method="*", status=500, count=100)
            await fault(rest, kind="gap", symbol="BTCUSDT")
            assert (await rest.open("/fapi/v1/time")).status == 500
            assert (await rest.open("/practice/state")).status == 200
            await fault(rest, kind="clear")
            assert (await rest.open("/fapi/v1/time")).status == 200
            assert exchange.exchange.faults.streams.rules == {}

    run(test())


def test_user_events_can_be_made_up_and_the_key_expired(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            user = await exchange.user_stream(rest)
            event = {"e": "MARGIN_CALL", "E": 1, "cw": "1", "p": []}
            await fault(rest, kind="user_event", account=KEY, event=event)
            assert await user.next() == event
            await fault(rest, kind="listen_key_expired", account=KEY)
            assert (await user.next())["e"] == "listenKeyExpired"
            assert (await rest.keyed("PUT", "/fapi/v1/listenKey")).json["code"] == -1125
            await user.close()

    run(test())
