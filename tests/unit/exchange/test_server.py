"""The assembled exchange: chores by the clock, both ends of a connection, the state it reports."""

import asyncio
import contextlib
import time
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from exchange.connection import GOING_AWAY
from exchange.frames import MAX_INBOUND_BYTES, POLICY
from exchange.generator import Generator
from exchange.server import Exchange, Options
from tests.exchange_rig import KEY, run, running, short_tape, tape_of


def test_close_ends_every_connection_and_the_port(tmp_path: Path) -> None:
    async def test() -> None:
        exchange = Exchange(tape_of(short_tape(tmp_path / "a", tail_ms=60_000)), Options())
        port = await exchange.listen("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /fapi/v1/ping HTTP/1.1\r\n\r\n")
        await reader.readuntil(b"{}")
        await exchange.close()
        assert await reader.read() == b""
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)

    run(test())


def test_streams_hear_that_the_server_goes_away(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a", tail_ms=60_000))) as exchange:
            stream = await exchange.stream("/private/ws/none")
            await exchange.exchange.close()
            with pytest.raises(ConnectionClosed):
                await stream.next_text()
            assert stream.socket.close_code == GOING_AWAY

    run(test())


def test_pings_go_out_when_their_time_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchange.server.PING_PERIOD_S", 0.01)
    monkeypatch.setattr("exchange.server.CHORES_PERIOD_S", 0.01)
    heard: list[float] = []
    monkeypatch.setattr("exchange.connection.Connection.ping", lambda _self, now: heard.append(now))

    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            stream = await exchange.stream("/public/ws")
            await exchange.until(lambda: len(heard) >= 3)
            await stream.close()

    run(test())


def test_dead_mans_switch_waits_for_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchange.server.CHORES_PERIOD_S", 0.01)

    async def test() -> None:
        tape = tape_of(short_tape(tmp_path / "a", tail_ms=60_000))
        async with running(tape, Options(autostart=True)) as exchange:
            await exchange.until(lambda: exchange.exchange.player.event_count == 9)
            await exchange.rest().order(side="BUY", quantity="0.010", price="59990.00")
            account = exchange.exchange.venue.accounts[KEY]
            account.countdown_due_s["BTCUSDT"] = time.monotonic() + 3_600
            account.countdown_due_s["ETHUSDT"] = 0.0
            await exchange.until(lambda: "ETHUSDT" not in account.countdown_due_s)
            assert len(account.open_orders) == 1
            account.countdown_due_s["BTCUSDT"] = 0.0
            await exchange.until(lambda: not account.open_orders)

    run(test())


def test_state_follows_subscriptions_and_connections(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a", tail_ms=60_000))) as exchange:
            stream = await exchange.stream("/public/ws/btcusdt@depth/btcusdt@bookTicker/btcusdt@x")
            state = exchange.exchange.state()
            assert (state["subscriptions"], state["connections"]) == (2, 1)
            await stream.ask("UNSUBSCRIBE", ["btcusdt@depth", "btcusdt@depth", "never@heard"], 2)
            assert exchange.exchange.state()["subscriptions"] == 1
            await stream.ask("SUBSCRIBE", ["btcusdt@bookTicker"], 3)
            assert exchange.exchange.state()["subscriptions"] == 1
            stream.cut()
            await exchange.until(lambda: exchange.exchange.state()["connections"] == 0)
            assert exchange.exchange.state()["subscriptions"] == 0

    run(test())


def test_private_connections_of_one_account_hear_the_same(tmp_path: Path) -> None:
    async def test() -> None:
        tape = tape_of(short_tape(tmp_path / "a", tail_ms=60_000))
        async with running(tape, Options(autostart=True)) as exchange:
            await exchange.until(lambda: exchange.exchange.player.event_count == 9)
            rest = exchange.rest()
            streams = [await exchange.user_stream(rest) for _ in range(2)]
            await rest.order(side="BUY", type="MARKET", quantity="0.010")
            first, second = [await stream.take(4) for stream in streams]
            assert first == second
            streams[0].cut()
            await exchange.until(lambda: len(exchange.exchange.hub.private[KEY]) == 1)
            await rest.order(side="SELL", type="MARKET", quantity="0.010")
            assert (await streams[1].take(4))[-1]["o"]["X"] == "FILLED"
            await streams[1].close()

    run(test())


def test_generated_market_is_prepared_once_and_plays() -> None:
    async def test() -> None:
        source = Generator(2, 3, 1_000)
        async with running(source) as exchange:
            exchange.exchange.prepare()
            exchange.exchange.prepare()
            stream = await exchange.stream("/public/ws/ethusdt@bookTicker")
            quotes = await stream.take(20)
            assert all(float(quote["b"]) < float(quote["a"]) for quote in quotes)
            depth = await exchange.rest().open("/fapi/v1/depth", symbol="ETHUSDT", limit=100)
            assert len(depth.json["bids"]) == 100
            stream.cut()

    run(test())


def test_requests_wait_behind_a_delayed_answer_on_their_connection(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            rest = exchange.rest()
            order = {"kind": "rest", "path": "/fapi/v1/time", "delay_ms": 100}
            await rest.practice("/practice/fault", order)
            reader, writer = await asyncio.open_connection("127.0.0.1", exchange.port)
            for path in (b"time", b"ping"):
                writer.write(b"GET /fapi/v1/" + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            first = await reader.readuntil(b"}")
            second = await reader.readuntil(b"}")
            assert b"serverTime" in first
            assert second.endswith(b"{}")
            writer.close()
            await writer.wait_closed()

    run(test())


def test_delayed_answer_to_a_client_that_left_is_no_fault(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            rest = exchange.rest()
            order = {"kind": "rest", "path": "/fapi/v1/time", "delay_ms": 30}
            await rest.practice("/practice/fault", order)
            _reader, writer = await asyncio.open_connection("127.0.0.1", exchange.port)
            writer.write(b"GET /fapi/v1/time HTTP/1.1\r\nHost: x\r\n\r\n")
            await writer.drain()
            await exchange.until(lambda: not exchange.exchange.faults.requests.rules)
            writer.transport.abort()
            await asyncio.sleep(0.05)
            assert (await rest.open("/fapi/v1/ping")).status == 200

    run(test())


def test_a_message_in_endless_fragments_is_cut_off(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a", tail_ms=60_000))) as exchange:
            stream = await exchange.stream("/market/ws/btcusdt@aggTrade")
            part = "x" * (MAX_INBOUND_BYTES // 2)
            with contextlib.suppress(ConnectionClosed):  # in the middle of it, or after it
                await stream.socket.send(part for _ in range(4))
            await stream.socket.wait_closed()
            assert stream.socket.close_code == POLICY

    run(test())
