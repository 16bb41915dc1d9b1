"""The past on request: aggregated trades by id and time, bars, and the bound of what is kept."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest

from exchange.history import AggTrade, TradeHistory
from exchange.server import Options
from tests.exchange_rig import Rest, TapeWriter, run, running, tape_of, until
from tests.fault_rig import fault, raw_stream, ticking

AGG = "/fapi/v1/aggTrades"
KLINES = "/fapi/v1/klines"


def trade(agg_id: int, trade_ms: int = 0) -> AggTrade:
    return AggTrade(agg_id, 100, 1, 0, agg_id, agg_id, trade_ms)


def test_oldest_trades_of_the_whole_market_go_first() -> None:
    history = TradeHistory(2, 4)
    for k in range(3):
        history.add(0, trade(k + 1))
    for k in range(3):
        history.add(1, trade(k + 1))
    assert len(history) == 6
    history.trim()
    assert len(history) == 4
    assert [t.agg_id for t in history.since_id(0, 0, 10)] == [3]
    assert [t.agg_id for t in history.since_id(1, 0, 10)] == [1, 2, 3]


def test_slices_by_id_and_time() -> None:
    history = TradeHistory(1, 100)
    for k in range(10):
        history.add(0, trade(k + 1, trade_ms=1_000 + 10 * k))
    assert [t.agg_id for t in history.since_id(0, 4, 3)] == [4, 5, 6]
    assert history.since_id(0, 11, 3) == []
    assert [t.agg_id for t in history.between(0, 1_020, 1_050, 10)] == [3, 4, 5, 6]
    assert [t.agg_id for t in history.between(0, 0, 2**53, 2)] == [1, 2]
    assert [t.agg_id for t in history.latest(0, 3)] == [8, 9, 10]
    assert TradeHistory(1, 1).since_id(0, 1, 5) == []


async def rows(rest: Rest, **params: object) -> list[dict[str, Any]]:
    answer = await rest.open(AGG, symbol="BTCUSDT", **params)
    assert answer.status == 200, answer.json
    found: list[dict[str, Any]] = answer.json
    return found


def test_what_a_cut_stream_missed_is_fetched_by_id(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            route = "/market/ws/btcusdt@aggTrade"
            stream = await raw_stream(exchange.port, route)
            heard = await stream.take(10)
            await fault(rest, kind="disconnect", stream="btcusdt@aggTrade")
            await stream.closing()
            await asyncio.sleep(0.2)  # the market goes on
            again = await raw_stream(exchange.port, route)
            after = await again.take(5)
            missing = range(heard[-1]["a"] + 1, after[0]["a"])
            assert len(missing) > 10
            filled = await rows(rest, fromId=missing[0], limit=len(missing))
            assert [row["a"] for row in filled] == list(missing)
            # Trade ids of what was heard and what was fetched make one chain.
            chain = [*heard, *filled, *after]
            assert all(b["f"] == a["l"] + 1 for a, b in itertools.pairwise(chain))
            names = ("a", "p", "q", "nq", "f", "l", "T", "m")
            told = await rows(rest, fromId=after[0]["a"], limit=5)
            assert told == [{name: one[name] for name in names} for one in after]
            again.close()

    run(test())


def test_ids_do_not_depend_on_who_listens(tmp_path: Path) -> None:
    async def ids(route: str) -> list[dict[str, Any]]:
        async with ticking(tmp_path) as exchange:
            stream = await raw_stream(exchange.port, route)
            await until(lambda: len(exchange.exchange.derived.history) > 30)
            stream.close()
            return await rows(exchange.rest(), fromId=1, limit=30)

    async def test() -> None:
        silent = await ids("/public/ws/btcusdt@bookTicker")
        assert silent == await ids("/market/ws/btcusdt@aggTrade")
        assert silent[0]["a"] == 1

    run(test())


def test_spans_latest_and_refused_combinations(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            await rest.practice("/practice/play", {})
            await until(lambda: len(exchange.exchange.derived.history) > 40)
            first = await rows(rest, fromId=1, limit=10)
            span = await rows(rest, startTime=first[2]["T"], endTime=first[6]["T"])
            assert span == first[2:7]
            latest = await rows(rest, limit=3)
            assert [row["a"] for row in latest] == list(range(latest[0]["a"], latest[0]["a"] + 3))
            for params, code in (
                ({"fromId": 1, "startTime": 1}, -1128),
                ({"startTime": 1, "endTime": 3_600_002}, -1128),
                ({"limit": 1001}, -1102),
                ({"fromId": "x"}, -1102),
            ):
                bad = await rest.open(AGG, symbol="BTCUSDT", **params)
                assert bad.json["code"] == code, params
            assert (await rest.open(AGG, symbol="X")).json["code"] == -1121
            weight = (await rest.open(AGG, symbol="BTCUSDT")).headers["x-mbx-used-weight-1m"]
            assert int(weight) >= 20

    run(test())


def test_history_is_bounded_by_its_option(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path, Options(history=20)) as exchange:
            rest = exchange.rest()
            await rest.practice("/practice/play", {})
            history = exchange.exchange.derived.history
            await until(lambda: bool(found := history.latest(0, 1)) and found[0].agg_id > 60)
            assert len(history) <= 60  # trimmed several times a second
            oldest = (await rows(rest, fromId=1, limit=1))[0]["a"]
            assert oldest > 1

    run(test())


def hour_tape(folder: Path) -> Path:
    tape = TapeWriter()
    tape.snapshot(0, 100, [("60000.00", "1.000")], [("60000.10", "1.000")])
    tape.diff(1, (101, 101, 100), [("60000.00", "2.000")], [])
    for minute in range(60):
        tape.trade(60_000 * minute + 5, 1 + minute, "60000.00", "0.010", seller=False)
    tape.quote(4_000_000, 200, ("60000.00", "1.000"), ("60000.10", "1.000"))
    return tape.write(folder / "hour")


@pytest.mark.parametrize("interval", ["1m", "5m"])
def test_bars_are_read_page_by_page_from_a_time(tmp_path: Path, interval: str) -> None:
    async def test() -> None:
        options = Options(speed=3_600.0, autostart=True)
        async with running(tape_of(hour_tape(tmp_path)), options) as exchange:
            await exchange.until(lambda: exchange.exchange.player.event_count >= 61)
            rest = exchange.rest()
            words = {"symbol": "BTCUSDT", "interval": interval}
            whole = (await rest.open(KLINES, **words, limit=1500)).json
            opens = [bar[0] for bar in whole]
            page, read = 7, []
            start_ms = opens[0]
            while start_ms <= opens[-1]:
                answer = await rest.open(KLINES, **words, startTime=start_ms, limit=page)
                read += [bar[0] for bar in answer.json]
                start_ms = read[-1] + 1
            assert read[: len(opens)] == opens
            newest = (await rest.open(KLINES, **words, limit=2)).json
            assert newest[0][0] >= opens[-2]

    run(test())
