"""Ours against the venue's: what is adopted, what is doubted, and when trading halts."""

import itertools

import pytest

from engine.domain.adjust import AdjustmentKind
from engine.domain.codes import EventType, OrderStatus, TradingState
from engine.domain.fetch import (
    BUSY_ROUNDS_MAX,
    FETCH_FAILURES_MAX,
    FETCH_OUTAGE_NS,
    NOT_QUIET,
)
from engine.domain.reconcile import ADJUST_ROUNDS_MAX, MISMATCH_ROUNDS_MAX
from engine.domain.risk_reasons import RiskReason
from engine.domain.words import FetchState, Tally, Word
from tests.desk_rig import ASK, E8, GENEROUS, VENUE_NS, WALLET_E8, DeskRig, S, make_event, of_type

T = EventType
OS = OrderStatus
UNIT = 10_000


@pytest.fixture
def rig() -> DeskRig:
    rig = DeskRig()
    rig.connect()
    return rig


def ask(rig: DeskRig) -> None:
    """Make a fetch due and asked for."""
    rig.control(T.CONTROL_RECONCILE)
    assert rig.word(Word.FETCH_STATE) == FetchState.ASKED


def again(rig: DeskRig) -> None:
    """Wait until the next fetch is asked for; ask when nothing demands one."""
    if rig.word(Word.FETCH_STATE) == FetchState.IDLE and not rig.word(Word.RECONCILE_REQUIRED):
        ask(rig)
    for _ in range(200):
        if rig.word(Word.FETCH_STATE) == FetchState.ASKED:
            return
        rig.wait(0.2)
    pytest.fail("no fetch was asked for")


def rounds(rig: DeskRig, count: int, **told: object) -> None:
    ask(rig)
    for _ in range(count):
        again(rig)
        rig.fetch(**told)  # type: ignore[arg-type]


def held(rig: DeskRig, qty: int = 10, s: int = 0) -> int:
    order = rig.order(1, qty, s=s)
    rig.fill(order, 100 + order, qty, order_status=OS.FILLED, venue_time_ns=VENUE_NS)
    return order


def adjustments(rig: DeskRig) -> list[tuple[int, int]]:
    found = of_type(rig.all_events(), T.ADJUSTMENT)
    return [(int(a["reason"]), int(a["qty_lots"])) for a in found]


def test_nothing_is_sent_before_the_first_reconciliation() -> None:
    rig = DeskRig()
    rig.report(T.VENUE_CONNECTED)
    rig.wait(1)
    assert rig.tally(Tally.FETCHES) == 0, "the restore comes first"
    rig.report(T.RESTORE_END)
    assert rig.tally(Tally.FETCHES) == 1
    assert rig.word(Word.SYNCED) == 0
    rig.fetch(WALLET_E8)
    assert rig.word(Word.SYNCED) == 1
    assert len(of_type(rig.all_events(), T.RECONCILED)) == 1


def test_the_first_wallet_is_the_opening_balance(rig: DeskRig) -> None:
    opening = of_type(rig.all_events(), T.ADJUSTMENT)
    assert opening["reason"].tolist() == [AdjustmentKind.OPENING_CASH]
    assert opening["wallet_e8"].tolist() == [WALLET_E8]
    assert rig.word(Word.EQUITY_E8) == rig.word(Word.PEAK_EQUITY_E8) == WALLET_E8


def test_a_fetch_names_its_round_and_where_trades_start(rig: DeskRig) -> None:
    held(rig)
    ask(rig)
    command = rig.commands[-1][0]
    assert command["request_id"] == 2
    assert command["venue_time_ns"] == VENUE_NS


def test_equal_states_reconcile_without_an_adjustment(rig: DeskRig) -> None:
    held(rig)
    rounds(rig, 1, positions={0: (10, 10 * ASK * UNIT)})
    assert adjustments(rig) == [(AdjustmentKind.OPENING_CASH, 0)]
    assert rig.tally(Tally.RECONCILED) == 2


def test_a_position_changed_by_hand_is_adjusted_after_two_fetches_agree(rig: DeskRig) -> None:
    held(rig)
    rounds(rig, 1, positions={0: (7, 7 * ASK * UNIT)}, venue_time_ns=VENUE_NS + S)
    assert rig.lots() == 10
    assert rig.word(Word.SYNCED) == 1
    again(rig)
    rig.fetch(positions={0: (7, 7 * ASK * UNIT)}, venue_time_ns=VENUE_NS + 2 * S)
    assert (rig.lots(), rig.lots(0, 0), rig.lots(0, -1)) == (7, 7, 0)
    assert adjustments(rig)[1:] == [(AdjustmentKind.POSITION, 3)]
    assert rig.desk.positions["cost_e8"][0, 0] == 7 * ASK * UNIT
    assert rig.word(Word.REALISED_E8) == 0, "its money comes with the wallet"


def test_a_position_opened_by_hand_is_external(rig: DeskRig) -> None:
    rounds(rig, 2, positions={1: (-6, -6 * ASK * UNIT)})
    assert (rig.lots(1), rig.lots(1, -1)) == (-6, -6)
    assert rig.desk.positions["cost_e8"][1, -1] == -6 * ASK * UNIT


def test_a_position_the_venue_does_not_list_is_flat(rig: DeskRig) -> None:
    held(rig)
    rounds(rig, 2, positions={})
    assert rig.lots() == rig.lots(0, 0) == 0
    assert rig.desk.exposure["position_lots"][0, 0] == 0


def test_the_same_difference_gives_the_same_id() -> None:
    ids = []
    for _ in range(2):
        rig = DeskRig()
        rig.connect()
        held(rig)
        rounds(rig, 2, positions={0: (7, 7 * ASK * UNIT)}, venue_time_ns=VENUE_NS + S)
        ids.append(of_type(rig.all_events(), T.ADJUSTMENT)["trade_id"].tolist())
    assert ids[0] == ids[1]
    assert all(number < 0 for number in ids[0])
    assert len(set(ids[0])) == 2


def test_adjusting_twice_is_adjusting_once(rig: DeskRig) -> None:
    held(rig)
    rounds(rig, 6, positions={0: (7, 7 * ASK * UNIT)})
    assert adjustments(rig)[1:] == [(AdjustmentKind.POSITION, 3)]


def test_a_fill_during_the_fetch_is_not_a_difference(rig: DeskRig) -> None:
    order = rig.order(1, 10)
    ask(rig)
    rig.report(T.FETCH_BEGIN)
    rig.fill(order, 1, 10, order_status=OS.FILLED)
    rig.report(T.FETCH_END)
    assert adjustments(rig) == [(AdjustmentKind.OPENING_CASH, 0)]
    assert rig.word(Word.BUSY_ROUNDS) == 1
    again(rig)
    rig.fetch(positions={0: (10, 0)})
    assert rig.lots() == 10


def test_a_fill_that_came_with_the_fetch_explains_the_position(rig: DeskRig) -> None:
    order = rig.order(1, 10)
    rig.update(order, OS.NEW)
    ask(rig)
    fill = rig.fill_record(order, 1, 10, ASK, order_status=OS.FILLED)
    rig.fetch(positions={0: (10, 0)}, extra=[fill])
    assert rig.lots(0, 0) == 10
    assert adjustments(rig) == [(AdjustmentKind.OPENING_CASH, 0)]


def test_a_wallet_difference_is_booked_after_two_fetches_agree(rig: DeskRig) -> None:
    rounds(rig, 1, wallet_e8=WALLET_E8 - 3 * E8)
    assert rig.word(Word.CASH_E8) == WALLET_E8
    again(rig)
    rig.fetch(wallet_e8=WALLET_E8 - 3 * E8)
    assert rig.word(Word.CASH_E8) == WALLET_E8 - 3 * E8
    record = of_type(rig.all_events(), T.ADJUSTMENT)[-1]
    assert record["reason"] == AdjustmentKind.CASH
    assert record["venue_realised_pnl_e8"] == -3 * E8


def test_a_difference_that_keeps_changing_halts(rig: DeskRig) -> None:
    ask(rig)
    for number in range(MISMATCH_ROUNDS_MAX):
        again(rig)
        rig.fetch(positions={0: (number + 1, 0)})
    assert rig.word(Word.EFFECTIVE_STATE) == TradingState.HALTED
    assert rig.word(Word.STATE_REASON) == RiskReason.RECONCILE_DIVERGED


def test_adjusting_again_and_again_halts(rig: DeskRig) -> None:
    ask(rig)
    for number in range(1, ADJUST_ROUNDS_MAX + 1):
        assert rig.word(Word.EFFECTIVE_STATE) == TradingState.ENABLED
        for _ in range(2):
            again(rig)
            rig.fetch(positions={0: (number, 0)})
    assert rig.word(Word.STATE_REASON) == RiskReason.RECONCILE_DIVERGED


def test_a_failed_fetch_never_means_flat(rig: DeskRig) -> None:
    held(rig)
    ask(rig)
    for _ in range(3):
        again(rig)
        rig.report(T.FETCH_BEGIN)
        rig.report(T.FETCH_FAILED)
    assert rig.lots() == 10
    assert adjustments(rig) == [(AdjustmentKind.OPENING_CASH, 0)]


def test_failures_pause_longer_and_longer_within_a_bound(rig: DeskRig) -> None:
    ask(rig)
    moments = []
    for _ in range(8):
        again(rig)
        moments.append(rig.now_ns)
        rig.report(T.FETCH_FAILED)
    pauses = [b - a for a, b in itertools.pairwise(moments)]
    assert pauses == sorted(pauses)
    assert 8 * pauses[0] < pauses[-1] < 5 * S
    assert rig.word(Word.EFFECTIVE_STATE) == TradingState.ENABLED


def test_after_some_failures_our_state_counts_as_unknown(rig: DeskRig) -> None:
    ask(rig)
    for number in range(1, FETCH_FAILURES_MAX + 1):
        again(rig)
        assert rig.word(Word.SYNCED) == 1
        rig.report(T.FETCH_FAILED)
        assert rig.word(Word.FETCH_FAILURES) == number
    assert rig.word(Word.SYNCED) == 0
    again(rig)
    rig.fetch()
    assert (rig.word(Word.SYNCED), rig.word(Word.FETCH_FAILURES)) == (1, 0)


def test_failing_for_longer_than_a_minute_of_the_venue_halts(rig: DeskRig) -> None:
    ask(rig)
    begun_ns = rig.now_ns
    while rig.word(Word.EFFECTIVE_STATE) == TradingState.ENABLED:
        again(rig)
        rig.report(T.FETCH_FAILED)
        assert rig.now_ns - begun_ns < 2 * FETCH_OUTAGE_NS
    assert rig.now_ns - begun_ns >= FETCH_OUTAGE_NS
    assert rig.word(Word.STATE_REASON) == RiskReason.RECONCILE_FAILED


def test_an_account_that_does_not_hold_still_is_no_failure(rig: DeskRig) -> None:
    ask(rig)
    for _ in range(40):
        if rig.word(Word.FETCH_STATE) == FetchState.ASKED:
            rig.report(T.FETCH_FAILED, reason=NOT_QUIET)
        rig.wait(5)
    assert rig.word(Word.SYNCED) == 1
    assert rig.word(Word.FETCH_FAILURES) == 0
    assert rig.tally(Tally.FETCHES) == BUSY_ROUNDS_MAX + 1, "then the interval is awaited"


def test_the_red_button_reaches_orders_that_are_not_ours(rig: DeskRig) -> None:
    rig.control(T.CONTROL_CANCEL_ALL)
    assert len(of_type(rig.all_commands(), T.COMMAND_CANCEL_ALL)) == 0
    ask(rig)
    rig.fetch(extra=[make_event(T.VENUE_ORDER, side=1, qty_lots=9, order_status=2)])
    events = rig.control(T.CONTROL_CANCEL_ALL)
    assert of_type(events, T.COMMAND_CANCEL_ALL)["instrument_index"].tolist() == [-1]
    rig.step()
    assert len(of_type(rig.all_commands(), T.COMMAND_CANCEL_ALL)) == 1


def test_a_fetch_that_never_ends_is_a_failure() -> None:
    rig = DeskRig(GENEROUS._replace(fetch_timeout_ms=3_000))
    rig.report(T.RESTORE_END)
    rig.report(T.VENUE_CONNECTED)
    rig.wait(2.9)
    assert rig.tally(Tally.FETCHES_FAILED) == 0
    rig.wait(0.2)
    assert rig.tally(Tally.FETCHES_FAILED) == 1
    assert rig.word(Word.SYNCED) == 0


def test_the_answer_to_an_earlier_fetch_is_ignored(rig: DeskRig) -> None:
    held(rig)
    ask(rig)
    stale = {"request_id": 1}
    rig.step([make_event(T.FETCH_BEGIN, **stale), make_event(T.FETCH_END, **stale)])
    assert rig.word(Word.FETCH_STATE) == FetchState.ASKED
    assert rig.tally(Tally.RECONCILED) == 1
    rig.step([make_event(T.FETCH_FAILED, **stale)])
    assert rig.tally(Tally.FETCHES_FAILED) == 0


def test_a_disconnect_voids_the_fetch_and_the_sync(rig: DeskRig) -> None:
    ask(rig)
    rig.report(T.FETCH_BEGIN)
    rig.report(T.VENUE_DISCONNECTED)
    rig.step([make_event(T.FETCH_END)])
    assert (rig.word(Word.SYNCED), rig.tally(Tally.RECONCILED)) == (0, 1)
    rig.report(T.VENUE_CONNECTED)
    rig.fetch()
    assert rig.word(Word.SYNCED) == 1


def test_it_is_repeated_every_interval() -> None:
    rig = DeskRig(GENEROUS._replace(reconcile_interval_s=30))
    rig.connect()
    for _ in range(65):
        rig.wait(1)
        if rig.word(Word.FETCH_STATE) == FetchState.ASKED:
            rig.fetch()
    assert rig.tally(Tally.FETCHES) == 3


def test_an_open_order_the_venue_does_not_list_is_queried_not_buried(rig: DeskRig) -> None:
    order = rig.order(1, 10, price=ASK)
    rig.update(order, OS.NEW)
    rounds(rig, 1)
    assert rig.status(order) == OS.UNKNOWN
    assert rig.commands[-1]["order_sequence"].tolist() == [order]
    rig.update(order, OS.EXPIRED)
    again(rig)
    rig.fetch()
    assert rig.tally(Tally.RECONCILED) == 2


def test_an_order_still_in_flight_is_left_alone(rig: DeskRig) -> None:
    order = rig.order(1, 10)
    rounds(rig, 1)
    assert rig.status(order) == OS.PENDING_NEW


def test_foreign_orders_are_counted(rig: DeskRig) -> None:
    foreign = [
        make_event(T.VENUE_ORDER, side=side, qty_lots=9, cum_qty_lots=2, order_status=3)
        for side in (1, -1)
    ]
    ask(rig)
    rig.fetch(extra=foreign)
    assert rig.word(Word.FOREIGN_OPEN) == 2
    assert rig.desk.ledger["foreign_buy_lots"][0] == rig.desk.ledger["foreign_sell_lots"][0] == 7
    rounds(rig, 1)
    assert rig.word(Word.FOREIGN_OPEN) == 0
    assert rig.desk.ledger["foreign_buy_lots"][0] == 0


def test_a_fill_that_never_comes_is_written_off_and_the_position_adjusted(rig: DeskRig) -> None:
    order = rig.order(1, 10)
    rig.update(order, OS.FILLED, cum_qty_lots=10)
    rig.wait(3)
    for _ in range(8):
        again(rig)
        rig.fetch(positions={0: (10, 10 * ASK * UNIT)}, venue_time_ns=VENUE_NS + 60 * S)
        if rig.word(Word.OPEN_COUNT) == 0 and rig.lots() == 10:
            break
    assert rig.word(Word.EFFECTIVE_STATE) == TradingState.ENABLED
    assert rig.lots() == 10
    assert rig.word(Word.OPEN_COUNT) == 0
    kinds = [kind for kind, _ in adjustments(rig)[1:]]
    assert kinds == [AdjustmentKind.FILL, AdjustmentKind.POSITION]
    # And now it comes after all: the strategy gets its position, the venue's stays as it is.
    rig.fill(order, 77, 10, order_status=OS.FILLED, venue_time_ns=VENUE_NS)
    assert (rig.lots(), rig.lots(0, 0), rig.lots(0, -1)) == (10, 10, 0)
    assert rig.row(order)["filled_lots"] == 10
    assert rig.tally(Tally.FILLS_LATE) == 1


def test_a_fill_after_an_adjustment_counts_in_full(rig: DeskRig) -> None:
    rounds(rig, 2, positions={0: (4, 4 * ASK * UNIT)}, venue_time_ns=VENUE_NS)
    order = rig.order(1, 10)
    rig.fill(order, 5, 10, order_status=OS.FILLED, venue_time_ns=VENUE_NS + 1)
    assert (rig.lots(), rig.lots(0, 0), rig.lots(0, -1)) == (14, 10, 4)


def test_columns_always_sum_to_the_net_position(rig: DeskRig) -> None:
    held(rig, 10, 0)
    held(rig, 5, 1)
    for lots in (3, -8, 20, 0):
        rounds(rig, 2, positions={0: (lots, lots * ASK * UNIT)})
        assert rig.lots() == lots
        assert rig.desk.positions["lots"][0, :-1].sum() == lots
        rig.desk.words[Word.ADJUST_ROUNDS] = 0


def test_a_venue_cost_without_sense_is_replaced_by_mid(rig: DeskRig) -> None:
    rounds(rig, 2, positions={0: (4, -1)})
    assert rig.desk.positions["cost_e8"][0, -1] == 4 * (2 * ASK - 1) * UNIT // 2


def test_trades_before_the_first_wallet_are_not_asked_for() -> None:
    rig = DeskRig()
    rig.report(T.RESTORE_END)
    rig.report(T.VENUE_CONNECTED)
    rig.fetch(WALLET_E8, venue_time_ns=VENUE_NS)
    rig.update(rig.order(1, 10, price=ASK), OS.NEW)
    ask(rig)
    assert rig.commands[-1]["venue_time_ns"][0] == VENUE_NS
