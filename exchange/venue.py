"""The venue without its network: markets, accounts, and what happens to an order.

Every change puts its user-data events into `outbox`; whoever called decides when they leave, so
that a REST answer can go out before or after them. This module never touches a socket.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from exchange import userdata
from exchange.account import Account
from exchange.algo import AlgoDesk
from exchange.clock import VirtualClock
from exchange.errors import ApiError
from exchange.filters import (
    GTD_LEAST_MS,
    OrderRequest,
    check_account,
    check_filters,
    order_margin,
    parse_amendment,
    parse_order,
)
from exchange.listing import TRADING, USD_M, Listing
from exchange.matching import Market
from exchange.orders import CANCELED, EXPIRED, FILLED, PARTIALLY_FILLED, Order
from exchange.symbols import SymbolSpec, is_whole

RESTING = frozenset({"GTC", "GTX", "GTD"})
MAX_AMENDMENTS = 10_000  # of one order
FIRST_ORDER_ID = 8_000_000_001
FIRST_TRADE_ID = 900_000_001


class Venue:
    """All markets and accounts of the exchange under one clock."""

    def __init__(self, clock: VirtualClock, default_deposit: int) -> None:
        """Start without markets and accounts."""
        self.clock = clock
        self.default_deposit = default_deposit
        self.markets: dict[str, Market] = {}
        self.variants: list[Listing] = []  # symbols that are listed and trade nothing here
        self.accounts: dict[str, Account] = {}
        self.outbox: list[tuple[Account, userdata.Event]] = []
        self.found_qty: Callable[[int], int] = int  # of a quantity that wants to be taken
        self.algo_desk = AlgoDesk(self)
        self.last_order_id = FIRST_ORDER_ID - 1
        self.last_trade_id = FIRST_TRADE_ID - 1

    def add_market(self, spec: SymbolSpec) -> Market:
        """List a symbol; its index is the order of listing."""
        market = Market(spec, len(self.markets))
        self.markets[spec.symbol] = market
        return market

    def list_variants(self, listings: list[Listing]) -> None:
        """List symbols that trade nothing here, unless a market has the name."""
        self.variants = [one for one in listings if one.spec.symbol not in self.markets]
        for market in self.markets.values():
            market.listing.family = USD_M

    def add_account(self, key: str, secret: str, deposit: int | None = None) -> Account:
        """Open an account for an API key."""
        amount = self.default_deposit if deposit is None else deposit
        account = self.accounts[key] = Account(key, secret, amount)
        return account

    def market(self, symbol: str) -> Market:
        """Return a listed market.

        Raises:
            ApiError: -1121 for a symbol that is not listed.
        """
        market = self.markets.get(symbol)
        if market is None:
            raise ApiError(-1121)
        return market

    # Orders ---------------------------------------------------------------------------------

    def place(self, account: Account, params: Mapping[str, str], *, dry_run: bool = False) -> Order:
        """Accept an order and match what can be matched now.

        Raises:
            ApiError: when it is refused; then nothing has changed.
        """
        request = parse_order(params, self.markets)
        if request.market.listing.status != TRADING:
            raise ApiError(-4108)
        check_filters(request)
        check_account(request, account, self.available_margin(account))
        market = request.market
        limit_price = request.price
        if request.time_in_force == "GTX" and market.would_take(request.side, limit_price):
            raise ApiError(-5022)
        if request.time_in_force == "FOK":
            reachable = sum(qty for _, qty in market.takeable(request.side, limit_price))
            if reachable < request.qty:
                raise ApiError(-5021)
        if request.good_till_ms and request.good_till_ms < self.clock.now_ms() + GTD_LEAST_MS:
            raise ApiError(-1102, "Parameter 'goodTillDate' is less than 600 s ahead.")
        order = self._build_order(account, request)
        if dry_run:
            return order
        account.add_order(order)
        self._tell(account, userdata.order_event(order, "NEW", order.created_ms))
        self._match(market, order)
        return order

    def _match(self, market: Market, order: Order) -> None:
        """Let an order take what it reaches, then rest or expire."""
        found = self.found_qty(order.leaves_qty)
        for price, qty in market.take(order.side, order.price, found):
            self._fill(market, order, price, qty, maker=False)
            if not order.is_open:
                break
        if order.is_open:
            if order.order_type == "LIMIT" and order.time_in_force in RESTING:
                market.rest(order)
            else:
                self._close(order, EXPIRED)

    def _build_order(self, account: Account, request: OrderRequest) -> Order:
        now_ms = self.clock.now_ms()
        self.last_order_id += 1
        return Order(
            order_id=self.last_order_id,
            client_order_id=request.client_order_id or f"web_{self.last_order_id}",
            spec=request.market.spec,
            side=request.side,
            order_type=request.order_type,
            time_in_force=request.time_in_force,
            price=request.price,
            qty=request.qty,
            reduce_only=request.reduce_only,
            created_ms=now_ms,
            updated_ms=now_ms,
            account_key=account.key,
            good_till_ms=request.good_till_ms,
        )

    def amend(self, account: Account, params: Mapping[str, str]) -> Order:
        """Change price and quantity of an open limit order; its place in the queue is lost.

        The order ends when nothing would be left of it, or when it must not take and would.

        Raises:
            ApiError: when it is refused; then nothing has changed.
        """
        order = self.find_order(account, params, code=-2013)
        if not order.is_open:
            raise ApiError(-2013)
        if order.order_type != "LIMIT":
            raise ApiError(-5025)
        if order.amendments >= MAX_AMENDMENTS:
            raise ApiError(-5026)
        request = parse_amendment(params, self.markets, order)
        if (request.price, request.qty) == (order.price, order.qty):
            raise ApiError(-5027)
        check_filters(request)
        market = request.market
        if not order.reduce_only:
            bound = order_margin(account, market, order.side, order.price, order.leaves_qty)
            open_qty = max(0, request.qty - order.cum_qty)
            wanted = order_margin(account, market, order.side, request.price, open_qty)
            if wanted > self.available_margin(account) + bound:
                raise ApiError(-2019)
        market.remove(order)
        order.price, order.qty = request.price, max(request.qty, order.cum_qty)
        order.amendments += 1
        order.updated_ms = self.clock.now_ms()
        crosses = order.time_in_force == "GTX" and market.would_take(order.side, order.price)
        if order.leaves_qty == 0 or crosses:
            self._close(order, CANCELED)
            return order
        self._tell(account, userdata.order_event(order, "AMENDMENT", order.updated_ms))
        self._match(market, order)
        return order

    def expire_due(self) -> None:
        """End the orders whose good-till date has come."""
        now_ms = self.clock.now_ms()
        for account in self.accounts.values():
            due = [o for o in account.open_orders.values() if 0 < o.good_till_ms <= now_ms]
            for order in due:
                self._close(order, EXPIRED)

    def find_order(self, account: Account, params: Mapping[str, str], *, code: int) -> Order:
        """Return an order by venue id (which wins) or client id.

        Raises:
            ApiError: -1102 without any id, `code` when there is no such order.
        """
        order_id = params.get("orderId", "")
        client_order_id = params.get("origClientOrderId", "")
        if not order_id and not client_order_id:
            raise ApiError(-1102, "Either 'origClientOrderId' or 'orderId' must be sent.")
        order: Order | None = None
        if order_id:
            order = account.orders.get(int(order_id)) if is_whole(order_id) else None
        else:
            order = account.open_by_client_id.get(client_order_id) or account.last_by_client_id.get(
                client_order_id
            )
        if order is None or order.spec.symbol != params.get("symbol"):
            raise ApiError(code)
        return order

    def cancel(self, account: Account, params: Mapping[str, str]) -> Order:
        """Cancel one open order.

        Raises:
            ApiError: -2011 when it is not open.
        """
        order = self.find_order(account, params, code=-2011)
        if not order.is_open:
            raise ApiError(-2011)
        self._close(order, CANCELED)
        return order

    def cancel_all(self, account: Account, symbol: str | None = None) -> list[Order]:
        """Cancel every open order of an account, of one symbol or of all."""
        chosen = [
            order
            for order in account.open_orders.values()
            if symbol is None or order.spec.symbol == symbol
        ]
        for order in chosen:
            self._close(order, CANCELED)
        return chosen

    def _close(self, order: Order, status: str) -> None:
        account = self.accounts[order.account_key]
        self.markets[order.spec.symbol].remove(order)
        order.status = status
        order.updated_ms = self.clock.now_ms()
        account.close_order(order)
        self._tell(account, userdata.order_event(order, status, order.updated_ms))

    # Fills ----------------------------------------------------------------------------------

    def public_trade(self, market: Market, price: int, qty: int, aggressor: int) -> None:
        """Let a trade of the tape fill the resting orders it reaches."""
        for order, filled_qty in market.on_trade(price, qty, aggressor):
            self._fill(market, order, order.price, filled_qty, maker=True)

    def _fill(self, market: Market, order: Order, price: int, qty: int, *, maker: bool) -> None:
        account = self.accounts[order.account_key]
        if order.reduce_only:
            held = account.position(order.spec).qty
            qty = min(qty, max(0, -held * order.side))
            if qty == 0:
                self._close(order, EXPIRED)
                return
        now_ms = self.clock.now_ms()
        self.last_trade_id += 1
        fill = account.book_fill(
            order, price, qty, maker=maker, trade_id=self.last_trade_id, time_ms=now_ms
        )
        if order.leaves_qty == 0:
            order.status = FILLED
            account.close_order(order)
            market.remove(order)
        else:
            order.status = PARTIALLY_FILLED
        self._tell(account, userdata.trade_lite_event(fill, now_ms))
        self.tell_account(account, [order.spec.symbol], "ORDER")
        self._tell(account, userdata.order_event(order, "TRADE", now_ms, fill))

    def tell_account(
        self, account: Account, symbols: list[str], reason: str, change: int = 0
    ) -> None:
        """Announce wallet and positions as they are now."""
        positions = [account.positions[symbol] for symbol in symbols]
        marks = {symbol: self.markets[symbol].mark_price() for symbol in symbols}
        now_ms = self.clock.now_ms()
        event = userdata.account_event(account, positions, marks, reason, now_ms, change)
        self._tell(account, event)

    def _tell(self, account: Account, event: userdata.Event) -> None:
        self.outbox.append((account, event))

    # Money ----------------------------------------------------------------------------------

    def unrealised(self, account: Account) -> int:
        """Return the open profit over all positions at mark prices."""
        return sum(
            position.unrealised(self.markets[symbol].mark_price())
            for symbol, position in account.positions.items()
            if position.qty
        )

    def position_margin(self, account: Account, symbol: str) -> int:
        """Return the initial margin one position binds."""
        position = account.positions.get(symbol)
        if position is None or position.qty == 0:
            return 0
        mark = self.markets[symbol].mark_price()
        notional = position.spec.notional(mark, abs(position.qty))
        return -(-notional // account.leverage_of(symbol))

    def open_order_margin(self, account: Account) -> int:
        """Return the margin all open orders bind; reduce-only orders bind none."""
        return sum(
            order_margin(account, self.markets[o.spec.symbol], o.side, o.price, o.leaves_qty)
            for o in account.open_orders.values()
            if not o.reduce_only
        )

    def available_margin(self, account: Account) -> int:
        """Return what is free for further orders."""
        bound = sum(self.position_margin(account, symbol) for symbol in account.positions)
        equity = account.wallet + self.unrealised(account)
        return equity - bound - self.open_order_margin(account)

    def credit(self, account: Account, kind: str, amount: int, symbol: str = "") -> None:
        """Change a wallet by something that is no fill, as an income row of its own."""
        self.last_trade_id += 1
        now_ms = self.clock.now_ms()
        account.credit(kind, amount, number=self.last_trade_id, time_ms=now_ms, symbol=symbol)

    def set_position(self, account: Account, symbol: str, qty: int, price: int) -> None:
        """Change a position by hand, as an outside trade would, without any order.

        The wallet stays; the position jumps to `qty` at the cost of `price`.
        """
        market = self.market(symbol)
        position = account.position(market.spec)
        cost = qty * price * market.spec.money_factor
        position.updated_ms = self.clock.now_ms()
        change = (symbol, qty - position.qty, cost - position.cost, position.updated_ms)
        account.by_hand.append(change)
        position.qty, position.cost = qty, cost
        self.tell_account(account, [symbol], "ADJUSTMENT")
