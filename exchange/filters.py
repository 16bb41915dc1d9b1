"""Checks of an order before it exists: format, filters, position and margin.

Each check raises the venue's own code, in the venue's order: parameters first, then filters,
then business rules. A request that passes is an `OrderRequest` in exact units.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from exchange.account import Account
from exchange.book import BUY, SELL
from exchange.errors import ApiError
from exchange.matching import Market
from exchange.orders import Order
from exchange.symbols import (
    MAX_OPEN_ORDERS,
    PERCENT_PRICE_DOWN,
    PERCENT_PRICE_UP,
    is_whole,
    parse_units,
)

CLIENT_ORDER_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}\Z")
SIDES = {"BUY": BUY, "SELL": SELL}
TIMES_IN_FORCE = frozenset({"GTC", "IOC", "FOK", "GTX", "GTD"})
GTD_LEAST_MS = 600_000  # a good-till date is at least so far ahead
GTD_LAST_MS = 253_402_300_799_000
CONDITIONAL_TYPES = frozenset(
    {"STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"}
)


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """A well-formed order in the symbol's units; price 0 means MARKET."""

    market: Market
    side: int
    order_type: str
    time_in_force: str
    price: int
    qty: int
    reduce_only: bool
    client_order_id: str
    good_till_ms: int = 0


def required(params: Mapping[str, str], name: str) -> str:
    """Return a mandatory parameter.

    Raises:
        ApiError: -1102 when it is missing or empty.
    """
    text = params.get(name, "")
    if not text:
        raise ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty or malformed.")
    return text


def market_and_side(params: Mapping[str, str], markets: Mapping[str, Market]) -> tuple[Market, int]:
    """Return what an order is for, and its side.

    Raises:
        ApiError: one of them is missing or unknown.
    """
    market = markets.get(required(params, "symbol"))
    if market is None:
        raise ApiError(-1121)
    side = SIDES.get(required(params, "side"))
    if side is None:
        raise ApiError(-1117)
    return market, side


def one_way_name(params: Mapping[str, str], name: str) -> str:
    """Return the client's own id of an order of one-way mode, or nothing.

    Raises:
        ApiError: the order is of hedge mode, or its id is malformed.
    """
    if params.get("positionSide", "BOTH") != "BOTH":
        raise ApiError(-4061)
    client_id = params.get(name, "")
    if client_id and CLIENT_ORDER_ID.match(client_id) is None:
        raise ApiError(-4015 if len(client_id) > 36 else -1100)
    return client_id


def parse_order(params: Mapping[str, str], markets: Mapping[str, Market]) -> OrderRequest:
    """Return the order a request describes.

    Raises:
        ApiError: for missing, malformed or unsupported parameters.
    """
    market, side = market_and_side(params, markets)
    order_type = required(params, "type")
    if order_type in CONDITIONAL_TYPES:
        raise ApiError(-4120)
    if order_type not in {"LIMIT", "MARKET"}:
        raise ApiError(-1116)
    client_order_id = one_way_name(params, "newClientOrderId")
    spec = market.spec
    qty = parse_units(required(params, "quantity"), spec.qty_decimals)
    price, time_in_force, good_till_ms = 0, "GTC", 0
    if order_type == "LIMIT":
        time_in_force = required(params, "timeInForce")
        if time_in_force not in TIMES_IN_FORCE:
            raise ApiError(-1115)
        price = parse_units(required(params, "price"), spec.price_decimals)
        good_till_ms = _good_till_ms(params, time_in_force)
    else:
        for name in ("price", "timeInForce"):
            if params.get(name):
                raise ApiError(-1106, f"Parameter '{name}' sent when not required.")
    return OrderRequest(
        market=market,
        side=side,
        order_type=order_type,
        time_in_force=time_in_force,
        price=price,
        qty=qty,
        reduce_only=params.get("reduceOnly", "false").lower() == "true",
        client_order_id=client_order_id,
        good_till_ms=good_till_ms,
    )


def parse_amendment(
    params: Mapping[str, str], markets: Mapping[str, Market], order: Order
) -> OrderRequest:
    """Return an order as it would be after the amendment that a request describes.

    Raises:
        ApiError: for missing, malformed or contradicting parameters.
    """
    market = markets[order.spec.symbol]
    if SIDES.get(required(params, "side")) != order.side:
        raise ApiError(-1117)
    return OrderRequest(
        market=market,
        side=order.side,
        order_type=order.order_type,
        time_in_force=order.time_in_force,
        price=parse_units(required(params, "price"), market.spec.price_decimals),
        qty=parse_units(required(params, "quantity"), market.spec.qty_decimals),
        reduce_only=order.reduce_only,
        client_order_id=order.client_order_id,
        good_till_ms=order.good_till_ms,
    )


def _good_till_ms(params: Mapping[str, str], time_in_force: str) -> int:
    if time_in_force != "GTD":
        return 0
    text = required(params, "goodTillDate")
    if not is_whole(text) or int(text) > GTD_LAST_MS:
        raise ApiError(-1102, "Parameter 'goodTillDate' is malformed or out of range.")
    return int(text) // 1_000 * 1_000  # the venue keeps whole seconds


def check_filters(request: OrderRequest) -> None:
    """Hold an order against the symbol's filters.

    Raises:
        ApiError: with the code of the filter that refuses it.
    """
    spec, market = request.market.spec, request.market
    if request.qty <= 0:
        raise ApiError(-4003)
    if request.qty < spec.min_qty:
        raise ApiError(-4004)
    if request.qty > (spec.max_qty if request.price else spec.market_max_qty):
        raise ApiError(-4005)
    if request.qty % spec.step:
        raise ApiError(-4023)
    if request.order_type == "LIMIT":
        _check_limit_price(request)
    elif not market.takeable(request.side, 0):
        raise ApiError(-4131)
    reference = request.price or market.mark_price()
    if not request.reduce_only and spec.notional(reference, request.qty) < spec.min_notional:
        raise ApiError(-4164)


def _check_limit_price(request: OrderRequest) -> None:
    spec = request.market.spec
    price = request.price
    if price <= 0:
        raise ApiError(-4001)
    if price > spec.max_price:
        raise ApiError(-4002)
    if price < spec.min_price:
        raise ApiError(-4013)
    if price % spec.tick:
        raise ApiError(-4014)
    mark = request.market.mark_price()
    if mark and request.side == BUY and price * 100 > mark * PERCENT_PRICE_UP:
        raise ApiError(-4016)
    if mark and request.side == SELL and price * 100 < mark * PERCENT_PRICE_DOWN:
        raise ApiError(-4024)


def check_account(request: OrderRequest, account: Account, available: int) -> None:
    """Hold an order against what the account has.

    Args:
        request: the well-formed order.
        account: whose order it is.
        available: free margin in 1e-8 USDT before this order.

    Raises:
        ApiError: -4116, -2022, -1015 or -2019.
    """
    market = request.market
    if request.client_order_id in account.open_by_client_id:
        raise ApiError(-4116)
    held = account.position(market.spec).qty
    same_symbol = [o for o in account.open_orders.values() if o.spec.symbol == market.spec.symbol]
    if request.reduce_only:
        promised = sum(
            o.leaves_qty for o in same_symbol if o.reduce_only and o.side == request.side
        )
        if held * request.side >= 0 or request.qty > abs(held) - promised:
            raise ApiError(-2022)
        return
    if request.order_type == "LIMIT" and len(same_symbol) >= MAX_OPEN_ORDERS:
        raise ApiError(-1015, "Reached max open order limit of this symbol.")
    margin = order_margin(account, market, request.side, request.price, request.qty)
    if margin > available:
        raise ApiError(-2019)


def order_margin(account: Account, market: Market, side: int, price: int, qty: int) -> int:
    """Return the margin an order needs for the part that would enlarge the position."""
    held = account.position(market.spec).qty
    opening = qty - min(qty, abs(held)) if held * side < 0 else qty
    reference = price or market.book.best(-side) or market.mark_price()
    notional = market.spec.notional(reference, opening)
    return -(-notional // account.leverage_of(market.spec.symbol))
