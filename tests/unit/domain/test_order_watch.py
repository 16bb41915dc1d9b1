"""Orders over time: what is due is done, once, and nothing is ever sent twice."""

import numpy as np
import pytest

from engine.domain.codes import EventType, OrderStatus, OrderType, TradingState
from engine.domain.desk import create_out
from engine.domain.order_watch import QUERIES_MAX
from engine.domain.orders import CANCELS_MAX
from engine.domain.reports import ABSENT_LOOKUPS_MIN
from engine.domain.risk_reasons import RiskReason
from engine.domain.words import FetchState, Tally, Word
from tests.desk_rig import BID, GENEROUS, MS, VENUE_NS, DeskRig, of_type, types

S = OrderStatus
T = EventType


@pytest.fixture
def rig() -> DeskRig:
    rig = DeskRig()
    rig.connect()
    return rig


def queries(rig: DeskRig) -> np.ndarray:
    fetches = of_type(rig.all_commands(), T.COMMAND_FETCH)
    return fetches[fetches["order_sequence"] > 0]


def cancels(rig: DeskRig) -> list[int]:
    return of_type(rig.all_commands(), T.COMMAND_CANCEL)["order_sequence"].tolist()


def working(rig: DeskRig, **options: int) -> int:
    order = rig.order(1, 10, price=BID, **options)
    rig.update(order, S.NEW)
    return order


def test_silence_makes_an_order_unknown_and_asks(rig: DeskRig) -> None:
    order = rig.order(1, 10)
    rig.wait(1.9)
    assert rig.status(order) == S.PENDING_NEW
    events = rig.wait(0.2)
    assert rig.status(order) == S.UNKNOWN
    fetch = of_type(events, T.COMMAND_FETCH)[0]
    assert (fetch["order_sequence"], fetch["order_status_after"]) == (order, S.UNKNOWN)
    assert queries(rig)["order_sequence"].tolist() == [order]


def test_an_unknown_order_is_never_sent_again(rig: DeskRig) -> None:
    rig.order(1, 10)
    for _ in range(200):
        rig.wait(0.5)
    assert len(of_type(rig.all_commands(), T.COMMAND_NEW)) == 1


def test_lookups_pause_longer_and_longer_then_a_human_must_look(rig: DeskRig) -> None:
    rig.order(1, 10)
    rig.wait(2.1)
    moments = []
    while rig.word(Word.EFFECTIVE_STATE) != TradingState.HALTED:
        before = len(queries(rig))
        rig.wait(0.05)
        if len(queries(rig)) > before:
            moments.append(rig.now_ns)
        assert len(moments) < 50
    pauses = np.diff(moments)
    assert (np.diff(pauses) >= -60 * MS).all()
    assert len(moments) == QUERIES_MAX
    assert rig.word(Word.STATE_REASON) == RiskReason.ORDER_UNRESOLVED


def test_a_lookup_that_finds_the_order_settles_it(rig: DeskRig) -> None:
    order = rig.order(1, 10)
    rig.wait(2.1)
    rig.update(order, S.NEW)
    assert rig.status(order) == S.NEW
    assert rig.word(Word.UNKNOWN_COUNT) == 0


def test_absence_is_believed_only_after_several_lookups_outside_the_window(rig: DeskRig) -> None:
    order = rig.order(1, 10)
    rig.wait(2.1)
    for _ in range(ABSENT_LOOKUPS_MIN + 2):
        rig.update(order, S.NONE, reason=-2013, venue_order_id=0)
        assert rig.status(order) == S.UNKNOWN
    rig.wait(3)
    rig.update(order, S.NONE, reason=-2013, venue_order_id=0)
    assert rig.status(order) == S.REJECTED
    assert rig.desk.pending.sum() == 0
    assert rig.word(Word.RECONCILE_REQUIRED) or rig.word(Word.FETCH_STATE), "positions decide"


def test_one_sighting_starts_the_count_of_absences_again(rig: DeskRig) -> None:
    order = working(rig)
    rig.wait(6)
    rig.control(T.CONTROL_CANCEL_ALL)
    rig.wait(2.1)
    assert rig.status(order) == S.UNKNOWN
    for _ in range(ABSENT_LOOKUPS_MIN - 1):
        rig.update(order, S.NONE)
    rig.update(order, S.NEW)
    assert rig.row(order)["absent_count"] == 0


def test_an_acknowledged_order_the_venue_forgot_is_gone(rig: DeskRig) -> None:
    order = working(rig)
    rig.wait(6)
    rig.report(T.CANCEL_REJECTED, order_sequence=order, epoch_low=1)
    rig.control(T.CONTROL_CANCEL_ALL)
    rig.wait(2.1)
    for _ in range(ABSENT_LOOKUPS_MIN):
        rig.update(order, S.NONE)
    assert rig.status(order) == S.CANCELED


def test_an_order_that_turns_up_after_all_is_taken_back(rig: DeskRig) -> None:
    order = rig.order(1, 10)
    rig.wait(6)
    for _ in range(ABSENT_LOOKUPS_MIN):
        rig.update(order, S.NONE, venue_order_id=0)
    assert rig.status(order) == S.REJECTED
    rig.fetch()
    rig.update(order, S.NEW)
    assert rig.status(order) == S.REJECTED, "one late word is not proof"
    assert types(rig.commands[-1]) == [T.COMMAND_FETCH]
    venue_order = rig.update_record(order, S.NEW)
    venue_order["event_type"] = T.VENUE_ORDER
    rig.fetch(extra=[venue_order])
    assert rig.status(order) == S.NEW


def test_a_stale_list_does_not_open_what_closed_meanwhile(rig: DeskRig) -> None:
    order = working(rig)
    rig.control(T.CONTROL_RECONCILE)
    rig.report(T.FETCH_BEGIN)
    rig.update(order, S.CANCELED)
    venue_order = rig.update_record(order, S.NEW)
    venue_order["event_type"] = T.VENUE_ORDER
    rig.step([venue_order])
    assert rig.status(order) == S.CANCELED


def test_a_list_older_than_the_cancel_does_not_open_the_order_again(rig: DeskRig) -> None:
    order = working(rig)
    rig.update(order, S.CANCELED, venue_time_ns=VENUE_NS + 2)
    rig.control(T.CONTROL_RECONCILE)
    for venue_time_ns, status in ((VENUE_NS + 1, S.CANCELED), (VENUE_NS + 3, S.NEW)):
        listed = rig.update_record(order, S.NEW, venue_time_ns=venue_time_ns)
        listed["event_type"] = T.VENUE_ORDER
        if rig.word(Word.FETCH_STATE) == FetchState.IDLE:
            rig.control(T.CONTROL_RECONCILE)
        rig.fetch(extra=[listed])
        assert rig.status(order) == status


def test_a_resting_order_is_withdrawn_after_its_time() -> None:
    rig = DeskRig(GENEROUS._replace(resting_time_ms=10_000))
    rig.connect()
    order = working(rig)
    rig.wait(9.5)
    assert cancels(rig) == []
    rig.wait(0.7)
    assert cancels(rig) == [order]
    assert rig.status(order) == S.PENDING_CANCEL
    rig.update(order, S.CANCELED)
    rig.wait(5)
    assert cancels(rig) == [order]


def test_cancel_all_asks_for_every_open_order_once(rig: DeskRig) -> None:
    orders = [working(rig, s=k % 2) for k in range(20)]
    rig.control(T.CONTROL_CANCEL_ALL)
    assert sorted(cancels(rig)) == orders
    rig.wait(1)
    assert len(cancels(rig)) == 20


def test_a_cancel_request_is_in_the_events_before_it_leaves(rig: DeskRig) -> None:
    order = working(rig)
    events = rig.control(T.CONTROL_CANCEL_ALL)
    record = of_type(events, T.COMMAND_CANCEL)[0]
    assert record["order_sequence"] == order
    assert record["venue_order_id"] == 9000 + order
    assert record["order_status_after"] == S.PENDING_CANCEL


def test_a_cancel_that_lost_the_race_leaves_a_filled_order(rig: DeskRig) -> None:
    order = working(rig)
    rig.control(T.CONTROL_CANCEL_ALL)
    rig.fill(order, 1, 10, BID, order_status=S.FILLED, cum_qty_lots=10)
    assert rig.status(order) == S.FILLED
    rig.report(T.CANCEL_REJECTED, order_sequence=order, epoch_low=1, reason=-2011)
    assert rig.status(order) == S.FILLED
    rig.wait(5)
    assert rig.word(Word.UNKNOWN_COUNT) == 0


def test_a_refused_cancel_is_looked_into_and_asked_again_within_bounds(rig: DeskRig) -> None:
    order = working(rig)
    rig.control(T.CONTROL_CANCEL_ALL)
    for _ in range(CANCELS_MAX + 3):
        rig.report(T.CANCEL_REJECTED, order_sequence=order, epoch_low=1, reason=-2011)
        rig.update(order, S.NEW)
        rig.wait(0.2)
    assert len(cancels(rig)) == CANCELS_MAX
    assert rig.word(Word.STATE_REASON) == RiskReason.ORDER_UNRESOLVED


def test_cancels_of_an_order_that_never_arrived_do_not_halt(rig: DeskRig) -> None:
    order = rig.order(1, 10)
    rig.wait(2.1)
    assert rig.status(order) == S.UNKNOWN
    rig.control(T.CONTROL_CANCEL_ALL)
    for _ in range(CANCELS_MAX + 3):
        rig.wait(0.5)
        rig.report(T.CANCEL_REJECTED, order_sequence=order, epoch_low=1, reason=-2011)
        rig.update(order, S.NONE, reason=-2013, venue_order_id=0)
    assert rig.status(order) == S.REJECTED
    assert rig.word(Word.EFFECTIVE_STATE) == TradingState.ENABLED
    assert len(cancels(rig)) < CANCELS_MAX, "one is kept for an order that turns up after all"


def test_nothing_is_asked_while_the_venue_is_away(rig: DeskRig) -> None:
    order = rig.order(1, 10)
    rig.report(T.VENUE_DISCONNECTED)
    rig.wait(10)
    assert rig.status(order) == S.UNKNOWN
    assert len(queries(rig)) == 0
    rig.report(T.VENUE_CONNECTED)
    assert queries(rig)["order_sequence"].tolist() == [order]


def test_a_closed_order_with_a_missing_fill_asks_for_the_trades(rig: DeskRig) -> None:
    order = rig.order(1, 10)
    rig.update(order, S.FILLED, cum_qty_lots=10)
    assert rig.tally(Tally.FETCHES) == 1
    rig.wait(2.2)
    rig.step()
    assert rig.tally(Tally.FETCHES) == 2
    rig.fetch(extra=[rig.fill_record(order, 1, 10, BID, order_status=S.FILLED, cum_qty_lots=10)])
    assert rig.lots() == 10
    assert rig.word(Word.OPEN_COUNT) == 0


def test_what_does_not_fit_into_one_step_is_asked_in_the_next(rig: DeskRig) -> None:
    orders = [working(rig) for _ in range(40)]
    rig.out = create_out(events=64, commands=16)
    rig.control(T.CONTROL_CANCEL_ALL)
    assert 0 < len(cancels(rig)) < 40
    for _ in range(10):
        rig.step()
    assert sorted(cancels(rig)) == orders


def test_flatten_cancels_then_closes_what_every_column_holds(rig: DeskRig) -> None:
    for number, (side, s) in enumerate(((1, 0), (-1, 1)), start=1):
        order = rig.order(side, 10 + number, s=s)
        rig.fill(order, number, 10 + number, order_status=4, side=side)
    resting = working(rig)
    rig.control(T.CONTROL_FLATTEN)
    assert cancels(rig) == [resting]
    rig.update(resting, S.CANCELED)
    rig.wait(0.2)
    closing = of_type(rig.all_commands(), T.COMMAND_NEW)[-2:]
    assert {(int(c["side"]), int(c["qty_lots"])) for c in closing} == {(-1, 11), (1, 12)}
    assert set(closing["order_type"]) == {OrderType.MARKET}
    for trade_id, command in enumerate(closing, start=50):
        order, qty = int(command["order_sequence"]), int(command["qty_lots"])
        rig.fill(order, trade_id, qty, BID, order_status=4)
    rig.wait(0.2)
    assert rig.lots() == rig.lots(0, 0) == rig.lots(0, 1) == 0
    assert rig.word(Word.FLATTEN_ACTIVE) == 0
    assert rig.word(Word.EFFECTIVE_STATE) == TradingState.REDUCING
