"""One client's money: wallet, positions, orders, fills and income, in exact integers.

INVARIANT: wallet == deposit + adjustments + sum(realised) - sum(fees), to the last 1e-8 USDT, and
each position equals the signed sum of its fills plus adjustments made by hand.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from exchange.orders import Fill, Order
from exchange.symbols import SymbolSpec, format_units, money_text

MAKER_FEE_PPM = 200  # 0.02 per cent of the notional
TAKER_FEE_PPM = 500  # 0.05 per cent
DEFAULT_LEVERAGE = 20
MAX_LEVERAGE = 125
BNB_PRICE = 600  # USDT, of fees only
BNB_DISCOUNT_PERCENT = 10
HISTORY_CAPACITY = 200_000  # orders, fills and income rows kept per account


def fee_of(notional: int, *, maker: bool) -> int:
    """Return the fee on a notional in 1e-8 USDT, rounded half up."""
    rate_ppm = MAKER_FEE_PPM if maker else TAKER_FEE_PPM
    return (notional * rate_ppm + 500_000) // 1_000_000


def burned_for(fee: int) -> int:
    """Return what is paid in BNB instead of a fee, in 1e-8 BNB, rounded up."""
    return -(-fee * (100 - BNB_DISCOUNT_PERCENT) // (100 * BNB_PRICE))


@dataclass(slots=True)
class Position:
    """A signed quantity with its exact cost: the signed sum of price times quantity."""

    spec: SymbolSpec
    qty: int = 0
    cost: int = 0  # 1e-8 USDT, same sign as qty
    realised: int = 0
    fees: int = 0
    updated_ms: int = 0

    def apply(self, side: int, price: int, qty: int) -> int:
        """Book one fill and return what it realised.

        Closing part of a position releases its share of the cost, rounded towards zero; closing
        all of it releases the rest, so that a round trip realises exactly its cash flow.
        """
        spec = self.spec
        closing = min(qty, abs(self.qty)) if self.qty * side < 0 else 0
        realised = 0
        if closing:
            sign = 1 if self.qty > 0 else -1
            share = sign * (abs(self.cost) * closing // abs(self.qty))
            realised = sign * spec.notional(price, closing) - share
            self.cost -= share
            self.qty -= sign * closing
        opening = qty - closing
        self.qty += side * opening
        self.cost += side * spec.notional(price, opening)
        self.realised += realised
        return realised

    def entry_price_text(self) -> str:
        """Return the average entry price with eight decimals, rounded half up."""
        if self.qty == 0:
            return self.spec.price_text(0)
        scale: int = 10**self.spec.qty_decimals
        cost, qty = abs(self.cost), abs(self.qty)
        return format_units((2 * cost * scale + qty) // (2 * qty), 8)

    def unrealised(self, mark_price: int) -> int:
        """Return the open profit at a price."""
        return self.qty * mark_price * self.spec.money_factor - self.cost


@dataclass(slots=True)
class Account:
    """Everything the venue keeps for one API key."""

    key: str
    secret: str
    deposit: int
    wallet: int = 0
    adjustments: int = 0
    positions: dict[str, Position] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    open_orders: dict[int, Order] = field(default_factory=dict)
    open_by_client_id: dict[str, Order] = field(default_factory=dict)
    last_by_client_id: dict[str, Order] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    income: list[dict[str, object]] = field(default_factory=list)
    by_hand: list[tuple[str, int, int, int]] = field(default_factory=list)  # symbol .. time_ms
    leverage: dict[str, int] = field(default_factory=dict)
    margin_type: dict[str, str] = field(default_factory=dict)
    fee_burn: bool = False  # fees are paid in BNB
    listen_key: str = ""
    listen_key_expires_s: float = 0.0
    countdown_due_s: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Credit the deposit."""
        self.wallet = self.deposit

    def position(self, spec: SymbolSpec) -> Position:
        """Return the position of a symbol, creating a flat one."""
        position = self.positions.get(spec.symbol)
        if position is None:
            position = self.positions[spec.symbol] = Position(spec)
        return position

    def add_order(self, order: Order) -> None:
        """Register an accepted order as open."""
        self.orders[order.order_id] = order
        self.open_orders[order.order_id] = order
        self.open_by_client_id[order.client_order_id] = order
        self.last_by_client_id[order.client_order_id] = order
        if len(self.orders) > HISTORY_CAPACITY:
            self._forget_oldest_closed()

    def _forget_oldest_closed(self) -> None:
        oldest = next(order for order in self.orders.values() if not order.is_open)
        del self.orders[oldest.order_id]
        if self.last_by_client_id.get(oldest.client_order_id) is oldest:
            del self.last_by_client_id[oldest.client_order_id]

    def close_order(self, order: Order) -> None:
        """Take an order that reached a terminal status off the open ones."""
        assert not order.is_open, order.status
        self.open_orders.pop(order.order_id, None)
        if self.open_by_client_id.get(order.client_order_id) is order:
            del self.open_by_client_id[order.client_order_id]

    def book_fill(
        self, order: Order, price: int, qty: int, *, maker: bool, trade_id: int, time_ms: int
    ) -> Fill:
        """Change order, position, wallet and income by one execution."""
        assert 0 < qty <= order.leaves_qty, (qty, order.leaves_qty)
        notional = order.spec.notional(price, qty)
        fee = fee_of(notional, maker=maker)
        burned = burned_for(fee) if self.fee_burn else 0
        fee = 0 if burned else fee
        position = self.position(order.spec)
        realised = position.apply(order.side, price, qty)
        position.fees += fee
        position.updated_ms = time_ms
        self.wallet += realised - fee
        order.cum_qty += qty
        order.cum_quote += notional
        order.updated_ms = time_ms
        fill = Fill(trade_id, order, price, qty, maker, fee, realised, time_ms, burned)
        self.fills.append(fill)
        self._add_income(fill, "COMMISSION", -(burned or fee), fill.commission_asset)
        if realised:
            self._add_income(fill, "REALIZED_PNL", realised)
        if len(self.fills) > HISTORY_CAPACITY:
            del self.fills[: HISTORY_CAPACITY // 10]
            del self.income[: HISTORY_CAPACITY // 10]
        return fill

    def _add_income(self, fill: Fill, kind: str, amount: int, asset: str = "USDT") -> None:
        self.income.append(
            {
                "symbol": fill.order.spec.symbol,
                "incomeType": kind,
                "income": money_text(amount),
                "asset": asset,
                "info": str(fill.trade_id),
                "time": fill.time_ms,
                "tranId": fill.trade_id * 2 + (kind == "REALIZED_PNL"),
                "tradeId": str(fill.trade_id),
            }
        )

    def credit(
        self, kind: str, amount: int, *, number: int, time_ms: int, symbol: str = ""
    ) -> None:
        """Change the wallet by something that is no fill: TRANSFER, FUNDING_FEE.

        `number` is a trade id that no fill has.
        """
        self.wallet += amount
        self.adjustments += amount
        self.income.append(
            {
                "symbol": symbol,
                "incomeType": kind,
                "income": money_text(amount),
                "asset": "USDT",
                "info": kind,
                "time": time_ms,
                "tranId": number * 2,
                "tradeId": "",
            }
        )

    def leverage_of(self, symbol: str) -> int:
        """Return the leverage set for a symbol."""
        return self.leverage.get(symbol, DEFAULT_LEVERAGE)
