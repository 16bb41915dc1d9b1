"""Signed requests about orders, fills and income."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Reversible
from itertools import islice
from typing import TypeVar

from exchange.errors import ApiError
from exchange.filters import required
from exchange.orders import EXPIRED, FILLED, Fill, Order
from exchange.rest import ORDER, SIGNED, Api, Call, RouteTable, integer, table_of

MAX_ROWS = 1_000

Row = TypeVar("Row")


def place_order(api: Api, call: Call) -> object:
    """Place an order; ACK tells of its acceptance, RESULT of its first matching."""
    return acknowledgement(api.venue.place(call.account, call.params), call.params)


def acknowledgement(order: Order, params: dict[str, str]) -> dict[str, object]:
    """Return what the answer to a new order says of it, as its request asked."""
    view = order.view()
    result_kind = params.get("newOrderRespType", "ACK")
    settled = order.status in {FILLED, EXPIRED} or order.time_in_force in {"IOC", "FOK"}
    if result_kind == "RESULT" and (order.order_type == "MARKET" or settled):
        return view
    zero = order.spec.qty_text(0)
    return {
        **view,
        "status": "NEW",
        "avgPrice": order.spec.price_text(0),
        "executedQty": zero,
        "cumQty": zero,
        "cumQuote": "0.00000000",
        "updateTime": order.created_ms,
    }


def test_order(api: Api, call: Call) -> object:
    """Check an order without placing it."""
    return api.venue.place(call.account, call.params, dry_run=True).view()


def query_order(api: Api, call: Call) -> object:
    """Answer one order, open or closed."""
    api.venue.market(required(call.params, "symbol"))
    return api.venue.find_order(call.account, call.params, code=-2013).view()


def query_open_order(api: Api, call: Call) -> object:
    """Answer one order while it is open."""
    order = api.venue.find_order(call.account, call.params, code=-2013)
    if not order.is_open:
        raise ApiError(-2013)
    return order.view()


def amend_order(api: Api, call: Call) -> object:
    """Change price and quantity of an order."""
    api.venue.market(required(call.params, "symbol"))
    return api.venue.amend(call.account, call.params).view()


def cancel_order(api: Api, call: Call) -> object:
    """Cancel one order."""
    api.venue.market(required(call.params, "symbol"))
    return api.venue.cancel(call.account, call.params).view()


def cancel_all_orders(api: Api, call: Call) -> object:
    """Cancel all orders of a symbol."""
    market = api.venue.market(required(call.params, "symbol"))
    api.venue.cancel_all(call.account, market.spec.symbol)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def open_orders(api: Api, call: Call) -> object:
    """Answer open orders of a symbol or of all."""
    symbol = call.params.get("symbol")
    if symbol:
        api.venue.market(symbol)
    return _views(o for o in call.account.open_orders.values() if _fits(o, symbol))


def all_orders(api: Api, call: Call) -> object:
    """Answer orders of a symbol, open and closed, by id or time."""
    symbol = call.params.get("symbol")
    if symbol:
        api.venue.market(symbol)
    limit = integer(call.params, "limit", 500, 1, MAX_ROWS)
    first_id = integer(call.params, "orderId", 0, 0, 2**62)
    first_ms, last_ms = _time_window(call.params)

    def fits(order: Order) -> bool:
        is_there = order.order_id >= first_id and first_ms <= order.created_ms <= last_ms
        return is_there and _fits(order, symbol)

    return _views(_page(call.account.orders.values(), fits, limit, is_oldest=first_id > 0))


def _page(
    rows: Reversible[Row], fits: Callable[[Row], bool], limit: int, *, is_oldest: bool
) -> list[Row]:
    """Return the oldest or the newest rows that fit, the oldest first.

    An account's history is long and asked for often: no further is looked than there is need.
    """
    found = list(islice(filter(fits, rows if is_oldest else reversed(rows)), limit))
    return found if is_oldest else found[::-1]


def _views(orders: Iterable[Order]) -> list[dict[str, object]]:
    return [order.view() for order in orders]


def _fits(order: Order, symbol: str | None) -> bool:
    return not symbol or order.spec.symbol == symbol


def _time_window(params: dict[str, str]) -> tuple[int, int]:
    return integer(params, "startTime", 0, 0, 2**53), integer(params, "endTime", 2**53, 0, 2**53)


def user_trades(api: Api, call: Call) -> object:
    """Answer fills of a symbol by id or time."""
    symbol = required(call.params, "symbol")
    api.venue.market(symbol)
    limit = integer(call.params, "limit", 500, 1, MAX_ROWS)
    first_id = integer(call.params, "fromId", 0, 0, 2**62)
    order_id = integer(call.params, "orderId", 0, 0, 2**62)
    first_ms, last_ms = _time_window(call.params)

    def fits(fill: Fill) -> bool:
        is_there = fill.trade_id >= first_id and first_ms <= fill.time_ms <= last_ms
        is_asked = not order_id or fill.order.order_id == order_id
        return is_there and is_asked and _fits(fill.order, symbol)

    page = _page(call.account.fills, fits, limit, is_oldest=first_id > 0)
    return [fill.view() for fill in page]


def income(_api: Api, call: Call) -> object:
    """Answer income rows by kind and time."""
    kind, symbol = call.params.get("incomeType"), call.params.get("symbol")
    limit = integer(call.params, "limit", 100, 1, MAX_ROWS)
    first_ms, last_ms = _time_window(call.params)

    def fits(row: dict[str, object]) -> bool:
        if (kind and row["incomeType"] != kind) or (symbol and row["symbol"] != symbol):
            return False
        return first_ms <= int(str(row["time"])) <= last_ms

    return _page(call.account.income, fits, limit, is_oldest="startTime" in call.params)


def open_orders_weight(params: dict[str, str]) -> int:
    """Return what listing open orders costs."""
    return 1 if params.get("symbol") else 40


def trade_routes() -> RouteTable:
    """Return the table of requests about orders and fills."""
    rows = (
        ("POST", "/fapi/v1/order", ORDER, 0, place_order),
        ("POST", "/fapi/v1/order/test", SIGNED, 1, test_order),
        ("PUT", "/fapi/v1/order", ORDER, 1, amend_order),
        ("GET", "/fapi/v1/order", SIGNED, 1, query_order),
        ("DELETE", "/fapi/v1/order", SIGNED, 1, cancel_order),
        ("GET", "/fapi/v1/openOrder", SIGNED, 1, query_open_order),
        ("GET", "/fapi/v1/openOrders", SIGNED, open_orders_weight, open_orders),
        ("DELETE", "/fapi/v1/allOpenOrders", SIGNED, 1, cancel_all_orders),
        ("GET", "/fapi/v1/allOrders", SIGNED, 5, all_orders),
        ("GET", "/fapi/v1/userTrades", SIGNED, 5, user_trades),
        ("GET", "/fapi/v1/income", SIGNED, 30, income),
    )
    return table_of(rows)
