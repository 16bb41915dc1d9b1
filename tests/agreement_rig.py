"""An account's ledger and the events of a session that agree with each other."""

from __future__ import annotations

from typing import Any

from engine.domain.records import EventType, OrderStatus
from tests.store_events import event, fill, opening_cash, position, request

Ledger = dict[str, Any]
OPENED_NS = 1_000_000_000
OPENED_MS = 1_000
FILLED = OrderStatus.FILLED


def trades() -> tuple[dict[str, Any], ...]:
    """Return a buy of 5 lots in two fills and a sale of 2, with what the brain says of them."""
    late = {"venue_time_ns": 2_000_000_000}
    return (
        opening_cash(100_000_000) | {"venue_time_ns": OPENED_NS},
        event(EventType.RECONCILED),
        request(1),
        fill(1, 501, 2, **late),
        fill(1, 502, 3, order_status_after=FILLED, **late),
        position(0, 0, 5),
        position(0, -2, 5),
        request(2, side=-1, qty_lots=2, order_type=2, price_ticks=1_001),
        fill(2, 503, 2, side=-1, order_status_after=FILLED, venue_realised_pnl_e8=-7, **late),
        position(0, 0, 3),
        position(0, -2, 3),
    )


def order_row(number: int, side: str, qty: str, price: str = "0.0") -> dict[str, Any]:
    return {
        "orderId": 9_000 + number,
        "symbol": "BTCUSDT",
        "status": "FILLED",
        "clientOrderId": f"a1-1-{number}-25",
        "price": price,
        "origQty": qty,
        "executedQty": qty,
        "side": side,
        "updateTime": 2_000,
    }


def trade_row(trade_id: int, side: str, qty: str, realised: str = "0.00000000") -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT",
        "id": trade_id,
        "side": side,
        "price": "100.0",
        "qty": qty,
        "commission": "0.00000040",
        "realizedPnl": realised,
        "time": 2_000,
    }


def ledger_rows() -> Ledger:
    """Return the practice exchange's ledger of `trades`."""
    return {
        "orders": [order_row(1, "BUY", "0.005"), order_row(2, "SELL", "0.002", "100.1")],
        "trades": [
            trade_row(501, "BUY", "0.002"),
            trade_row(502, "BUY", "0.003"),
            trade_row(503, "SELL", "0.002", "-0.00000007"),
        ],
        "positions": [{"symbol": "BTCUSDT", "positionAmt": "0.003"}],
        "balances": [{"asset": "USDT", "walletBalance": "0.99999873"}],
        "income": [],
        "byHand": [],
        "algoOrders": [],
    }


def by_hand(time_ms: int, qty: str) -> dict[str, Any]:
    return {"symbol": "BTCUSDT", "qty": qty, "cost": "0.00000000", "time": time_ms}
