"""Whatever clients and the tape do, money and quantity are conserved to the last unit.

A state machine drives one venue with two accounts by random orders, cancels and market events and
compares it, after each step, with a second bookkeeping made only from the user events it sent.
"""

from collections import defaultdict
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from exchange.account import Account
from exchange.book import BUY, SELL
from exchange.clock import VirtualClock
from exchange.errors import ApiError
from exchange.orders import OPEN_STATUSES, Order
from exchange.symbols import parse_money, parse_units
from exchange.venue import Venue
from tests.exchange_rig import START_MS, USDT, btc

MID = 60_000_00
OFFSETS = st.integers(-15, 15)
QUANTITIES = st.integers(2, 400)
TERMINAL = frozenset({"FILLED", "CANCELED", "EXPIRED"})


class Exchange(RuleBasedStateMachine):
    """One market, two clients, one tape."""

    def __init__(self) -> None:
        super().__init__()
        self.venue = Venue(VirtualClock(start_ms=START_MS), 1_000_000 * USDT)
        self.market = self.venue.add_market(btc())
        self.accounts = [self.venue.add_account(name, "s") for name in ("a", "b")]
        self.update_id = 100
        self.wallets: dict[str, int] = {}
        self.positions: dict[str, int] = defaultdict(int)
        self.filled: dict[int, int] = defaultdict(int)
        self.status: dict[int, str] = {}
        self.quantity: dict[int, int] = {}
        self.trade_ids: set[int] = set()

    @initialize()
    def give_a_book(self) -> None:
        bids = [(MID - 10 * k, 100 + 37 * k % 211) for k in range(1, 12)]
        asks = [(MID + 10 * k, 100 + 53 * k % 199) for k in range(1, 12)]
        self.market.book.apply_snapshot(self.update_id, bids, asks)

    # What clients do ------------------------------------------------------------------------

    @rule(
        who=st.integers(0, 1),
        side=st.sampled_from(["BUY", "SELL"]),
        offset=OFFSETS,
        qty=QUANTITIES,
        tif=st.sampled_from(["GTC", "IOC", "FOK", "GTX"]),
        reduce_only=st.booleans(),
    )
    def limit(
        self, who: int, side: str, offset: int, qty: int, tif: str, reduce_only: bool
    ) -> None:
        self.place(
            who, side=side, type="LIMIT", timeInForce=tif, quantity=btc().qty_text(qty),
            price=btc().price_text(MID + 10 * offset), reduceOnly=str(reduce_only).lower(),
        )  # fmt: skip

    @rule(who=st.integers(0, 1), side=st.sampled_from(["BUY", "SELL"]), qty=QUANTITIES)
    def at_market(self, who: int, side: str, qty: int) -> None:
        self.place(who, side=side, type="MARKET", quantity=btc().qty_text(qty))

    def place(self, who: int, **params: str) -> None:
        before = self.takeable()
        account = self.accounts[who]
        try:
            order = self.venue.place(account, {"symbol": "BTCUSDT", **params})
        except ApiError:
            assert self.takeable() == before
            assert self.venue.outbox == []
            return
        taken = order.cum_qty
        side = SELL if params["side"] == "BUY" else BUY
        assert before[side] - self.takeable()[side] == taken
        self.check_order(order, params)

    def check_order(self, order: Order, params: dict[str, str]) -> None:
        for fill in self.accounts_fills(order):
            if order.price:
                assert (order.price - fill.price) * order.side >= 0
        if params.get("timeInForce") == "FOK":
            assert order.cum_qty == order.qty or order.reduce_only
        if params.get("timeInForce") == "GTX":
            assert order.cum_qty == 0
        if order.order_type == "MARKET" or order.time_in_force in {"IOC", "FOK"}:
            assert order.status not in OPEN_STATUSES

    def accounts_fills(self, order: Order) -> list[Any]:
        return [f for f in self.venue.accounts[order.account_key].fills if f.order is order]

    @rule(who=st.integers(0, 1), pick=st.integers(0, 30))
    def cancel(self, who: int, pick: int) -> None:
        account = self.accounts[who]
        orders = list(account.orders.values())
        if not orders:
            return
        order = orders[pick % len(orders)]
        named = {"symbol": "BTCUSDT", "orderId": str(order.order_id)}
        if order.is_open:
            assert self.venue.cancel(account, named) is order
            return
        with pytest.raises(ApiError) as refusal:
            self.venue.cancel(account, named)
        assert refusal.value.code == -2011

    # What the tape does ---------------------------------------------------------------------

    @rule(offset=OFFSETS, qty=QUANTITIES, aggressor=st.sampled_from([BUY, SELL]))
    def trade(self, offset: int, qty: int, aggressor: int) -> None:
        filled_before = sum(self.filled_now().values())
        self.venue.public_trade(self.market, MID + 10 * offset, qty, aggressor)
        assert 0 <= sum(self.filled_now().values()) - filled_before <= qty

    @rule(
        bids=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 300)), max_size=4),
        asks=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 300)), max_size=4),
    )
    def diff(self, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> None:
        previous, self.update_id = self.update_id, self.update_id + 10
        self.market.on_diff(
            (
                previous + 1,
                self.update_id,
                previous,
                [(MID - 10 * k, qty) for k, qty in bids],
                [(MID + 10 * k, qty) for k, qty in asks],
            )
        )

    @rule(bid=st.integers(1, 5), ask=st.integers(1, 5), sizes=st.tuples(QUANTITIES, QUANTITIES))
    def quote(self, bid: int, ask: int, sizes: tuple[int, int]) -> None:
        self.market.on_quote(
            (self.update_id + 1, MID - 10 * bid, sizes[0], MID + 10 * ask, sizes[1])
        )

    # What must hold -------------------------------------------------------------------------

    def takeable(self) -> dict[int, int]:
        return {side: sum(q for _, q in self.market.book.available(side)) for side in (BUY, SELL)}

    def filled_now(self) -> dict[int, int]:
        return {f.trade_id: f.qty for account in self.accounts for f in account.fills}

    @invariant()
    def events_tell_the_whole_story(self) -> None:
        for account, event in self.venue.outbox:
            if event["e"] == "ACCOUNT_UPDATE":
                self.read_account(account, event)
            elif event["e"] == "ORDER_TRADE_UPDATE":
                self.read_order(account, event)
        self.venue.outbox.clear()
        for account in self.accounts:
            assert self.wallets.get(account.key, account.deposit) == account.wallet
            held = account.positions.get("BTCUSDT")
            assert self.positions[account.key] == (held.qty if held else 0)
            for order in account.orders.values():
                assert self.status[order.order_id] == order.status
                assert self.filled[order.order_id] == order.cum_qty

    def read_account(self, account: Account, event: dict[str, Any]) -> None:
        self.wallets[account.key] = parse_money(event["a"]["B"][0]["wb"])
        assert event["a"]["P"][0]["s"] == "BTCUSDT"

    def read_order(self, account: Account, event: dict[str, Any]) -> None:
        order = event["o"]
        order_id = order["i"]
        assert self.status.get(order_id) not in TERMINAL
        if order["x"] == "NEW":
            assert order_id not in self.status
            self.quantity[order_id] = parse_units(order["q"], 3)
        if order["x"] == "TRADE":
            assert order["t"] not in self.trade_ids
            self.trade_ids.add(order["t"])
            qty = parse_units(order["l"], 3)
            self.filled[order_id] += qty
            self.positions[account.key] += qty if order["S"] == "BUY" else -qty
        assert parse_units(order["z"], 3) == self.filled[order_id]
        assert self.filled[order_id] <= self.quantity[order_id]
        self.status[order_id] = order["X"]

    @invariant()
    def wallets_are_deposit_plus_realised_minus_fees(self) -> None:
        for account in self.accounts:
            realised = sum(fill.realised for fill in account.fills)
            fees = sum(fill.fee for fill in account.fills)
            assert account.wallet == account.deposit + realised - fees
            income = sum(parse_money(str(row["income"])) for row in account.income)
            assert income == realised - fees

    @invariant()
    def cash_flow_equals_profit_minus_open_cost(self) -> None:
        for account in self.accounts:
            cash = -sum(f.order.side * btc().notional(f.price, f.qty) for f in account.fills)
            position = account.positions.get("BTCUSDT")
            if position is not None:
                assert cash == position.realised - position.cost
                assert (position.qty == 0) <= (position.cost == 0)

    @invariant()
    def open_orders_and_resting_orders_are_the_same(self) -> None:
        resting = {order.order_id for order in self.market.resting}
        opened = {oid for account in self.accounts for oid in account.open_orders}
        assert resting == opened
        assert all(order.leaves_qty > 0 for order in self.market.resting)

    @invariant()
    def nothing_is_taken_twice(self) -> None:
        for side in (BUY, SELL):
            shown = dict(self.market.book.levels(side))
            for price, qty in self.market.book.available(side):
                assert 0 < qty <= shown[price]

    @precondition(lambda self: any(account.open_orders for account in self.accounts))
    @rule()
    def end_of_the_tape(self) -> None:
        for account in self.accounts:
            self.venue.cancel_all(account)
            assert account.open_orders == {}


Exchange.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestExchange = Exchange.TestCase
