"""The order side against a plain venue, under anything that can happen to reports on their way.

Reports are delivered in any order, twice, late or never; requests are lost before or after the
venue acted; the venue fills, cancels and rejects; somebody trades and amends by hand. At any time
the books balance; and once the venue may answer truthfully again, ours becomes the venue's to the
last unit.
"""

import random
from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.domain.adjust import AdjustmentKind
from engine.domain.codes import EventType, OrderStatus, TradingState
from engine.domain.fold import Fold
from engine.domain.orders import TERMINAL
from engine.domain.risk_reasons import RiskReason, reasons_of
from engine.domain.words import Word
from tests.desk_rig import ASK, WALLET_E8, DeskRig, make_event, of_type
from tests.venue_model import CLOSED, Venue, VenueOrder

T = EventType
CONVERGE_STEPS = 400  # of 0.3 s
LOOK_NS = 30_000_000_000
ORDERS = st.integers(0, 1_000)
WORKS = (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED)
SIDES = st.sampled_from([-1, 1])
QUANTITIES = st.integers(1, 20)
PRICES = st.integers(ASK - 500, ASK + 500)


class OrderSide(RuleBasedStateMachine):
    """One session: the rig, the venue, the wire between them."""

    @initialize()
    def start(self) -> None:
        self.rig = DeskRig(orders_max=32, trades_max=64)
        self.rig.connect()
        self.journal: list[np.ndarray] = []  # events of the sessions before this one
        self.venue = Venue(WALLET_E8)
        self.requests: list[np.void] = []  # written by us, not yet at the venue
        self.reports: list[list[np.ndarray]] = []  # written by the venue, not yet at us
        self.read_commands = len(self.rig.commands)

    def collect(self) -> None:
        """Put what the rig commanded on the wire."""
        for batch in self.rig.commands[self.read_commands :]:
            self.requests += list(batch)
        self.read_commands = len(self.rig.commands)

    # What we do.

    @rule(side=SIDES, qty=QUANTITIES, s=st.integers(0, 1), limit=st.booleans())
    def propose(self, side: int, qty: int, s: int, limit: bool) -> None:
        self.rig.quote()
        self.rig.propose(side, qty, s=s, price=ASK if limit else 0)
        self.collect()

    @rule(side=SIDES, qty=QUANTITIES, s=st.integers(0, 1), part=QUANTITIES, price=PRICES)
    def propose_and_trade(self, side: int, qty: int, s: int, part: int, price: int) -> None:
        """An order reaches the venue at once and fills there in part; only its reports linger."""
        self.propose(side, qty, s, limit=False)
        for request in [r for r in self.requests if r["event_type"] == T.COMMAND_NEW]:
            self.requests = [r for r in self.requests if r is not request]
            self.reports += self.answers(request)
            order = self.venue.orders[int(request["order_sequence"])]
            if order.is_open:
                self.write(self.venue.fill(order, min(part, order.qty), price))

    @rule(s=st.integers(0, 1), qty=QUANTITIES)
    def propose_exit(self, s: int, qty: int) -> None:
        lots = self.rig.lots(0, s)
        if lots:
            self.rig.propose(-1 if lots > 0 else 1, qty, s=s, entry=False)
            self.collect()

    @rule(milliseconds=st.sampled_from([1, 120, 700, 2_500]))
    def wait(self, milliseconds: int) -> None:
        self.rig.wait(milliseconds / 1000)
        self.collect()

    @rule(pick=ORDERS, price=PRICES)
    def amend(self, pick: int, price: int) -> None:
        """We move a limit order that rests, as far as we know."""
        desk = self.rig.desk
        rows = desk.open_rows[: self.rig.word(Word.OPEN_COUNT)]
        works = [
            r
            for r in rows
            if desk.orders["status"][r] in WORKS and desk.orders["order_type"][r] == 2
        ]
        if works:
            self.rig.amend(works[pick % len(works)], price)
            self.collect()

    @rule()
    def cancel_all(self) -> None:
        self.rig.control(T.CONTROL_CANCEL_ALL)
        self.collect()

    # What the wire does.

    @precondition(lambda self: self.requests)
    @rule(pick=ORDERS, keeps=st.booleans())
    def serve(self, pick: int, keeps: bool) -> None:
        """A request arrives; its answer may be lost."""
        request = self.requests.pop(pick % len(self.requests))
        answers = self.answers(request)
        if keeps:
            self.reports += answers

    def write(self, record: np.ndarray) -> None:
        """The venue says something on its stream."""
        self.reports.append([record])

    @precondition(lambda self: self.requests)
    @rule(pick=ORDERS)
    def lose_request(self, pick: int) -> None:
        request = self.requests.pop(pick % len(self.requests))
        if request["event_type"] == T.COMMAND_NEW:
            self.write(
                make_event(
                    T.ORDER_UNKNOWN,
                    order_sequence=request["order_sequence"],
                    epoch_low=request["epoch_low"],
                )
            )

    @precondition(lambda self: self.reports)
    @rule(pick=ORDERS, twice=st.booleans(), parts=st.integers(1, 3))
    def deliver(self, pick: int, twice: bool, parts: int) -> None:
        """Something arrives; the records of one answer in order, perhaps with others between."""
        place = pick % len(self.reports)
        batch = self.reports[place] if twice else self.reports.pop(place)
        first = max(len(batch) // parts, 1)
        self.rig.step(batch[:first])
        if batch[first:]:
            self.reports.insert(0, batch[first:])
        self.collect()

    @precondition(lambda self: self.reports)
    @rule(pick=ORDERS)
    def lose_report(self, pick: int) -> None:
        self.reports.pop(pick % len(self.reports))

    @rule()
    def reconnect(self) -> None:
        self.rig.report(T.VENUE_DISCONNECTED)
        self.rig.report(T.VENUE_CONNECTED)
        self.collect()

    @rule()
    def restart(self) -> None:
        """The engine is killed: what it knew is in its events, what was on the wire stays there."""
        self.journal.append(self.rig.all_events())
        fold = Fold()
        for events in self.journal:
            fold.add(events)
        now_ns, epoch = self.rig.now_ns, self.rig.epoch + 1
        self.rig = DeskRig(orders_max=32, trades_max=64, epoch=epoch)
        self.rig.now_ns = now_ns
        restored = fold.restore_records()
        self.rig.step(np.split(restored, len(restored)))
        self.rig.report(T.VENUE_CONNECTED)
        self.read_commands = 0
        self.collect()

    # What the venue does.

    def open_orders(self) -> list[VenueOrder]:
        return [order for order in self.venue.orders.values() if order.is_open]

    @precondition(lambda self: any(o.is_open for o in self.venue.orders.values()))
    @rule(pick=ORDERS, part=QUANTITIES, price=PRICES)
    def venue_fills(self, pick: int, part: int, price: int) -> None:
        found = self.open_orders()
        order = found[pick % len(found)]
        self.write(self.venue.fill(order, min(part, order.qty - order.filled), price))

    @precondition(lambda self: any(o.is_open for o in self.venue.orders.values()))
    @rule(pick=ORDERS, status=st.sampled_from([OrderStatus.CANCELED, OrderStatus.EXPIRED]))
    def venue_closes(self, pick: int, status: OrderStatus) -> None:
        found = self.open_orders()
        order = found[pick % len(found)]
        self.write(self.venue.close(order, status))

    @precondition(lambda self: any(o.is_open for o in self.venue.orders.values()))
    @rule(pick=ORDERS, qty=QUANTITIES, price=PRICES)
    def somebody_amends_by_hand(self, pick: int, qty: int, price: int) -> None:
        found = self.open_orders()
        self.write(self.venue.amend(found[pick % len(found)], qty, price))

    @rule(side=SIDES, qty=QUANTITIES, price=PRICES)
    def somebody_trades_by_hand(self, side: int, qty: int, price: int) -> None:
        self.write(self.venue.trade(0, side, qty, price))

    def answers(self, request: np.void) -> list[list[np.ndarray]]:
        kind = request["event_type"]
        if kind == T.COMMAND_NEW:
            self.venue.receive(request)
            order = self.venue.orders[int(request["order_sequence"])]
            if order.qty % 11 == 0:  # some are rejected: the same ones in every run
                self.venue.close(order, OrderStatus.REJECTED)
            sent = make_event(T.ORDER_SENT, order_sequence=order.number, epoch_low=order.epoch)
            return [[sent], [self.venue.told(order)]]
        if kind == T.COMMAND_CANCEL:
            return [[self.venue.answer_cancel(request)]]
        if kind == T.COMMAND_REPLACE:
            return [[self.venue.answer_amend(request)]]
        if request["order_sequence"] > 0:
            return [[self.venue.answer_query(request)]]
        return [self.venue.answer_fetch(request)]

    # What always holds.

    @invariant()
    def columns_sum_to_the_net_position(self) -> None:
        lots = self.rig.desk.positions["lots"]
        assert (lots[:, :-1].sum(axis=1) == lots[:, -1]).all()

    @invariant()
    def sums_of_open_orders_are_those_of_the_rows(self) -> None:
        desk = self.rig.desk
        rows = desk.orders[desk.open_rows[: self.rig.word(Word.OPEN_COUNT)]]
        pending = np.zeros_like(desk.pending)
        for row in rows:
            closed = TERMINAL[int(row["status"])]
            top = row["cum_qty_lots"] if closed else row["qty_lots"]
            direction = 0 if row["side"] > 0 else 1
            pending[row["instrument_index"], row["column"], direction] += top - row["filled_lots"]
        assert (pending == desk.pending).all()
        assert (rows["filled_lots"] <= rows["cum_qty_lots"]).all()
        assert (rows["cum_qty_lots"] <= rows["qty_lots"]).all()
        unknown = (rows["status"] == OrderStatus.UNKNOWN).sum()
        assert unknown == self.rig.word(Word.UNKNOWN_COUNT)

    @invariant()
    def no_order_is_sent_twice(self) -> None:
        sent = of_type(self.rig.all_commands(), T.COMMAND_NEW)["order_sequence"]
        assert len(set(sent.tolist())) == len(sent)

    @invariant()
    def money_is_what_the_books_say(self) -> None:
        word = self.rig.word
        assert word(Word.EQUITY_E8) == word(Word.CASH_E8) + word(Word.UNREALISED_E8)
        assert self.rig.desk.ledger["unrealised_e8"].sum() == word(Word.UNREALISED_E8)
        assert self.rig.desk.ledger["notional_e8"].sum() == word(Word.NOTIONAL_E8)

    # How it ends.

    def teardown(self) -> None:
        """Let the wire be whole: everything written arrives, in order, and nothing more happens."""
        if not hasattr(self, "rig"):
            return
        self.rig.control(T.CONTROL_RESUME)  # lookups that were all lost may have halted it
        # A resume does not ask what the venue answered just now: what was lost since, the next of
        # the looks that come at all times finds.
        self.rig.desk.limits["reconcile_interval_ns"] = LOOK_NS
        self.collect()
        for _ in range(CONVERGE_STEPS):
            pending, self.reports = self.reports, []
            for batch in pending:
                self.rig.step(batch)
            self.collect()
            requests, self.requests = self.requests, []
            for request in requests:
                self.reports += self.answers(request)
            if not self.reports and self.agrees():
                break
            self.rig.wait(0.3)
            self.collect()
        self.check_agreement()

    def agrees(self) -> bool:
        rig = self.rig
        orders = [rig.row(o.number, o.epoch)["status"] == o.status for o in self.open_orders()]
        position = self.venue.positions.get(0)
        return (
            bool(rig.word(Word.SYNCED))
            and not rig.word(Word.RECONCILE_REQUIRED)
            and rig.lots() == (position.lots if position else 0)
            and rig.word(Word.CASH_E8) == self.venue.wallet
            and rig.word(Word.OPEN_COUNT) == len(self.open_orders())
            and all(orders)
        )

    def check_agreement(self) -> None:
        rig = self.rig
        tripped = set(reasons_of(rig.word(Word.TRIPPED)))
        assert tripped <= {RiskReason.ORDER_UNRESOLVED}, tripped
        # Every fetch brings every trade, so nothing had to be taken from the venue unexplained.
        adjusted = set(of_type(rig.all_events(), T.ADJUSTMENT)["reason"].tolist())
        assert adjusted <= {AdjustmentKind.OPENING_CASH, AdjustmentKind.CASH}, adjusted
        position = self.venue.positions.get(0)
        assert rig.lots() == (position.lots if position else 0)
        assert rig.word(Word.CASH_E8) == self.venue.wallet
        for order in self.open_orders():
            assert rig.row(order.number, order.epoch)["price_ticks"] in {0, order.price}, order
        for order in self.venue.orders.values():
            rows = rig.desk.orders[rig.desk.orders["order_sequence"] == order.number]
            for row in rows:
                assert row["cum_qty_lots"] == row["filled_lots"] == order.filled
                assert (OrderStatus(int(row["status"])) in CLOSED) == (not order.is_open)
        assert rig.word(Word.OPEN_COUNT) == len(self.open_orders())
        assert rig.word(Word.EFFECTIVE_STATE) in (TradingState.ENABLED, TradingState.HALTED)


# What happens in a long session, and how often: mostly trading, now and then a calamity.
WEIGHTS = {
    "propose": 4.0,
    "propose_and_trade": 6.0,
    "propose_exit": 4.0,
    "wait": 5.0,
    "serve": 10.0,
    "deliver": 14.0,
    "venue_fills": 6.0,
    "venue_closes": 1.0,
    "somebody_trades_by_hand": 1.0,
    "somebody_amends_by_hand": 1.0,
    "lose_request": 1.0,
    "lose_report": 2.0,
    "reconnect": 0.3,
    "cancel_all": 0.3,
    "amend": 3.0,
    "restart": 0.15,
}


def drive(seed: int, steps: int) -> OrderSide:
    """Run one long session from a seed, checking the invariants on the way, and let it settle."""
    source = random.Random(seed)
    machine = OrderSide()
    machine.start()
    for _ in range(steps):
        name = source.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        happen(machine, name, source)
        machine.columns_sum_to_the_net_position()
        machine.sums_of_open_orders_are_those_of_the_rows()
        machine.money_is_what_the_books_say()
    machine.teardown()
    return machine


def happen(machine: OrderSide, name: str, source: random.Random) -> None:
    """Let one thing happen, if it can."""
    pick, side = source.randrange(1_000), source.choice([-1, 1])
    qty, part, s = 1 + source.randrange(20), 1 + source.randrange(20), source.randrange(2)
    price = ASK - 500 + source.randrange(1_000)
    actions: dict[str, Callable[[], None]] = {
        "propose": lambda: machine.propose(side=side, qty=qty, s=s, limit=bool(pick % 2)),
        "propose_and_trade": lambda: machine.propose_and_trade(
            side=side, qty=qty, s=s, part=part, price=price
        ),
        "propose_exit": lambda: machine.propose_exit(s=s, qty=qty),
        "wait": lambda: machine.wait(milliseconds=source.choice([1, 1, 1, 120, 700, 2_500])),
        "serve": lambda: machine.serve(pick=pick, keeps=pick % 10 > 0),
        "deliver": lambda: machine.deliver(
            pick=pick if pick % 3 == 0 else 0, twice=pick % 8 == 0, parts=1 + pick % 3
        ),
        "venue_fills": lambda: machine.venue_fills(pick=pick, part=part, price=price),
        "venue_closes": lambda: machine.venue_closes(
            pick=pick, status=source.choice([OrderStatus.CANCELED, OrderStatus.EXPIRED])
        ),
        "somebody_trades_by_hand": lambda: machine.somebody_trades_by_hand(
            side=side, qty=qty, price=price
        ),
        "somebody_amends_by_hand": lambda: machine.somebody_amends_by_hand(
            pick=pick, qty=qty, price=price
        ),
        "amend": lambda: machine.amend(pick=pick, price=price),
        "lose_request": lambda: machine.lose_request(pick=pick),
        "lose_report": lambda: machine.lose_report(pick=pick),
        "reconnect": machine.reconnect,
        "cancel_all": machine.cancel_all,
        "restart": machine.restart,
    }
    needs = {
        "serve": machine.requests,
        "lose_request": machine.requests,
        "deliver": machine.reports,
        "lose_report": machine.reports,
        "venue_fills": machine.open_orders(),
        "venue_closes": machine.open_orders(),
        "somebody_amends_by_hand": machine.open_orders(),
    }
    if needs.get(name, True):
        actions[name]()
