"""A quote moved at the venue: what becomes of it when amendment, fills and answers race."""

import pytest

from engine.domain.codes import EventType, OrderStatus
from engine.domain.fold import Fold
from engine.domain.limits import Bounds
from engine.domain.reports import RATE_PAUSED
from engine.domain.words import Tally, Word
from tests.desk_rig import GENEROUS, MS, S, make_event, of_type
from tests.making_rig import MakingRig, amended, maker_row, requested
from tests.venue_model import VenueOrder

T = EventType
BID, ASK = 620_000, 620_001
MOVE = 400


def moving(**parameters: float) -> tuple[MakingRig, VenueOrder]:
    """Return a rig that has just asked to move both its quotes, and the venue's buy."""
    rig = MakingRig((maker_row(width_atr=1.0, **parameters),))
    rig.show(BID, ASK)
    rig.serve()
    moved = amended(rig.show(BID + MOVE, ASK + MOVE, after_ns=2 * S))
    assert len(moved) == 2
    number = rig.resting()[1][0]
    assert moved[number] == BID + MOVE - 300
    assert rig.status(number) is OrderStatus.PENDING_REPLACE
    return rig, rig.venue.orders[number]


def price_of(rig: MakingRig, order: VenueOrder) -> int:
    """Return where our side holds an order to be."""
    return int(rig.row(order.number)["price_ticks"])


def test_an_answered_amendment_leaves_the_same_order_at_its_new_price() -> None:
    rig, order = moving()
    rig.serve()
    assert (rig.status(order.number), price_of(rig, order)) == (OrderStatus.NEW, order.price)
    assert order.price == BID + MOVE - 300
    assert rig.tally(Tally.AMENDMENTS) == 2
    assert rig.tally(Tally.CANCELS) == 0


def test_an_answer_told_twice_changes_nothing() -> None:
    rig, order = moving()
    rig.serve()
    before = rig.row(order.number).copy()
    rig.step([rig.venue.told(order)])
    after = rig.row(order.number)
    for name in ("status", "price_ticks", "amended_ticks", "qty_lots", "cum_qty_lots"):
        assert after[name] == before[name], name


def test_a_word_from_before_the_amendment_does_not_answer_it() -> None:
    rig, order = moving()
    rig.step([rig.venue.told(order)])  # NEW, at the old price
    assert rig.status(order.number) is OrderStatus.PENDING_REPLACE
    rig.step([rig.venue.fill(order, 3, order.price)])  # a fill that names no price of the order
    assert rig.status(order.number) is OrderStatus.PENDING_REPLACE
    assert rig.lots(0, 0) == 3
    rig.step([rig.venue.amend(order, order.qty, BID + MOVE - 300)])
    assert rig.status(order.number) is OrderStatus.PARTIALLY_FILLED
    assert price_of(rig, order) == BID + MOVE - 300


def test_an_order_filled_before_its_amendment_came_is_filled_once() -> None:
    rig, order = moving()
    rig.step([rig.venue.fill(order, order.qty, order.price)])
    assert rig.status(order.number) is OrderStatus.FILLED
    rig.serve()  # the amendment is refused: there is nothing left to move
    assert rig.status(order.number) is OrderStatus.FILLED
    assert rig.lots(0, 0) == order.qty
    assert rig.word(Word.UNKNOWN_COUNT) == 0


def test_amendments_are_orders_of_the_day_also_where_no_count_of_them_followed() -> None:
    bounds = {"maker": Bounds(orders_per_day_max=3)}
    rig = MakingRig((maker_row(width_atr=1.0),), GENEROUS._replace(strategy_bounds=bounds))
    rig.show(BID, ASK)
    rig.serve()
    rig.wait(0.001)
    before = rig.all_events()
    last = rig.show(BID + MOVE, ASK + MOVE, after_ns=2 * S)
    (moved,) = amended(last)
    assert rig.desk.bounds["day_orders"].tolist() == [3, 0, 3]
    refused = -int(rig.row(moved)["side"])
    assert rig.wanted_away() == {rig.resting()[refused][0]}, "the other leaves"
    fold = Fold()
    fold.add(before)
    fold.add(last[last["event_type"] != T.BOUNDS_CHANGED])
    (kept,) = of_type(fold.restore_records(), T.RESTORE_BOUNDS)
    assert (kept["strategy_index"], kept["day_entry_count"]) == (0, 3)


def test_a_refused_amendment_has_the_quote_withdrawn_and_asked_for_anew() -> None:
    rig, order = moving()
    refused = make_event(
        T.CANCEL_REJECTED, order_sequence=order.number, epoch_low=1, reason=RATE_PAUSED
    )
    rig.step([refused])
    assert rig.status(order.number) is OrderStatus.PENDING_CANCEL
    sell = rig.venue.orders[rig.resting()[-1][0]]
    rig._asked()
    rig.step([rig.venue.amend(sell, sell.qty, ASK + MOVE + 300)])
    rig.step([rig.venue.close(order, OrderStatus.CANCELED)])
    (buy,) = requested(rig.show(BID + MOVE, ASK + MOVE, after_ns=2 * S))
    assert buy.price == BID + MOVE - 300
    assert rig.word(Word.FAILURE_COUNT) == 0


def test_an_amendment_without_an_answer_is_doubt_until_the_venue_is_asked() -> None:
    rig, order = moving(expiry_s=600.0)
    rig._asked()  # both amendments are lost
    timeout_ns = rig.desk.limits["order_timeout_ns"][0]
    rig.wait(timeout_ns / S + 0.2)
    assert rig.status(order.number) is OrderStatus.UNKNOWN
    assert rig.tally(Tally.ORDERS_UNKNOWN) == 2
    asked = {int(c["order_sequence"]) for c in rig._asked() if c["event_type"] == T.COMMAND_FETCH}
    assert order.number in asked
    rig.step([rig.venue.told(order)])
    assert rig.status(order.number) is OrderStatus.NEW
    assert price_of(rig, order) == order.price == BID - 300, "it never moved"


def test_an_amendment_that_arrives_after_the_doubt_is_believed() -> None:
    rig, order = moving(expiry_s=600.0)
    rig._asked()
    rig.wait(rig.desk.limits["order_timeout_ns"][0] / S + 0.2)
    rig.step([rig.venue.amend(order, order.qty, BID + MOVE - 300)])
    assert rig.status(order.number) is OrderStatus.NEW
    assert price_of(rig, order) == BID + MOVE - 300


def test_until_it_is_answered_either_price_may_meet_a_quote_of_ours() -> None:
    rig, order = moving()
    assert rig.desk.quotes["resting_ticks"][0, 0, 0] == BID + MOVE - 300, "the bolder one"
    assert rig.desk.quotes["resting_ticks"][0, 0, 1] == ASK + 300, "of the sell, the old one"
    assert price_of(rig, order) == BID - 300


def test_a_quote_under_amendment_is_not_moved_again_and_leaves_once_unwanted() -> None:
    rig, order = moving(requote_s=0.0)
    assert not amended(rig.show(BID + 3 * MOVE, ASK + 3 * MOVE, after_ns=MS))
    rig.control(T.CONTROL_HALT)
    rig.wait(0.2)
    assert rig.row(order.number)["cancel_wanted"] == 1
    rig.serve()  # first the answer, then the cancel
    rig.wait(0.2)
    rig.serve()
    assert not order.is_open


@pytest.mark.parametrize("control", [T.CONTROL_PAUSE, T.CONTROL_HALT])
def test_nothing_is_amended_while_entries_are_stopped(control: T) -> None:
    rig = MakingRig((maker_row(width_atr=1.0),))
    rig.show(BID, ASK)
    rig.serve()
    rig.control(control)
    assert not amended(rig.show(BID + MOVE, ASK + MOVE, after_ns=2 * S))


def test_an_amendment_passes_the_gates_and_is_withdrawn_where_one_fails() -> None:
    rig = MakingRig((maker_row(width_atr=1.0),), GENEROUS)
    rig.show(BID, ASK)
    rig.serve()
    rig.desk.instrument_limits["order_lots_max"][0] = 5
    assert not amended(rig.show(BID + MOVE, ASK + MOVE, after_ns=2 * S))
    assert len(rig.wanted_away()) == 2
    assert rig.desk.ledger["buy_lots"][0] == rig.desk.ledger["sell_lots"][0] == 10
