"""What a fetch says of a single order: in motion, listed, in doubt, or short of a fill."""

import numpy as np
import pytest

from engine.domain.codes import EventType, OrderStatus
from engine.domain.fetch import FETCH_OUTAGE_NS
from engine.domain.limits import RiskLimits
from engine.domain.reconcile import ADJUSTMENTS_PER_ROUND_MAX, WRITE_OFF_ROUNDS
from engine.domain.words import FetchState, Tally, Word
from tests.desk_rig import ASK, GENEROUS, MS, VENUE_NS, DeskRig, S, make_event, types

T = EventType
OS = OrderStatus
UNIT = 10_000
TIMEOUT_NS = 2 * S


@pytest.fixture
def rig() -> DeskRig:
    rig = DeskRig(RiskLimits(**(GENEROUS._asdict() | {"order_timeout_ms": TIMEOUT_NS // MS})))
    rig.connect()
    return rig


def until_asked(rig: DeskRig) -> None:
    """Wait until a fetch is asked for; ask when nothing demands one."""
    if not rig.word(Word.RECONCILE_REQUIRED) and rig.word(Word.FETCH_STATE) == FetchState.IDLE:
        rig.control(T.CONTROL_RECONCILE)
    for _ in range(FETCH_OUTAGE_NS // S):
        if rig.word(Word.FETCH_STATE) == FetchState.ASKED:
            return
        rig.wait(0.2)
    pytest.fail("no fetch was asked for")


def resting(rig: DeskRig) -> int:
    order = rig.order(1, 10, price=ASK)
    rig.update(order, OS.NEW)
    return order


def listed(order: int) -> list[np.ndarray]:
    words = {"epoch_low": 1, "venue_order_id": 9000 + order, "qty_lots": 10, "price_ticks": ASK}
    return [make_event(T.VENUE_ORDER, order_sequence=order, side=1, order_status=OS.NEW, **words)]


def end(rig: DeskRig) -> None:
    wallet = make_event(T.VENUE_BALANCE, wallet_e8=rig.word(Word.CASH_E8))
    rig.step([wallet, make_event(T.FETCH_END)])


def test_an_order_that_changed_in_the_step_of_the_begin_is_in_motion(rig: DeskRig) -> None:
    order = rig.order(1, 10, price=ASK)
    until_asked(rig)
    rig.step([rig.update_record(order, OS.NEW), make_event(T.FETCH_BEGIN)])
    end(rig)
    assert rig.status(order) == OS.NEW


def test_an_order_that_changed_before_the_begin_and_is_not_listed_is_in_doubt(
    rig: DeskRig,
) -> None:
    order = rig.order(1, 10, price=ASK)
    until_asked(rig)
    rig.update(order, OS.NEW)
    rig.step([make_event(T.FETCH_BEGIN)])
    end(rig)
    assert rig.status(order) == OS.UNKNOWN


def test_an_order_that_is_listed_again_and_again_rests(rig: DeskRig) -> None:
    order = resting(rig)
    for _ in range(3):
        until_asked(rig)
        rig.fetch(extra=listed(order))
        assert rig.status(order) == OS.NEW
    assert rig.word(Word.SYNCED) == 1


def test_an_order_that_was_never_acknowledged_is_watched_by_its_timeout(rig: DeskRig) -> None:
    order = rig.order(1, 10, price=ASK)
    until_asked(rig)
    rig.fetch()
    rig.wait(0.1)
    assert rig.status(order) == OS.PENDING_NEW
    assert rig.tally(Tally.RECONCILED) == 2, "it is in nobody's way"
    rig.wait(TIMEOUT_NS / S + 1)
    assert rig.status(order) == OS.UNKNOWN


def test_a_fetch_does_not_start_the_lookups_of_a_doubted_order_again(rig: DeskRig) -> None:
    order = resting(rig)
    until_asked(rig)
    rig.fetch()
    assert rig.status(order) == OS.UNKNOWN
    rig.wait(1)
    asked = int(rig.row(order)["query_count"])
    assert asked > 0
    until_asked(rig)
    rig.fetch()
    assert rig.row(order)["query_count"] >= asked, "or nobody would ever be told to look"


def short_of_a_fill(rig: DeskRig, age_ns: int) -> int:
    """End a fetch when an order has been short of its fill for so long."""
    order = rig.order(1, 10)
    until_asked(rig)
    rig.update(order, OS.FILLED, cum_qty_lots=10)
    changed_ns = rig.now_ns
    rig.step([make_event(T.FETCH_BEGIN)])
    rig.now_ns = changed_ns + age_ns - MS
    end(rig)
    assert rig.now_ns == changed_ns + age_ns
    return order


def test_a_fill_that_may_still_come_is_no_difference(rig: DeskRig) -> None:
    short_of_a_fill(rig, TIMEOUT_NS)
    assert rig.word(Word.MISMATCH_ROUNDS) == 0


def test_a_fill_that_is_overdue_is_one(rig: DeskRig) -> None:
    short_of_a_fill(rig, TIMEOUT_NS + 1)
    assert rig.word(Word.MISMATCH_ROUNDS) == 1


def test_a_fill_is_written_off_after_so_many_rounds_and_no_sooner(rig: DeskRig) -> None:
    order = short_of_a_fill(rig, TIMEOUT_NS + 1)
    for ended in range(2, WRITE_OFF_ROUNDS + 1):
        until_asked(rig)
        rig.fetch(positions={0: (10, 10 * ASK * UNIT)})
        assert rig.word(Word.MISMATCH_ROUNDS) == ended
        assert rig.row(order)["cum_qty_lots"] == 10
    until_asked(rig)
    events = rig.fetch(positions={0: (10, 10 * ASK * UNIT)})
    assert T.ADJUSTMENT in types(events)


def test_a_fill_without_a_time_is_covered_by_no_adjustment(rig: DeskRig) -> None:
    for _ in range(2):
        until_asked(rig)
        rig.fetch(positions={0: (4, 4 * ASK * UNIT)}, venue_time_ns=VENUE_NS)
    assert rig.lots() == 4
    order = rig.order(1, 10)
    rig.fill(order, 5, 10, order_status=OS.FILLED, venue_time_ns=0)
    assert (rig.lots(), rig.lots(0, 0)) == (14, 10)


def test_a_foreign_fill_without_a_side_moves_nothing(rig: DeskRig) -> None:
    words = {"trade_id": 7, "last_qty_lots": 5, "last_price_ticks": ASK, "venue_order_id": 3}
    rig.report(T.FILL, side=0, **words)
    assert (rig.lots(), rig.tally(Tally.REPORTS_INVALID)) == (0, 1)
    rig.report(T.FILL, side=-1, **words)
    assert (rig.lots(), rig.tally(Tally.REPORTS_INVALID)) == (-5, 1)


@pytest.mark.parametrize("is_same_step", [True, False])
def test_money_that_moved_since_the_begin_is_no_difference(
    rig: DeskRig,
    is_same_step: bool,
) -> None:
    until_asked(rig)
    before_e8 = rig.word(Word.CASH_E8)
    paid = make_event(T.FUNDING, instrument_index=0, trade_id=9, funding_e8=-500)
    begin = make_event(T.FETCH_BEGIN)
    if is_same_step:
        rig.step([paid, begin])
    else:
        rig.step([begin])
        rig.step([paid])
    rig.step([make_event(T.VENUE_BALANCE, wallet_e8=before_e8), make_event(T.FETCH_END)])
    assert (rig.word(Word.WALLET_MISMATCH_E8), rig.word(Word.MISMATCH_ROUNDS)) == (0, 0)
    assert rig.word(Word.CASH_E8) == before_e8 - 500


@pytest.mark.parametrize("side", [1, -1])
def test_foreign_orders_of_one_side_come_and_go(rig: DeskRig, side: int) -> None:
    name = "foreign_buy_lots" if side > 0 else "foreign_sell_lots"
    foreign = make_event(T.VENUE_ORDER, side=side, qty_lots=9, order_status=OS.NEW)
    for extra, lots in (([foreign], 9), ([], 0)):
        until_asked(rig)
        rig.fetch(extra=extra)
        assert rig.desk.ledger[name][0] == lots


def test_so_many_differences_are_adjusted_in_a_round_and_the_rest_in_the_next() -> None:
    count = ADJUSTMENTS_PER_ROUND_MAX + 1
    rig = DeskRig(GENEROUS, instruments=count)
    rig.connect()
    positions = dict.fromkeys(range(count), (4, 4 * ASK * UNIT))
    held = []
    for _ in range(3):
        until_asked(rig)
        rig.fetch(positions=positions)
        held.append(sum(rig.lots(i) == 4 for i in range(count)))
    assert held == [0, ADJUSTMENTS_PER_ROUND_MAX, count]
