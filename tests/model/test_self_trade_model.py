"""A venue that crosses anything: whatever strategies want, no two orders of ours ever trade.

Orders of both strategies arrive in any order among those in flight, as over several connections;
the venue matches an arriving order against every resting one of ours that it reaches, as an
ordinary book would. Entries and what rests never meet one. An exit that only takes may, for it
goes at once: what it meets was asked to leave, and is what the venue drops by EXPIRE_MAKER.
"""

import random
from dataclasses import dataclass

import pytest

from engine.domain.codes import EVENT_ENTRY, EVENT_POST_ONLY, EventType, OrderStatus, OrderType
from engine.domain.codes import TimeInForce as Tif
from tests.desk_rig import DeskRig, of_type

T = EventType
MIDDLE, WIDE, OFFERED = 620_000, 12, 40


@dataclass
class Told:
    """An order as the venue was told it."""

    number: int
    side: int
    price: int  # 0: MARKET
    waits: bool
    is_quote: bool
    is_entry: bool


class OneBook:
    """One instrument where an order arrives when chance says."""

    def __init__(self, seed: int) -> None:
        self.moods = random.Random(seed)
        self.rig = DeskRig(instruments=1)
        self.rig.connect()
        self.flying: list[Told] = []
        self.resting: list[Told] = []
        self.met = self.refused = self.trades = 0
        self.bid, self.ask = MIDDLE, MIDDLE + 1
        self.show()

    def show(self) -> None:
        """Quote a touch that moves only while nothing flies: a race with it is the venue's."""
        if not self.flying:
            self.bid = MIDDLE + self.moods.randint(-4, 4)
            self.ask = self.bid + self.moods.choice((1, 2))
        self.rig.quote(0, self.bid, self.ask)
        self.rig.desk.hot["bid_qty_lots"] = self.rig.desk.hot["ask_qty_lots"] = OFFERED

    def want(self) -> None:
        """Let a strategy want something."""
        side, s = self.moods.choice((1, -1)), self.moods.randrange(2)
        kind = self.moods.choice(("market", "ioc", "quote", "limit"))
        near = self.moods.randint(-WIDE, WIDE)
        told = {
            "market": {},
            "ioc": {"price": MIDDLE + near, "tif": Tif.IOC},
            "limit": {"price": MIDDLE + near},
            # A quote does not cross the market: the venue would refuse it.
            "quote": {
                "price": (self.bid - abs(near)) if side > 0 else (self.ask + abs(near)),
                "flags": EVENT_POST_ONLY,
            },
        }[kind]
        lots = self.rig.lots(s=s)
        leaves = lots * side < 0 and self.moods.random() < 0.5
        events = self.rig.propose(
            side, self.moods.randint(1, OFFERED), s=s, entry=not leaves, **told
        )
        self.refused += int((events["event_type"] == T.RISK_REFUSAL).sum())
        self.send(events)

    def send(self, events: object) -> None:
        """Have what was asked for on its way."""
        for row in of_type(events, T.ORDER_REQUEST):  # type: ignore[arg-type]  # an array
            is_limit = row["order_type"] == OrderType.LIMIT
            self.flying.append(
                Told(
                    int(row["order_sequence"]),
                    int(row["side"]),
                    int(row["price_ticks"]) if is_limit else 0,
                    bool(is_limit and row["time_in_force"] == Tif.GTC),
                    bool(row["flags"] & EVENT_POST_ONLY),
                    bool(row["flags"] & EVENT_ENTRY),
                )
            )

    def reaches(self, order: Told, price: int) -> bool:
        """Return whether an arriving order trades at a price of the other side."""
        touch = self.ask if order.side > 0 else self.bid
        return ((order.price or touch) - price) * order.side >= 0

    def arrive(self) -> None:
        """Let one of those on their way arrive."""
        if not self.flying:
            return
        order = self.flying.pop(self.moods.randrange(len(self.flying)))
        crossed = [r for r in self.resting if r.side != order.side and self.reaches(order, r.price)]
        if crossed and not order.is_quote:
            assert not order.is_entry, f"{order} met {crossed}"
            assert not order.waits, f"{order} met {crossed}"
            self.met += 1
            for other in crossed:
                assert self.rig.row(other.number)["cancel_wanted"] != 0, "it was asked to leave"
                self.end(other, OrderStatus.EXPIRED)
        if order.waits and not (order.is_quote and crossed):
            self.resting.append(order)
            self.rig.update(order.number, OrderStatus.NEW)
        elif self.moods.random() < 0.5 or order.is_quote:
            self.rig.update(order.number, OrderStatus.EXPIRED)
        else:
            self.fill(order)

    def fill(self, order: Told) -> None:
        """Fill an order whole, by others."""
        self.trades += 1
        qty = int(self.rig.row(order.number)["qty_lots"])
        price = order.price or (self.ask if order.side > 0 else self.bid)
        self.rig.fill(
            order.number, self.trades, qty, price, side=order.side, order_status=4, cum_qty_lots=qty
        )

    def end(self, order: Told, status: OrderStatus) -> None:
        """End a resting order."""
        self.resting.remove(order)
        self.rig.update(order.number, status)

    def pass_by(self) -> None:
        """Let time pass: cancels arrive, others take a resting order."""
        self.rig.step()
        for order in list(self.resting):
            if self.rig.row(order.number)["cancel_wanted"] or self.moods.random() < 0.1:
                self.end(order, OrderStatus.CANCELED)
            elif self.moods.random() < 0.2:
                self.resting.remove(order)
                self.fill(order)


@pytest.mark.parametrize("seed", range(6))
def test_no_entry_and_no_quote_ever_meets_an_order_of_ours(seed: int) -> None:
    book = OneBook(seed)
    for _ in range(500):
        turn = book.moods.choice((book.want, book.want, book.arrive, book.pass_by, book.show))
        turn()
    assert book.trades > 10
    assert book.refused > 10, "the gate was needed"


def test_the_model_notices_a_gate_that_sees_nothing() -> None:
    book = OneBook(1)

    def live() -> None:
        for _ in range(500):
            book.rig.desk.ledger["buy_lots"] = book.rig.desk.ledger["sell_lots"] = 0
            book.moods.choice((book.want, book.want, book.arrive, book.pass_by, book.show))()

    with pytest.raises(AssertionError, match="met"):
        live()
