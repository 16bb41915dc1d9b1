"""Several orders in one request: each accepted or refused on its own, all counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.exchange_rig import run, settled

ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
GOOD = ORDER | {"quantity": "0.010", "price": "59000.00"}
PATH = "/fapi/v1/batchOrders"


def test_each_order_of_a_batch_is_answered_on_its_own(tmp_path: Path) -> None:
    async def body() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            rows = [GOOD | {"newClientOrderId": "b1"}, GOOD | {"price": "59000.05"}, GOOD]
            answer = await rest.signed("POST", PATH, batchOrders=json.dumps(rows))
            assert [row.get("code") for row in answer.json] == [None, -4014, None]
            assert answer.json[0]["clientOrderId"] == "b1"
            assert answer.headers["x-mbx-order-count-10s"] == "1"
            again = await rest.signed("POST", "/fapi/v1/order", **GOOD)
            assert again.headers["x-mbx-order-count-10s"] == "4", (
                "a batch counts each of its orders"
            )
            assert "b1" in exchange.exchange.sent_ids

    run(body())


def test_orders_are_amended_and_cancelled_together(tmp_path: Path) -> None:
    async def body() -> None:
        async with settled(tmp_path) as exchange:
            rest = exchange.rest()
            rows = [GOOD | {"newClientOrderId": name} for name in ("b1", "b2")]
            await rest.signed("POST", PATH, batchOrders=json.dumps(rows))
            names = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.020", "price": "58000.00"}
            changes = [names | {"origClientOrderId": name} for name in ("b1", "nobody")]
            answer = await rest.signed("PUT", PATH, batchOrders=json.dumps(changes))
            assert [row.get("origQty", row.get("code")) for row in answer.json] == ["0.020", -2013]
            ids = json.dumps(["b1", "b2", "b3"])
            words = {"symbol": "BTCUSDT", "origClientOrderIdList": ids}
            answer = await rest.signed("DELETE", PATH, **words)
            assert [row.get("status", row.get("code")) for row in answer.json] == [
                "CANCELED",
                "CANCELED",
                -2011,
            ]

    run(body())


@pytest.mark.parametrize("text", ["", "[]", "{}", "[1]", "[", json.dumps([GOOD] * 6)])
def test_batch_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    async def body() -> None:
        async with settled(tmp_path) as exchange:
            answer = await exchange.rest().signed("POST", PATH, batchOrders=text)
            assert (answer.status, answer.json["code"]) == (400, -1102)

    run(body())
