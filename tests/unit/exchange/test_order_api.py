"""The order API: frames, signatures, the session, prices and budgets, faults."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from exchange.keys import KeyTextError, public_key
from exchange.limits import Limits
from exchange.server import Options
from tests.exchange_rig import KEY, Running, fault, run, running, short_tape, tape_of
from tests.order_api_client import (
    STRANGER,
    Json,
    OrderClient,
    ed25519_signature,
    hmac_signature,
    secret_of,
)

PAIR = "pair"  # the account whose key is Ed25519


class Desk:
    """An exchange whose market stands, and connections of its order API."""

    def __init__(self, exchange: Running) -> None:
        self.exchange = exchange
        self._opened: list[OrderClient] = []

    def now_ms(self) -> int:
        return self.exchange.exchange.clock.now_ms()

    async def open(self, query: str = "") -> OrderClient:
        client = await OrderClient.open(self.exchange.port, query)
        self._opened.append(client)
        return client

    async def logged_on(self) -> OrderClient:
        client = await self.open()
        answer = await client.log_on(self.now_ms())
        assert answer["status"] == 200, answer
        return client

    def order(self, price: str = "59000.00", **more: Json) -> dict[str, Json]:
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
        words = {"quantity": "0.010", "price": price, "timestamp": self.now_ms()}
        return {**order, **words, **more}

    async def close(self) -> None:
        for client in self._opened:
            await client.close()


@contextlib.asynccontextmanager
async def desk(tmp_path: Path, limits: Limits | None = None) -> AsyncIterator[Desk]:
    tape = tape_of(short_tape(tmp_path / "a", tail_ms=60_000))
    accounts = [(KEY, KEY), (PAIR, secret_of())]
    options = Options(autostart=True, accounts=accounts, limits=limits or Limits())
    async with running(tape, options) as exchange:
        await exchange.until(lambda: exchange.exchange.player.event_count == 9)
        made = Desk(exchange)
        try:
            yield made
        finally:
            await made.close()


def signed(params: dict[str, Json], secret: str = KEY, key: str = KEY) -> dict[str, Json]:
    params = {"apiKey": key, **params}
    return {**params, "signature": hmac_signature(params, secret)}


def code_of(answer: Json) -> tuple[int, int]:
    return answer["status"], answer["error"]["code"]


# Signatures ---------------------------------------------------------------------------------


def test_signed_order_is_placed_and_shown_over_rest(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path) as d:
            client = await d.open()
            placed = await client.ask("order.place", signed(d.order(newClientOrderId="w1")))
            assert placed["status"] == 200
            assert placed["result"]["clientOrderId"] == "w1"
            assert placed["result"]["status"] == "NEW"
            shown = await d.exchange.rest().signed("GET", "/fapi/v1/openOrders", symbol="BTCUSDT")
            assert [order["orderId"] for order in shown.json] == [placed["result"]["orderId"]]
            assert list(d.exchange.exchange.sent_ids) == ["w1"]

    run(body())


@pytest.mark.parametrize("spoil", ["quantity", "timestamp", "apiKey", "signature"])
def test_change_after_signing_is_refused(tmp_path: Path, spoil: str) -> None:
    async def body() -> None:
        async with desk(tmp_path) as d:
            client = await d.open()
            params = signed(d.order())
            other = {"quantity": "0.020", "timestamp": params["timestamp"] + 1, "apiKey": PAIR}
            params[spoil] = other.get(spoil, "0" * 64)
            assert code_of(await client.ask("order.place", params)) == (400, -1022)
            assert d.exchange.exchange.venue.accounts[KEY].orders == {}

    run(body())


def test_ed25519_signature_serves_frames_and_requests(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path) as d:
            client = await d.open()
            params = d.order(apiKey=PAIR)
            signature = ed25519_signature(params)
            assert (await client.ask("order.place", {**params, "signature": signature}))["result"]
            by_stranger = ed25519_signature(params, STRANGER)
            refused = await client.ask("order.place", {**params, "signature": by_stranger})
            assert code_of(refused) == (400, -1022)
            not_base64 = await client.ask("order.place", {**params, "signature": "%%%"})
            assert code_of(not_base64) == (400, -1022)

    run(body())


def test_who_does_not_say_who_it_is_is_refused(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path) as d:
            client = await d.open()
            assert code_of(await client.ask("order.place", d.order())) == (400, -1102)
            stranger = signed(d.order(), key="nobody")
            assert code_of(await client.ask("order.place", stranger)) == (401, -2015)
            unsigned = await client.ask("order.place", d.order(apiKey=KEY))
            assert code_of(unsigned) == (400, -1102)

    run(body())


def test_time_outside_the_window_is_refused(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path) as d:
            client = await d.logged_on()
            for shift_ms in (-5_500, 2_000):
                order = d.order(timestamp=d.now_ms() + shift_ms)
                assert code_of(await client.ask("order.place", order)) == (400, -1021)
            late = d.order(timestamp=d.now_ms() - 5_500, recvWindow=10_000)
            assert (await client.ask("order.place", late))["status"] == 200

    run(body())


# The session --------------------------------------------------------------------------------


def test_logged_on_session_places_amends_asks_and_cancels_unsigned(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path) as d:
            client = await d.logged_on()
            placed = (await client.ask("order.place", d.order(newClientOrderId="s1")))["result"]
            which = {"symbol": "BTCUSDT", "origClientOrderId": "s1"}
            change = {**which, "side": "BUY", "quantity": "0.020", "price": "58000.00"}
            now = {"timestamp": d.now_ms()}
            amended = (await client.ask("order.modify", {**change, **now}))["result"]
            assert (amended["orderId"], amended["price"]) == (placed["orderId"], "58000.00")
            asked = (await client.ask("order.status", {**which, **now}))["result"]
            assert (asked["origQty"], asked["status"]) == ("0.020", "NEW")
            cancelled = (await client.ask("order.cancel", {**which, **now}))["result"]
            assert cancelled["status"] == "CANCELED"
            again = await client.ask("order.cancel", {**which, **now})
            assert code_of(again) == (400, -2011)

    run(body())


def test_logon_is_for_ed25519_keys_only(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path) as d:
            client = await d.open()
            by_hmac = signed({"timestamp": d.now_ms()})
            assert code_of(await client.ask("session.logon", by_hmac)) == (400, -1022)
            by_stranger = await client.log_on(d.now_ms(), STRANGER)
            assert code_of(by_stranger) == (400, -1022)
            late = await client.log_on(d.now_ms() - 60_000)
            assert code_of(late) == (400, -1021)
            assert code_of(await client.ask("order.place", d.order())) == (400, -1102)

    run(body())


def test_session_is_the_connections_own_and_ends_with_logout(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path) as d:
            client, other = await d.logged_on(), await d.open()
            status = (await client.ask("session.status"))["result"]
            assert status["apiKey"] == PAIR
            assert status["authorizedSince"] >= status["connectedSince"]
            assert (await other.ask("session.status"))["result"]["apiKey"] is None
            assert code_of(await other.ask("order.place", d.order())) == (400, -1102)
            assert (await client.ask("session.logout"))["result"]["authorizedSince"] is None
            assert code_of(await client.ask("order.place", d.order())) == (400, -1102)

    run(body())


def test_key_named_in_a_session_has_to_sign(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path) as d:
            client = await d.logged_on()
            named = d.order(apiKey=KEY)
            assert code_of(await client.ask("order.place", named)) == (400, -1102)
            own = signed(d.order(newClientOrderId="h1"))
            assert (await client.ask("order.place", own))["status"] == 200
            accounts = d.exchange.exchange.venue.accounts
            assert [len(accounts[key].orders) for key in (KEY, PAIR)] == [1, 0]

    run(body())


# Frames -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["{", "[]", '"ping"', '{"id":{},"method":"ping"}', '{"id":1,"params":[]}']
)
def test_frame_that_is_no_request_is_refused_and_the_connection_lives(
    tmp_path: Path, text: str
) -> None:
    async def body() -> None:
        async with desk(tmp_path) as d:
            client = await d.open()
            await client.socket.send(text)
            assert code_of(await client.next()) == (400, -1135)
            assert (await client.ask("ping"))["result"] == {}

    run(body())


def test_unknown_method_and_nested_parameter_are_refused(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path) as d:
            client = await d.open()
            assert code_of(await client.ask("order.destroy")) == (404, -1099)
            assert (await client.ask("time"))["result"]["serverTime"] > 0
            await client.socket.send('{"id":7,"method":"ping","params":{"a":[1]}}')
            assert code_of(await client.next()) == (400, -1135)

    run(body())


def test_requests_have_no_budget_of_control_messages(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path) as d:
            client = await d.open()
            for _ in range(30):  # on a stream ten a second are too many
                assert (await client.ask("ping"))["status"] == 200

    run(body())


# Prices and budgets -------------------------------------------------------------------------


def test_rate_limits_come_with_each_answer_unless_declined(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path) as d:
            client = await d.logged_on()
            limits = (await client.ask("order.place", d.order()))["rateLimits"]
            counts = {(row["rateLimitType"], row["interval"]): row["count"] for row in limits}
            assert counts == {("ORDERS", "SECOND"): 1, ("ORDERS", "MINUTE"): 1}
            weights = (await client.ask("account.balance", {"timestamp": d.now_ms()}))["rateLimits"]
            assert [row["rateLimitType"] for row in weights] == ["REQUEST_WEIGHT"]
            without = await client.ask("ping", {"returnRateLimits": False})
            assert "rateLimits" not in without
            quiet = await d.open("?returnRateLimits=false")
            assert "rateLimits" not in await quiet.ask("ping")

    run(body())


def test_order_budget_is_shared_with_requests(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path, Limits(orders_10s=2)) as d:
            client = await d.open()
            rest = d.exchange.rest()
            order = d.order()
            del order["timestamp"]
            assert (await rest.signed("POST", "/fapi/v1/order", **order)).status == 200
            assert (await client.ask("order.place", signed(d.order())))["status"] == 200
            assert code_of(await client.ask("order.place", signed(d.order()))) == (429, -1015)

    run(body())


def test_handshake_costs_weight_and_is_refused_over_it(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path, Limits(weight_1m=9)) as d:
            await d.open()
            with pytest.raises(Exception, match="429"):
                await d.open()

    run(body())


# Events and faults --------------------------------------------------------------------------


def test_fills_come_over_the_user_stream_and_not_here(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path) as d:
            client = await d.logged_on()
            key = (await client.ask("userDataStream.start", {"apiKey": PAIR}))["result"]
            stream = await d.exchange.stream(f"/private/ws?listenKey={key['listenKey']}")
            order = d.order("60001.00", newClientOrderId="f1", newOrderRespType="RESULT")
            placed = (await client.ask("order.place", order))["result"]
            assert placed["status"] == "FILLED"
            event = await stream.next_event("ORDER_TRADE_UPDATE")
            assert (event["o"]["c"], event["o"]["x"]) == ("f1", "NEW")
            assert (await client.ask("ping"))["status"] == 200  # the next frame: no event between
            await stream.close()

    run(body())


def test_answer_that_waits_does_not_hold_later_ones(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path) as d:
            client = await d.logged_on()
            rule = {"path": "/fapi/v1/order", "method": "POST", "delay_ms": 200}
            await fault(d.exchange.rest(), kind="rest", **rule)
            late = await client.send("order.place", d.order())
            soon = await client.send("ping")
            assert [(await client.next())["id"] for _ in range(2)] == [soon, late]

    run(body())


def test_executed_order_whose_answer_is_a_dead_connection(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path) as d:
            client = await d.logged_on()
            rule = {"path": "/fapi/v1/order", "method": "POST", "status": -1}
            await fault(d.exchange.rest(), kind="rest", **rule)
            await client.send("order.place", d.order())
            with pytest.raises(ConnectionClosed):
                await client.next()
            assert len(d.exchange.exchange.venue.accounts[PAIR].orders) == 1

    run(body())


def test_fault_answers_a_frame_in_the_venues_words(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path) as d:
            client = await d.logged_on()
            answers: list[tuple[int, object]] = [
                (503, {"code": -1001, "msg": "Service Unavailable."}),
                (502, "<html>bad</html>"),
            ]
            for status, text in answers:
                rule = {"path": "/fapi/v1/order", "status": status, "body": text}
                await fault(d.exchange.rest(), kind="rest", execute=False, **rule)
                answer = await client.ask("order.place", d.order())
                assert (answer["status"], answer["error"]) == (status, text)
            assert d.exchange.exchange.venue.accounts[PAIR].orders == {}

    run(body())


def test_half_an_answer_ends_the_connection(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path) as d:
            client = await d.logged_on()
            await fault(d.exchange.rest(), kind="half_answer", path="/fapi/v1/order")
            await client.send("order.place", d.order())
            with pytest.raises(ConnectionClosed):
                await client.next()

    run(body())


def test_connections_of_the_order_api_are_a_category_of_faults(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path) as d:
            client = await d.logged_on()
            stream = await d.exchange.stream("/public/ws/btcusdt@bookTicker")
            await fault(d.exchange.rest(), kind="disconnect", category="orders")
            with pytest.raises(ConnectionClosed):
                await client.next()
            assert (await stream.ask("LIST_SUBSCRIPTIONS"))["result"] == ["btcusdt@bookTicker"]
            await stream.close()

    run(body())


def test_logon_can_be_refused_by_a_fault(tmp_path: Path) -> None:
    async def body() -> None:
        async with desk(tmp_path) as d:
            client = await d.open()
            refusal = {"code": -2015, "msg": "no"}
            rule = {"path": "/ws-fapi/v1/session.logon", "status": 401, "body": refusal}
            await fault(d.exchange.rest(), kind="rest", execute=False, **rule)
            assert code_of(await client.log_on(d.now_ms())) == (401, -2015)
            assert (await client.log_on(d.now_ms()))["status"] == 200

    run(body())


# Keys ---------------------------------------------------------------------------------------


def test_text_that_is_no_ed25519_key_is_refused() -> None:
    assert public_key(secret_of()) is public_key(secret_of())
    for text in ("ed25519:", "ed25519:AAAA", "ed25519:***", secret_of()[:-8]):
        with pytest.raises(KeyTextError, match="not an Ed25519"):
            public_key(text)


def test_published_shape_of_request_and_answer(tmp_path: Path) -> None:
    """The fields that the venue's own page shows for a placed order, an error and a logon."""

    async def body() -> None:
        async with desk(tmp_path) as d:
            client = await d.open()
            logon = await client.log_on(d.now_ms())
            assert set(logon["result"]) == {
                "apiKey",
                "authorizedSince",
                "connectedSince",
                "returnRateLimits",
                "serverTime",
            }
            placed = await client.ask("order.place", d.order(positionSide="BOTH"))
            assert set(placed) == {"id", "status", "result", "rateLimits"}
            keys = "orderId symbol status clientOrderId price avgPrice origQty executedQty cumQty"
            keys += " cumQuote timeInForce type reduceOnly closePosition side positionSide"
            keys += " stopPrice workingType priceProtect origType updateTime goodTillDate"
            assert set(keys.split()) <= set(placed["result"])
            error = await client.ask("order.place", d.order("0.01"))
            assert set(error) == {"id", "status", "error", "rateLimits"}
            assert set(error["error"]) == {"code", "msg"}

    run(body())
