"""Public requests: symbols and filters, book, prices, bars."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from exchange.rest_history import klines_weight
from exchange.rest_market import depth_weight
from exchange.server import Options
from tests.exchange_rig import Running, run, running, short_tape, tape_of


@asynccontextmanager
async def settled(tmp_path: Path) -> AsyncIterator[Running]:
    first = short_tape(tmp_path / "a", tail_ms=60_000)
    second = short_tape(tmp_path / "b", symbol="ETHUSDT")
    async with running(tape_of(first, second), Options(autostart=True)) as exchange:
        await exchange.until(lambda: exchange.exchange.player.event_count == 18)
        yield exchange


def test_exchange_information_names_symbols_and_filters(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            info = (await exchange.rest().open("/fapi/v1/exchangeInfo")).json
            symbols = {row["symbol"]: row for row in info["symbols"]}
            assert set(symbols) == {"BTCUSDT", "ETHUSDT"}
            row = symbols["BTCUSDT"]
            assert (row["status"], row["contractType"], row["baseAsset"]) == (
                "TRADING",
                "PERPETUAL",
                "BTC",
            )
            filters = {entry["filterType"]: entry for entry in row["filters"]}
            assert filters["PRICE_FILTER"]["tickSize"] == "0.10"
            assert filters["LOT_SIZE"]["stepSize"] == "0.001"
            assert filters["MIN_NOTIONAL"]["notional"] == "100"
            assert {"MARKET_LOT_SIZE", "MAX_NUM_ORDERS", "PERCENT_PRICE"} <= set(filters)
            # Display precision is not the tick: a client that uses it must fail.
            assert row["pricePrecision"] == 2

    run(test())


def test_time_and_pings_of_both_hosts(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            for path in ("/fapi/v1/ping", "/api/v3/ping"):
                assert (await rest.open(path)).json == {}
            times = [
                (await rest.open(p)).json["serverTime"] for p in ("/fapi/v1/time", "/api/v3/time")
            ]
            assert abs(times[1] - times[0]) < 10_000
            assert (await rest.open("/api/v3/exchangeInfo")).json["symbols"] == []

    run(test())


def test_depth_is_cut_by_limit_and_symbol_checked(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            book = (await rest.open("/fapi/v1/depth", symbol="BTCUSDT", limit=5)).json
            assert book["lastUpdateId"] == 1040
            assert book["bids"] == [
                ["60000.00", "0.600"], ["59999.90", "2.000"], ["59999.80", "3.000"]
            ]  # fmt: skip
            assert book["asks"][0] == ["60000.10", "0.700"]
            for limit in (7, 0, "x"):
                bad = await rest.open("/fapi/v1/depth", symbol="BTCUSDT", limit=limit)
                assert bad.json["code"] == -1102
            assert (await rest.open("/fapi/v1/depth", symbol="X")).json["code"] == -1121
            assert (await rest.open("/fapi/v1/depth")).json["code"] == -1102

    run(test())


def test_weights_follow_the_limits() -> None:
    assert [depth_weight({"limit": str(n)}) for n in (5, 50, 100, 500, 1000)] == [2, 2, 5, 10, 20]
    assert depth_weight({}) == 10
    assert depth_weight({"limit": "x"}) == 10
    assert [klines_weight({"limit": str(n)}) for n in (99, 499, 999, 1500)] == [1, 2, 5, 10]


def test_prices_of_one_symbol_or_all(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            paths = {
                "/fapi/v1/ticker/price": ("price", "60000.00"),
                "/fapi/v1/ticker/bookTicker": ("bidQty", "0.600"),
                "/fapi/v1/premiumIndex": ("markPrice", "60000.05000000"),
                "/fapi/v1/ticker/24hr": ("quoteVolume", "42000.03000000"),
            }
            for path, (name, text) in paths.items():
                one = (await rest.open(path, symbol="BTCUSDT")).json
                assert one[name] == text, path
                both = (await rest.open(path)).json
                assert [row["symbol"] for row in both] == ["BTCUSDT", "ETHUSDT"]

    run(test())


def test_day_ticker_is_arithmetic_of_the_trades(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            day = (await exchange.rest().open("/fapi/v1/ticker/24hr", symbol="BTCUSDT")).json
            assert (day["openPrice"], day["lastPrice"]) == ("60000.10", "60000.00")
            assert (day["priceChange"], day["highPrice"]) == ("-0.10", "60000.10")
            assert (day["volume"], day["count"]) == ("0.700", 2)
            assert (day["firstId"], day["lastId"]) == (501, 502)
            assert day["weightedAvgPrice"] == "60000.04285714"

    run(test())


@pytest.mark.parametrize("interval", ["1m", "5m", "1h"])
def test_klines_hold_the_trades(tmp_path: Path, interval: str) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            path = "/fapi/v1/klines"
            bars = (await rest.open(path, symbol="BTCUSDT", interval=interval)).json
            assert sum(float(bar[5]) for bar in bars) == pytest.approx(0.7)
            assert all(len(bar) == 12 for bar in bars)
            none = await rest.open(path, symbol="BTCUSDT", interval=interval, endTime=1)
            assert none.json == []
            bad = await rest.open(path, symbol="BTCUSDT", interval="7m")
            assert bad.json["code"] == -1102

    run(test())
