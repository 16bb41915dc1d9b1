"""Parent orders at work with orders of the real life cycle and a venue of plain Python."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.domain.codes import OrderStatus
from engine.domain.execution.algorithms import Scheduled
from engine.domain.execution.curve import even
from engine.domain.execution.parent import Algorithm, Child, Parent, Place
from engine.domain.execution.work import (
    Account,
    Bounds,
    ChildOrder,
    Market,
    Plan,
    Withdraw,
    Work,
    account,
    advance,
    placed,
    refused,
)
from engine.domain.orders import ORDER_DTYPE, Stimulus, is_settled, merge, reserved_lots

S = 1_000_000_000
START = 10 * S
END = START + 10 * S


def plan_of(algorithm: Algorithm | None = None, **changes: Any) -> Plan:  # noqa: ANN401
    """Return a plan to buy 100 lots in ten seconds; fields of parent or bounds change it."""
    own = {name: changes.pop(name) for name in list(changes) if name in Parent._fields}
    parent = Parent(**({"side": 1, "qty_lots": 100} | own)).checked()
    bounds = Bounds(**({"start_ns": START, "end_ns": END + S, "children_max": 50} | changes))
    return Plan(parent, algorithm or Scheduled(even(START, END)), bounds.checked())


@dataclass
class VenueChild:
    """What is true of a child at the venue, whatever we were told."""

    wanted: Child
    placed_ns: int
    filled_lots: int = 0
    is_open: bool = True
    is_known: bool = False  # the venue said something about it
    is_cancel_asked: bool = False
    untold_fills: list[int] = field(default_factory=list)

    @property
    def worst_lots(self) -> int:
        """Return what it filled and may still fill."""
        return self.wanted.qty_lots if self.is_open else self.filled_lots


class ParentRig:
    """One parent; the clock, the market and the venue are the test's."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.work = Work()
        self.market = Market(999, 1_001, 0)
        self.now_ns = plan.bounds.start_ns
        self.orders = np.zeros(plan.bounds.children_max, ORDER_DTYPE)
        self.children: list[VenueChild] = []
        self.withdrawn: list[int] = []
        self.refusing = False

    def step(self, bid: int | None = None, ask: int | None = None, *, after_ns: int = 0) -> bool:
        """Let time pass, advance, and answer the intent; return whether there was one."""
        self.now_ns += after_ns
        if bid is not None and ask is not None:
            self.market = self.market._replace(bid_ticks=bid, ask_ticks=ask)
        listed = self.listed()
        self.work, intent = advance(self.plan, self.work, listed, self.market, self.now_ns)
        if isinstance(intent, Withdraw):
            assert not self.children[intent.number].is_cancel_asked, "asked once"
            self.children[intent.number].is_cancel_asked = True
            self.withdrawn.append(intent.number)
        elif isinstance(intent, Place) and self.refusing:
            self.work = refused(self.plan, self.work)
        elif isinstance(intent, Place):
            self.place(intent.child)
        return intent is not None

    def place(self, child: Child) -> None:
        order = self.orders[len(self.children) : len(self.children) + 1]
        order["qty_lots"] = child.qty_lots
        order["status"] = OrderStatus.PENDING_NEW
        self.children.append(VenueChild(child, self.now_ns))
        self.work = placed(self.work)

    def listed(self) -> list[ChildOrder]:
        """Return the children as the order store has them."""
        return [self.child_order(number) for number in range(len(self.children))]

    def child_order(self, number: int) -> ChildOrder:
        order, child = self.orders[number], self.children[number]
        found = ChildOrder(
            number=number,
            status=OrderStatus(int(order["status"])),
            qty_lots=int(order["qty_lots"]),
            cum_qty_lots=int(order["cum_qty_lots"]),
            filled_lots=int(order["filled_lots"]),
            price_ticks=child.wanted.price_ticks,
            placed_ns=child.placed_ns,
            is_immediate=child.wanted.is_immediate,
            is_cancel_asked=child.is_cancel_asked,
        )
        assert found.reserved_lots == reserved_lots(self.orders, number), "as the order store says"
        assert found.is_settled == is_settled(self.orders, number)
        return found

    @property
    def known(self) -> Account:
        return account(self.work, self.listed())

    @property
    def committed_lots(self) -> int:
        """Return what we count as filled, in doubt or at work."""
        working = sum(child.reserved_lots for child in self.known.working)
        return self.known.filled_lots + self.known.doubt_lots + working

    @property
    def worst_lots(self) -> int:
        """Return what is filled and may still fill, in truth."""
        return sum(child.worst_lots for child in self.children)

    @property
    def sizes(self) -> list[int]:
        return [child.wanted.qty_lots for child in self.children]

    @property
    def prices(self) -> list[int]:
        return [child.wanted.price_ticks for child in self.children]

    # -- what the venue does, and what it says ---------------------------------------------------

    def say(self, number: int, stimulus: Stimulus, cum: int = 0, fill: int = 0) -> None:
        row = range(len(self.children))[number]
        merge(self.orders, row, int(stimulus), cum, fill, self.now_ns)

    def ack(self, number: int = -1) -> None:
        self.children[number].is_known = True
        self.say(number, Stimulus.VENUE_WORKING)

    def trade_at_venue(self, number: int, lots: int) -> None:
        """Fill a child at the venue; nobody is told yet."""
        child = self.children[number]
        child.filled_lots += lots
        child.untold_fills.append(lots)
        child.is_known = True
        assert child.filled_lots <= child.wanted.qty_lots
        child.is_open &= child.filled_lots < child.wanted.qty_lots
        self.market = self.market._replace(traded_lots=self.market.traded_lots + lots)

    def tell_fill(self, number: int, place: int = 0) -> None:
        lots = self.children[number].untold_fills.pop(place)
        self.say(number, Stimulus.VENUE_PARTIALLY_FILLED, 0, lots)

    def fill(self, lots: int | None = None, number: int = -1) -> None:
        """Fill a child, wholly unless told, and say so."""
        child = self.children[number]
        self.trade_at_venue(number, child.wanted.qty_lots if lots is None else lots)
        self.tell_fill(number)

    def close(self, number: int = -1, stimulus: Stimulus = Stimulus.VENUE_CANCELED) -> None:
        """Close a child at the venue and say so, with what it has filled by then."""
        self.children[number].is_open = False
        self.say(number, stimulus, self.children[number].filled_lots)
