"""An order of a client and the shapes in which the venue tells about it."""

from __future__ import annotations

from dataclasses import dataclass

from exchange.symbols import SymbolSpec, money_text

NEW = "NEW"
PARTIALLY_FILLED = "PARTIALLY_FILLED"
FILLED = "FILLED"
CANCELED = "CANCELED"
EXPIRED = "EXPIRED"
OPEN_STATUSES = frozenset({NEW, PARTIALLY_FILLED})


@dataclass(slots=True)
class Order:
    """One order; price, quantities and money in the symbol's integer units."""

    order_id: int
    client_order_id: str
    spec: SymbolSpec
    side: int  # +1 buy, -1 sell
    order_type: str  # LIMIT or MARKET
    time_in_force: str
    price: int  # 0 for MARKET
    qty: int
    reduce_only: bool
    created_ms: int
    updated_ms: int
    account_key: str
    status: str = NEW
    cum_qty: int = 0
    cum_quote: int = 0
    good_till_ms: int = 0  # GTD: when it expires
    amendments: int = 0
    ahead_qty: int = 0  # displayed quantity that must trade before this order fills

    @property
    def leaves_qty(self) -> int:
        """Return what may still fill."""
        return self.qty - self.cum_qty

    @property
    def is_open(self) -> bool:
        """Tell whether the order may still fill."""
        return self.status in OPEN_STATUSES

    @property
    def side_text(self) -> str:
        """Return BUY or SELL."""
        return "BUY" if self.side > 0 else "SELL"

    def average_price_text(self) -> str:
        """Return the mean fill price rounded half up; zero before the first fill."""
        if self.cum_qty == 0:
            return self.spec.price_text(0)
        scale: int = 10**self.spec.qty_decimals
        average = (2 * self.cum_quote * scale + self.cum_qty) // (2 * self.cum_qty)
        return money_text(average)

    def view(self) -> dict[str, object]:
        """Return the order as REST answers describe it."""
        spec = self.spec
        return {
            "orderId": self.order_id,
            "symbol": spec.symbol,
            "status": self.status,
            "clientOrderId": self.client_order_id,
            "price": spec.price_text(self.price),
            "avgPrice": self.average_price_text(),
            "origQty": spec.qty_text(self.qty),
            "executedQty": spec.qty_text(self.cum_qty),
            "cumQty": spec.qty_text(self.cum_qty),
            "cumQuote": money_text(self.cum_quote),
            "timeInForce": self.time_in_force,
            "type": self.order_type,
            "origType": self.order_type,
            "reduceOnly": self.reduce_only,
            "closePosition": False,
            "side": self.side_text,
            "positionSide": "BOTH",
            "stopPrice": spec.price_text(0),
            "workingType": "CONTRACT_PRICE",
            "priceProtect": False,
            "priceMatch": "NONE",
            "selfTradePreventionMode": "EXPIRE_MAKER",
            "goodTillDate": self.good_till_ms,
            "time": self.created_ms,
            "updateTime": self.updated_ms,
        }


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution of an order."""

    trade_id: int
    order: Order
    price: int
    qty: int
    maker: bool
    fee: int
    realised: int
    time_ms: int
    burned: int = 0  # in 1e-8 BNB, paid instead of a fee

    @property
    def commission(self) -> str:
        """Return what was paid for it."""
        return money_text(self.burned or self.fee)

    @property
    def commission_asset(self) -> str:
        """Return in what it was paid."""
        return "BNB" if self.burned else "USDT"

    def view(self) -> dict[str, object]:
        """Return the fill as a row of userTrades."""
        order, spec = self.order, self.order.spec
        return {
            "symbol": spec.symbol,
            "id": self.trade_id,
            "orderId": order.order_id,
            "clientOrderId": order.client_order_id,
            "side": order.side_text,
            "price": spec.price_text(self.price),
            "qty": spec.qty_text(self.qty),
            "realizedPnl": money_text(self.realised),
            "marginAsset": "USDT",
            "quoteQty": money_text(spec.notional(self.price, self.qty)),
            "commission": self.commission,
            "commissionAsset": self.commission_asset,
            "time": self.time_ms,
            "positionSide": "BOTH",
            "buyer": order.side > 0,
            "maker": self.maker,
        }
