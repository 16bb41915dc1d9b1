"""Routed streams: names, categories, the trap of wrong routes, control messages, pings."""

import asyncio
import contextlib
import json
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from exchange import frames
from exchange.control import CONTROL_PER_SECOND
from exchange.events import DIFF, QUOTE, TRADE
from exchange.server import Options
from exchange.streams import (
    AGG_TRADE,
    CONTINUOUS_KLINE,
    FORCE_ORDER,
    INTERVAL_MS,
    KLINE,
    MARK_PRICE,
    MAX_STREAMS,
    MINI_TICKER,
    PARTIAL_DEPTH,
    category_of,
    keys_of_market,
    parse_stream,
)
from tests.exchange_rig import run, running, short_tape, tape_of

INDEX = {"BTCUSDT": 0, "ETHUSDT": 1}
SILENCE_S = 0.15


@pytest.mark.parametrize(
    ("name", "key", "category"),
    [
        ("btcusdt@bookTicker", (QUOTE, 0, ""), "public"),
        ("ethusdt@depth", (DIFF, 1, ""), "public"),
        ("btcusdt@depth@0ms", (DIFF, 0, ""), "public"),
        ("btcusdt@depth@100ms", (DIFF, 0, ""), "public"),
        ("btcusdt@depth@500ms", (DIFF, 0, ""), "public"),
        ("btcusdt@depth10", (PARTIAL_DEPTH, 0, "10@250"), "public"),
        ("btcusdt@depth20@100ms", (PARTIAL_DEPTH, 0, "20@100"), "public"),
        ("btcusdt@trade", (TRADE, 0, ""), "market"),
        ("btcusdt@aggTrade", (AGG_TRADE, 0, ""), "market"),
        ("btcusdt@kline_1m", (KLINE, 0, "1m"), "market"),
        ("btcusdt_perpetual@continuousKline_5m", (CONTINUOUS_KLINE, 0, "5m"), "market"),
        ("btcusdt@markPrice", (MARK_PRICE, 0, "3000"), "market"),
        ("btcusdt@markPrice@1s", (MARK_PRICE, 0, "1000"), "market"),
        ("btcusdt@forceOrder", (FORCE_ORDER, 0, ""), "market"),
        ("btcusdt@miniTicker", (MINI_TICKER, 0, ""), "market"),
    ],
)
def test_stream_names_are_routed(name: str, key: tuple[int, int, str], category: str) -> None:
    assert parse_stream(name, INDEX) == key
    assert category_of(key) == category


@pytest.mark.parametrize(
    "name",
    [
        "", "btcusdt", "BTCUSDT@trade", "xyzusdt@trade", "btcusdt@depth7", "btcusdt@kline_7m",
        "btcusdt@depth@fast", "btcusdt@nothing", "btcusdt@continuousKline_1m",
        "xyzusdt_perpetual@continuousKline_1m", "btcusdt_perpetual@continuousKline_9m",
    ],
)  # fmt: skip
def test_unknown_names_have_no_key(name: str) -> None:
    assert parse_stream(name, INDEX) is None


def test_raw_and_combined_connections_get_the_same_payload(tmp_path: Path) -> None:
    async def test() -> None:
        tape = tape_of(short_tape(tmp_path / "a"))
        async with running(tape) as exchange:
            combined = await exchange.stream(
                "/public/stream?streams=btcusdt@bookTicker/btcusdt@depth@100ms"
            )
            raw = await exchange.stream("/public/ws/btcusdt@bookTicker/btcusdt@depth")
            wrapped = await combined.take(6)
            bare = await raw.take(6)
            assert [message["data"] for message in wrapped] == bare
            assert {message["stream"] for message in wrapped} == {
                "btcusdt@bookTicker",
                "btcusdt@depth@100ms",
            }
            assert [body["e"] for body in bare] == [
                "depthUpdate", "depthUpdate", "bookTicker", "depthUpdate", "bookTicker",
                "depthUpdate",
            ]  # fmt: skip
            await combined.close()
            await raw.close()

    run(test())


def test_trades_come_on_the_market_route(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            stream = await exchange.stream("/market/ws/btcusdt@trade")
            trades = await stream.take(2)
            assert [(trade["p"], trade["q"], trade["m"]) for trade in trades] == [
                ("60000.10", "0.300", False),
                ("60000.00", "0.400", True),
            ]
            await stream.close()

    run(test())


@pytest.mark.parametrize(
    "path",
    [
        "/ws/btcusdt@bookTicker",
        "/stream?streams=btcusdt@bookTicker/btcusdt@depth",
        "/market/stream?streams=btcusdt@bookTicker/btcusdt@depth",
        "/public/ws/btcusdt@trade/btcusdt@markPrice@1s",
        "/private/ws/btcusdt@bookTicker",
    ],
)
def test_wrong_routes_are_accepted_acknowledged_and_silent(tmp_path: Path, path: str) -> None:
    async def test() -> None:
        options = Options(autostart=True)
        tape = tape_of(short_tape(tmp_path / "a", tail_ms=60_000))
        async with running(tape, options) as exchange:
            stream = await exchange.stream(path)
            answer = await stream.ask("SUBSCRIBE", ["btcusdt@nothing"], 7)
            assert answer == {"result": None, "id": 7}
            await exchange.until(lambda: exchange.exchange.player.event_count == 9)
            assert await stream.silent_for(SILENCE_S)
            await stream.close()

    run(test())


def test_play_waits_for_the_first_real_subscriber(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            trapped = await exchange.stream("/market/ws/btcusdt@bookTicker")
            assert await trapped.silent_for(SILENCE_S)
            assert not exchange.exchange.player.started
            stream = await exchange.stream("/public/ws/btcusdt@depth")
            first = await stream.next()
            assert (first["U"], first["pu"]) == (1001, 1000)
            await stream.close()
            await trapped.close()

    run(test())


def test_control_messages(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a", gap_ms=1_000))) as exchange:
            stream = await exchange.stream("/public/stream")
            names = ["btcusdt@bookTicker", "btcusdt@depth"]
            assert await stream.ask("SUBSCRIBE", names, 1) == {"result": None, "id": 1}
            assert await stream.ask("LIST_SUBSCRIPTIONS", None, 2) == {"result": names, "id": 2}
            await stream.ask("UNSUBSCRIBE", ["btcusdt@bookTicker"], 3)
            answer = await stream.ask("LIST_SUBSCRIPTIONS", None, 4)
            assert answer["result"] == ["btcusdt@depth"]
            assert exchange.exchange.hub.live_count == 1
            assert "error" in await stream.ask("NONSENSE", [], 5)
            await stream.close()
            await exchange.until(lambda: exchange.exchange.hub.live_count == 0)

    run(test())


def test_malformed_control_message_is_answered(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            stream = await exchange.stream("/public/ws")
            await stream.socket.send("{nonsense")
            assert "error" in await stream.next()
            await stream.socket.send("[1,2]")
            assert "error" in await stream.next()
            await stream.close()

    run(test())


def test_more_streams_than_allowed_are_refused(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            stream = await exchange.stream("/public/ws")
            names = [f"x{k}@trade" for k in range(MAX_STREAMS + 1)]
            assert "error" in await stream.ask("SUBSCRIBE", names, 1)
            answer = await stream.ask("SUBSCRIBE", names[:MAX_STREAMS], 2)
            assert answer == {"result": None, "id": 2}
            await stream.close()

    run(test())


def test_too_many_control_messages_end_the_connection(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            stream = await exchange.stream("/public/ws")
            with contextlib.suppress(ConnectionClosed):
                for number in range(3 * CONTROL_PER_SECOND):
                    await stream.ask("LIST_SUBSCRIPTIONS", None, number)
            assert stream.socket.close_code == 1008

    run(test())


@pytest.mark.parametrize("path", ["/", "/public", "/public/other", "/nowhere/ws"])
def test_other_paths_cannot_be_upgraded(tmp_path: Path, path: str) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            with pytest.raises(InvalidStatus) as refused:
                await exchange.stream(path)
            assert refused.value.response.status_code == 404

    run(test())


def test_client_ping_is_answered_with_its_payload(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            stream = await exchange.stream("/public/ws")
            waiter = await stream.socket.ping(b"hello")
            async with asyncio.timeout(5):
                await waiter
            await stream.close()

    run(test())


def test_server_pings_and_drops_who_stays_silent(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            reader, writer = await raw_upgrade(exchange.port, "/public/ws")
            connection = next(c for c in exchange.exchange.connections if c.is_stream)
            now_s = asyncio.get_running_loop().time()
            connection.ping(now_s)
            head = await reader.readexactly(2)
            assert head[0] & 0x0F == frames.PING
            await reader.readexactly(head[1])
            connection.ping(now_s + 601)
            head = await reader.readexactly(2)
            assert head[0] & 0x0F == frames.CLOSE
            writer.close()

    run(test())


def test_unmasked_client_frame_ends_the_connection(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            reader, writer = await raw_upgrade(exchange.port, "/public/ws")
            writer.write(frames.frame(frames.TEXT, b"{}"))
            closing = await reader.readexactly(4)
            assert closing == frames.frame(frames.CLOSE, (1002).to_bytes(2, "big"))
            assert await reader.read() == b""
            writer.close()

    run(test())


def test_fragmented_control_message_is_joined(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            stream = await exchange.stream("/public/ws")
            await stream.socket.send(['{"method":"LIST_', 'SUBSCRIPTIONS","id":3}'])
            assert await stream.next() == {"result": [], "id": 3}
            await stream.close()

    run(test())


def test_frames_sent_with_the_handshake_are_read(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            message = json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 9}).encode()
            reader, writer = await raw_upgrade(exchange.port, "/public/ws", masked(message))
            head = await reader.readexactly(2)
            assert json.loads(await reader.readexactly(head[1])) == {"result": [], "id": 9}
            writer.close()

    run(test())


def masked(payload: bytes) -> bytes:
    mask = b"\x01\x02\x03\x04"
    body = bytes(byte ^ mask[k % 4] for k, byte in enumerate(payload))
    return bytes((0x81, 0x80 | len(payload))) + mask + body


async def raw_upgrade(
    port: int, path: str, rest: bytes = b""
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        + rest
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"101 Switching" in head
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    return reader, writer


def test_keys_of_a_market_are_those_its_names_lead_to() -> None:
    channels = [
        "bookTicker", "trade", "aggTrade", "forceOrder", "miniTicker", "depth", "depth@100ms",
        "markPrice", "markPrice@1s", "depth5", "depth10@100ms", "depth20@500ms",
        *(f"kline_{interval}" for interval in INTERVAL_MS),
    ]  # fmt: skip
    names = [f"btcusdt@{channel}" for channel in channels]
    names += [f"btcusdt_perpetual@continuousKline_{interval}" for interval in INTERVAL_MS]
    found = {parse_stream(name, {"ETHUSDT": 0, "BTCUSDT": 1}) for name in names}
    keys = keys_of_market(1)
    assert found <= set(keys)
    assert len(keys) == len(set(keys)) == 41
