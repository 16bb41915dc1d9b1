"""Orders of a paper account that rest until a date: by the venue's time, and always the same."""

from __future__ import annotations

import pytest

from engine.clock import VenueClock
from engine.domain.codes import EventType, OrderStatus, OrderType, Side, TimeInForce
from engine.venues.order_records import Report
from engine.venues.paper.orders import CODE_CANCEL_ABSENT
from tests.builders import START_VENUE_NS, make_trade
from tests.desk_rig import make_event
from tests.paper_rig import ASK, BID, Paper

DATE_NS = START_VENUE_NS + 900 * 10**9
DATED = {"time_in_force": TimeInForce.GTD, "good_till_ms": DATE_NS // 10**6}


class Hand:
    """A monotonic clock that a test sets, and the venue's that follows it."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.venue = VenueClock(lambda: self.now_ns)
        self.venue.learn(0, 0, START_VENUE_NS)


def test_an_order_expires_at_its_date_by_the_venues_clock() -> None:
    hand = Hand()
    paper = Paper(clock=hand.venue)
    paper.quote()
    dated = paper.new(
        Side.BUY, 2, BID - 5, **(DATED | {"good_till_ms": DATED["good_till_ms"] + 999})
    )
    paper.new(Side.BUY, 2, BID - 5)
    hand.now_ns = DATE_NS - START_VENUE_NS - 10**6
    paper.orders.advance(0)
    assert paper.last_status() == OrderStatus.NEW
    hand.now_ns += 10**6  # the venue keeps whole seconds
    paper.orders.advance(0)
    assert (paper.said[-1].order_sequence, paper.last_status()) == (dated, OrderStatus.EXPIRED)
    assert paper.said[-1].time_in_force == TimeInForce.GTD
    hand.now_ns *= 2
    paper.orders.advance(0)
    assert [r.order_status for r in paper.said].count(OrderStatus.EXPIRED) == 1
    paper.cancel(dated)
    assert paper.of(EventType.CANCEL_REJECTED)[-1].reason == CODE_CANCEL_ABSENT


def test_a_trade_stamped_at_the_date_fills_no_order_whose_date_it_is() -> None:
    paper = Paper(clock=Hand().venue)
    paper.quote()
    paper.new(Side.BUY, 4, BID - 5, **DATED)
    paper.venue_ns = DATE_NS - 2 * 10**6  # each record is a millisecond later than the last
    paper.market(make_trade(BID - 6, 1, buy=False), make_trade(BID - 6, 1, buy=False))
    assert paper.fills() == [(BID - 5, 1)]
    assert (paper.last_status(), paper.said[-1].cum_qty_lots) == (OrderStatus.EXPIRED, 1)


def test_an_order_with_a_date_takes_what_it_reaches_first() -> None:
    paper = Paper(clock=Hand().venue)
    paper.quote(qty=10)
    paper.new(Side.BUY, 12, ASK, **DATED)
    assert paper.fills() == [(ASK, 10)]
    paper.venue_ns = DATE_NS
    paper.quote()
    assert (paper.last_status(), paper.said[-1].cum_qty_lots) == (OrderStatus.EXPIRED, 10)


def test_the_same_market_and_commands_give_the_same_reports_with_dates() -> None:
    def run() -> list[Report]:
        hand = Hand()
        paper = Paper(clock=hand.venue)
        paper.quote()
        for lots in range(1, 5):
            date_ms = DATED["good_till_ms"] + lots * 1_000
            paper.new(Side.BUY, lots, BID - lots, **(DATED | {"good_till_ms": date_ms}))
        for step in range(8):
            hand.now_ns = (900 + step) * 10**9
            paper.venue_ns = START_VENUE_NS + hand.now_ns
            paper.market(make_trade(BID - step, 1, buy=False))
        return [report for report in paper.said if report.event_type != EventType.ORDER_SENT]

    first = run()
    assert first == run()
    assert sum(report.order_status == OrderStatus.EXPIRED for report in first) >= 2


@pytest.mark.parametrize("late_ns", [0, 3_600 * 10**9])
def test_an_order_with_a_date_is_restored_and_expires(late_ns: int) -> None:
    hand = Hand()
    record = make_event(
        EventType.RESTORE_ORDER,
        instrument_index=0,
        side=1,
        order_type=OrderType.LIMIT,
        order_status=OrderStatus.NEW,
        order_sequence=3,
        epoch_low=1,
        venue_order_id=5,
        qty_lots=1,
        price_ticks=BID,
        **DATED,
    )
    paper = Paper(epoch=2, clock=hand.venue)
    paper.orders.restore([record.tobytes()])
    hand.now_ns = DATE_NS - START_VENUE_NS - 1 + late_ns
    paper.orders.advance(0)
    assert [report.order_status for report in paper.said] == [OrderStatus.EXPIRED] * (late_ns > 0)
    hand.now_ns += 1
    paper.orders.advance(0)
    assert [report.order_status for report in paper.said] == [OrderStatus.EXPIRED]
    paper.ask(EventType.COMMAND_FETCH, 3)
    assert paper.last_status() == OrderStatus.EXPIRED, "who asks what became of it is told"
