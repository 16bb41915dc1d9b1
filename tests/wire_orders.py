"""One order at a venue, told as Binance tells it: stream frames and REST answers, as bytes."""

import json
from dataclasses import dataclass, field
from typing import Any

from engine.domain.client_id import ClientId, encode_client_id
from engine.domain.instrument_row import Instrument

TAG = "a"
FIRST_MS = 1_723_161_256_000
OPEN = {"NEW", "PARTIALLY_FILLED"}


@dataclass
class WireOrder:
    """The truth about one limit order; every change is told by a frame of the user stream."""

    instrument: Instrument
    identity: ClientId
    qty: int
    price: int
    side: str = "BUY"
    status: str = "NEW"
    now_ms: int = FIRST_MS
    trades: list[dict[str, Any]] = field(default_factory=list)

    @property
    def filled(self) -> int:
        return sum(trade["lots"] for trade in self.trades)

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def client_id(self) -> str:
        return encode_client_id(TAG, self.identity)

    def accept(self) -> bytes:
        """Tell that it rests."""
        return self._frame("NEW")

    def fill(self, lots: int, price: int) -> bytes:
        """Execute part of it."""
        trade = {"id": 70 + len(self.trades), "lots": lots, "price": price}
        self.trades.append(trade)
        self.status = "FILLED" if self.filled == self.qty else "PARTIALLY_FILLED"
        return self._frame("TRADE", trade)

    def close(self, status: str) -> bytes:
        """End it: CANCELED, EXPIRED or EXPIRED_IN_MATCH."""
        self.status = status
        return self._frame("CANCELED" if status == "CANCELED" else "EXPIRED")

    def amend(self, lots: int, price: int) -> bytes:
        """Change what it is for; asked for no more than it got, it is cancelled."""
        if lots <= self.filled:
            return self.close("CANCELED")
        self.qty, self.price = lots, price
        return self._frame("AMENDMENT")

    def _frame(self, execution: str, trade: dict[str, Any] | None = None) -> bytes:
        self.now_ms += 1
        row = self.instrument
        lots, price = (trade["lots"], trade["price"]) if trade else (0, 0)
        body = {
            "s": row.symbol, "c": self.client_id, "S": self.side, "o": "LIMIT", "f": "GTC",
            "q": row.qty_text(self.qty), "p": row.price_text(self.price), "x": execution,
            "X": self.status, "i": 9001, "l": row.qty_text(lots), "z": row.qty_text(self.filled),
            "L": row.price_text(price), "n": "0", "N": "USDT", "T": self.now_ms,
            "t": trade["id"] if trade else 0, "m": False, "R": False, "rp": "0",
        }  # fmt: skip
        event = {"e": "ORDER_TRADE_UPDATE", "E": self.now_ms, "T": self.now_ms, "o": body}
        return json.dumps(event).encode()

    def answer(self) -> bytes:
        """Answer a lookup, or any request about it, as it is now."""
        row = self.instrument
        view = {
            "symbol": row.symbol, "orderId": 9001, "clientOrderId": self.client_id,
            "status": self.status, "side": self.side, "type": "LIMIT", "timeInForce": "GTC",
            "price": row.price_text(self.price), "origQty": row.qty_text(self.qty),
            "executedQty": row.qty_text(self.filled), "updateTime": self.now_ms,
        }  # fmt: skip
        return json.dumps(view).encode()

    def trade_list(self) -> bytes:
        """Answer a request for the trades of the order: under the venue's number alone."""
        row = self.instrument
        return json.dumps(
            [
                {
                    "symbol": row.symbol, "id": trade["id"], "orderId": 9001, "side": self.side,
                    "price": row.price_text(trade["price"]), "qty": row.qty_text(trade["lots"]),
                    "commission": "0", "commissionAsset": "USDT", "realizedPnl": "0",
                    "maker": False, "time": self.now_ms,
                }
                for trade in self.trades
            ]
        ).encode()  # fmt: skip
