"""Conditional orders: they wait at a desk of their own for a price, and then place an order.

        NEW --price reached--> TRIGGERED --its order accepted--> FINISHED, with the order's id
         |                         `-- refused --> REJECTED, with the reason
         |-- cancelled --> CANCELED
         `-- closePosition without a position --> EXPIRED

A trailing stop is told as NEW twice: when it is accepted, and when its activation price is reached.
The order that is born has the conditional order's client id. Nothing here is in the book, and a
conditional order binds no margin before it triggers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from exchange import userdata
from exchange.account import Account
from exchange.book import BUY
from exchange.errors import ApiError
from exchange.filters import (
    CONDITIONAL_TYPES,
    TIMES_IN_FORCE,
    market_and_side,
    one_way_name,
    required,
)
from exchange.matching import Market
from exchange.symbols import SymbolSpec, format_units, is_whole, parse_units

if TYPE_CHECKING:
    from exchange.venue import Venue

FIRST_ALGO_ID = 2_000_000_001
MAX_ALGO_ORDERS = 200  # of an account, over all symbols
MAX_CALLBACK = 200  # tenths of a per cent
TENTHS = 1_000
HISTORY_CAPACITY = 10_000  # conditional orders remembered per account
TRAILING = "TRAILING_STOP_MARKET"
LIMITED = frozenset({"STOP", "TAKE_PROFIT"})
CLOSING = frozenset({"STOP_MARKET", "TAKE_PROFIT_MARKET"})  # may close the whole position
PRICES = frozenset({"MARK_PRICE", "CONTRACT_PRICE"})
SELF_TRADE_MODES = frozenset({"NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"})


@dataclass(slots=True, eq=False)
class AlgoOrder:
    """One conditional order; prices and quantities in the symbol's units."""

    algo_id: int
    client_id: str
    account: Account
    spec: SymbolSpec
    side: int
    order_type: str
    time_in_force: str
    qty: int  # 0 with close_position
    price: int  # of a limit order; 0 for a market order
    trigger_price: int  # 0 for a trailing stop
    activate_price: int  # 0: active at once
    callback: int  # tenths of a per cent
    working_type: str
    close_position: bool
    reduce_only: bool
    created_ms: int
    updated_ms: int
    self_trade: str = "NONE"
    status: str = "NEW"
    active: bool = True  # a trailing stop that follows the price
    extreme: int = 0  # best price since it is active
    triggered_ms: int = 0
    order_id: int = 0  # of the order that was born
    reason: str = ""

    @property
    def is_open(self) -> bool:
        """Tell whether it may still trigger."""
        return self.status == "NEW"

    def price_of(self, market: Market) -> int:
        """Return the price that this order watches; 0 while there is none."""
        if self.working_type == "MARK_PRICE":
            return market.mark_price()
        return market.last_price or market.mark_price()

    def is_reached(self, price: int) -> bool:
        """Follow a price; tell whether it triggers the order."""
        if self.order_type == TRAILING:
            return self._trail(price)
        beyond = (price - self.trigger_price) * self.side
        return beyond >= 0 if self.order_type.startswith("STOP") else beyond <= 0

    def _trail(self, price: int) -> bool:
        if not self.active:
            self.active = (price - self.activate_price) * self.side <= 0
            if not self.active:
                return False
        best = min if self.side == BUY else max
        self.extreme = best(self.extreme, price) if self.extreme else price
        retreat = (price - self.extreme) * self.side
        return retreat > 0 and retreat * TENTHS >= self.extreme * self.callback

    def order_params(self, held: int) -> dict[str, str]:
        """Return the request of the order that is born, for a position held now."""
        qty = abs(held) if self.close_position else self.qty
        limited = self.order_type in LIMITED
        params = {
            "symbol": self.spec.symbol,
            "side": "BUY" if self.side == BUY else "SELL",
            "type": "LIMIT" if limited else "MARKET",
            "quantity": self.spec.qty_text(qty),
            "newClientOrderId": self.client_id,
            "reduceOnly": str(self.reduce_only or self.close_position).lower(),
        }
        if limited:
            params |= {
                "price": self.spec.price_text(self.price),
                "timeInForce": self.time_in_force,
            }
        return params

    def view(self) -> dict[str, object]:
        """Return the order as REST answers describe it."""
        spec = self.spec
        return {
            "algoId": self.algo_id,
            "clientAlgoId": self.client_id,
            "algoType": "CONDITIONAL",
            "orderType": self.order_type,
            "symbol": spec.symbol,
            "side": "BUY" if self.side == BUY else "SELL",
            "positionSide": "BOTH",
            "timeInForce": self.time_in_force,
            "quantity": spec.qty_text(self.qty),
            "algoStatus": self.status,
            "actualOrderId": str(self.order_id) if self.order_id else "",
            "actualPrice": spec.price_text(0),
            "triggerPrice": spec.price_text(self.trigger_price),
            "price": spec.price_text(self.price),
            "icebergQuantity": None,
            "selfTradePreventionMode": self.self_trade,
            "workingType": self.working_type,
            "priceMatch": "NONE",
            "closePosition": self.close_position,
            "priceProtect": False,
            "reduceOnly": self.reduce_only,
            "activatePrice": spec.price_text(self.activate_price),
            "callbackRate": format_units(self.callback, 1),
            "createTime": self.created_ms,
            "updateTime": self.updated_ms,
            "triggerTime": self.triggered_ms,
            "goodTillDate": 0,
        }


_KEPT = tuple(it.name for it in fields(AlgoOrder) if it.name not in {"account", "spec"})


class AlgoDesk:
    """The conditional orders of all accounts."""

    def __init__(self, venue: Venue) -> None:
        """Start empty."""
        self._venue = venue
        self._last_id = FIRST_ALGO_ID - 1
        self.orders: dict[int, AlgoOrder] = {}

    def place(self, account: Account, params: Mapping[str, str]) -> AlgoOrder:
        """Accept a conditional order.

        Raises:
            ApiError: when it is refused; then nothing has changed.
        """
        order = parse_algo(params, self._venue.markets, account)
        open_orders = self.open_orders(account)
        if any(other.client_id == order.client_id for other in open_orders):
            raise ApiError(-4116)
        if len(open_orders) >= MAX_ALGO_ORDERS:
            raise ApiError(-4045)
        market = self._venue.markets[order.spec.symbol]
        price = order.price_of(market)
        if order.order_type != TRAILING and price and order.is_reached(price):
            raise ApiError(-2021)
        self._last_id += 1
        now_ms = self._venue.clock.now_ms()
        order = replace(order, algo_id=self._last_id, created_ms=now_ms, updated_ms=now_ms)
        order.client_id = order.client_id or f"algo_{self._last_id}"
        self.orders[order.algo_id] = order
        self._forget_oldest(account)
        market.algos.append(order)
        self._tell(order)
        return order

    def find(self, account: Account, params: Mapping[str, str], *, code: int) -> AlgoOrder:
        """Return an order by the venue's id (which wins) or the client's.

        Raises:
            ApiError: -1102 without any id, `code` when there is no such order.
        """
        algo_id, client_id = params.get("algoId", ""), params.get("clientAlgoId", "")
        if not algo_id and not client_id:
            raise ApiError(-1102, "Either 'algoId' or 'clientAlgoId' must be sent.")
        if algo_id:
            found = self.orders.get(int(algo_id)) if is_whole(algo_id) else None
            chosen = [found] if found is not None and found.account is account else []
        else:
            chosen = [o for o in self.of(account) if o.client_id == client_id]
        if not chosen:
            raise ApiError(code)
        return chosen[-1]

    def of(self, account: Account, symbol: str | None = None) -> list[AlgoOrder]:
        """Return an account's conditional orders, of one symbol or of all, oldest first."""
        return [
            order
            for order in self.orders.values()
            if order.account is account and (symbol is None or order.spec.symbol == symbol)
        ]

    def open_orders(self, account: Account, symbol: str | None = None) -> list[AlgoOrder]:
        """Return those that may still trigger."""
        return [order for order in self.of(account, symbol) if order.is_open]

    def cancel(self, account: Account, params: Mapping[str, str]) -> AlgoOrder:
        """Cancel one conditional order.

        Raises:
            ApiError: -2011 when it is not open.
        """
        order = self.find(account, params, code=-2011)
        if not order.is_open:
            raise ApiError(-2011)
        self._close(order, "CANCELED")
        return order

    def cancel_all(self, account: Account, symbol: str | None = None) -> None:
        """Cancel the open ones of an account, of one symbol or of all."""
        for order in self.open_orders(account, symbol):
            self._close(order, "CANCELED")

    def watch(self, market: Market) -> None:
        """Let the prices of a market trigger what waits for them."""
        for order in list(market.algos):
            price = order.price_of(market)
            was_active = order.active
            if price and order.is_reached(price):
                self._trigger(market, order)
            elif order.active and not was_active:
                self._tell(order)

    def rows(self, account: Account) -> list[dict[str, object]]:
        """Return an account's conditional orders as a ledger file keeps them."""
        return [
            {"symbol": order.spec.symbol, **{name: getattr(order, name) for name in _KEPT}}
            for order in self.of(account)
        ]

    def restore(self, account: Account, rows: list[dict[str, Any]]) -> None:
        """Take them back; those that are open wait again."""
        for row in rows:
            market = self._venue.markets[row.pop("symbol")]
            order = AlgoOrder(account=account, spec=market.spec, **row)
            self.orders[order.algo_id] = order
            self._last_id = max(self._last_id, order.algo_id)
            if order.is_open:
                market.algos.append(order)

    def _trigger(self, market: Market, order: AlgoOrder) -> None:
        venue = self._venue
        order.triggered_ms = venue.clock.now_ms()
        held = order.account.position(market.spec).qty
        if order.close_position and held * order.side >= 0:
            self._close(order, "EXPIRED")
            return
        self._close(order, "TRIGGERED")
        try:
            order.order_id = venue.place(order.account, order.order_params(held)).order_id
        except ApiError as refusal:
            order.reason = refusal.message
            order.status = "REJECTED"
        else:
            order.status = "FINISHED"
        self._tell(order)

    def _close(self, order: AlgoOrder, status: str) -> None:
        order.status = status
        order.updated_ms = self._venue.clock.now_ms()
        self._venue.markets[order.spec.symbol].algos.remove(order)
        self._tell(order)

    def _tell(self, order: AlgoOrder) -> None:
        event = userdata.algo_event(order, self._venue.clock.now_ms())
        self._venue.outbox.append((order.account, event))

    def _forget_oldest(self, account: Account) -> None:
        mine = self.of(account)
        if len(mine) > HISTORY_CAPACITY:
            oldest = next((order for order in mine if not order.is_open), None)
            if oldest is not None:
                del self.orders[oldest.algo_id]


def parse_algo(
    params: Mapping[str, str], markets: Mapping[str, Market], account: Account
) -> AlgoOrder:
    """Return the conditional order a request describes, without its id.

    Raises:
        ApiError: for missing, malformed or contradicting parameters.
    """
    if required(params, "algoType") != "CONDITIONAL":
        raise ApiError(-1102, "Parameter 'algoType' is malformed.")
    market, side = market_and_side(params, markets)
    kind = _kind_of(params)
    client_id = one_way_name(params, "clientAlgoId")
    working_type = params.get("workingType", "CONTRACT_PRICE")
    if working_type not in PRICES:
        raise ApiError(-1102, "Parameter 'workingType' is malformed.")
    closes = _is_closing(params, kind)
    spec = market.spec
    is_trailing, is_limited = kind == TRAILING, kind in LIMITED
    order = AlgoOrder(
        algo_id=0,
        client_id=client_id,
        account=account,
        spec=spec,
        side=side,
        order_type=kind,
        time_in_force=params.get("timeInForce", "GTC"),
        qty=0 if closes else parse_units(required(params, "quantity"), spec.qty_decimals),
        price=_price(params, "price", spec) if is_limited else 0,
        trigger_price=0 if is_trailing else _price(params, "triggerPrice", spec),
        activate_price=_price(params, "activatePrice", spec) if "activatePrice" in params else 0,
        callback=_callback(params) if is_trailing else 0,
        working_type=working_type,
        close_position=closes,
        reduce_only=_is_true(params, "reduceOnly"),
        created_ms=0,
        updated_ms=0,
        self_trade=params.get("selfTradePreventionMode", "NONE"),
        active=not (is_trailing and params.get("activatePrice")),
    )
    _check(order)
    return order


def _kind_of(params: Mapping[str, str]) -> str:
    kind = required(params, "type")
    if kind not in CONDITIONAL_TYPES:
        raise ApiError(-1116)
    return kind


def _is_closing(params: Mapping[str, str], kind: str) -> bool:
    closes = _is_true(params, "closePosition")
    if closes and (kind not in CLOSING or params.get("quantity") or params.get("reduceOnly")):
        raise ApiError(-4136)
    return closes


def _check(order: AlgoOrder) -> None:
    spec = order.spec
    if order.self_trade not in SELF_TRADE_MODES:
        raise ApiError(-1102, "Parameter 'selfTradePreventionMode' is malformed.")
    if order.time_in_force not in TIMES_IN_FORCE - {"GTD"}:
        raise ApiError(-1115)
    if not order.close_position and order.qty < spec.min_qty:
        raise ApiError(-4003 if order.qty <= 0 else -4004)
    if order.qty % spec.step:
        raise ApiError(-4023)


def _is_true(params: Mapping[str, str], name: str) -> bool:
    return params.get(name, "false").lower() == "true"


def _price(params: Mapping[str, str], name: str, spec: SymbolSpec) -> int:
    price = parse_units(required(params, name), spec.price_decimals)
    if price <= 0:
        raise ApiError(-4001)
    if price % spec.tick:
        raise ApiError(-4014)
    return price


def _callback(params: Mapping[str, str]) -> int:
    callback = parse_units(required(params, "callbackRate"), 1)
    if not 1 <= callback <= MAX_CALLBACK:
        raise ApiError(-2007)
    return callback
