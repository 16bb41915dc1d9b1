"""Instruments that stop, change and only stand there: what a discovery has to see through."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec import convert

from exchange.errors import ApiError
from exchange.fault_orders import FilterOrder
from exchange.generator import Generator
from exchange.listing import busy_yesterday, perpetual, variants
from exchange.market_faults import changed_spec
from exchange.server import Options
from exchange.symbols import MONEY_SCALE, spec_for
from tests.exchange_rig import Rest, btc, run, running, until
from tests.fault_rig import QUOTE_ROUTE, fault, raw_stream, ticking

INFO = "/fapi/v1/exchangeInfo"
DAY = "/fapi/v1/ticker/24hr"
ORDER = {"side": "BUY", "quantity": "0.010", "price": "59990.00"}


async def listed(rest: Rest) -> dict[str, dict[str, Any]]:
    rows = (await rest.open(INFO)).json["symbols"]
    return {row["symbol"]: row for row in rows}


def test_delisted_symbol_says_so_refuses_orders_and_falls_silent(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path, symbols=("BTCUSDT", "ETHUSDT")) as exchange:
            rest = exchange.rest()
            news = await raw_stream(exchange.port, "/market/ws/!contractInfo")
            stream = await raw_stream(exchange.port, QUOTE_ROUTE)
            other = await raw_stream(exchange.port, "/public/ws/ethusdt@bookTicker")
            await stream.take(3)
            answer = await fault(rest, kind="symbol_status", symbol="BTCUSDT", status="SETTLING")
            told = await news.next()
            assert (told["e"], told["s"], told["cs"]) == ("contractInfo", "BTCUSDT", "SETTLING")
            assert (await listed(rest))["BTCUSDT"]["status"] == "SETTLING"
            assert (await rest.order(**ORDER)).json["code"] == -4108
            last = (await stream.until_silent(0.15) or [{"u": 0}])[-1]["u"]
            assert len(await other.take(40)) == 40
            await fault(rest, kind="end", id=answer.json["id"])
            assert (await news.next())["cs"] == "TRADING"
            assert (await stream.next())["u"] > last + 20
            assert (await rest.order(**ORDER)).json["status"] == "NEW"
            assert (await listed(rest))["BTCUSDT"]["status"] == "TRADING"
            for one in (news, stream, other):
                one.close()

    run(test())


def test_symbol_can_vanish_while_its_stream_goes_on(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path, symbols=("BTCUSDT", "ETHUSDT")) as exchange:
            rest = exchange.rest()
            stream = await raw_stream(exchange.port, QUOTE_ROUTE)
            order = {"kind": "symbol_status", "symbol": "BTCUSDT", "status": "CLOSE"}
            answer = await fault(rest, **order, listed=False, streams=True)
            assert set(await listed(rest)) == {"ETHUSDT"}
            ids = [frame["u"] for frame in await stream.take(30)]
            assert ids == list(range(ids[0], ids[0] + 30))
            await fault(rest, kind="end", id=answer.json["id"])
            assert set(await listed(rest)) == {"BTCUSDT", "ETHUSDT"}
            stream.close()

    run(test())


def test_end_of_a_contract_is_announced_while_it_trades(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            news = await raw_stream(exchange.port, "/market/ws/!contractInfo")
            stream = await raw_stream(exchange.port, QUOTE_ROUTE)
            await stream.take(3)
            perpetual_ms = (await listed(rest))["BTCUSDT"]["deliveryDate"]
            order = {"kind": "symbol_status", "symbol": "BTCUSDT", "status": "TRADING"}
            before_ms = exchange.exchange.clock.now_ms()
            answer = await fault(rest, **order, delivery_in_ms=3_600_000)
            told = await news.next()
            assert before_ms + 3_600_000 <= told["dt"] < perpetual_ms
            assert (await listed(rest))["BTCUSDT"]["deliveryDate"] == told["dt"]
            ids = [frame["u"] for frame in await stream.take(20)]
            assert ids == list(range(ids[0], ids[0] + 20))
            assert (await rest.order(**ORDER)).json["status"] == "NEW"
            await fault(rest, kind="end", id=answer.json["id"])
            assert (await news.next())["dt"] == perpetual_ms
            for one in (news, stream):
                one.close()

    run(test())


def test_changed_filters_are_announced_and_held(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            await rest.practice("/practice/play", {})
            await until(lambda: exchange.exchange.player.event_count > 30)
            before = (await listed(rest))["BTCUSDT"]["filters"]
            words = {"tick_size": "0.50", "step_size": "0.002", "min_notional": "250.5"}
            answer = await fault(rest, kind="filter_change", symbol="BTCUSDT", **words)
            rows = {r["filterType"]: r for r in (await listed(rest))["BTCUSDT"]["filters"]}
            assert rows["PRICE_FILTER"]["tickSize"] == "0.50"
            assert (rows["LOT_SIZE"]["stepSize"], rows["LOT_SIZE"]["minQty"]) == ("0.002", "0.002")
            assert rows["MIN_NOTIONAL"]["notional"] == "250.5"
            good = {"side": "BUY", "quantity": "0.010", "price": "59990.50"}
            for change, code in (
                ({"price": "59990.10"}, -4014),
                ({"quantity": "0.011"}, -4023),
                ({"quantity": "0.004"}, -4164),
            ):
                assert (await rest.order(**good | change)).json["code"] == code
            placed = await rest.order(**good)
            assert placed.json["status"] == "NEW"
            await fault(rest, kind="end", id=answer.json["id"])
            assert (await listed(rest))["BTCUSDT"]["filters"] == before
            # An order of the old filters stays, and the open orders of both count together.
            assert (await rest.order(**good | {"price": "59990.10"})).json["status"] == "NEW"
            open_orders = await rest.signed("GET", "/fapi/v1/openOrders", symbol="BTCUSDT")
            assert len(open_orders.json) == 2

    run(test())


@pytest.mark.parametrize(
    "words",
    [{"tick_size": "0.001"}, {"tick_size": "0"}, {"step_size": "x"}, {"min_notional": "NaN"}],
)
def test_impossible_filters_are_refused_and_change_nothing(
    tmp_path: Path, words: dict[str, str]
) -> None:
    with pytest.raises(ApiError):
        changed_spec(btc(), convert({"symbol": "BTCUSDT", **words}, FilterOrder))

    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            before = await listed(rest)
            order = {"kind": "filter_change", "symbol": "BTCUSDT", **words}
            assert (await rest.practice("/practice/fault", order)).status == 400
            assert await listed(rest) == before

    run(test())


@pytest.mark.parametrize(("symbol", "status"), [("NOPEUSDT", "SETTLING"), ("BTCUSDT", "ASLEEP")])
def test_unknown_symbols_and_statuses_are_refused(tmp_path: Path, symbol: str, status: str) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            order = {"kind": "symbol_status", "symbol": symbol, "status": status}
            assert (await exchange.rest().practice("/practice/fault", order)).status == 400

    run(test())


# Discovery ----------------------------------------------------------------------------------


def discovered(rows: list[dict[str, Any]], days: list[dict[str, Any]], most: int) -> list[str]:
    """Rank active perpetual USDT pairs by volume: what an honest client does."""
    volume = {day["symbol"]: Decimal(day["quoteVolume"]) for day in days}
    active = [
        row["symbol"]
        for row in rows
        if row["status"] == "TRADING"
        and row["contractType"] == "PERPETUAL"
        and row["quoteAsset"] == "USDT"
        and row.get("st", 1) == 1
    ]
    return sorted(active, key=lambda symbol: -volume[symbol])[:most]


def test_five_hundred_symbols_are_ranked_by_volume_through_all_variants() -> None:
    async def test() -> None:
        async with running(Generator(500, 3), Options(variants=True)) as exchange:
            rest = exchange.rest()
            rows = (await rest.open(INFO)).json["symbols"]
            days = (await rest.open(DAY)).json
            assert len(rows) == len(days) == 500 + len(variants())
            assert {row["symbol"] for row in rows} == {day["symbol"] for day in days}
            ranked = discovered(rows, days, 500)
            assert len(ranked) == 500
            assert ranked[:2] == ["BTCUSDT", "ETHUSDT"]
            assert ranked != [row["symbol"] for row in rows][:500]  # not the order of listing
            volumes = {day["symbol"]: Decimal(day["quoteVolume"]) for day in days}
            traps = {listing.spec.symbol for listing in variants()}
            assert min(volumes[symbol] for symbol in traps) > volumes["BTCUSDT"]
            assert traps.isdisjoint(ranked)

    run(test())


def test_every_variant_is_caught_by_one_rule_only() -> None:
    good = perpetual(btc())
    for listing in variants():
        reasons = [
            listing.status != "TRADING",
            listing.contract_type != "PERPETUAL",
            listing.quote != "USDT",
            listing.family != 1,
        ]
        assert listing.margin == listing.quote or listing.spec.symbol == "BTCUSD_PERP"
        expected = 2 if listing.spec.symbol == "BTCUSD_PERP" else 1
        assert sum(reasons) == expected, listing.spec.symbol
    assert (good.base, good.quote, good.pair) == ("BTC", "USDT", "BTCUSDT")


def test_variant_has_a_day_of_its_own_and_no_market(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path, Options(variants=True)) as exchange:
            rest = exchange.rest()
            row = (await rest.open(DAY, symbol="BTCUSDT_270326")).json
            assert Decimal(row["quoteVolume"]) > 10**11
            assert (await rest.open("/fapi/v1/depth", symbol="BTCUSDT_270326")).json[
                "code"
            ] == -1121
            info = await listed(rest)
            assert info["BTCUSDT"]["st"] == 1
            assert info["BTCUSD_PERP"]["st"] == 2
            assert info["BTCUSDT_270326"]["pair"] == "BTCUSDT"

    run(test())


def test_volumes_are_the_same_for_a_seed_and_exact() -> None:
    first, again, other = Generator(20, 1), Generator(20, 1), Generator(20, 2)
    assert first.yesterdays == again.yesterdays
    assert first.yesterdays != other.yesterdays
    for spec, day in zip(first.specs, first.yesterdays, strict=True):
        assert day.quote == spec.notional(day.price, day.qty)
    spec = spec_for("XUSDT", price_decimals=2, qty_decimals=1)
    assert busy_yesterday(spec, 0, MONEY_SCALE).qty == 0


def test_day_volume_grows_with_the_trades_played() -> None:
    async def test() -> None:
        async with running(Generator(2, 1)) as exchange:
            rest = exchange.rest()
            before = (await rest.open(DAY, symbol="BTCUSDT")).json
            assert Decimal(before["quoteVolume"]) > 10**9
            assert Decimal(before["lastPrice"]) > 0
            await rest.practice("/practice/play", {})
            series = exchange.exchange.derived.series[0]
            await until(lambda: (day := series.day()) is not None and day.count > 20)
            after = (await rest.open(DAY, symbol="BTCUSDT")).json
            assert after["count"] > before["count"] + 20
            assert Decimal(after["volume"]) > Decimal(before["volume"])
            assert after["openPrice"] == before["openPrice"]

    run(test())
