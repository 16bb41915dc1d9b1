"""A venue's clock that is set back: what bounds are left of what it stamped before."""

import numpy as np
import pytest

from engine.domain.codes import EventType, OrderStatus
from engine.domain.fold import Fold
from engine.domain.kernel import python_of
from engine.domain.stamps import NO_BOUND, PPB, SET_BACK_NS, newest_bound
from engine.domain.words import Tally, Word
from tests.desk_rig import ASK, VENUE_NS, DeskRig, S, make_event

T = EventType
OS = OrderStatus
UNIT = 10_000


def look(rig: DeskRig, venue_ns: int) -> None:
    """Report what the venue's clock says now."""
    offset_ns = venue_ns - rig.now_ns
    rig.report(T.VENUE_CLOCK, clock_offset_ns=offset_ns, clock_anchor_ns=rig.now_ns)


@pytest.fixture
def rig() -> DeskRig:
    """Return an account whose position an adjustment took over at VENUE_NS."""
    rig = DeskRig()
    rig.connect()
    look(rig, VENUE_NS - S)
    rig.control(T.CONTROL_RECONCILE)
    for _ in range(2):
        rig.fetch(positions={0: (7, 7 * ASK * UNIT)}, venue_time_ns=VENUE_NS)
        rig.wait(1)
    assert rig.lots() == 7
    assert rig.tally(Tally.ADJUSTMENTS) == 2
    return rig


@pytest.mark.parametrize(
    ("rate", "passed_s", "went_s", "bound_s"),
    [
        (1, 10, 10, None),
        (1, 10, 500, None),
        (1, 10, 9.5, None),
        (1, 10, -50, -60),
        (1, 70, 10, -60),
        (1, 0, -4, -4),
        (0.125, 80, 10, None),  # a tape played slowly
        (0.125, 80, -50, -60),
        (1_000, 10, 20, None),  # and one played as fast as it can be
        (2, 10, -50, -70),  # it went 20 s and was set back by 70 (chaos seed 24501)
    ],
)
def test_only_a_clock_that_was_set_back_bounds(
    rate: float, passed_s: int, went_s: float, bound_s: int | None
) -> None:
    before = (5 * S, VENUE_NS, round((rate - 1) * PPB))
    at = (*before, 5 * S + passed_s * S, VENUE_NS + round(went_s * S))
    expected = NO_BOUND if bound_s is None else VENUE_NS + bound_s * S
    assert python_of(newest_bound)(*at) == expected


def test_the_first_look_bounds_by_what_it_says() -> None:
    assert python_of(newest_bound)(0, 0, 0, 5 * S, VENUE_NS) == VENUE_NS
    assert SET_BACK_NS == S


def test_a_fill_after_the_clock_was_set_back_is_news(rig: DeskRig) -> None:
    look(rig, VENUE_NS - 60 * S)
    order = rig.order(1, 10)
    rig.fill(order, 900, 10, order_status=OS.FILLED, venue_time_ns=VENUE_NS - 59 * S)
    assert rig.lots() == 17
    assert rig.tally(Tally.FILLS_LATE) == 0


def test_a_fill_that_the_adjustment_holds_stays_so_while_the_clock_goes_on(rig: DeskRig) -> None:
    look(rig, VENUE_NS + 60 * S)
    order = rig.order(1, 10)
    rig.fill(order, 900, 10, order_status=OS.FILLED, venue_time_ns=VENUE_NS)
    assert rig.lots() == 7
    assert rig.tally(Tally.FILLS_LATE) == 1


def test_trades_are_asked_for_from_where_the_clock_stands(rig: DeskRig) -> None:
    order = rig.order(1, 10)
    rig.fill(order, 900, 10, order_status=OS.FILLED, venue_time_ns=VENUE_NS + 2 * S)
    began_ns = rig.now_ns
    look(rig, VENUE_NS - 3_600 * S)
    rig.control(T.CONTROL_RECONCILE)
    since_ns = int(rig.commands[-1]["venue_time_ns"][0])
    assert VENUE_NS - 3_610 * S < since_ns <= VENUE_NS - 3_600 * S, rig.now_ns - began_ns


def test_an_order_the_venue_holds_open_is_believed_whatever_its_clock_did(rig: DeskRig) -> None:
    order = rig.order(1, 10, price=ASK)
    rig.update(order, OS.NEW, venue_time_ns=VENUE_NS + S)
    rig.update(order, OS.CANCELED, venue_time_ns=VENUE_NS + 2 * S)
    assert rig.status(order) == OS.CANCELED
    look(rig, VENUE_NS - 60 * S)
    rig.control(T.CONTROL_RECONCILE)
    listed = make_event(
        T.VENUE_ORDER, order_sequence=order, epoch_low=1, venue_order_id=9000 + order,
        side=1, qty_lots=10, price_ticks=ASK, order_status=OS.NEW, order_type=1,
        venue_time_ns=VENUE_NS - 59 * S,
    )  # fmt: skip
    rig.fetch(positions={0: (7, 7 * ASK * UNIT)}, extra=[listed])
    assert rig.status(order) == OS.NEW


def test_a_fold_of_the_journal_knows_the_same_bounds(rig: DeskRig) -> None:
    order = rig.order(1, 10)
    rig.fill(order, 900, 10, order_status=OS.FILLED, venue_time_ns=VENUE_NS + 2 * S)
    look(rig, VENUE_NS - 60 * S)
    fold = Fold()
    fold.add(rig.all_events())
    restored = fold.restore_records()
    kinds = restored["event_type"]
    net = restored[(kinds == T.RESTORE_POSITION) & (restored["strategy_index"] == -2)]
    assert net["venue_time_ns"].tolist() == [rig.desk.venue["adjusted_venue_ns"][0]]
    assert net["venue_time_ns"][0] < VENUE_NS - 60 * S + SET_BACK_NS
    limits = restored[kinds == T.RESTORE_LIMITS]
    assert limits["venue_time_ns"].tolist() == [rig.word(Word.LAST_FILL_VENUE_NS)]
    orders = restored[(kinds == T.RESTORE_ORDER) & (restored["trade_id"] == 0)]
    row = int(np.flatnonzero(rig.desk.orders["order_sequence"] == order)[0])
    assert orders["venue_time_ns"].tolist() == [rig.desk.orders["venue_time_ns"][row]]
