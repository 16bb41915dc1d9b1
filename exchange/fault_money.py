"""What befalls an account without its programs: funding, liquidation, deleveraging, trades by hand.

They are told as the venue tells them: by user-data events, fills with trade ids of their own,
income rows, and client ids that say who acted. The books stay exact: every change has a fill or an
income row behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange import fault_orders as orders
from exchange import userdata
from exchange.account import Account
from exchange.errors import ApiError
from exchange.orders import FILLED, Order
from exchange.symbols import parse_units

if TYPE_CHECKING:
    from exchange.matching import Market
    from exchange.venue import Venue

PPM = 1_000_000
CLIENT_ID = {
    "liquidation": "autoclose-{order_id}",
    "deleveraging": "adl_autoclose",
    "settlement": "settlement_autoclose-{order_id}",
    "manual_trade": "web_{order_id}",
}
# The execution type of the venue's own trades; those by hand are trades like any other.
EXECUTION = {"manual_trade": "TRADE"}
CALCULATED = "CALCULATED"


def pay_funding(venue: Venue, account: Account, order: orders.FundingOrder) -> int:
    """Let every open position of an account pay its rate at mark; return the sum, 1e-8 USDT.

    Cross margin: one event per payment, which names no position.
    """
    total = 0
    for symbol, position in account.positions.items():
        mark = venue.markets[symbol].mark_price()
        notional = position.qty * mark * position.spec.money_factor
        amount = -(notional * order.rate_ppm // PPM)
        if amount:
            venue.credit(account, "FUNDING_FEE", amount, symbol)
            venue.tell_account(account, [], "FUNDING_FEE", amount)
            total += amount
    return total


def force_trades(venue: Venue, account: Account, kind: str, order: orders.ForcedOrder) -> int:
    """Trade on an account as `kind` says, at mark; return how many fills that made.

    Raises:
        ApiError: -1121 for an unknown symbol, -1000 for a quantity without a side or symbol.
    """
    symbols = [order.symbol] if order.symbol else [s for s, p in account.positions.items() if p.qty]
    if order.qty and not (order.symbol and order.side):
        raise ApiError(-1000, f"fault {kind!r}: a quantity needs a symbol and a side")
    fills = 0
    for symbol in symbols:
        market = venue.market(symbol)
        held = account.position(market.spec).qty
        side = {"BUY": 1, "SELL": -1, "": -1 if held > 0 else 1}[order.side]
        qty = parse_units(order.qty, market.spec.qty_decimals) if order.qty else abs(held)
        if qty and market.mark_price() >= market.spec.tick:
            _trade(venue, account, market, kind, side * qty)
            fills += 1
    return fills


def _trade(venue: Venue, account: Account, market: Market, kind: str, signed_qty: int) -> None:
    now_ms = venue.clock.now_ms()
    venue.last_order_id += 1
    venue.last_trade_id += 1
    forced = Order(
        order_id=venue.last_order_id,
        client_order_id=CLIENT_ID[kind].format(order_id=venue.last_order_id),
        spec=market.spec,
        side=1 if signed_qty > 0 else -1,
        order_type="MARKET",
        time_in_force="GTC",
        price=0,
        qty=abs(signed_qty),
        reduce_only=False,
        created_ms=now_ms,
        updated_ms=now_ms,
        account_key=account.key,
    )
    account.add_order(forced)
    fill = account.book_fill(
        forced,
        market.mark_price() // market.spec.tick * market.spec.tick,
        forced.qty,
        maker=False,
        trade_id=venue.last_trade_id,
        time_ms=now_ms,
    )
    forced.status = FILLED
    account.close_order(forced)
    venue.tell_account(account, [market.spec.symbol], "ORDER")
    execution = EXECUTION.get(kind, CALCULATED)
    venue.outbox.append((account, userdata.order_event(forced, execution, now_ms, fill)))
