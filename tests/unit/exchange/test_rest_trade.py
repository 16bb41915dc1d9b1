"""Order requests over the wire, and the account requests that must agree with them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from exchange.server import Options
from tests.exchange_rig import KEY, Running, run, running, short_tape, tape_of

ORDER = "/fapi/v1/order"


@asynccontextmanager
async def settled(tmp_path: Path, options: Options | None = None) -> AsyncIterator[Running]:
    """Run an exchange whose short tape has been played and has not ended."""
    chosen = options or Options()
    chosen.autostart = True
    async with running(tape_of(short_tape(tmp_path / "a", tail_ms=60_000)), chosen) as exchange:
        await exchange.until(lambda: exchange.exchange.player.event_count == 9)
        yield exchange


def test_acknowledgement_says_new_and_result_says_what_happened(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            ack = await rest.order(side="BUY", type="MARKET", quantity="0.010")
            assert (ack.json["status"], ack.json["executedQty"]) == ("NEW", "0.000")
            result = await rest.order(
                side="BUY", type="MARKET", quantity="0.010", newOrderRespType="RESULT"
            )
            assert (result.json["status"], result.json["executedQty"]) == ("FILLED", "0.010")
            assert result.json["avgPrice"] == "60000.10000000"
            assert result.json["cumQuote"] == "600.00100000"
            expired = await rest.order(
                side="SELL", quantity="0.700", price="60000.00", timeInForce="IOC",
                newOrderRespType="RESULT",
            )  # fmt: skip
            assert (expired.json["status"], expired.json["executedQty"]) == ("EXPIRED", "0.600")

    run(test())


def test_order_answer_has_the_documented_keys(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            answer = await exchange.rest().order(side="BUY", quantity="0.010", price="59990.00")
            assert set(answer.json) >= {
                "orderId", "clientOrderId", "symbol", "status", "side", "positionSide", "type",
                "origType", "timeInForce", "price", "avgPrice", "origQty", "executedQty", "cumQty",
                "cumQuote", "reduceOnly", "closePosition", "stopPrice", "workingType",
                "priceProtect", "priceMatch", "selfTradePreventionMode", "goodTillDate",
                "updateTime",
            }  # fmt: skip

    run(test())


def test_order_can_be_queried_by_either_id_open_and_closed(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            placed = await rest.order(
                side="BUY", quantity="0.010", price="59990.00", newClientOrderId="q-1"
            )
            by_client = {"symbol": "BTCUSDT", "origClientOrderId": "q-1"}
            by_venue = {"symbol": "BTCUSDT", "orderId": placed.json["orderId"]}
            assert (await rest.signed("GET", ORDER, **by_client)).json["status"] == "NEW"
            assert (await rest.signed("GET", "/fapi/v1/openOrder", **by_venue)).status == 200
            cancelled = await rest.signed("DELETE", ORDER, **by_venue)
            assert cancelled.json["status"] == "CANCELED"
            assert (await rest.signed("GET", ORDER, **by_client)).json["status"] == "CANCELED"
            gone = await rest.signed("GET", "/fapi/v1/openOrder", **by_venue)
            assert gone.json["code"] == -2013
            again = await rest.signed("DELETE", ORDER, **by_client)
            assert (again.status, again.json["code"]) == (400, -2011)
            unknown = await rest.signed("GET", ORDER, symbol="BTCUSDT", orderId=1)
            assert unknown.json["code"] == -2013
            elsewhere = await rest.signed("GET", ORDER, symbol="XXXUSDT", orderId=1)
            assert elsewhere.json["code"] == -1121

    run(test())


def test_open_orders_and_cancel_all(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            for price in ("59990.00", "59991.00"):
                await rest.order(side="BUY", quantity="0.010", price=price)
            assert len((await rest.signed("GET", "/fapi/v1/openOrders")).json) == 2
            of_symbol = await rest.signed("GET", "/fapi/v1/openOrders", symbol="BTCUSDT")
            assert [order["price"] for order in of_symbol.json] == ["59990.00", "59991.00"]
            answer = await rest.signed("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")
            assert answer.json["code"] == 200
            assert (await rest.signed("GET", "/fapi/v1/openOrders")).json == []
            everything = await rest.signed("GET", "/fapi/v1/allOrders", symbol="BTCUSDT")
            assert [order["status"] for order in everything.json] == ["CANCELED", "CANCELED"]

    run(test())


def test_history_is_cut_by_limit_id_and_time(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            for side in ("BUY", "SELL", "BUY"):
                await rest.order(side=side, type="MARKET", quantity="0.010")
            path = "/fapi/v1/userTrades"
            trades = (await rest.signed("GET", path, symbol="BTCUSDT")).json
            assert [t["buyer"] for t in trades] == [True, False, True]
            last = (await rest.signed("GET", path, symbol="BTCUSDT", limit=1)).json
            assert last == trades[-1:]
            later = (await rest.signed("GET", path, symbol="BTCUSDT", fromId=trades[1]["id"])).json
            assert later == trades[1:]
            of_order = await rest.signed(
                "GET", path, symbol="BTCUSDT", orderId=trades[0]["orderId"]
            )
            assert of_order.json == trades[:1]
            none = await rest.signed("GET", path, symbol="BTCUSDT", endTime=1)
            assert none.json == []
            orders = (await rest.signed("GET", "/fapi/v1/allOrders", limit=2)).json
            assert [o["orderId"] for o in orders] == [t["orderId"] for t in trades[1:]]
            bad = await rest.signed("GET", path, symbol="BTCUSDT", limit=5_000)
            assert bad.json["code"] == -1102

    run(test())


def test_income_rows_by_kind(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            for side in ("BUY", "SELL"):
                await rest.order(side=side, type="MARKET", quantity="0.010")
            fees = await rest.signed("GET", "/fapi/v1/income", incomeType="COMMISSION")
            assert [row["income"] for row in fees.json] == ["-0.30000050", "-0.30000000"]
            profit = await rest.signed("GET", "/fapi/v1/income", incomeType="REALIZED_PNL")
            assert [row["income"] for row in profit.json] == ["-0.00100000"]
            assert len((await rest.signed("GET", "/fapi/v1/income", limit=2)).json) == 2

    run(test())


def test_balance_account_and_positions_agree(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            await rest.order(side="SELL", type="MARKET", quantity="0.100")
            balance = (await rest.signed("GET", "/fapi/v3/balance")).json[0]
            account = (await rest.signed("GET", "/fapi/v3/account")).json
            risk = (await rest.signed("GET", "/fapi/v3/positionRisk")).json
            # 0.1 sold at 60,000: fee 3; mark 60,000.05: loss 0.005.
            assert balance["balance"] == account["totalWalletBalance"] == "9997.00000000"
            assert account["totalUnrealizedProfit"] == "-0.00500000"
            assert account["totalMarginBalance"] == "9996.99500000"
            assert account["availableBalance"] == balance["availableBalance"]
            assert [(p["symbol"], p["positionAmt"]) for p in account["positions"]] == [
                ("BTCUSDT", "-0.100")
            ]
            assert (risk[0]["entryPrice"], risk[0]["notional"]) == (
                "60000.00000000",
                "-6000.00500000",
            )
            assert risk[0]["initialMargin"] == "300.00025000"

    run(test())


def test_position_risk_version_3_leaves_quiet_symbols_out(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            assert (await rest.signed("GET", "/fapi/v3/positionRisk")).json == []
            assert len((await rest.signed("GET", "/fapi/v2/positionRisk")).json) == 1
            await rest.order(side="BUY", quantity="0.010", price="59990.00")
            busy = (await rest.signed("GET", "/fapi/v3/positionRisk")).json
            assert [(p["symbol"], p["positionAmt"]) for p in busy] == [("BTCUSDT", "0.000")]

    run(test())


def test_test_order_is_checked_and_not_placed(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}
            assert (await rest.signed("POST", "/fapi/v1/order/test", **order)).status == 200
            order["quantity"] = "0.0001"
            bad = await rest.signed("POST", "/fapi/v1/order/test", **order)
            assert bad.json["code"] == -1111
            assert (await rest.signed("GET", "/fapi/v1/allOrders")).json == []

    run(test())


def test_settings(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            user = await exchange.user_stream(rest)
            leverage = "/fapi/v1/leverage"
            answer = await rest.signed("POST", leverage, symbol="BTCUSDT", leverage=50)
            assert answer.json["leverage"] == 50
            event = await user.next_event("ACCOUNT_CONFIG_UPDATE")
            assert event["ac"] == {"s": "BTCUSDT", "l": 50}
            for wrong in ("0", "126", "x"):
                refused = await rest.signed("POST", leverage, symbol="BTCUSDT", leverage=wrong)
                assert refused.json["code"] == -4028
            margin = "/fapi/v1/marginType"
            odd = await rest.signed("POST", margin, symbol="BTCUSDT", marginType="BOTH")
            assert odd.json["code"] == -1102
            await rest.order(side="BUY", quantity="0.010", price="59990.00")
            held = await rest.signed("POST", margin, symbol="BTCUSDT", marginType="ISOLATED")
            assert held.json["code"] == -4047
            await rest.signed("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")
            await rest.order(side="BUY", type="MARKET", quantity="0.010")
            held = await rest.signed("POST", margin, symbol="BTCUSDT", marginType="ISOLATED")
            assert held.json["code"] == -4048
            mode = "/fapi/v1/positionSide/dual"
            assert (await rest.signed("GET", mode)).json == {"dualSidePosition": False}
            hedge = await rest.signed("POST", mode, dualSidePosition="true")
            assert hedge.json["code"] == -4061
            await user.close()

    run(test())


def test_dead_mans_switch_cancels_only_its_symbol_and_can_be_disarmed(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            path = "/fapi/v1/countdownCancelAll"
            await rest.order(side="BUY", quantity="0.010", price="59990.00")
            await rest.signed("POST", path, symbol="BTCUSDT", countdownTime=50)
            await rest.signed("POST", path, symbol="BTCUSDT", countdownTime=0)
            account = exchange.exchange.venue.accounts[KEY]
            assert account.countdown_due_s == {}
            await rest.signed("POST", path, symbol="BTCUSDT", countdownTime=1)
            await exchange.until(lambda: not account.open_orders)

    run(test())


def test_listen_key_is_one_per_account_and_can_be_closed(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            missing = await rest.keyed("PUT", "/fapi/v1/listenKey")
            assert missing.json["code"] == -1125
            first = (await rest.keyed("POST", "/fapi/v1/listenKey")).json["listenKey"]
            assert (await rest.keyed("POST", "/fapi/v1/listenKey")).json["listenKey"] == first
            assert (await rest.keyed("PUT", "/fapi/v1/listenKey")).json["listenKey"] == first
            await rest.keyed("DELETE", "/fapi/v1/listenKey")
            second = (await rest.keyed("POST", "/fapi/v1/listenKey")).json["listenKey"]
            assert second != first
            stale = await exchange.stream(f"/private/ws/{first}")
            await rest.order(side="BUY", quantity="0.010", price="59990.00")
            assert await stale.silent_for(0.1)
            await stale.close()

    run(test())


@pytest.mark.parametrize("form", ["/private/ws/{}", "/private/ws?listenKey={}"])
def test_private_stream_forms(tmp_path: Path, form: str) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            key = (await rest.keyed("POST", "/fapi/v1/listenKey")).json["listenKey"]
            stream = await exchange.stream(form.format(key))
            await rest.order(side="BUY", quantity="0.010", price="59990.00")
            assert (await stream.next())["e"] == "ORDER_TRADE_UPDATE"
            await stream.close()
            wrapped = await exchange.stream(f"/private/stream?listenKey={key}")
            await rest.order(side="BUY", quantity="0.010", price="59990.00")
            message = await wrapped.next()
            assert (message["stream"], message["data"]["e"]) == (key, "ORDER_TRADE_UPDATE")
            await wrapped.close()

    run(test())


def test_listen_key_expires_with_an_event(tmp_path: Path) -> None:
    async def test() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            stream = await exchange.user_stream(rest)
            exchange.exchange.venue.accounts[KEY].listen_key_expires_s = 0.0
            event = await stream.next_event("listenKeyExpired")
            assert len(event["listenKey"]) == 64
            answer = await rest.keyed("PUT", "/fapi/v1/listenKey")
            assert answer.json["code"] == -1125
            await rest.order(side="BUY", quantity="0.010", price="59990.00")
            assert await stream.silent_for(0.1)
            await stream.close()

    run(test())


def test_user_events_carry_venue_time(tmp_path: Path) -> None:
    async def test() -> None:
        options = Options(start_ms=1_600_000_000_000)
        async with settled(tmp_path, options) as exchange:
            rest = exchange.rest()
            stream = await exchange.user_stream(rest)
            await rest.order(side="BUY", quantity="0.010", price="59990.00")
            event = await stream.next_event("ORDER_TRADE_UPDATE")
            assert 1_600_000_000_000 <= event["E"] < 1_600_000_060_000
            assert event["T"] == event["o"]["T"]
            await stream.close()

    run(test())
