"""A restart: what the events of a session say is what the next one begins with."""

import numpy as np
import pytest

from engine.domain.codes import EventType, OrderStatus, TradingState
from engine.domain.fold import SETTLED_KEPT_MAX, TRADES_KEPT_MAX, Fold
from engine.domain.limits import RiskLimits
from engine.domain.records import EVENT_DTYPE
from engine.domain.risk_reasons import RiskReason
from engine.domain.trade_ids import KIND_FUNDING
from engine.domain.words import FetchState, Tally, Word
from tests.desk_rig import (
    ASK,
    BID,
    E8,
    GENEROUS,
    VENUE_NS,
    WALLET_E8,
    DeskRig,
    S,
    make_event,
    of_type,
    types,
)

T = EventType
OS = OrderStatus
MONEY = (
    Word.CASH_E8, Word.REALISED_E8, Word.FEE_E8, Word.FUNDING_E8, Word.DAY_REALISED_E8,
    Word.DAY_ENTRY_COUNT, Word.DAY_NUMBER, Word.PEAK_EQUITY_E8, Word.DAY_START_EQUITY_E8,
    Word.NEXT_ORDER_SEQUENCE, Word.LAST_FILL_VENUE_NS, Word.CASH_KNOWN, Word.FAILURE_COUNT,
)  # fmt: skip


def connected(**changes: float) -> DeskRig:
    rig = DeskRig(RiskLimits(**(GENEROUS._asdict() | changes)))
    rig.connect()
    return rig


def restarted(*sessions: DeskRig) -> DeskRig:
    """Return a session that begins with what earlier ones left in their events."""
    fold = Fold()
    for session in sessions:
        fold.add(session.all_events())
    last = sessions[-1]
    rig = DeskRig(epoch=last.epoch + 1)
    rig.desk.limits[0] = last.desk.limits[0]
    rig.now_ns = last.now_ns + S
    rig.quote()
    records = fold.restore_records()
    assert types(records)[-1] == T.RESTORE_END
    rig.step(np.split(records, len(records)))
    return rig


def traded() -> DeskRig:
    rig = connected()
    bought = rig.order(1, 10)
    rig.fill(bought, 1, 10, ASK, order_status=OS.FILLED, fee_e8=70, venue_time_ns=VENUE_NS)
    sold = rig.order(-1, 4, entry=False)
    rig.fill(sold, 2, 4, ASK + 9, order_status=OS.FILLED, fee_e8=30, venue_time_ns=VENUE_NS + 5)
    short = rig.order(-1, 3, s=1)
    rig.fill(short, 3, 3, BID, order_status=OS.FILLED, venue_time_ns=VENUE_NS + 6)
    rig.report(T.FILL, side=1, trade_id=4, last_qty_lots=2, last_price_ticks=ASK, fee_e8=5)
    rig.report(T.FUNDING, instrument_index=0, trade_id=9, funding_e8=-40)
    return rig


@pytest.mark.parametrize("times", [1, 3])
def test_positions_and_money_survive(times: int) -> None:
    first = traded()
    sessions = [first]
    for _ in range(times):
        sessions.append(restarted(*sessions))
    last = sessions[-1]
    for name in ("lots", "cost_e8", "realised_e8", "fee_e8", "funding_e8"):
        assert (last.desk.positions[name] == first.desk.positions[name]).all(), name
    for word in MONEY:
        assert last.word(word) == first.word(word), word


def test_the_last_session_alone_is_enough() -> None:
    first = traded()
    second = restarted(first)
    third, fourth = restarted(first, second), restarted(second)
    assert third.desk.positions.tobytes() == fourth.desk.positions.tobytes()
    assert third.desk.words.tobytes() == fourth.desk.words.tobytes()


def test_an_account_nobody_traded_starts_empty() -> None:
    records = Fold().restore_records()
    assert types(records) == [T.RESTORE_LIMITS, T.RESTORE_END]
    rig = DeskRig()
    rig.step(np.split(records, len(records)))
    assert rig.word(Word.RESTORED) == 1
    assert rig.word(Word.CASH_KNOWN) == 0


def test_fills_known_before_the_restart_are_known_after_it() -> None:
    first = connected()
    order = first.order(1, 10)
    first.fill(order, 1, 4, order_status=OS.PARTIALLY_FILLED, cum_qty_lots=4)
    second = restarted(first)
    again = first.fill_record(order, 1, 4, ASK, order_status=OS.PARTIALLY_FILLED, cum_qty_lots=4)
    more = first.fill_record(order, 2, 6, ASK, order_status=OS.FILLED, cum_qty_lots=10)
    second.step([again, more])
    assert second.lots(0, 0) == 10
    assert second.row(order, epoch=1)["status"] == OS.FILLED
    assert second.tally(Tally.FILLS_DUPLICATE) == 1


def test_a_restore_that_takes_seconds_trips_no_limit() -> None:
    first = connected(daily_loss_ratio_max=0.02, drawdown_ratio_max=0.1)
    order = first.order(1, 10)
    first.fill(order, 1, 10, ASK, order_status=OS.FILLED)
    fold = Fold()
    fold.add(first.all_events())
    second = DeskRig(epoch=2)
    second.desk.limits[0] = first.desk.limits[0]
    records = fold.restore_records()
    for record in np.split(records, len(records)):
        assert second.word(Word.TRIPPED) == 0
        second.step([record], after_ns=2 * S)
    second.wait(2.0)
    assert second.word(Word.TRIPPED) == 0
    assert second.word(Word.DAY_START_EQUITY_E8) == first.word(Word.DAY_START_EQUITY_E8)


def test_a_flattening_that_a_kill_interrupted_goes_on() -> None:
    first = connected()
    order = first.order(1, 10)
    first.fill(order, 1, 10, ASK, order_status=OS.FILLED)
    first.control(T.CONTROL_REDUCE)
    first.control(T.CONTROL_FLATTEN)  # no change of the trading state tells of it
    (closing,) = of_type(first.all_commands(), T.COMMAND_NEW)[1:]
    first.update(int(closing["order_sequence"]), OS.CANCELED)
    second = restarted(first)
    assert second.word(Word.EFFECTIVE_STATE) == TradingState.REDUCING
    second.report(T.VENUE_CONNECTED)
    second.fetch(positions={0: (10, 10 * ASK)})
    second.wait(0.2)
    (again,) = of_type(second.all_commands(), T.COMMAND_NEW)
    assert (again["side"], again["qty_lots"]) == (-1, 10)
    second.fill(int(again["order_sequence"]), 2, 10, BID, order_status=OS.FILLED)
    second.wait(0.2)
    assert second.word(Word.FLATTEN_ACTIVE) == 0
    assert restarted(second).word(Word.FLATTEN_ACTIVE) == 0, "flat: nothing goes on"


def test_a_resume_ends_a_flattening_for_restarts_too() -> None:
    first = connected()
    order = first.order(1, 10)
    first.fill(order, 1, 10, ASK, order_status=OS.FILLED)
    first.control(T.CONTROL_FLATTEN)
    assert restarted(first).word(Word.FLATTEN_ACTIVE) == 1
    first.control(T.CONTROL_RESUME)
    assert restarted(first).word(Word.FLATTEN_ACTIVE) == 0


def test_funding_known_before_the_restart_is_known_after_it() -> None:
    first = traded()
    second = restarted(first)
    second.report(T.FUNDING, instrument_index=0, trade_id=9, funding_e8=-40)
    assert second.word(Word.FUNDING_E8) == -40


def test_funding_is_known_however_many_fills_followed_it() -> None:
    """It is asked for again over an hour: booked once more it would be money that never came."""
    rig = DeskRig(trades_max=4)
    rig.connect()
    rig.report(T.FUNDING, instrument_index=0, trade_id=9, funding_e8=-40)
    for trade_id in range(20, 30):
        rig.report(T.FILL, side=1, trade_id=trade_id, last_qty_lots=1, last_price_ticks=ASK)
    rig.report(T.FUNDING, instrument_index=0, trade_id=9, funding_e8=-40)
    assert rig.word(Word.FUNDING_E8) == -40
    fold = Fold()
    events = np.zeros(TRADES_KEPT_MAX + 6, dtype=EVENT_DTYPE)
    events["event_type"], events["flags"], events["last_qty_lots"] = T.FILL, 4, 1
    events["trade_id"] = np.arange(1, len(events) + 1)
    events["event_type"][0], events["trade_id"][0] = T.FUNDING, 9
    fold.add(events)
    applied = of_type(fold.restore_records(), T.RESTORE_ORDER)
    assert applied[applied["reason"] == KIND_FUNDING]["trade_id"].tolist() == [9]


def test_forgotten_trade_ids_leave_a_floor() -> None:
    fold = Fold()
    events = np.zeros(TRADES_KEPT_MAX + 5, dtype=EVENT_DTYPE)
    events["event_type"] = T.FILL
    events["flags"] = 4
    events["last_qty_lots"] = 1
    events["trade_id"] = np.arange(1, len(events) + 1)
    fold.add(events)
    records = fold.restore_records()
    assert of_type(records, T.RESTORE_POSITION)["trade_id"].tolist() == [5]
    assert len(of_type(records, T.RESTORE_ORDER)) == TRADES_KEPT_MAX
    rig = DeskRig()
    rig.step(np.split(records[records["event_type"] != T.RESTORE_ORDER], 3))
    rig.report(T.VENUE_CONNECTED)
    rig.report(T.FILL, side=1, trade_id=5, last_qty_lots=1, last_price_ticks=ASK)
    assert rig.lots() == 0


def test_an_order_in_flight_at_the_kill_is_unknown_and_asked_about() -> None:
    first = connected()
    order = first.order(1, 10)
    second = restarted(first)
    assert second.row(order, epoch=1)["status"] == OS.UNKNOWN
    assert second.desk.exposure["in_flight"][0, 0] == 1
    second.report(T.VENUE_CONNECTED)
    asked = of_type(second.all_commands(), T.COMMAND_FETCH)
    assert (order, 1) in zip(asked["order_sequence"], asked["epoch_low"], strict=True)
    assert len(of_type(second.all_commands(), T.COMMAND_NEW)) == 0


def test_a_resting_entry_is_withdrawn_and_a_resting_exit_is_kept() -> None:
    first = connected()
    bought = first.order(1, 10)
    first.fill(bought, 1, 10, order_status=OS.FILLED)
    exit_order = first.order(-1, 10, price=ASK + 10, entry=False)
    entry = first.order(1, 5, price=BID, s=1)
    for order in (exit_order, entry):
        first.update(order, OS.NEW)
    second = restarted(first)
    second.report(T.VENUE_CONNECTED)
    cancels = of_type(second.all_commands(), T.COMMAND_CANCEL)
    assert cancels["order_sequence"].tolist() == [entry]
    assert second.row(exit_order, epoch=1)["status"] == OS.NEW


def test_order_numbers_go_on() -> None:
    first = connected()
    last = first.order(1, 1)
    first.fill(last, 1, 1, order_status=OS.FILLED)
    second = restarted(first)
    second.report(T.VENUE_CONNECTED)
    second.fetch(positions={0: (1, 0)})
    assert second.order(1, 1) == last + 1


def test_a_tripped_limit_is_still_tripped() -> None:
    first = connected(daily_loss_ratio_max=0.02)
    first.report(T.FUNDING, instrument_index=0, trade_id=1, funding_e8=-300 * E8)
    assert first.word(Word.EFFECTIVE_STATE) == TradingState.HALTED
    second = restarted(first)
    assert second.word(Word.EFFECTIVE_STATE) == TradingState.HALTED
    assert second.word(Word.STATE_REASON) == RiskReason.DAILY_LOSS
    second.control(T.CONTROL_RESUME)
    third = restarted(first, second)
    assert third.word(Word.EFFECTIVE_STATE) == TradingState.ENABLED


def test_an_operators_halt_is_still_in_force() -> None:
    first = connected()
    first.control(T.CONTROL_HALT)
    assert restarted(first).word(Word.OWN_STATE) == TradingState.HALTED


def test_a_lease_lost_by_an_earlier_session_is_not_lost_by_this_one() -> None:
    first = connected()
    first.report(T.EXECUTOR_FAULT, reason=RiskReason.LEASE_LOST)
    assert restarted(first).word(Word.EFFECTIVE_STATE) == TradingState.ENABLED


def test_a_kill_between_a_fill_and_its_limits_loses_nothing() -> None:
    first = traded()
    events = first.all_events()
    last_limits = int(np.flatnonzero(events["event_type"] == T.LIMITS_CHANGED)[-1])
    fold = Fold()
    fold.add(events[:last_limits])
    limits = of_type(fold.restore_records(), T.RESTORE_LIMITS)[0]
    assert limits["cash_e8"] == first.word(Word.CASH_E8)
    assert limits["day_realised_pnl_e8"] == first.word(Word.DAY_REALISED_E8)
    assert limits["day_entry_count"] == first.word(Word.DAY_ENTRY_COUNT)
    assert limits["order_sequence"] == first.word(Word.NEXT_ORDER_SEQUENCE)


def test_a_session_killed_while_restoring_is_as_if_it_never_was() -> None:
    first = traded()
    fold = Fold()
    fold.add(first.all_events())
    expected = fold.restore_records()
    begun = restarted(first).all_events()
    end = int(np.flatnonzero(begun["event_type"] == T.RESTORE_END)[0])
    fold.add(begun[: end // 2])
    assert fold.restore_records().tobytes() == expected.tobytes()


def test_restore_records_after_the_restore_are_refused() -> None:
    rig = connected()
    rig.report(T.RESTORE_POSITION, instrument_index=0, strategy_index=0, position_lots=99)
    rig.report(T.RESTORE_LIMITS, cash_e8=1)
    assert rig.lots(0, 0) == 0
    assert rig.word(Word.CASH_E8) == WALLET_E8


@pytest.mark.parametrize(
    "fields",
    [
        {"instrument_index": 77},
        {"qty_lots": 0},
        {"order_status": 0},
        {"order_status": 11},
        {"order_sequence": 0},
    ],
)
def test_a_senseless_order_is_not_restored(fields: dict[str, int]) -> None:
    rig = DeskRig()
    good = {"order_sequence": 5, "epoch_low": 1, "qty_lots": 4, "order_status": OS.NEW, "side": 1}
    rig.step([make_event(T.RESTORE_ORDER, **(good | fields)), make_event(T.RESTORE_END)])
    assert rig.word(Word.OPEN_COUNT) == 0


def test_a_strategy_that_is_gone_leaves_its_position_to_nobody() -> None:
    first = traded()
    fold = Fold()
    fold.add(first.all_events())
    rig = DeskRig(strategies=1, epoch=2)
    records = fold.restore_records()
    rig.step(np.split(records, len(records)))
    assert rig.lots() == first.lots()
    assert rig.lots(0, -1) == first.lots(0, -1) + first.lots(0, 1)


def test_settled_orders_are_handed_on_within_a_bound() -> None:
    fold = Fold()
    events = np.zeros(2 * (SETTLED_KEPT_MAX + 10), dtype=EVENT_DTYPE)
    events["event_type"][::2] = T.ORDER_REQUEST
    events["event_type"][1::2] = T.ORDER_UPDATE
    events["order_status_after"][1::2] = OS.CANCELED
    events["order_sequence"] = np.repeat(np.arange(1, len(events) // 2 + 1), 2)
    events["qty_lots"] = 1
    fold.add(events)
    orders = of_type(fold.restore_records(), T.RESTORE_ORDER)
    assert orders["order_sequence"].tolist() == list(range(11, SETTLED_KEPT_MAX + 11))


def test_nothing_is_sent_before_the_restored_state_is_reconciled() -> None:
    second = restarted(traded())
    assert second.word(Word.FETCH_STATE) == FetchState.IDLE
    second.report(T.VENUE_CONNECTED)
    assert types(second.propose(1, 1))[-1] == T.RISK_REFUSAL
    assert set(types(second.all_commands())) == {T.COMMAND_FETCH}


def test_repacked_events_are_refused() -> None:
    events = np.concatenate([np.zeros(1, dtype=EVENT_DTYPE)] * 2)
    with pytest.raises(AssertionError, match="repacks"):
        Fold().add(events)
