"""Who may ask: keys, signatures over what was received, time windows, budgets."""

import asyncio
from pathlib import Path
from urllib.parse import quote

import pytest

from exchange.clock import UNLIMITED, VirtualClock
from exchange.http1 import Response
from exchange.limits import Limits
from exchange.rest import signed_text
from exchange.server import Exchange, Options
from tests.exchange_rig import (
    KEY,
    Rest,
    exchange_bytes,
    parse_answer,
    run,
    running,
    short_tape,
    tape_of,
)

BALANCE = "/fapi/v2/balance"


def test_signature_is_taken_out_wherever_it_stands() -> None:
    assert signed_text("a=1&signature=x&b=2", "") == "a=1&b=2"
    assert signed_text("a=1", "b=2&signature=x") == "a=1b=2"
    assert signed_text("signature=x", "b=2") == "b=2"


@pytest.mark.parametrize("way", ["query", "form", "mixed", "escaped"])
def test_signatures_are_checked_over_the_text_as_received(tmp_path: Path, way: str) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            rest = exchange.rest()
            now_ms = exchange.exchange.clock.now_ms()
            if way == "query":
                answer = await rest.signed(
                    "POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=3
                )
            elif way == "form":
                answer = await rest.form("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=3)
            elif way == "mixed":
                query, body = "symbol=BTCUSDT", f"leverage=3&timestamp={now_ms}"
                body += f"&signature={rest.sign(query + body)}"
                answer = await rest.send(
                    "POST", f"/fapi/v1/leverage?{query}", body.encode(), "x-www-form-urlencoded"
                )
            else:
                query = f"symbol={quote('BTCUSDT')}&leverage=%33&timestamp={now_ms}"
                target = f"/fapi/v1/leverage?{query}&signature={rest.sign(query)}"
                answer = await rest.send("POST", target)
            assert (answer.status, answer.json["leverage"]) == (200, 3)

    run(test())


def test_refusals_by_key_signature_and_time(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            now_ms = exchange.exchange.clock.now_ms()
            nobody = await exchange.rest(key="").signed("GET", BALANCE)
            assert (nobody.status, nobody.json["code"]) == (401, -2014)
            stranger = await exchange.rest(key="stranger").signed("GET", BALANCE)
            assert (stranger.status, stranger.json["code"]) == (401, -2015)
            forger = await exchange.rest(secret="wrong").signed("GET", BALANCE)
            assert (forger.status, forger.json["code"]) == (400, -1022)
            rest = exchange.rest()
            unsigned = await rest.send("GET", f"{BALANCE}?timestamp={now_ms}")
            assert unsigned.json["code"] == -1102
            timeless = await rest.send("GET", f"{BALANCE}?signature={rest.sign('')}")
            assert timeless.json["code"] == -1102
            late = await rest.signed("GET", BALANCE, timestamp=now_ms - 6_000)
            assert late.json["code"] == -1021
            patient = await rest.signed("GET", BALANCE, timestamp=now_ms - 6_000, recvWindow=20_000)
            assert patient.status == 200
            early = await rest.signed("GET", BALANCE, timestamp=now_ms + 2_500)
            assert early.json["code"] == -1021
            too_wide = await rest.signed("GET", BALANCE, recvWindow=60_001)
            assert too_wide.json["code"] == -1102
            tampered = f"{BALANCE}?timestamp={now_ms}&signature={rest.sign(f'timestamp={now_ms}')}"
            assert (await rest.send("GET", tampered + "&asset=USDT")).json["code"] == -1022

    run(test())


def test_time_windows_run_on_the_venue_clock(tmp_path: Path) -> None:
    async def test() -> None:
        options = Options(start_ms=1_700_000_000_000)
        async with running(tape_of(short_tape(tmp_path / "a")), options) as exchange:
            rest = exchange.rest()
            assert (await rest.signed("GET", BALANCE)).status == 200
            wall = await rest.signed("GET", BALANCE, timestamp=1_800_000_000_000)
            assert wall.json["code"] == -1021
            await rest.practice("/practice/fault", {"kind": "time_offset", "offset_ms": 60_000})
            before = await rest.signed("GET", BALANCE, timestamp=1_700_000_000_000)
            assert before.json["code"] == -1021
            server = (await rest.open("/fapi/v1/time")).json["serverTime"]
            assert server == 1_700_000_060_000

    run(test())


def test_windows_scale_with_the_speed_and_vanish_at_unlimited_speed(tmp_path: Path) -> None:
    async def test() -> None:
        tape = tape_of(short_tape(tmp_path / "a", tail_ms=60_000))
        async with running(tape, Options(speed=20.0)) as exchange:
            rest = exchange.rest()
            now_ms = exchange.exchange.clock.now_ms()
            assert (await rest.signed("GET", BALANCE, timestamp=now_ms - 90_000)).status == 200
            assert (await rest.signed("GET", BALANCE, timestamp=now_ms - 110_000)).status == 400
        clock = VirtualClock(speed=UNLIMITED)
        clock.play()
        assert clock.unlimited
        assert clock.playing

    run(test())


def limited(**limits: int) -> Options:
    return Options(limits=Limits(**limits))


def test_weight_is_counted_refused_and_finally_banned(tmp_path: Path) -> None:
    async def test() -> None:
        tape = tape_of(short_tape(tmp_path / "a"))
        async with running(tape, limited(weight_1m=20)) as exchange:
            rest = exchange.rest()
            first = await rest.open("/fapi/v1/time")
            assert first.headers["x-mbx-used-weight-1m"] == "1"
            depth = await rest.open("/fapi/v1/depth", symbol="BTCUSDT", limit=500)
            assert depth.status == 503
            second = await rest.open("/fapi/v1/time")
            assert second.headers["x-mbx-used-weight-1m"] == "12"
            statuses = [(await rest.open("/fapi/v1/time")).status for _ in range(40)]
            assert statuses[:8] == [200] * 8
            assert statuses[8] == 429
            assert 418 in statuses
            last = await rest.open("/fapi/v1/time")
            assert last.json["code"] == -1003
            assert int(last.headers["retry-after"]) > 1

    run(test())


def test_orders_are_counted_by_account_not_by_weight(tmp_path: Path) -> None:
    async def test() -> None:
        tape = tape_of(short_tape(tmp_path / "a", tail_ms=60_000))
        options = limited(orders_10s=2, orders_1m=100)
        options.autostart = True
        options.accounts.append(("second", "secret"))
        async with running(tape, options) as exchange:
            await exchange.until(lambda: exchange.exchange.player.event_count == 9)
            rest = exchange.rest()
            order = {"side": "BUY", "quantity": "0.010", "price": "59990.00"}
            answers = [await rest.order(**order) for _ in range(3)]
            # Ten seconds may end between two orders; then the count starts again.
            counts = [int(a.headers.get("x-mbx-order-count-10s", "0")) for a in answers]
            assert counts[0] == 1
            if counts[1] == 2 and answers[2].status != 200:
                assert (answers[2].status, answers[2].json["code"]) == (429, -1015)
                assert "retry-after" in answers[2].headers
                assert len(exchange.exchange.venue.accounts[KEY].orders) == 2
            assert "x-mbx-used-weight-1m" not in answers[0].headers
            other = await exchange.rest("second", "secret").order(**order)
            assert other.headers["x-mbx-order-count-1m"] == "1"

    run(test())


def test_limits_are_announced(tmp_path: Path) -> None:
    async def test() -> None:
        options = limited(weight_1m=123, orders_10s=45, orders_1m=67)
        async with running(tape_of(short_tape(tmp_path / "a")), options) as exchange:
            info = (await exchange.rest().open("/fapi/v1/exchangeInfo")).json
            announced = {
                (row["rateLimitType"], row["interval"]): row["limit"] for row in info["rateLimits"]
            }
            assert announced == {
                ("REQUEST_WEIGHT", "MINUTE"): 123,
                ("ORDERS", "SECOND"): 45,
                ("ORDERS", "MINUTE"): 67,
            }

    run(test())


def test_unknown_routes_and_methods_are_not_found(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            rest = exchange.rest()
            assert (await rest.open("/fapi/v1/nothing")).status == 404
            assert (await rest.send("DELETE", "/fapi/v1/time")).status == 404

    run(test())


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"GET /x HTTP/1.1\r\nbroken header\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
        b"GET /" + b"x" * 20_000,
    ],
)
def test_bytes_that_are_no_request_are_answered_and_cut(tmp_path: Path, raw: bytes) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            answer = parse_answer(await exchange_bytes(exchange.port, raw))
            assert answer.status in {400, 413}
            assert (await exchange.rest().open("/fapi/v1/ping")).status == 200

    run(test())


def test_kept_alive_connection_serves_pipelined_and_split_requests(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            reader, writer = await asyncio.open_connection("127.0.0.1", exchange.port)
            request = b"GET /fapi/v1/ping HTTP/1.1\r\nHost: x\r\n\r\n"
            writer.write(request + request + request[:20])
            await writer.drain()
            for _ in range(2):
                assert await one_body(reader) == b"{}"
            writer.write(request[20:])
            assert await one_body(reader) == b"{}"
            writer.close()
            await writer.wait_closed()

    run(test())


async def one_body(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    size = next(
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if b"content-length" in line.lower()
    )
    return await reader.readexactly(size)


def test_response_says_when_it_closes() -> None:
    text = Response(200, b"{}").encode(close=True)
    assert b"Connection: close" in text
    assert b"Connection: close" not in Response(200, b"{}").encode()


def test_options_open_one_account_per_key(tmp_path: Path) -> None:
    options = Options(accounts=[("a", "x"), ("b", "y")], balance=7)
    exchange = Exchange(tape_of(short_tape(tmp_path / "a")), options)
    assert [(k, a.wallet) for k, a in exchange.venue.accounts.items()] == [("a", 7), ("b", 7)]


def test_accounts_are_apart(tmp_path: Path) -> None:
    async def test() -> None:
        options = Options(accounts=[("a", "x"), ("b", "y")], autostart=True)
        tape = tape_of(short_tape(tmp_path / "a", tail_ms=60_000))
        async with running(tape, options) as exchange:
            await exchange.until(lambda: exchange.exchange.player.event_count == 9)
            mine, theirs = exchange.rest("a", "x"), exchange.rest("b", "y")
            await placed(mine)
            assert len((await mine.signed("GET", "/fapi/v1/openOrders")).json) == 1
            assert (await theirs.signed("GET", "/fapi/v1/openOrders")).json == []
            ledger = (await theirs.open("/practice/ledger", account="b")).json
            assert (ledger["orders"], ledger["trades"]) == ([], [])

    run(test())


async def placed(rest: Rest) -> None:
    answer = await rest.order(side="BUY", quantity="0.010", price="59990.00")
    assert answer.status == 200
