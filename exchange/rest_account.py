"""Signed requests about the account itself: balances, positions, settings, listen keys."""

from __future__ import annotations

import secrets
import time

from exchange import userdata
from exchange.account import MAX_LEVERAGE, Account, Position
from exchange.errors import ApiError
from exchange.filters import required
from exchange.rest import KEYED, SIGNED, Api, Call, RouteTable, integer, table_of
from exchange.symbols import is_whole, money_text

LISTEN_KEY_LIFE_S = 3_600.0
MAX_COUNTDOWN_MS = 3_600_000


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
        _position_view(api, account, account.positions.get(name) or Position(markets[name].spec))
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
    if not is_whole(text) or not 1 <= int(text) <= MAX_LEVERAGE:
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
    if any(order.spec.symbol == symbol for order in account.open_orders.values()):
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


def fee_burn(_api: Api, call: Call) -> object:
    """Answer whether fees are paid in BNB."""
    return {"feeBurn": call.account.fee_burn}


def set_fee_burn(_api: Api, call: Call) -> object:
    """Pay the fees of fills from now on in BNB, of which every account has enough, or no longer."""
    call.account.fee_burn = required(call.params, "feeBurn").lower() == "true"
    return {"code": 200, "msg": "success"}


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


def account_routes() -> RouteTable:
    """Return the table of requests about the account."""
    rows = (
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
        ("GET", "/fapi/v1/feeBurn", SIGNED, 30, fee_burn),
        ("POST", "/fapi/v1/feeBurn", SIGNED, 1, set_fee_burn),
        ("GET", "/fapi/v1/commissionRate", SIGNED, 20, commission_rate),
        ("POST", "/fapi/v1/countdownCancelAll", SIGNED, 10, countdown_cancel),
        ("POST", "/fapi/v1/listenKey", KEYED, 1, create_listen_key),
        ("PUT", "/fapi/v1/listenKey", KEYED, 1, extend_listen_key),
        ("DELETE", "/fapi/v1/listenKey", KEYED, 1, close_listen_key),
    )
    return table_of(rows)
