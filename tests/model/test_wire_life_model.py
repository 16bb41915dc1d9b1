"""An order's life as the wire tells it, stream and REST in any order, against the venue's truth.

Frames and answers are bytes as the venue writes them; they pass the decoders of the order side, its
packing into records and the compiled step. The venue fills, cancels, expires (against itself, too)
and amends; what it says comes late, twice or in any order, an answer may be older than a frame that
was read before it, and trades come after the cancel. Once the last answer and the trades are in,
ours is the venue's.
"""

import random
from typing import TypeAlias

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.client_id import ClientId
from engine.domain.codes import EVENT_APPLIED, EventType, OrderStatus
from engine.domain.fold import Fold
from engine.domain.records import EVENT_DTYPE
from engine.domain.words import Tally, Word
from engine.venues.binance.order_views import (
    STATUS,
    AccountReader,
    FillView,
    OrderView,
    decode_view,
)
from engine.venues.binance.user_events import decode_user_frame
from engine.venues.order_records import Report, pack_report
from tests.desk_rig import ASK, DeskRig, of_type
from tests.store_builders import instrument
from tests.wire_orders import TAG, WireOrder

S = OrderStatus
LATE_SHARE = 0.3
Told: TypeAlias = list[Report]
LIVES = st.lists(
    st.one_of(
        st.tuples(st.just("fill"), st.integers(1, 6)),
        st.tuples(st.just("amend"), st.integers(1, 20)),
        st.tuples(st.just("look"), st.just(0)),
        st.tuples(st.sampled_from(["CANCELED", "EXPIRED", "EXPIRED_IN_MATCH"]), st.just(0)),
    ),
    max_size=8,
)


class Life:
    """A rig with one order, the venue's truth about it, and what is on its way between them."""

    def __init__(self, qty: int) -> None:
        self.rig = DeskRig()
        self.rig.connect()
        number = self.rig.order(1, qty, price=ASK)
        self.number = number
        self.reader = AccountReader([instrument("BTCUSDT")], TAG, self.rig.epoch)
        identity = ClientId(self.rig.epoch, 0, number, 77)
        self.order = WireOrder(instrument("BTCUSDT"), identity, qty, ASK)
        self.on_the_way: list[Told] = [self.frame(self.order.accept())]

    def frame(self, text: bytes) -> Told:
        return list(decode_user_frame(text, self.reader).reports)

    def answer(self) -> Told:
        view = decode_view(self.order.answer(), OrderView)
        report = self.reader.order_report(view, EventType.ORDER_UPDATE)
        assert report is not None
        return [report]

    def trades(self) -> Told:
        views = decode_view(self.order.trade_list(), list[FillView])
        found = [self.reader.fill_report(view, self.order.client_id) for view in views]
        return [report for report in found if report is not None]

    def happen(self, kind: str, number: int) -> None:
        """Let the venue do something to the order, and tell it."""
        order = self.order
        if kind == "look":
            self.on_the_way.append(self.answer())
        elif not order.is_open:
            return
        elif kind == "fill":
            lots = min(number, order.qty - order.filled)
            self.on_the_way.append(self.frame(order.fill(lots, ASK - number)))
        elif kind == "amend":
            self.on_the_way.append(self.frame(order.amend(number, ASK - number)))
        else:
            self.on_the_way.append(self.frame(order.close(kind)))

    def hear(self, told: Told) -> None:
        """Deliver reports and hold what must always hold."""
        before = self.rig.row(self.number)
        for report in told:
            packed = np.frombuffer(pack_report(report, self.rig.now_ns), EVENT_DTYPE)
            self.rig.step([packed])
        row = self.rig.row(self.number)
        assert row["cum_qty_lots"] >= before["cum_qty_lots"]
        assert row["filled_lots"] <= row["cum_qty_lots"] <= row["qty_lots"]
        assert row["cum_qty_lots"] <= self.order.filled, "never more than the venue filled"
        assert self.rig.lots() == row["filled_lots"], "a fill moves the position once"
        if self.order.is_open:
            assert S(int(row["status"])) not in {S.CANCELED, S.REJECTED, S.EXPIRED}

    def settle(self) -> None:
        """Let the last answer and every trade arrive, and compare."""
        for _ in range(2):  # what was heard once more changes nothing
            self.hear(self.answer())
            self.hear(self.trades())
        order, row = self.order, self.rig.row(self.number)
        assert row["filled_lots"] == row["cum_qty_lots"] == order.filled
        assert S(int(row["status"])) == STATUS[order.status]
        assert (self.rig.word(Word.OPEN_COUNT) == 1) == order.is_open
        if order.is_open or order.status == "FILLED":
            assert row["qty_lots"] >= order.qty
        assert self.rig.tally(Tally.OVERFILLS) == 0
        fills = of_type(self.rig.all_events(), EventType.FILL)
        applied = fills[fills["flags"] & EVENT_APPLIED != 0]["trade_id"].tolist()
        assert sorted(applied) == [trade["id"] for trade in order.trades]
        self.check_restored()

    def check_restored(self) -> None:
        """What a journal makes of it after a kill is what the store held."""
        fold = Fold()
        fold.add(self.rig.all_events())
        (kept,) = fold.known.orders.values()
        row = self.rig.row(self.number)
        for name, ours in (
            ("qty_lots", "qty_lots"),
            ("cum_qty_lots", "cum_qty_lots"),
            ("last_qty_lots", "filled_lots"),
            ("order_status", "status"),
        ):
            assert kept[name] == row[ours], name


@settings(max_examples=150, deadline=None)
@given(qty=st.integers(1, 12), life=LIVES, seed=st.integers(0, 2**32 - 1))
def test_any_order_of_frames_and_answers_ends_at_the_venues_truth(
    qty: int, life: list[tuple[str, int]], seed: int
) -> None:
    told = Life(qty)
    chance = random.Random(seed)
    for kind, number in life:
        told.happen(kind, number)
        if chance.random() < LATE_SHARE:
            deliver_one(told, chance)
    while told.on_the_way:
        deliver_one(told, chance)
    told.settle()


def deliver_one(told: Life, chance: random.Random) -> None:
    """Deliver any of what is on its way; some of it twice, some never."""
    if not told.on_the_way:
        return
    place = chance.randrange(len(told.on_the_way))
    fate = chance.random()
    batch = told.on_the_way[place] if fate < 0.2 else told.on_the_way.pop(place)
    if fate < 0.9:
        told.hear(batch)


def test_a_self_trade_that_was_prevented_is_an_order_that_expired() -> None:
    told = Life(10)
    told.happen("fill", 4)
    told.happen("EXPIRED_IN_MATCH", 0)
    accepted, filled, expired = told.on_the_way
    for batch in (accepted, expired, filled):  # the trade after the end
        told.hear(batch)
    assert told.rig.status(told.number) == S.EXPIRED
    assert told.rig.lots() == 4
    told.settle()


def test_amended_to_less_by_hand_is_filled_at_less() -> None:
    """Once it was filled at what it was sent for: two fills short for ever, then written off."""
    told = Life(10)
    told.happen("fill", 3)
    told.happen("amend", 5)
    told.happen("fill", 2)
    for batch in told.on_the_way:
        told.hear(batch)
    row = told.rig.row(told.number)
    assert (row["status"], row["qty_lots"], row["cum_qty_lots"]) == (S.FILLED, 5, 5)
    told.settle()


def test_amended_to_more_by_hand_is_open_until_all_of_it_is_filled() -> None:
    """Once it was filled, and forgotten, at what it was sent for; the rest filled unexpectedly."""
    told = Life(5)
    told.happen("amend", 8)
    told.happen("fill", 5)
    _, _, filled = told.on_the_way
    told.hear(filled)
    assert told.rig.status(told.number) == S.PARTIALLY_FILLED
    assert told.rig.word(Word.OPEN_COUNT) == 1
    told.settle()
