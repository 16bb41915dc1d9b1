"""Signed requests: orders, account, settings, listen keys."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from exchange import userdata
from exchange.account import MAX_LEVERAGE, Account, Position
from exchange.errors import ApiError
from exchange.filters import required
from exchange.orders import EXPIRED, FILLED, Order
from exchange.rest import KEYED, ORDER, SIGNED, Api, Call, Route, RouteTable, integer
from exchange.symbols import money_text

LISTEN_KEY_LIFE_S = 3_600.0
MAX_ROWS = 1_000
MAX_COUNTDOWN_MS = 3_600_000


def place_order(api: Api, call: Call) -> object:
    """Place an order; ACK tells of its acceptance, RESULT of its first matching."""
    order = api.venue.place(call.account, call.params)
    view = order.view()
    result_kind = call.params.get("newOrderRespType", "ACK")
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
    in_time = _time_window(call.params)
    chosen = [
        order
        for order in call.account.orders.values()
        if _fits(order, symbol) and order.order_id >= first_id and in_time(order.created_ms)
    ]
    return _views(chosen[:limit] if first_id else chosen[-limit:])


def _views(orders: object) -> list[dict[str, object]]:
    return [order.view() for order in orders]  # type: ignore[attr-defined]


def _fits(order: Order, symbol: str | None) -> bool:
    return not symbol or order.spec.symbol == symbol


def _time_window(params: dict[str, str]) -> Callable[[int], bool]:
    start_ms = integer(params, "startTime", 0, 0, 2**53)
    end_ms = integer(params, "endTime", 2**53, 0, 2**53)
    return lambda time_ms: start_ms <= time_ms <= end_ms


def user_trades(api: Api, call: Call) -> object:
    """Answer fills of a symbol by id or time."""
    symbol = required(call.params, "symbol")
    api.venue.market(symbol)
    limit = integer(call.params, "limit", 500, 1, MAX_ROWS)
    first_id = integer(call.params, "fromId", 0, 0, 2**62)
    order_id = integer(call.params, "orderId", 0, 0, 2**62)
    in_time = _time_window(call.params)
    chosen = [
        fill
        for fill in call.account.fills
        if _fits(fill.order, symbol)
        and fill.trade_id >= first_id
        and (not order_id or fill.order.order_id == order_id)
        and in_time(fill.time_ms)
    ]
    rows = chosen[:limit] if first_id else chosen[-limit:]
    return [fill.view() for fill in rows]


def income(_api: Api, call: Call) -> object:
    """Answer income rows by kind and time."""
    kind, symbol = call.params.get("incomeType"), call.params.get("symbol")
    limit = integer(call.params, "limit", 100, 1, MAX_ROWS)
    in_time = _time_window(call.params)
    chosen = [
        row
        for row in call.account.income
        if (not kind or row["incomeType"] == kind)
        and (not symbol or row["symbol"] == symbol)
        and in_time(int(str(row["time"])))
    ]
    return chosen[:limit] if "startTime" in call.params else chosen[-limit:]


# Account ------------------------------------------------------------------------------------


def balance(api: Api, call: Call) -> object:
    """Answer the balance per asset; there is one."""
    account = call.account
    return [
        {
            "accountAlias": "practice",
            "asset": "USDT",
            "balance": money_text(account.wallet),
            "crossWalletBalance": money_text(account.wallet),
            "crossUnPnl": money_text(api.venue.unrealised(account)),
            "availableBalance": money_text(api.venue.available_margin(account)),
            "maxWithdrawAmount": money_text(max(0, api.venue.available_margin(account))),
            "marginAvailable": True,
            "updateTime": api.venue.clock.now_ms(),
        }
    ]


def account_information(api: Api, call: Call) -> object:
    """Answer totals, assets and positions."""
    venue, account = api.venue, call.account
    unrealised = venue.unrealised(account)
    in_positions = sum(venue.position_margin(account, s) for s in account.positions)
    in_orders = venue.open_order_margin(account)
    available = venue.available_margin(account)
    shared = {
        "InitialMargin": in_positions + in_orders,
        "MaintMargin": in_positions // 2,
        "WalletBalance": account.wallet,
        "UnrealizedProfit": unrealised,
        "MarginBalance": account.wallet + unrealised,
        "PositionInitialMargin": in_positions,
        "OpenOrderInitialMargin": in_orders,
        "CrossWalletBalance": account.wallet,
        "CrossUnPnl": unrealised,
    }
    totals = {f"total{name}": money_text(amount) for name, amount in shared.items()}
    asset = {name[0].lower() + name[1:]: money_text(amount) for name, amount in shared.items()}
    free = {
        "availableBalance": money_text(available),
        "maxWithdrawAmount": money_text(max(0, available)),
    }
    now_ms = venue.clock.now_ms()
    return {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": True,
        "multiAssetsMargin": False,
        "updateTime": now_ms,
        **totals,
        **free,
        "assets": [
            {"asset": "USDT", **asset, **free, "marginAvailable": True, "updateTime": now_ms}
        ],
        "positions": [
            _position_view(api, account, position)
            for position in account.positions.values()
            if position.qty or call.request.path.startswith("/fapi/v2")
        ],
    }


def position_risk(api: Api, call: Call) -> object:
    """Answer positions; version 3 leaves out symbols without position or open order."""
    account, symbol = call.account, call.params.get("symbol")
    if symbol:
        api.venue.market(symbol)
    names = list(api.venue.markets) if not symbol else [symbol]
    if "/v3/" in call.request.path:
        busy = {order.spec.symbol for order in account.open_orders.values()}
        busy |= {name for name, position in account.positions.items() if position.qty}
        names = [name for name in names if name in busy]
    markets = api.venue.markets
    return [
        _position_view(
            api, account, account.positions.get(name) or Position(markets[name].spec)
        )
        for name in names
    ]


def _position_view(api: Api, account: Account, position: Position) -> dict[str, object]:
    spec, symbol = position.spec, position.spec.symbol
    market = api.venue.markets[symbol]
    mark = market.mark_price()
    notional = position.qty * mark * spec.money_factor
    unrealised = position.unrealised(mark) if position.qty else 0
    margin = money_text(api.venue.position_margin(account, symbol))
    isolated = account.margin_type.get(symbol) == "ISOLATED"
    entry = position.entry_price_text()
    return {
        "symbol": symbol,
        "positionSide": "BOTH",
        "positionAmt": spec.qty_text(position.qty),
        "entryPrice": entry,
        "breakEvenPrice": entry,
        "markPrice": spec.price_text(mark),
        "unRealizedProfit": money_text(unrealised),
        "unrealizedProfit": money_text(unrealised),
        "liquidationPrice": "0",
        "leverage": str(account.leverage_of(symbol)),
        "maxNotionalValue": "100000000",
        "marginType": "isolated" if isolated else "cross",
        "isolated": isolated,
        "isolatedMargin": "0.00000000",
        "isolatedWallet": "0",
        "isAutoAddMargin": "false",
        "notional": money_text(notional),
        "marginAsset": "USDT",
        "initialMargin": margin,
        "maintMargin": margin,
        "positionInitialMargin": margin,
        "openOrderInitialMargin": "0",
        "adl": 0,
        "bidNotional": "0",
        "askNotional": "0",
        "updateTime": position.updated_ms,
    }


# Settings -----------------------------------------------------------------------------------


def set_leverage(api: Api, call: Call) -> object:
    """Set the leverage of a symbol."""
    symbol = api.venue.market(required(call.params, "symbol")).spec.symbol
    text = required(call.params, "leverage")
    if not text.isdigit() or not 1 <= int(text) <= MAX_LEVERAGE:
        raise ApiError(-4028)
    leverage = int(text)
    changed = call.account.leverage_of(symbol) != leverage
    call.account.leverage[symbol] = leverage
    if changed:
        now_ms = api.venue.clock.now_ms()
        event = userdata.leverage_event(symbol, leverage, now_ms)
        api.venue.outbox.append((call.account, event))
    return {"leverage": leverage, "maxNotionalValue": "100000000", "symbol": symbol}


def set_margin_type(api: Api, call: Call) -> object:
    """Set cross or isolated margin; the money is kept the same way in both."""
    symbol = api.venue.market(required(call.params, "symbol")).spec.symbol
    wanted = required(call.params, "marginType")
    if wanted not in {"CROSSED", "ISOLATED"}:
        raise ApiError(-1102, "Parameter 'marginType' is malformed.")
    account = call.account
    if account.margin_type.get(symbol, "CROSSED") == wanted:
        raise ApiError(-4046)
    if any(_fits(order, symbol) for order in account.open_orders.values()):
        raise ApiError(-4047)
    position = account.positions.get(symbol)
    if position is not None and position.qty:
        raise ApiError(-4048)
    account.margin_type[symbol] = wanted
    return {"code": 200, "msg": "success"}


def position_mode(_api: Api, _call: Call) -> object:
    """Answer the position mode: one-way always."""
    return {"dualSidePosition": False}


def set_position_mode(_api: Api, call: Call) -> object:
    """Refuse hedge mode; one-way is what is set already."""
    if required(call.params, "dualSidePosition").lower() == "true":
        raise ApiError(-4061, "This practice exchange keeps positions one-way only.")
    raise ApiError(-4059)


def multi_assets_mode(_api: Api, _call: Call) -> object:
    """Answer the multi-assets mode: off always."""
    return {"multiAssetsMargin": False}


def commission_rate(api: Api, call: Call) -> object:
    """Answer the fees of a symbol."""
    symbol = api.venue.market(required(call.params, "symbol")).spec.symbol
    return {
        "symbol": symbol,
        "makerCommissionRate": "0.000200",
        "takerCommissionRate": "0.000500",
    }


def countdown_cancel(api: Api, call: Call) -> object:
    """Arm, refresh or disarm the dead man's switch of a symbol; it runs in real time."""
    symbol = api.venue.market(required(call.params, "symbol")).spec.symbol
    required(call.params, "countdownTime")
    countdown_ms = integer(call.params, "countdownTime", 0, 0, MAX_COUNTDOWN_MS)
    if countdown_ms:
        call.account.countdown_due_s[symbol] = time.monotonic() + countdown_ms / 1000
    else:
        call.account.countdown_due_s.pop(symbol, None)
    return {"symbol": symbol, "countdownTime": str(countdown_ms)}


# Listen keys --------------------------------------------------------------------------------


def create_listen_key(api: Api, call: Call) -> object:
    """Create the account's listen key, or return and extend the one it has."""
    account = call.account
    if not account.listen_key:
        account.listen_key = secrets.token_hex(32)
        api.hub.accounts_by_listen_key[account.listen_key] = account
    account.listen_key_expires_s = time.monotonic() + LISTEN_KEY_LIFE_S
    return {"listenKey": account.listen_key}


def extend_listen_key(_api: Api, call: Call) -> object:
    """Extend the account's listen key."""
    if not call.account.listen_key:
        raise ApiError(-1125)
    call.account.listen_key_expires_s = time.monotonic() + LISTEN_KEY_LIFE_S
    return {"listenKey": call.account.listen_key}


def close_listen_key(api: Api, call: Call) -> object:
    """Close the account's listen key and with it every stream on it."""
    api.hub.expire_listen_key(call.account)
    return {}


def open_orders_weight(params: dict[str, str]) -> int:
    """Return what listing open orders costs."""
    return 1 if params.get("symbol") else 40


def trade_routes() -> RouteTable:
    """Return the table of requests about an account."""
    rows = (
        ("POST", "/fapi/v1/order", ORDER, 0, place_order),
        ("POST", "/fapi/v1/order/test", SIGNED, 1, test_order),
        ("GET", "/fapi/v1/order", SIGNED, 1, query_order),
        ("DELETE", "/fapi/v1/order", SIGNED, 1, cancel_order),
        ("GET", "/fapi/v1/openOrder", SIGNED, 1, query_open_order),
        ("GET", "/fapi/v1/openOrders", SIGNED, open_orders_weight, open_orders),
        ("DELETE", "/fapi/v1/allOpenOrders", SIGNED, 1, cancel_all_orders),
        ("GET", "/fapi/v1/allOrders", SIGNED, 5, all_orders),
        ("GET", "/fapi/v1/userTrades", SIGNED, 5, user_trades),
        ("GET", "/fapi/v1/income", SIGNED, 30, income),
        ("GET", "/fapi/v2/balance", SIGNED, 5, balance),
        ("GET", "/fapi/v3/balance", SIGNED, 5, balance),
        ("GET", "/fapi/v2/account", SIGNED, 5, account_information),
        ("GET", "/fapi/v3/account", SIGNED, 5, account_information),
        ("GET", "/fapi/v1/positionRisk", SIGNED, 5, position_risk),
        ("GET", "/fapi/v2/positionRisk", SIGNED, 5, position_risk),
        ("GET", "/fapi/v3/positionRisk", SIGNED, 5, position_risk),
        ("POST", "/fapi/v1/leverage", SIGNED, 1, set_leverage),
        ("POST", "/fapi/v1/marginType", SIGNED, 1, set_margin_type),
        ("GET", "/fapi/v1/positionSide/dual", SIGNED, 30, position_mode),
        ("POST", "/fapi/v1/positionSide/dual", SIGNED, 1, set_position_mode),
        ("GET", "/fapi/v1/multiAssetsMargin", SIGNED, 30, multi_assets_mode),
        ("GET", "/fapi/v1/commissionRate", SIGNED, 20, commission_rate),
        ("POST", "/fapi/v1/countdownCancelAll", SIGNED, 10, countdown_cancel),
        ("POST", "/fapi/v1/listenKey", KEYED, 1, create_listen_key),
        ("PUT", "/fapi/v1/listenKey", KEYED, 1, extend_listen_key),
        ("DELETE", "/fapi/v1/listenKey", KEYED, 1, close_listen_key),
    )
    return {
        (method, path): Route(security, weight, answer)
        for method, path, security, weight, answer in rows
    }
