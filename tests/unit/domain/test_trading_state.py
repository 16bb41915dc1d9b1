"""Trading states: who sets them, what trips them, and that only an operator makes them milder."""

import pytest

from engine.domain.codes import EventType, OrderStatus, TradingState
from engine.domain.limits import RiskLimits
from engine.domain.reports import CLOSED_PAUSE_NS, INSTRUMENT_CLOSED, OVERDUE, RATE_PAUSED
from engine.domain.risk_reasons import RiskReason, reasons_of
from engine.domain.words import Tally, Word
from engine.venues.order_records import LocalReason
from tests.desk_rig import ASK, BID, E8, GENEROUS, WALLET_E8, DeskRig, S, of_type, types

T = EventType
R = RiskReason
TS = TradingState
DAY_NS = 86_400 * S


def connected(**changes: float) -> DeskRig:
    rig = DeskRig(RiskLimits(**(GENEROUS._asdict() | changes)))
    rig.connect()
    return rig


def state(rig: DeskRig) -> TradingState:
    return TS(rig.word(Word.EFFECTIVE_STATE))


def pay(rig: DeskRig, amount_e8: int, trade_id: int = 1) -> None:
    rig.report(T.FUNDING, instrument_index=0, trade_id=trade_id, funding_e8=amount_e8)


@pytest.mark.parametrize(
    ("control", "after"),
    [
        (T.CONTROL_HALT, TS.HALTED),
        (T.CONTROL_PAUSE, TS.PAUSED),
        (T.CONTROL_REDUCE, TS.REDUCING),
        (T.CONTROL_FLATTEN, TS.REDUCING),
    ],
)
def test_the_operator_sets_the_state_and_it_is_told(control: T, after: TS) -> None:
    rig = connected()
    events = rig.control(control)
    changed = of_type(events, T.TRADING_STATE_CHANGED)
    assert changed["trading_state"].tolist() == [after]
    assert changed["order_status"].tolist() == [TS.ENABLED]
    assert changed["reason"].tolist() == [R.OPERATOR]
    assert state(rig) == after
    assert events[0]["trading_state"] == after
    rig.control(T.CONTROL_RESUME)
    assert state(rig) == TS.ENABLED


def test_a_milder_request_does_not_weaken_a_halt() -> None:
    rig = connected()
    rig.control(T.CONTROL_HALT)
    rig.control(T.CONTROL_PAUSE)
    rig.control(T.CONTROL_REDUCE)
    assert state(rig) == TS.HALTED


def test_the_most_severe_writer_holds() -> None:
    rig = connected()
    rig.control(T.CONTROL_PAUSE)
    rig.outer = TS.HALTED
    events = rig.step()
    assert state(rig) == TS.HALTED
    assert of_type(events, T.TRADING_STATE_CHANGED)["reason"].tolist() == [R.OUTER]
    assert rig.word(Word.OWN_STATE) == TS.PAUSED
    rig.outer = TS.ENABLED
    rig.step()
    assert state(rig) == TS.PAUSED


def test_an_unchanged_state_is_told_once() -> None:
    rig = connected()
    rig.control(T.CONTROL_HALT)
    rig.control(T.CONTROL_HALT)
    for _ in range(5):
        rig.step()
    assert len(of_type(rig.all_events(), T.TRADING_STATE_CHANGED)) == 1


def test_memory_pressure_is_not_a_trading_state() -> None:
    rig = connected()
    rig.control(T.CONTROL_MEMORY, reason=R.MEMORY_STATE)
    assert (state(rig), rig.word(Word.MEMORY_STATE)) == (TS.ENABLED, 1)
    rig.control(T.CONTROL_MEMORY)
    assert rig.word(Word.MEMORY_STATE) == 0


def test_a_daily_loss_halts_a_flat_account() -> None:
    rig = connected(daily_loss_ratio_max=0.02)
    pay(rig, -199 * E8)
    assert state(rig) == TS.ENABLED
    pay(rig, -1 * E8, trade_id=2)
    assert state(rig) == TS.HALTED
    assert rig.word(Word.STATE_REASON) == R.DAILY_LOSS


def test_a_loss_with_a_position_lets_it_be_closed_then_halts() -> None:
    rig = connected(daily_loss_ratio_max=0.02)
    order = rig.order(1, 10)
    rig.fill(order, 1, 10, order_status=4)
    resting = rig.order(1, 10, price=BID)
    rig.update(resting, OrderStatus.NEW)
    pay(rig, -200 * E8, trade_id=2)
    assert state(rig) == TS.REDUCING
    cancels = of_type(rig.all_commands(), T.COMMAND_CANCEL)
    assert cancels["order_sequence"].tolist() == [resting], "entries at the venue are withdrawn"
    rig.update(resting, OrderStatus.CANCELED)
    closing = rig.order(-1, 10, entry=False)
    assert state(rig) == TS.REDUCING
    rig.fill(closing, 3, 10, BID, order_status=4)
    assert state(rig) == TS.HALTED


def test_unrealised_losses_count_at_mid_once_a_second() -> None:
    rig = connected(daily_loss_ratio_max=0.02)
    order = rig.order(1, 1000)
    rig.fill(order, 1, 1000, ASK, order_status=4)
    rig.quote(0, BID - 2100, ASK - 2100)
    rig.step()
    assert state(rig) == TS.ENABLED, "no mark is due yet"
    rig.wait(1)
    assert state(rig) == TS.REDUCING


def test_a_drawdown_is_measured_from_the_peak() -> None:
    rig = connected(drawdown_ratio_max=0.05)
    pay(rig, 1000 * E8)
    assert rig.word(Word.PEAK_EQUITY_E8) == WALLET_E8 + 1000 * E8
    pay(rig, -549 * E8, trade_id=2)
    assert state(rig) == TS.ENABLED
    pay(rig, -2 * E8, trade_id=3)
    assert state(rig) == TS.HALTED
    assert rig.word(Word.STATE_REASON) == R.DRAWDOWN


def test_failures_in_a_row_trip_the_breaker_and_success_resets_it() -> None:
    rig = connected(consecutive_failures_max=3)
    for _ in range(2):
        rig.update(rig.order(1, 1), OrderStatus.REJECTED)
    rig.update(rig.order(1, 1), OrderStatus.NEW)
    assert rig.word(Word.FAILURE_COUNT) == 0
    for _ in range(3):
        assert state(rig) == TS.ENABLED
        rig.update(rig.order(1, 1), OrderStatus.REJECTED)
    assert state(rig) == TS.HALTED
    assert rig.word(Word.STATE_REASON) == R.CONSECUTIVE_FAILURES


def test_a_pause_the_venue_asked_for_is_no_failure() -> None:
    assert RATE_PAUSED == LocalReason.RATE_PAUSED
    rig = connected(consecutive_failures_max=3)
    rig.update(rig.order(1, 1), OrderStatus.REJECTED, reason=-1003)
    for _ in range(5):
        rig.update(rig.order(1, 1), OrderStatus.REJECTED, reason=LocalReason.RATE_PAUSED)
    assert rig.word(Word.FAILURE_COUNT) == 1, "the answer that asked for it"
    assert state(rig) == TS.ENABLED


def test_an_entry_that_was_not_sent_in_time_is_no_failure_and_no_entry_of_the_day() -> None:
    assert OVERDUE == LocalReason.OVERDUE
    rig = connected(consecutive_failures_max=3)
    for _ in range(5):
        order = rig.order(1, 1)
        assert rig.word(Word.DAY_ENTRY_COUNT) == 1
        rig.update(order, OrderStatus.REJECTED, reason=LocalReason.OVERDUE)
        assert rig.word(Word.DAY_ENTRY_COUNT) == 0
    assert rig.word(Word.FAILURE_COUNT) == 0
    assert state(rig) == TS.ENABLED


def test_an_instrument_the_venue_has_closed_is_left_alone_for_a_while_and_halts_nobody() -> None:
    assert INSTRUMENT_CLOSED == LocalReason.INSTRUMENT_CLOSED
    rig = connected(consecutive_failures_max=3)
    position = rig.order(1, 10)
    rig.fill(position, 1, 10)
    for _ in range(5):
        refused = rig.order(-1, 10, entry=False)
        rig.update(refused, OrderStatus.REJECTED, reason=LocalReason.INSTRUMENT_CLOSED)
        mask = int(rig.propose(-1, 10, entry=False)[1]["refusal_mask"])
        assert reasons_of(mask) == (R.INSTRUMENT_STATUS,), "the exit waits"
        rig.update(rig.order(1, 10, i=1), OrderStatus.EXPIRED)  # another one trades on
        rig.wait(CLOSED_PAUSE_NS / 1e9)
        rig.quote()
        rig.quote(1)
    assert rig.word(Word.FAILURE_COUNT) == 0
    assert state(rig) == TS.ENABLED


def test_an_unknown_outcome_is_one_failure_however_it_ends() -> None:
    rig = connected()
    order = rig.order(1, 1)
    rig.report(T.ORDER_UNKNOWN, order_sequence=order, epoch_low=1)
    assert rig.word(Word.FAILURE_COUNT) == 1
    rig.update(order, OrderStatus.REJECTED)
    assert rig.word(Word.FAILURE_COUNT) == 1


def test_an_expired_order_is_no_failure() -> None:
    rig = connected()
    rig.update(rig.order(1, 1), OrderStatus.EXPIRED)
    assert rig.word(Word.FAILURE_COUNT) == 0


def test_only_an_operator_re_arms_a_tripped_limit() -> None:
    rig = connected(daily_loss_ratio_max=0.02)
    pay(rig, -200 * E8)
    pay(rig, 500 * E8, trade_id=2)
    rig.wait(100)
    assert state(rig) == TS.HALTED
    rig.control(T.CONTROL_RESUME)
    rig.wait(5)
    assert state(rig) == TS.ENABLED
    assert rig.word(Word.DAY_START_EQUITY_E8) == WALLET_E8 + 300 * E8
    assert rig.word(Word.TRIPPED) == 0


def test_a_lost_lease_is_not_given_back_by_an_operator() -> None:
    rig = connected()
    rig.report(T.EXECUTOR_FAULT, reason=R.LEASE_LOST)
    rig.control(T.CONTROL_RESUME)
    assert state(rig) == TS.HALTED
    mask = int(rig.propose(1, 1)[1]["refusal_mask"])
    assert R.LEASE in reasons_of(mask)


def clock(rig: DeskRig, day: int) -> None:
    rig.report(T.VENUE_CLOCK, clock_offset_ns=day * DAY_NS - rig.now_ns, clock_anchor_ns=rig.now_ns)


def test_midnight_starts_the_days_counters_and_nothing_turns_it_back() -> None:
    rig = connected()
    clock(rig, 100)
    rig.order(1, 1)
    pay(rig, -50 * E8)
    assert (rig.word(Word.DAY_ENTRY_COUNT), rig.word(Word.DAY_REALISED_E8)) == (1, -50 * E8)
    clock(rig, 99)
    assert rig.word(Word.DAY_NUMBER) == 100
    assert rig.word(Word.DAY_ENTRY_COUNT) == 1
    clock(rig, 101)
    assert (rig.word(Word.DAY_ENTRY_COUNT), rig.word(Word.DAY_REALISED_E8)) == (0, 0)
    assert rig.word(Word.DAY_START_EQUITY_E8) == WALLET_E8 - 50 * E8


def test_a_fast_tape_reaches_midnight_at_its_own_rate() -> None:
    rig = connected()
    rig.report(
        T.VENUE_CLOCK,
        clock_offset_ns=7 * DAY_NS - 60 * S - rig.now_ns,
        clock_anchor_ns=rig.now_ns,
        clock_rate_ppb=9 * 10**9,
    )
    assert rig.word(Word.DAY_NUMBER) == 6
    rig.wait(5)
    assert rig.word(Word.DAY_NUMBER) == 6
    rig.wait(2)
    assert rig.word(Word.DAY_NUMBER) == 7


def test_stop_intents_refuses_and_lets_orders_settle() -> None:
    rig = connected()
    order = rig.order(1, 10)
    rig.control(T.CONTROL_STOP_INTENTS)
    rig.fill(order, 1, 10, order_status=4)
    assert rig.word(Word.OPEN_COUNT) == 0
    assert types(rig.propose(-1, 10, entry=False))[-1] == T.RISK_REFUSAL


def test_a_stop_withdraws_what_rests_and_looks_doubts_up_at_once() -> None:
    rig = connected()
    resting, doubted = rig.order(1, 10), rig.order(1, 10)
    rig.update(resting, OrderStatus.NEW)
    rig.report(T.ORDER_UNKNOWN, order_sequence=doubted, epoch_low=1)
    rig.wait(3)
    rig.control(T.CONTROL_STOP_INTENTS, reason=R.STOPPING)
    rig.wait(0.11)
    commands = [
        (record["event_type"], record["order_sequence"])
        for step in rig.events[-2:]
        for record in step
        if record["event_type"] in (T.COMMAND_CANCEL, T.COMMAND_FETCH)
    ]
    assert (T.COMMAND_CANCEL, resting) in commands
    assert (T.COMMAND_FETCH, doubted) in commands


def test_a_stop_that_keeps_resting_orders_withdraws_none() -> None:
    rig = connected()
    rig.update(rig.order(1, 10), OrderStatus.NEW)
    rig.control(T.CONTROL_STOP_INTENTS)
    rig.wait(1)
    assert len(of_type(rig.all_events(), T.COMMAND_CANCEL)) == 0


def test_limits_are_written_at_once_when_they_matter() -> None:
    rig = connected(daily_loss_ratio_max=0.02)
    rig.report(T.FUNDING, instrument_index=0, trade_id=1, funding_e8=-200 * E8)
    record = of_type(rig.events[-1], T.LIMITS_CHANGED)[0]
    assert record["cash_e8"] == WALLET_E8 - 200 * E8
    assert record["refusal_mask"] == 1 << R.DAILY_LOSS
    assert record["funding_e8"] == -200 * E8


def test_a_rising_peak_is_written_at_most_once_a_second() -> None:
    rig = connected()
    order = rig.order(1, 10)
    rig.fill(order, 1, 10, order_status=4)
    before = len(of_type(rig.all_events(), T.LIMITS_CHANGED))
    for tick in range(100):
        rig.quote(0, BID + 100 * tick, ASK + 100 * tick)
        rig.wait(0.1)
    assert len(of_type(rig.all_events(), T.LIMITS_CHANGED)) - before <= 11


def test_unknown_control_records_are_echoed_and_ignored() -> None:
    rig = connected()
    events = rig.control(EventType.TICK_UPDATE)
    assert len(events) == 1
    assert events["flags"][0] == 0


def test_funding_is_booked_once_per_id() -> None:
    rig = connected()
    for _ in range(3):
        pay(rig, -5 * E8, trade_id=9)
    assert rig.word(Word.CASH_E8) == WALLET_E8 - 5 * E8
    assert rig.tally(Tally.REPORTS_DUPLICATE) == 2


def test_defaults_are_those_of_the_contract() -> None:
    limits = RiskLimits()
    assert (limits.entries_per_day_max, limits.daily_loss_ratio_max) == (20, 0.02)
    assert (limits.allow_orders, limits.dry_run, limits.enable_order_exec) == (False, True, False)
    assert limits.decision_latency_ms == 100
