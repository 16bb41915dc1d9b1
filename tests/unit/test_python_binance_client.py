"""A client nobody here wrote trades on the practice exchange and hears about it."""

import asyncio
import importlib.util
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from exchange.server import Options
from exchange.tape import Tape
from tests.exchange_rig import KEY, Running, run, running, short_tape, tape_of

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("binance") is None, reason="python-binance is not installed"
    ),
    # The library's own deprecations are not ours to mend.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@asynccontextmanager
async def client_of(exchange: Running, *, secret: str = KEY) -> AsyncIterator[tuple[Any, Any]]:
    """Point python-binance at a running exchange; yield its client and its socket manager."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from binance import AsyncClient, BinanceSocketManager

    http = f"http://127.0.0.1:{exchange.port}"
    sockets = f"ws://127.0.0.1:{exchange.port}/"
    local_client: Any = type(
        "LocalClient",
        (AsyncClient,),
        {
            "API_URL": f"{http}/api",
            "FUTURES_URL": f"{http}/fapi",
            "WS_FUTURES_URL": f"{sockets}ws-fapi/v1",
        },
    )
    local_sockets: Any = type("LocalSockets", (BinanceSocketManager,), {"FSTREAM_URL": sockets})
    client = await local_client.create(KEY, secret)
    try:
        yield client, local_sockets(client)
    finally:
        await client.close_connection()


@asynccontextmanager
async def playing(folder: Path) -> AsyncIterator[tuple[Running, Any, Any]]:
    """Run an exchange that has played its tape; yield it with a client and its socket manager."""
    async with running(lasting_tape(folder), Options(autostart=True)) as exchange:
        await exchange.until(lambda: exchange.exchange.player.event_count == 9)
        async with client_of(exchange) as (client, sockets):
            yield exchange, client, sockets


async def next_of(socket: Any, kind: str) -> dict[str, Any]:  # noqa: ANN401 - untyped
    """Return the next message of one kind from a socket of the library."""
    async with asyncio.timeout(15):
        while True:
            message = await socket.recv()
            event = message.get("data", message)
            if event.get("e") == kind:
                return dict(event)


def lasting_tape(tmp_path: Path) -> Tape:
    return tape_of(short_tape(tmp_path / "a", tail_ms=60_000))


def test_it_connects_and_reads_the_market(tmp_path: Path) -> None:
    async def test() -> None:
        async with playing(tmp_path) as (_exchange, client, _sockets):
            info = await client.futures_exchange_info()
            assert [row["symbol"] for row in info["symbols"]] == ["BTCUSDT"]
            book = await client.futures_order_book(symbol="BTCUSDT", limit=5)
            assert book["bids"][0] == ["60000.00", "0.600"]
            ticker = await client.futures_orderbook_ticker(symbol="BTCUSDT")
            assert ticker["askPrice"] == "60000.10"
            mark = await client.futures_mark_price(symbol="BTCUSDT")
            assert mark["markPrice"] == "60000.05000000"
            day = await client.futures_ticker(symbol="BTCUSDT")
            assert (day["count"], day["volume"]) == (2, "0.700")
            bars = await client.futures_klines(symbol="BTCUSDT", interval="1m")
            assert bars[-1][5] == "0.700"

    run(test())


def test_it_trades_and_hears_its_user_events(tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            playing(tmp_path) as (_exchange, client, sockets),
            sockets.futures_user_socket() as user,
        ):
            taken = await client.futures_create_order(
                symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.010",
                newOrderRespType="RESULT",
            )  # fmt: skip
            assert (taken["status"], taken["avgPrice"]) == ("FILLED", "60000.10000000")
            rested = await client.futures_create_order(
                symbol="BTCUSDT", side="SELL", type="LIMIT", timeInForce="GTC",
                quantity="0.010", price="60500.00", newClientOrderId="rest-1",
            )  # fmt: skip
            assert rested["status"] == "NEW"
            opened = await client.futures_get_open_orders(symbol="BTCUSDT")
            assert [order["clientOrderId"] for order in opened] == ["rest-1"]
            cancelled = await client.futures_cancel_order(
                symbol="BTCUSDT", origClientOrderId="rest-1"
            )
            assert cancelled["status"] == "CANCELED"
            told = [await next_of(user, "ORDER_TRADE_UPDATE") for _ in range(4)]
            assert [event["o"]["x"] for event in told] == ["NEW", "TRADE", "NEW", "CANCELED"]
            assert told[1]["o"]["rp"] == "0.00000000"
            assert told[3]["o"]["c"] == "rest-1"

    run(test())


def test_its_account_agrees_with_the_ledger(tmp_path: Path) -> None:
    async def test() -> None:
        async with playing(tmp_path) as (exchange, client, _sockets):
            order = {"symbol": "BTCUSDT", "type": "MARKET", "quantity": "0.020"}
            await client.futures_create_order(side="BUY", **order)
            await client.futures_create_order(side="SELL", **order)
            ledger = (await exchange.rest().open("/practice/ledger", account=KEY)).json
            balance = await client.futures_account_balance()
            assert balance[0]["balance"] == ledger["balances"][0]["walletBalance"]
            trades = await client.futures_account_trades(symbol="BTCUSDT")
            assert [t["id"] for t in trades] == [t["id"] for t in ledger["trades"]]
            orders = await client.futures_get_all_orders(symbol="BTCUSDT")
            assert orders == ledger["orders"]
            rows = await client.futures_income_history()
            assert rows == ledger["income"]
            positions = await client.futures_position_information()
            assert positions == []
            account = await client.futures_account()
            assert account["totalWalletBalance"] == balance[0]["balance"]

    run(test())


def test_it_changes_settings(tmp_path: Path) -> None:
    async def test() -> None:
        from binance.exceptions import BinanceAPIException

        async with running(lasting_tape(tmp_path)) as exchange, client_of(exchange) as (client, _):
            changed = await client.futures_change_leverage(symbol="BTCUSDT", leverage=7)
            assert changed["leverage"] == 7
            await client.futures_change_margin_type(symbol="BTCUSDT", marginType="ISOLATED")
            with pytest.raises(BinanceAPIException) as refusal:
                await client.futures_change_margin_type(symbol="BTCUSDT", marginType="ISOLATED")
            assert refusal.value.code == -4046
            assert await client.futures_get_position_mode() == {"dualSidePosition": False}
            with pytest.raises(BinanceAPIException) as refusal:
                await client.futures_change_position_mode(dualSidePosition="false")
            assert refusal.value.code == -4059
            assert await client.futures_v1_get_fee_burn() == {"feeBurn": False}
            await client.futures_v1_post_fee_burn(feeBurn="true")
            assert await client.futures_v1_get_fee_burn() == {"feeBurn": True}
            answer = await client.futures_countdown_cancel_all(
                symbol="BTCUSDT", countdownTime=60_000
            )
            assert answer["countdownTime"] == "60000"

    run(test())


def test_it_is_refused_with_a_wrong_secret(tmp_path: Path) -> None:
    async def test() -> None:
        from binance.exceptions import BinanceAPIException

        async with (
            running(lasting_tape(tmp_path)) as exchange,
            client_of(exchange, secret="wrong") as (client, _sockets),
        ):
            with pytest.raises(BinanceAPIException) as refusal:
                await client.futures_account_balance()
            assert refusal.value.code == -1022

    run(test())


def test_it_hears_routed_market_streams(tmp_path: Path) -> None:
    async def test() -> None:
        tape = tape_of(short_tape(tmp_path / "a", gap_ms=100, tail_ms=60_000))
        async with running(tape) as exchange, client_of(exchange) as (client, sockets):
            assert client is not None
            quotes = sockets.futures_multiplex_socket(["btcusdt@bookTicker"], category="public")
            trades = sockets.futures_multiplex_socket(["btcusdt@aggTrade"], category="market")
            marks = sockets.symbol_mark_price_socket("btcusdt")
            bars = sockets.kline_futures_socket("btcusdt")
            async with quotes as first, trades as second, marks as third, bars as fourth:
                quote = await next_of(first, "bookTicker")
                assert (quote["b"], quote["A"]) == ("60000.00", "0.700")
                trade = await next_of(second, "aggTrade")
                assert (trade["p"], trade["q"]) == ("60000.10", "0.300")
                mark = await next_of(third, "markPriceUpdate")
                assert mark["p"].startswith("60000.")
                bar = await next_of(fourth, "continuous_kline")
                assert bar["k"]["o"] == "60000.10"

    run(test())


def test_the_trap_of_a_wrong_category_stays_silent(tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            running(lasting_tape(tmp_path), Options(autostart=True)) as exchange,
            client_of(exchange) as (_client, sockets),
        ):
            names = ["btcusdt@bookTicker", "btcusdt@depth"]
            async with sockets.futures_multiplex_socket(names, category="market") as socket:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await socket.recv()
            assert exchange.exchange.player.event_count >= 9

    run(test())


def test_it_trades_over_the_order_api(tmp_path: Path) -> None:
    async def test() -> None:
        async with playing(tmp_path) as (_exchange, client, _sockets):
            placed = await client.ws_futures_create_order(
                symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC",
                quantity="0.010", price="59000.00", newClientOrderId="ws-1",
            )  # fmt: skip
            assert (placed["clientOrderId"], placed["status"]) == ("ws-1", "NEW")
            changed = await client.ws_futures_edit_order(
                symbol="BTCUSDT", origClientOrderId="ws-1", side="BUY",
                quantity="0.020", price="59001.00",
            )  # fmt: skip
            assert (changed["orderId"], changed["origQty"]) == (placed["orderId"], "0.020")
            asked = await client.ws_futures_get_order(symbol="BTCUSDT", orderId=placed["orderId"])
            assert asked["price"] == "59001.00"
            gone = await client.ws_futures_cancel_order(symbol="BTCUSDT", orderId=placed["orderId"])
            assert gone["status"] == "CANCELED"
            balance = await client.ws_futures_v2_account_balance()
            assert balance[0]["balance"] == "10000.00000000"
            await client.ws_future.__aexit__(None, None, None)  # the library leaves it open

    run(test())


def test_it_places_conditional_orders_and_batches(tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            playing(tmp_path) as (exchange, client, sockets),
            sockets.futures_user_socket() as user,
        ):
            stop = await client.futures_create_order(
                symbol="BTCUSDT", side="SELL", type="STOP_MARKET", quantity="0.010",
                stopPrice="59000.00", clientAlgoId="stop-1",
            )  # fmt: skip
            assert (stop["algoStatus"], stop["clientAlgoId"]) == ("NEW", "stop-1")
            trail = await client.futures_create_algo_order(
                algoType="CONDITIONAL", symbol="BTCUSDT", side="SELL", quantity="0.010",
                type="TRAILING_STOP_MARKET", callbackRate="1.0", clientAlgoId="trail-1",
            )  # fmt: skip
            assert trail["callbackRate"] == "1.0"
            opened = await client.futures_get_open_algo_orders(symbol="BTCUSDT")
            assert [row["clientAlgoId"] for row in opened] == ["stop-1", "trail-1"]
            assert await client.futures_get_open_orders(symbol="BTCUSDT") == []
            gone = await client.futures_cancel_algo_order(clientAlgoId="trail-1")
            assert gone["code"] == "200"
            exchange.exchange.venue.markets["BTCUSDT"].last_price = 58_000_00
            exchange.exchange.venue.algo_desk.watch(exchange.exchange.venue.market("BTCUSDT"))
            exchange.exchange.player.deliver()
            states = []
            while "FINISHED" not in states:
                states.append((await next_of(user, "ALGO_UPDATE"))["o"]["X"])
            assert states == ["NEW", "NEW", "CANCELED", "TRIGGERED", "FINISHED"]
            found = await client.futures_get_algo_order(clientAlgoId="stop-1")
            child = await client.futures_get_order(symbol="BTCUSDT", orderId=found["actualOrderId"])
            assert (child["status"], child["clientOrderId"]) == ("FILLED", "stop-1")
            batch = await client.futures_place_batch_order(
                batchOrders=[
                    {
                        "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT",
                        "timeInForce": "GTC", "quantity": "0.010", "price": price,
                    }
                    for price in ("59000.00", "59001.00")
                ]
            )  # fmt: skip
            assert [row["status"] for row in batch] == ["NEW", "NEW"]

    run(test())
