"""Signed requests about conditional orders, and about several orders at once."""

from __future__ import annotations

from typing import Any

import orjson

from exchange.errors import ApiError
from exchange.filters import required
from exchange.rest import ORDER, SIGNED, Api, Call, RouteTable, integer, table_of
from exchange.rest_trade import MAX_ROWS, acknowledgement, open_orders_weight

BATCH_ORDERS = 5  # placed or amended at once
BATCH_CANCELS = 10


def place_algo(api: Api, call: Call) -> object:
    """Place a conditional order."""
    return api.venue.algo_desk.place(call.account, call.params).view()


def query_algo(api: Api, call: Call) -> object:
    """Answer one conditional order, open or closed."""
    return api.venue.algo_desk.find(call.account, call.params, code=-2013).view()


def cancel_algo(api: Api, call: Call) -> object:
    """Cancel one conditional order."""
    order = api.venue.algo_desk.cancel(call.account, call.params)
    answer = {"algoId": order.algo_id, "clientAlgoId": order.client_id}
    return {**answer, "code": "200", "msg": "success"}


def open_algos(api: Api, call: Call) -> object:
    """Answer open conditional orders of a symbol or of all."""
    symbol = _symbol(api, call)
    return [order.view() for order in api.venue.algo_desk.open_orders(call.account, symbol)]


def all_algos(api: Api, call: Call) -> object:
    """Answer conditional orders of a symbol, open and closed."""
    limit = integer(call.params, "limit", 500, 1, MAX_ROWS)
    api.venue.market(required(call.params, "symbol"))
    rows = api.venue.algo_desk.of(call.account, call.params["symbol"])
    return [order.view() for order in rows[-limit:]]


def cancel_all_algos(api: Api, call: Call) -> object:
    """Cancel all conditional orders of a symbol."""
    api.venue.market(required(call.params, "symbol"))
    api.venue.algo_desk.cancel_all(call.account, call.params["symbol"])
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def _symbol(api: Api, call: Call) -> str | None:
    symbol = call.params.get("symbol")
    if symbol:
        api.venue.market(symbol)
    return symbol or None


# Several at once ----------------------------------------------------------------------------


def place_batch(api: Api, call: Call) -> object:
    """Place up to five orders; each is accepted or refused on its own."""

    def place(params: dict[str, str]) -> object:
        return acknowledgement(api.venue.place(call.account, params), params)

    return [_tried(place, params) for params in _orders(api, call)]


def amend_batch(api: Api, call: Call) -> object:
    """Amend up to five orders; each is accepted or refused on its own."""

    def amend(params: dict[str, str]) -> object:
        return api.venue.amend(call.account, params).view()

    return [_tried(amend, params) for params in _orders(api, call)]


def cancel_batch(api: Api, call: Call) -> object:
    """Cancel up to ten orders of a symbol, by ids of ours or by the client's."""
    symbol = api.venue.market(required(call.params, "symbol")).spec.symbol
    name = "orderId" if call.params.get("orderIdList") else "origClientOrderId"
    text = call.params.get("orderIdList") or required(call.params, "origClientOrderIdList")
    ids = _list(text, BATCH_CANCELS)

    def cancel(params: dict[str, str]) -> object:
        return api.venue.cancel(call.account, params).view()

    return [_tried(cancel, {"symbol": symbol, name: str(one)}) for one in ids]


def _orders(api: Api, call: Call) -> list[dict[str, str]]:
    rows = _list(required(call.params, "batchOrders"), BATCH_ORDERS)
    if not all(isinstance(row, dict) for row in rows):
        raise ApiError(-1102, "Parameter 'batchOrders' is malformed.")
    for _ in rows[1:]:  # the first was counted with the request
        api.budgets.use_order(call.account.key)
    return [
        {
            str(name): str(word).lower() if isinstance(word, bool) else str(word)
            for name, word in row.items()
        }
        for row in rows
    ]


def _list(text: str, count_max: int) -> list[Any]:
    try:
        rows = orjson.loads(text)
    except orjson.JSONDecodeError:
        rows = None
    if not isinstance(rows, list) or not 1 <= len(rows) <= count_max:
        raise ApiError(-1102, f"A list of 1 to {count_max} is expected.")
    return rows


def _tried(act: Any, params: dict[str, str]) -> object:  # noqa: ANN401  one of the three above
    try:
        return act(params)
    except ApiError as refusal:
        return refusal.body()


def algo_routes() -> RouteTable:
    """Return the table of requests about conditional orders and batches."""
    rows = (
        ("POST", "/fapi/v1/algoOrder", ORDER, 0, place_algo),
        ("GET", "/fapi/v1/algoOrder", SIGNED, 1, query_algo),
        ("DELETE", "/fapi/v1/algoOrder", SIGNED, 1, cancel_algo),
        ("GET", "/fapi/v1/openAlgoOrders", SIGNED, open_orders_weight, open_algos),
        ("GET", "/fapi/v1/allAlgoOrders", SIGNED, 5, all_algos),
        ("DELETE", "/fapi/v1/algoOpenOrders", SIGNED, 1, cancel_all_algos),
        ("POST", "/fapi/v1/batchOrders", ORDER, 5, place_batch),
        ("PUT", "/fapi/v1/batchOrders", ORDER, 5, amend_batch),
        ("DELETE", "/fapi/v1/batchOrders", SIGNED, 1, cancel_batch),
    )
    return table_of(rows)
