"""User-data events in the venue's wire shape: orders, account changes, configuration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from exchange.account import Account, Position
from exchange.orders import Fill, Order
from exchange.symbols import money_text

if TYPE_CHECKING:
    from exchange.algo import AlgoOrder

Event = dict[str, object]


def order_event(order: Order, execution: str, now_ms: int, fill: Fill | None = None) -> Event:
    """Return ORDER_TRADE_UPDATE for one change of an order; `execution` is its type `x`."""
    spec = order.spec
    zero = spec.price_text(0)
    return {
        "e": "ORDER_TRADE_UPDATE",
        "E": now_ms,
        "T": order.updated_ms,
        "o": {
            "s": spec.symbol,
            "c": order.client_order_id,
            "S": order.side_text,
            "o": order.order_type,
            "f": order.time_in_force,
            "q": spec.qty_text(order.qty),
            "p": spec.price_text(order.price),
            "ap": order.average_price_text(),
            "sp": zero,
            "x": execution,
            "X": order.status,
            "i": order.order_id,
            "l": spec.qty_text(fill.qty if fill else 0),
            "z": spec.qty_text(order.cum_qty),
            "L": spec.price_text(fill.price) if fill else zero,
            "N": fill.commission_asset if fill else "USDT",
            "n": fill.commission if fill else "0",
            "T": order.updated_ms,
            "t": fill.trade_id if fill else 0,
            "b": "0",
            "a": "0",
            "m": fill.maker if fill else False,
            "R": order.reduce_only,
            "wt": "CONTRACT_PRICE",
            "ot": order.order_type,
            "ps": "BOTH",
            "cp": False,
            "rp": money_text(fill.realised) if fill else "0",
            "pP": False,
            "si": 0,
            "ss": 0,
            "V": "EXPIRE_MAKER",
            "pm": "NONE",
            "gtd": order.good_till_ms,
            "er": "0",
        },
    }


def algo_event(order: AlgoOrder, now_ms: int) -> Event:
    """Return ALGO_UPDATE for one change of a conditional order."""
    spec = order.spec
    return {
        "e": "ALGO_UPDATE",
        "E": now_ms,
        "T": order.updated_ms,
        "o": {
            "caid": order.client_id,
            "aid": order.algo_id,
            "at": "CONDITIONAL",
            "o": order.order_type,
            "s": spec.symbol,
            "S": "BUY" if order.side > 0 else "SELL",
            "ps": "BOTH",
            "f": order.time_in_force,
            "q": spec.qty_text(order.qty),
            "X": order.status,
            "ai": str(order.order_id) if order.order_id else "",
            "ap": spec.price_text(0),
            "aq": spec.qty_text(0),
            "act": "",
            "tp": spec.price_text(order.trigger_price),
            "p": spec.price_text(order.price),
            "V": order.self_trade,
            "wt": order.working_type,
            "pm": "NONE",
            "cp": order.close_position,
            "pP": False,
            "R": order.reduce_only,
            "tt": order.triggered_ms,
            "gtd": 0,
            "rm": order.reason,
            "ia": order.active,
        },
    }


def trade_lite_event(fill: Fill, now_ms: int) -> Event:
    """Return TRADE_LITE: the early hint of a fill, without fee and status."""
    order, spec = fill.order, fill.order.spec
    return {
        "e": "TRADE_LITE",
        "E": now_ms,
        "T": fill.time_ms,
        "s": spec.symbol,
        "q": spec.qty_text(order.qty),
        "p": spec.price_text(order.price),
        "m": fill.maker,
        "c": order.client_order_id,
        "S": order.side_text,
        "L": spec.price_text(fill.price),
        "l": spec.qty_text(fill.qty),
        "t": fill.trade_id,
        "i": order.order_id,
    }


def account_event(
    account: Account,
    positions: Iterable[Position],
    marks: dict[str, int],
    reason: str,
    now_ms: int,
    balance_change: int = 0,
) -> Event:
    """Return ACCOUNT_UPDATE with the wallet and the positions that changed."""
    wallet = money_text(account.wallet)
    return {
        "e": "ACCOUNT_UPDATE",
        "E": now_ms,
        "T": now_ms,
        "a": {
            "m": reason,
            "B": [{"a": "USDT", "wb": wallet, "cw": wallet, "bc": money_text(balance_change)}],
            "P": [_position_entry(account, p, marks.get(p.spec.symbol, 0)) for p in positions],
        },
    }


def _position_entry(account: Account, position: Position, mark: int) -> dict[str, object]:
    entry = position.entry_price_text()
    margin_type = account.margin_type.get(position.spec.symbol, "CROSSED")
    return {
        "s": position.spec.symbol,
        "pa": position.spec.qty_text(position.qty),
        "ep": entry,
        "bep": entry,
        "cr": money_text(position.realised),
        "up": money_text(position.unrealised(mark)),
        "mt": "isolated" if margin_type == "ISOLATED" else "cross",
        "iw": "0",
        "ps": "BOTH",
    }


def leverage_event(symbol: str, leverage: int, now_ms: int) -> Event:
    """Return ACCOUNT_CONFIG_UPDATE for a new leverage."""
    return {
        "e": "ACCOUNT_CONFIG_UPDATE",
        "E": now_ms,
        "T": now_ms,
        "ac": {"s": symbol, "l": leverage},
    }


def listen_key_expired_event(listen_key: str, now_ms: int) -> Event:
    """Return the last event of a listen key."""
    return {"e": "listenKeyExpired", "E": now_ms, "listenKey": listen_key}
