"""Requests no real venue has: the ledger, the state, faults, positions changed by hand, the probe.

They need no signature; an account is named by `account` in the query or by the API-key header.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from exchange.account import Account
from exchange.errors import ApiError
from exchange.fault_kinds import kinds_view
from exchange.http1 import Request
from exchange.rest import OPEN, Answer, Api, Call, Route, RouteTable
from exchange.symbols import money_text, parse_money, parse_units

if TYPE_CHECKING:
    from exchange.server import Exchange


class Practice:
    """The practice routes and what they reach beyond the API."""

    def __init__(self, exchange: Exchange) -> None:
        """Keep the assembled exchange."""
        self._exchange = exchange

    def routes(self) -> RouteTable:
        """Return the table of practice requests; all are free of weight."""

        def understood(answer: Answer) -> Answer:
            def guarded(api: Api, call: Call) -> object:
                try:
                    return answer(api, call)
                except (
                    ArithmeticError,
                    AttributeError,
                    LookupError,
                    TypeError,
                    ValueError,
                ) as fault:
                    raise ApiError(-1000, f"not understood: {fault!r}") from fault

            return guarded

        rows = (
            ("GET", "/practice/ledger", self.ledger),
            ("GET", "/practice/state", self.state),
            ("GET", "/practice/sent", self.sent),
            ("POST", "/practice/position", self.position),
            ("POST", "/practice/deposit", self.deposit),
            ("POST", "/practice/tick", self.tick),
            ("POST", "/practice/fault", self.fault),
            ("GET", "/practice/faults", self.faults),
            ("GET", "/practice/kinds", self.kinds),
            ("GET", "/practice/connections", self.connections),
            ("POST", "/practice/play", self.play),
            ("POST", "/practice/end", self.end),
            ("POST", "/practice/probe", self.arm_probe),
            ("GET", "/practice/probe", self.probe_results),
        )
        return {(method, path): Route(OPEN, 0, understood(answer)) for method, path, answer in rows}

    def ledger(self, api: Api, call: Call) -> object:
        """Answer every order, fill, position and balance of an account, all numbers exact."""
        return ledger_of(api, _named_account(api, call.request))

    def state(self, _api: Api, _call: Call) -> object:
        """Answer where the tape is and how the exchange fares."""
        return self._exchange.state()

    def sent(self, _api: Api, _call: Call) -> object:
        """Answer the client ids of new orders in the order they came, whatever became of them.

        `untimely` are those of them that were refused for their time stamp: certainly not executed.
        """
        exchange = self._exchange
        return {
            "clientOrderIds": list(exchange.sent_ids),
            "untimely": list(exchange.untimely_ids),
        }

    def position(self, api: Api, call: Call) -> object:
        """Change a position by hand, as an outside trade would."""
        order = _json(call.request)
        account = _named_account(api, call.request, order)
        market = api.venue.market(str(order.get("symbol", "")))
        text = str(order.get("positionAmt", "0"))
        sign = -1 if text.startswith("-") else 1
        qty = sign * parse_units(text.removeprefix("-"), market.spec.qty_decimals)
        price = market.mark_price()
        if "entryPrice" in order:
            price = parse_units(str(order["entryPrice"]), market.spec.price_decimals)
        api.venue.set_position(account, market.spec.symbol, qty, price)
        return {"symbol": market.spec.symbol, "positionAmt": market.spec.qty_text(qty)}

    def deposit(self, api: Api, call: Call) -> object:
        """Change a wallet by hand: a deposit, or a withdrawal when negative."""
        order = _json(call.request)
        account = _named_account(api, call.request, order)
        amount = parse_money(str(order.get("amount", "0")))
        api.venue.credit(account, "TRANSFER", amount)
        reason = "DEPOSIT" if amount >= 0 else "WITHDRAW"
        api.venue.tell_account(account, [], reason, amount)
        return {"walletBalance": money_text(account.wallet)}

    def tick(self, api: Api, call: Call) -> object:
        """Print somebody else's trade on the market: resting orders, bars and streams see it."""
        order = _json(call.request)
        market = api.venue.market(str(order.get("symbol", "")))
        spec, side = market.spec, order.get("side")
        price = parse_units(str(order.get("price", "")), spec.price_decimals)
        qty = parse_units(str(order.get("quantity", "")), spec.qty_decimals)
        if price <= 0 or price % spec.tick or qty <= 0 or qty % spec.step:
            raise ApiError(-1000, "price and quantity are whole ticks and steps above zero")
        if side not in {"BUY", "SELL"}:
            raise ApiError(-1000, "side is BUY or SELL")
        player = self._exchange.player
        return {"time": player.print_trade(market, price, qty, is_sell=side == "SELL")}

    def fault(self, _api: Api, call: Call) -> object:
        """Arm or carry out a fault."""
        return self._exchange.faults.command(_json(call.request), _key_of(call.request))

    def faults(self, _api: Api, _call: Call) -> object:
        """Answer which faults are armed, and which are over."""
        return self._exchange.faults.register.view()

    def kinds(self, _api: Api, _call: Call) -> object:
        """Answer which faults there are, and the words each understands."""
        return kinds_view()

    def connections(self, _api: Api, _call: Call) -> object:
        """Answer who is connected, with the numbers faults name them by."""
        return self._exchange.faults.connections.view()

    def play(self, _api: Api, _call: Call) -> object:
        """Start the market without waiting for a subscriber."""
        self._exchange.player.start()
        return {"playing": True}

    def end(self, _api: Api, _call: Call) -> object:
        """End the market for good; the venue goes on answering."""
        self._exchange.player.stop()
        return {"playing": False}

    def arm_probe(self, _api: Api, call: Call) -> object:
        """Start a series of trigger frames."""
        return self._exchange.probe.arm(_json(call.request))

    def probe_results(self, _api: Api, call: Call) -> object:
        """Answer the intervals measured so far."""
        return self._exchange.probe.results(clear=call.params.get("clear") == "true")


def _json(request: Request) -> dict[str, Any]:
    try:
        order = orjson.loads(request.body or b"{}")
    except orjson.JSONDecodeError as fault:
        raise ApiError(-1000, "the body is not JSON") from fault
    if not isinstance(order, dict):
        raise ApiError(-1000, "the body is not a JSON object")
    return order


def _key_of(request: Request) -> str:
    return request.params.get("account") or request.headers.get("x-mbx-apikey", "")


def _named_account(api: Api, request: Request, order: dict[str, Any] | None = None) -> Account:
    key = str((order or {}).get("account") or _key_of(request))
    account = api.venue.accounts.get(key)
    if account is None:
        raise ApiError(-2015, f"no account {key!r}")
    return account


def ledger_of(api: Api, account: Account) -> dict[str, object]:
    """Return the whole ledger of an account."""
    return {
        "account": account.key,
        "serverTime": api.venue.clock.now_ms(),
        "orders": [order.view() for order in account.orders.values()],
        "algoOrders": [order.view() for order in api.venue.algo_desk.of(account)],
        "trades": [fill.view() for fill in account.fills],
        "positions": [
            {
                "symbol": symbol,
                "positionAmt": position.spec.qty_text(position.qty),
                "entryPrice": position.entry_price_text(),
                "cost": money_text(position.cost),
                "realizedPnl": money_text(position.realised),
                "commission": money_text(position.fees),
                "updateTime": position.updated_ms,
            }
            for symbol, position in account.positions.items()
        ],
        "balances": [
            {
                "asset": "USDT",
                "walletBalance": money_text(account.wallet),
                "deposit": money_text(account.deposit),
                "adjustments": money_text(account.adjustments),
                "unrealizedProfit": money_text(api.venue.unrealised(account)),
                "availableBalance": money_text(api.venue.available_margin(account)),
            }
        ],
        "income": account.income,
        "byHand": [
            {
                "symbol": symbol,
                "qty": api.venue.markets[symbol].spec.qty_text(qty),
                "cost": money_text(cost),
                "time": time_ms,
            }
            for symbol, qty, cost, time_ms in account.by_hand
        ],
    }
