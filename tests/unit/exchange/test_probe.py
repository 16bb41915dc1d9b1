"""The wire probe: one trigger at a time, every interval recorded, nothing else touched."""

import asyncio
import json
from pathlib import Path

import pytest

from exchange.probe import client_order_id_in
from exchange.server import Options
from tests.exchange_rig import Running, Stream, run, running, short_tape, tape_of

STREAM = "btcusdt@bookTicker"
TEXT = (
    '{"e":"bookTicker","u":{u},"s":"BTCUSDT","b":"60000.00","B":"9.000","a":"60000.10",'
    '"A":"0.001","T":{ms},"E":{ms},"n":{n}}'
)


@pytest.mark.parametrize(
    ("data", "client_id"),
    [
        (b"POST /fapi/v1/order?newClientOrderId=ab-1&x=1 HTTP/1.1\r\n", "ab-1"),
        (b"POST /fapi/v1/order?x=1&newClientOrderId=ab-2 HTTP/1.1\r\n", "ab-2"),
        (b"POST /fapi/v1/order HTTP/1.1\r\n\r\na=1&newClientOrderId=ab-3", "ab-3"),
        (b"POST /fapi/v1/order HTTP/1.1\r\n", ""),
    ],
)
def test_client_order_id_is_found_wherever_it_stands(data: bytes, client_id: str) -> None:
    assert client_order_id_in(data) == client_id


async def answer_triggers(exchange: Running, stream: Stream, count: int) -> list[int]:
    """Answer each trigger with an order whose id names it."""
    rest = exchange.rest()
    numbers: list[int] = []
    for _ in range(count):
        frame = await stream.next()
        if "n" not in frame:
            continue
        numbers.append(frame["n"])
        name = f"t-{frame['n']}"
        await rest.order(side="BUY", quantity="0.010", price="59990.00", newClientOrderId=name)
    return numbers


def test_series_records_one_interval_per_trigger(tmp_path: Path) -> None:
    async def test() -> None:
        tape = tape_of(short_tape(tmp_path / "a", tail_ms=60_000))
        async with running(tape, Options(autostart=True)) as exchange:
            await exchange.until(lambda: exchange.exchange.player.event_count == 9)
            stream = await exchange.stream(f"/public/ws/{STREAM}")
            rest = exchange.rest()
            order = {"stream": STREAM, "text": TEXT, "count": 5, "gap_ms": 2}
            armed = await rest.practice("/practice/probe", order)
            assert armed.json == {"armed": 5}
            assert await answer_triggers(exchange, stream, 5) == [1, 2, 3, 4, 5]
            results = (await rest.open("/practice/probe")).json
            assert (results["running"], results["missed"]) == (False, 0)
            samples = results["samples"]
            assert [s["client_order_id"] for s in samples] == [f"t-{n}" for n in range(1, 6)]
            assert [s["trigger"] for s in samples] == [1, 2, 3, 4, 5]
            assert all(0 < s["interval_ns"] < 10**10 for s in samples)
            await rest.open("/practice/probe", clear="true")
            assert (await rest.open("/practice/probe")).json["samples"] == []
            await stream.close()

    run(test())


def test_triggers_carry_later_ids_and_the_venue_time(tmp_path: Path) -> None:
    async def test() -> None:
        tape = tape_of(short_tape(tmp_path / "a", tail_ms=60_000))
        options = Options(autostart=True, start_ms=1_700_000_000_000)
        async with running(tape, options) as exchange:
            await exchange.until(lambda: exchange.exchange.player.event_count == 9)
            stream = await exchange.stream(f"/public/stream?streams={STREAM}")
            order: dict[str, object] = {"count": 3, "gap_ms": 1, "timeout_ms": 20}
            order |= {"stream": STREAM, "texts": [TEXT, TEXT.replace("9.000", "8.000")]}
            await exchange.rest().practice("/practice/probe", order)
            frames = [(await stream.next())["data"] for _ in range(3)]
            assert [frame["B"] for frame in frames] == ["9.000", "8.000", "9.000"]
            ids = [frame["u"] for frame in frames]
            assert ids == sorted(set(ids))
            assert ids[0] > 1040
            assert all(0 <= frame["E"] - 1_700_000_000_000 < 60_000 for frame in frames)
            probe = exchange.exchange.probe
            await exchange.until(lambda: not probe.results(clear=False)["running"])
            assert probe.results(clear=False)["missed"] == 3
            await stream.close()

    run(test())


def test_second_subscriber_gets_the_trigger_too(tmp_path: Path) -> None:
    async def test() -> None:
        tape = tape_of(short_tape(tmp_path / "a", tail_ms=60_000))
        async with running(tape, Options(autostart=True)) as exchange:
            await exchange.until(lambda: exchange.exchange.player.event_count == 9)
            streams = [await exchange.stream(f"/public/ws/{STREAM}") for _ in range(2)]
            order = {"stream": STREAM, "text": TEXT, "count": 1, "timeout_ms": 10}
            await exchange.rest().practice("/practice/probe", order)
            texts = [await stream.next_text() for stream in streams]
            assert texts[0] == texts[1]
            assert json.loads(texts[0])["n"] == 1
            for stream in streams:
                await stream.close()

    run(test())


def test_only_one_series_runs_and_somebody_must_listen(tmp_path: Path) -> None:
    async def test() -> None:
        tape = tape_of(short_tape(tmp_path / "a", tail_ms=60_000))
        async with running(tape, Options(autostart=True)) as exchange:
            rest = exchange.rest()
            order = {"stream": STREAM, "text": TEXT, "count": 2, "gap_ms": 50, "timeout_ms": 50}
            deaf = await rest.practice("/practice/probe", order)
            assert deaf.status == 400
            stream = await exchange.stream(f"/public/ws/{STREAM}")
            assert (await rest.practice("/practice/probe", order)).status == 200
            assert (await rest.practice("/practice/probe", order)).status == 409
            await stream.close()
            probe = exchange.exchange.probe
            await exchange.until(lambda: not probe.results(clear=False)["running"])

    run(test())


def test_orders_without_a_trigger_are_not_recorded(tmp_path: Path) -> None:
    async def test() -> None:
        tape = tape_of(short_tape(tmp_path / "a", tail_ms=60_000))
        async with running(tape, Options(autostart=True)) as exchange:
            await exchange.until(lambda: exchange.exchange.player.event_count == 9)
            await exchange.rest().order(side="BUY", quantity="0.010", price="59990.00")
            await asyncio.sleep(0)
            assert exchange.exchange.probe.results(clear=False)["samples"] == []

    run(test())
