"""Parent orders in a running brain: children through the gates, bounds, halts, and their end."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.codes import EVENT_POST_ONLY, EventType, TimeInForce, TradingState
from engine.domain.execution.asked import PARENTS_MAX, Method, least_of
from engine.domain.execution.profile import DAYS_MIN, QUARTER_NS, QUARTERS, Shape
from engine.domain.execution.work import StopReason, WorkState
from engine.domain.market_state import CLOCK_OFFSET_NS
from engine.processes.parent_market import expected_lots
from engine.processes.parents import SHOWN_MAX
from tests.desk_rig import ASK, BID, GENEROUS, of_type
from tests.parents_rig import EXECUTION, ParentsRig


@pytest.fixture
def rig() -> Iterator[ParentsRig]:
    made = ParentsRig()
    yield made
    made.close()


def test_a_twap_is_worked_to_its_end_and_counts_for_its_own_column(rig: ParentsRig) -> None:
    number = rig.execute(Method.TWAP, 40)
    rig.run(12)
    assert rig.told(number)[-1] == (WorkState.DONE, StopReason.NONE, 40)
    assert rig.filled() == 40
    assert rig.desk.lots(s=0) == rig.desk.lots(s=1) == rig.desk.lots(s=2) == 0
    children = rig.children(number)
    assert len(children) > 3
    assert set(children["strategy_index"].tolist()) == {EXECUTION}
    passive = children["flags"] & EVENT_POST_ONLY > 0
    assert (children["price_ticks"][passive] == BID).all()
    taken = children["time_in_force"] == TimeInForce.IOC
    assert (children["price_ticks"][taken] == ASK).all()
    assert taken.any()


def test_a_twap_never_runs_ahead_of_its_clock(rig: ParentsRig) -> None:
    number = rig.execute(Method.TWAP, 100)
    for second in range(1, 10):
        rig.run(1)
        assert rig.filled() <= 10 * second + 1
    rig.run(3)
    assert rig.told(number)[-1][2] == rig.filled() == 100


def test_a_participation_is_the_part_it_was_told_to_be(rig: ParentsRig) -> None:
    number = rig.execute(Method.POV, 1_000, input_1=0.25)
    rig.run(8, traded=4)
    traded = 8 / 0.05 * 4
    assert 0.15 * traded <= rig.filled() <= 0.25 * traded
    rig.run(3)
    state, reason, filled = rig.told(number)[-1]
    assert (state, reason) == (WorkState.ENDED, StopReason.TIME)
    assert filled == rig.filled()


def test_an_iceberg_shows_its_display_and_no_more(rig: ParentsRig) -> None:
    number = rig.execute(Method.ICEBERG, 50, price_ticks=BID, input_1=10)
    rig.run(1)
    for _ in range(6):
        shown = sum(int(order["qty_lots"]) for order in rig.resting.values())
        assert shown <= 10
        rig.trade(shown)
        rig.run(1)
    assert rig.told(number)[-1] == (WorkState.DONE, StopReason.NONE, 50)
    assert set(rig.children(number)["qty_lots"].tolist()) == {10}


def test_a_peg_follows_the_touch_and_takes_what_is_left_at_the_end(rig: ParentsRig) -> None:
    number = rig.execute(Method.PEG, 20, side=-1)
    rig.run(1)
    (resting,) = rig.resting.values()
    assert resting["price_ticks"] == ASK
    rig.quote(BID - 20, ASK - 20)
    rig.run(1)
    (resting,) = rig.resting.values()
    assert resting["price_ticks"] == ASK - 20
    rig.run(10)
    assert rig.told(number)[-1] == (WorkState.DONE, StopReason.NONE, 20)
    assert rig.filled() == -20


def test_a_shortfall_is_ahead_of_a_twap(rig: ParentsRig) -> None:
    rig.execute(Method.SHORTFALL, 100, input_1=3.0)
    rig.run(5)
    assert rig.filled() > 55


def test_a_vwap_needs_volume_that_was_seen(rig: ParentsRig) -> None:
    refused = rig.execute(Method.VWAP, 40)
    assert rig.told(refused) == []  # journaled with the next step
    rig.run(1)
    assert rig.told(refused) == [(WorkState.ENDED, StopReason.REFUSED, 0)]
    assert rig.row(refused)["reason"] == "REFUSED"
    market = rig.desk.state.market
    minute = market.timeframes_ns.tolist().index(60_000_000_000)
    market.closed_count[0, minute] = 3
    market.closed["volume_lots"][0, minute, :3] = (600, 1_200, 1_800)
    assert expected_lots(rig.desk.state, 0, 10.0) == 200
    number = rig.execute(Method.VWAP, 40)
    rig.run(12, traded=1)
    assert rig.told(number)[-1] == (WorkState.DONE, StopReason.NONE, 40)
    assert rig.row(number)["curve"] == "EVEN_UNKNOWN"
    assert rig.row(rig.execute(Method.TWAP, 40))["curve"] == "NOT_ASKED"


def test_a_vwap_follows_the_day_that_was_learned_and_says_so(rig: ParentsRig) -> None:
    now_ns = rig.desk.now_ns
    progress = rig.desk.state.market.progress
    progress[CLOCK_OFFSET_NS] = 20_000 * QUARTERS * QUARTER_NS - 5 * 1_000_000_000 - now_ns
    profile = rig.profiles.profile(0)
    profile.days[:] = [DAYS_MIN] * QUARTERS
    profile.means[:] = [0.0] * QUARTERS
    profile.means[-1], profile.means[0] = 9_000.0, 90.0  # in five seconds a new day begins
    number = rig.execute(Method.VWAP, 400)
    rig.run(5, traded=10)
    assert int(rig.children(number)["qty_lots"].sum()) >= 380
    rig.run(8, traded=1)
    assert rig.told(number)[-1] == (WorkState.DONE, StopReason.NONE, 400)
    assert rig.row(number)["curve"] == "LEARNED"
    told = of_type(rig.desk.all_events(), EventType.PARENT_STATE)
    assert set(told["liquidity"].tolist()) == {Shape.LEARNED}


@pytest.mark.parametrize("state", [TradingState.PAUSED, TradingState.REDUCING])
def test_a_pause_holds_it_and_its_end_lets_it_go_on(rig: ParentsRig, state: TradingState) -> None:
    number = rig.execute(Method.TWAP, 40)
    rig.run(3)
    rig.desk.outer = state
    rig.run(0.2)
    before = len(rig.children(number))
    rig.run(3)
    assert len(rig.children(number)) == before
    rig.desk.outer = TradingState.ENABLED
    rig.run(8)
    assert rig.told(number)[-1] == (WorkState.DONE, StopReason.NONE, 40)


def test_a_halt_stops_it_for_good(rig: ParentsRig) -> None:
    number = rig.execute(Method.TWAP, 40, input_2=5.0)
    rig.run(2)
    rig.desk.outer = TradingState.HALTED
    rig.run(1)
    state, reason, filled = rig.told(number)[-1]
    assert (state, reason, filled) == (WorkState.ENDED, StopReason.OPERATOR, rig.filled())
    children = len(rig.children(number))
    rig.desk.outer = TradingState.ENABLED
    rig.run(5)
    assert len(rig.children(number)) == children
    assert rig.resting == {}


def test_a_cancel_of_its_number_ends_it_and_withdraws_what_rests(rig: ParentsRig) -> None:
    one = rig.execute(Method.ICEBERG, 50, price_ticks=BID, input_1=10)
    other = rig.execute(Method.ICEBERG, 50, price_ticks=BID, input_1=10)
    rig.run(1)
    assert len(rig.resting) == 2
    rig.cancel(one)
    rig.run(1)
    assert rig.told(one)[-1] == (WorkState.ENDED, StopReason.OPERATOR, 0)
    assert len(rig.resting) == 1
    assert rig.row(other)["state"] == "WORKING"


def test_a_gate_that_stays_shut_ends_it_with_a_reason() -> None:
    rig = ParentsRig(GENEROUS._replace(order_qty_max=0.000001))
    try:
        number = rig.execute(Method.TWAP, 40)
        rig.run(40)
        assert rig.told(number)[-1] == (WorkState.ENDED, StopReason.REFUSED, 0)
        assert len(rig.children(number)) == 0
        echoes = of_type(rig.desk.all_events(), EventType.CHILD_ORDER)
        assert len(echoes) == 40
        assert (echoes["refusal_mask"] > 0).all()
    finally:
        rig.close()


def test_doubt_holds_it_and_its_end_lets_it_go_on(rig: ParentsRig) -> None:
    rig.silent = True
    rig.lose(rig.desk.order(1, 5))
    number = rig.execute(Method.TWAP, 40, input_0=60.0)
    rig.run(20)
    assert len(rig.children(number)) == 0
    assert rig.row(number)["state"] == "WORKING"
    rig.silent = False
    rig.run(45)
    assert rig.told(number)[-1] == (WorkState.DONE, StopReason.NONE, 40)


def test_what_nobody_answers_is_doubt_and_is_not_sent_twice(rig: ParentsRig) -> None:
    number = rig.execute(Method.TWAP, 40, input_2=0.5)
    rig.silent = True
    rig.run(9)
    asked = rig.children(number)
    assert int(asked["qty_lots"].sum()) <= 40
    row = rig.row(number)
    assert row["in_doubt"]
    assert row["filled_lots"] == 0


def test_no_more_than_so_many_work_at_once(rig: ParentsRig) -> None:
    words = {"price_ticks": BID, "input_1": 10}
    numbers = [rig.execute(Method.ICEBERG, 50, **words) for _ in range(PARENTS_MAX + 1)]
    rig.run(0.5)
    assert rig.told(numbers[-1]) == [(WorkState.ENDED, StopReason.CROWDED, 0)]
    assert {rig.row(number)["state"] for number in numbers[:-1]} == {"WORKING"}
    rig.cancel(numbers[0])
    rig.run(1)
    late = rig.execute(Method.ICEBERG, 50, **words)
    rig.run(0.5)
    assert rig.row(late)["state"] == "WORKING"
    assert len(rig.shown) <= SHOWN_MAX


def test_a_repeated_request_begins_nothing(rig: ParentsRig) -> None:
    first = rig.execute(Method.TWAP, 40, request_id=7)
    again = rig.execute(Method.TWAP, 40, request_id=7)
    rig.run(0.2)
    assert again == first
    assert [row["number"] for row in rig.shown] == [first]


def test_the_least_order_is_by_worth_too(rig: ParentsRig) -> None:
    state = rig.desk.state
    state.market.instruments["min_notional_e8"][0] = 100 * 100_000_000
    mid = (BID + ASK) / 2
    row = state.market.instruments[0]
    least = least_of(row, mid)
    unit = int(state.market.instruments["unit_e8"][0])
    assert least.lots * mid * unit >= 100 * 100_000_000
    assert (least.lots - 1) * mid * unit < 106 * 100_000_000
    assert least_of(row, 0.0).lots == 1


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from([Method.TWAP, Method.SHORTFALL, Method.PEG]),
    st.sampled_from([1, -1]),
    st.integers(1, 60),
    st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 9), st.booleans()), max_size=12),
)
def test_whatever_the_market_does_a_parent_is_never_overfilled(
    method: Method, side: int, qty: int, turns: list[tuple[int, int, bool]]
) -> None:
    rig = ParentsRig()
    try:
        number = rig.execute(method, qty, side=side, input_1=1.0)
        for move, traded, silent in turns:
            rig.quote(rig.touch[0] + move, rig.touch[1] + move)
            rig.silent = silent
            rig.run(1, step_s=0.25, traded=traded)
            assert 0 <= rig.filled() * side <= qty
        rig.silent = False
        rig.run(14, step_s=0.25)
        told = rig.told(number)
        assert [filled for *_, filled in told] == sorted(filled for *_, filled in told)
        assert told[-1][2] == rig.filled() * side
        sent = of_type(rig.desk.all_commands(), EventType.COMMAND_NEW)["order_sequence"]
        assert len(np.unique(sent)) == len(sent)
    finally:
        rig.close()
