"""A parent order that its session left at work is taken up by the next one (ADR 0039)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.codes import EventType, OrderStatus, TradingState
from engine.domain.execution.asked import Method
from engine.domain.execution.profile import DAYS_MIN, QUARTER_NS, QUARTERS, Shape
from engine.domain.execution.work import StopReason, WorkState
from tests.desk_rig import BID, START_NS, make_event, of_type
from tests.parents_restart_rig import WALL_NS, RestartRig, S
from tests.parents_rig import EXECUTION


@pytest.fixture
def rig() -> Iterator[RestartRig]:
    made = RestartRig()
    yield made
    made.close()


def test_a_twap_goes_on_under_its_number_and_by_its_clock(rig: RestartRig) -> None:
    number = rig.execute(Method.TWAP, 100)
    rig.run(3)
    rig.restart(away_s=1)
    assert rig.row(number)["state"] == "WORKING"
    assert rig.row(number)["taken_up"] == 1
    for second in range(5, 10):
        rig.run(1)
        assert 10 * second - 21 <= rig.truth_lots(number) <= 10 * second + 11
    rig.run(4)
    assert rig.told(number)[-1] == (WorkState.DONE, StopReason.NONE, 100)
    assert rig.truth_lots(number) == rig.filled() == 100


def test_what_fell_due_meanwhile_is_caught_up(rig: RestartRig) -> None:
    number = rig.execute(Method.TWAP, 100)
    rig.run(2)
    rig.restart(away_s=5)
    rig.run(1.5)
    assert rig.truth_lots(number) >= 60
    assert rig.row(number)["children"] > 0


def test_one_whose_span_ended_meanwhile_says_how_far_it_came(rig: RestartRig) -> None:
    number = rig.execute(Method.TWAP, 100)
    rig.run(3)
    filled = rig.truth_lots(number)
    rig.restart(away_s=3_600)
    rig.run(0.5)
    assert rig.told(number)[-1] == (WorkState.ENDED, StopReason.TIME, filled)
    assert rig.row(number)["filled_lots"] == filled > 0


@pytest.mark.parametrize("is_heard", [True, False])
def test_one_that_was_cancelled_never_revives(rig: RestartRig, is_heard: bool) -> None:
    number = rig.execute(Method.ICEBERG, 50, price_ticks=BID, input_1=10)
    rig.run(1)
    rig.cancel(number)
    rig.restart(is_heard=is_heard)
    rig.run(2)
    assert rig.told(number)[-1] == (WorkState.ENDED, StopReason.OPERATOR, 0)
    assert rig.resting == {}
    rig.restart()
    rig.run(1)
    assert rig.told(number) == []


def test_one_that_is_over_is_not_handed_on(rig: RestartRig) -> None:
    number = rig.execute(Method.TWAP, 10)
    rig.run(12)
    assert rig.told(number)[-1][0] is WorkState.DONE
    rig.restart()
    rig.run(1)
    assert rig.told(number) == []


def test_a_cancel_reaches_one_of_an_earlier_session(rig: RestartRig) -> None:
    number = rig.execute(Method.ICEBERG, 50, price_ticks=BID, input_1=10)
    rig.run(1)
    rig.restart()
    rig.run(1)
    assert rig.row(number)["state"] == "WORKING"
    rig.cancel(number)
    rig.run(1)
    assert rig.told(number)[-1][:2] == (WorkState.ENDED, StopReason.OPERATOR)
    assert rig.resting == {}


def test_a_child_that_nobody_answered_is_never_sent_twice(rig: RestartRig) -> None:
    number = rig.execute(Method.TWAP, 40, input_2=0.5)
    rig.run(2)
    rig.deaf = True
    rig.run(2)
    rig.restart()
    rig.run(12)
    assert rig.told(number)[-1] == (WorkState.DONE, StopReason.NONE, 40)
    assert rig.truth_lots(number) == 40


def test_a_request_that_never_left_is_proven_absent_and_its_lots_are_worked(
    rig: RestartRig,
) -> None:
    number = rig.execute(Method.TWAP, 40, input_2=0.5)
    rig.run(2)
    rig.silent = True
    rig.run(2)
    rig.restart()
    rig.run(12)
    assert rig.told(number)[-1] == (WorkState.DONE, StopReason.NONE, 40)
    assert rig.truth_lots(number) == 40


def test_one_that_had_no_word_yet_is_begun_from_its_request(rig: RestartRig) -> None:
    words = {"strategy_index": EXECUTION, "side": 1, "qty_lots": 40, "request_id": 5}
    times = {"time_ns": rig.desk.now_ns, "input_0": 10, "input_2": 1}
    record = make_event(EventType.CONTROL_EXECUTE, order_type=Method.TWAP, **words, **times)
    (echo,) = of_type(rig._step(controls=[record]), EventType.CONTROL_EXECUTE)
    number = int(echo["order_sequence"])
    rig.restart(is_heard=False)
    rig.run(13)
    assert rig.told(number)[-1] == (WorkState.DONE, StopReason.NONE, 40)


def test_a_halt_that_outlives_the_session_ends_it(rig: RestartRig) -> None:
    number = rig.execute(Method.TWAP, 40)
    rig.run(2)
    rig.restart()
    rig.desk.outer = TradingState.HALTED
    rig.run(1)
    assert rig.told(number)[-1][:2] == (WorkState.ENDED, StopReason.OPERATOR)


@pytest.mark.parametrize("state", [TradingState.PAUSED, TradingState.REDUCING])
def test_while_entries_wait_it_waits(rig: RestartRig, state: TradingState) -> None:
    number = rig.execute(Method.TWAP, 40)
    rig.run(2)
    rig.restart()
    rig.desk.outer = state
    rig.run(0.2)
    before = len(rig.children(number))
    rig.run(3)
    assert len(rig.children(number)) == before
    rig.desk.outer = TradingState.ENABLED
    rig.run(9)
    assert rig.told(number)[-1] == (WorkState.DONE, StopReason.NONE, 40)


def test_gates_that_a_start_shuts_are_no_refusals(rig: RestartRig) -> None:
    number = rig.execute(Method.TWAP, 40, input_0=40.0)
    rig.run(2)
    rig.doubted = 1
    rig.restart()
    rig.run(15)
    assert len(of_type(rig.desk.all_events(), EventType.CHILD_ORDER)) == 0
    rig.desk.desk.ledger["unknown_count"][0] -= 1
    rig.run(25)
    assert rig.told(number)[-1] == (WorkState.DONE, StopReason.NONE, 40)


def test_what_nobody_can_explain_ends_it(rig: RestartRig) -> None:
    number = rig.execute(Method.TWAP, 40)
    rig.run(2)
    rig.strange_lots = 7
    rig.restart()
    rig.run(2)
    assert rig.told(number)[-1][:2] == (WorkState.ENDED, StopReason.BLIND)
    assert rig.resting == {}


def test_a_participation_counts_what_was_heard_before(rig: RestartRig) -> None:
    number = rig.execute(Method.POV, 1_000, input_1=0.25)
    rig.run(4, traded=4)
    before = rig.truth_lots(number)
    rig.restart()
    rig.run(1)
    assert rig.truth_lots(number) <= 0.25 * 4 / 0.05 * 4
    rig.run(3, traded=4)
    assert before < rig.truth_lots(number) <= 0.25 * 7 / 0.05 * 4


def test_a_vwap_keeps_its_curve(rig: RestartRig) -> None:
    market = rig.desk.state.market
    minute = market.timeframes_ns.tolist().index(60_000_000_000)
    market.closed_count[0, minute] = 3
    market.closed["volume_lots"][0, minute, :3] = (600, 1_200, 1_800)
    number = rig.execute(Method.VWAP, 40)
    rig.run(4, traded=1)
    rig.restart()
    rig.run(10, traded=1)
    assert rig.told(number)[-1] == (WorkState.DONE, StopReason.NONE, 40)
    assert rig.row(number)["curve"] == "EVEN_UNKNOWN"


# -- a VWAP by the day that was learned ------------------------------------------------------------

EDGE_S = 20  # of a span of 40 s: there its first quarter of an hour ends
FALLING, RISING = (9_000.0, 90.0), (90.0, 9_000.0)  # lots of its first quarter and of its second


def learned(path: Path, lots: tuple[float, float], edge_s: int = EDGE_S) -> RestartRig:
    """Return a rig whose day is known, so many seconds before a quarter of it ends."""
    begins_ns = (WALL_NS + START_NS) // QUARTER_NS * QUARTER_NS + QUARTER_NS - edge_s * S
    rig = RestartRig(path, begins_ns - START_NS)
    profile = rig.profiles.profile(0)
    profile.days[:] = [DAYS_MIN] * QUARTERS
    profile.means[:] = [1.0] * QUARTERS
    place = begins_ns // QUARTER_NS
    profile.means[place % QUARTERS], profile.means[(place + 1) % QUARTERS] = lots
    rig.profiles.save()
    return rig


def run_to(rig: RestartRig, second: float, lots: tuple[float, float]) -> None:
    """Let a market pass that trades what is usual, up to a second of the span."""
    begins_ns = rig.wall() // QUARTER_NS * QUARTER_NS + QUARTER_NS - EDGE_S * S
    rig.run(second - (rig.wall() - begins_ns) / S, step_s=0.1, traded=lots[0] > lots[1])


@pytest.mark.parametrize("is_heard", [True, False])
@pytest.mark.parametrize(("lots", "least", "most"), [(FALLING, 340, 400), (RISING, 0, 20)])
def test_a_vwap_goes_on_by_the_day_that_was_learned(
    tmp_path: Path, lots: tuple[float, float], least: int, most: int, is_heard: bool
) -> None:
    rig = learned(tmp_path / "profile.json", lots)
    try:
        number = rig.execute(Method.VWAP, 400, input_0=2.0 * EDGE_S)
        run_to(rig, 7, lots)
        rig.restart(away_s=0.5, is_heard=is_heard)
        run_to(rig, EDGE_S - 0.5, lots)
        assert least <= rig.truth_lots(number) <= most, "evenly half of it would be due"
        rig.run(EDGE_S + 4, traded=lots[1] > lots[0])
        assert rig.told(number)[-1] == (WorkState.DONE, StopReason.NONE, 400)
        assert rig.truth_lots(number) == 400
        told = of_type(rig.desk.all_events(), EventType.PARENT_STATE)
        assert set(told["liquidity"].tolist()) == {Shape.LEARNED}
    finally:
        rig.close()


def test_a_vwap_whose_day_was_lost_goes_on_evenly_and_says_so(tmp_path: Path) -> None:
    rig = learned(tmp_path / "profile.json", FALLING)
    try:
        number = rig.execute(Method.VWAP, 400, input_0=2.0 * EDGE_S)
        run_to(rig, 2, FALLING)
        assert rig.row(number)["curve"] == "LEARNED"
        (tmp_path / "profile.json").unlink()
        rig.restart()
        rig.run(1)
        assert rig.row(number)["curve"] == "EVEN_UNKNOWN"
        rig.run(2 * EDGE_S + 4)
        assert rig.told(number)[-1] == (WorkState.DONE, StopReason.NONE, 400)
    finally:
        rig.close()


def test_a_day_that_is_learned_meanwhile_makes_no_even_vwap_hurry(tmp_path: Path) -> None:
    rig = learned(tmp_path / "profile.json", FALLING)  # as the next session reads it
    try:
        rig.profiles.profile(0).days[:] = [0] * QUARTERS
        trades_a_lot(rig)
        number = rig.execute(Method.VWAP, 400, input_0=2.0 * EDGE_S)
        rig.run(2)
        rig.restart()
        run_to(rig, EDGE_S - 0.5, RISING)
        assert rig.row(number)["state"] == "WORKING"
        assert rig.row(number)["curve"] == "EVEN_UNKNOWN"
        assert rig.truth_lots(number) <= 210
    finally:
        rig.close()


# -- one that the router sends ---------------------------------------------------------------------


def trades_a_lot(rig: RestartRig) -> None:
    """Let a minute with many lots have closed: what rests is filled soon."""
    market = rig.desk.state.market
    minute = market.timeframes_ns.tolist().index(60 * S)
    market.closed_count[0, minute] = 1
    market.closed["volume_lots"][0, minute, 0] = 600_000


def statuses(rig: RestartRig, number: int) -> list[OrderStatus]:
    """Return what became of each child of a parent at the venue, oldest first."""
    return [one.status for one in rig.venue.values() if one.command["cause_sequence"] == number]


def test_what_the_router_rests_is_placed_anew_as_every_entry(rig: RestartRig) -> None:
    trades_a_lot(rig)
    number = rig.execute(Method.BEST, 30, input_0=60.0, input_2=20.0)
    rig.run(2)
    assert rig.row(number)["route"] == "REST at practice"
    rig.restart()
    trades_a_lot(rig)
    rig.run(3)
    assert statuses(rig, number) == [OrderStatus.CANCELED, OrderStatus.NEW]
    assert rig.row(number)["route"] == "REST at practice"
    rig.run(2, traded=100)
    assert rig.told(number)[-1] == (WorkState.DONE, StopReason.NONE, 30)
    assert rig.truth_lots(number) == 30


def test_what_rests_to_leave_is_found_again_and_is_as_patient_as_one_just_placed(
    rig: RestartRig,
) -> None:
    rig.execute(Method.BEST, 30)
    rig.run(1)
    trades_a_lot(rig)
    number = rig.execute(Method.BEST, 30, side=-1, input_0=60.0, input_2=5.0)
    rig.run(2)
    rig.restart()  # and until a minute has closed its router takes
    rig.run(3)
    assert rig.row(number)["route"] == "TAKE at practice"
    assert statuses(rig, number) == [OrderStatus.NEW], "the child of before, where it was sent"
    rig.run(4)
    assert statuses(rig, number) == [OrderStatus.CANCELED, OrderStatus.FILLED]
    assert rig.told(number)[-1] == (WorkState.DONE, StopReason.NONE, 30)
    assert rig.filled() == 0


@pytest.mark.parametrize("how", ["deaf", "silent"])
def test_what_the_router_sent_into_the_dark_is_never_sent_a_second_time(
    rig: RestartRig, how: str
) -> None:
    rig.deaf, rig.silent = how == "deaf", how == "silent"
    number = rig.execute(Method.BEST, 30, input_0=30.0)
    rig.run(2)
    rig.restart()
    rig.run(12)
    assert rig.told(number)[-1] == (WorkState.DONE, StopReason.NONE, 30)
    assert rig.truth_lots(number) == rig.filled() == 30


def test_a_routed_parent_whose_end_came_meanwhile_sends_nothing_more(rig: RestartRig) -> None:
    trades_a_lot(rig)
    number = rig.execute(Method.BEST, 30, input_2=9.0)
    rig.run(2)
    rig.restart(away_s=3_600)
    rig.run(1)
    assert rig.told(number)[-1] == (WorkState.ENDED, StopReason.TIME, 0)
    assert [one.status for one in rig.venue.values()] == [OrderStatus.CANCELED]


def test_one_that_the_next_session_does_not_trade_is_shown_with_its_end(rig: RestartRig) -> None:
    number = rig.execute(Method.TWAP, 100)
    rig.run(3)
    filled = rig.truth_lots(number)
    rig.restart(is_traded=False)
    rig.run(2)
    row = rig.row(number)
    assert (row["state"], row["reason"], row["symbol"]) == ("ENDED", "UNTRADED", "GONEUSDT")
    assert row["filled_lots"] == filled > 0
    assert rig.told(number) == [(WorkState.ENDED, StopReason.UNTRADED, filled)], "told once"
    assert rig.truth_lots(number) == filled
    rig.restart()
    rig.run(1)
    assert rig.told(number) == []


def test_an_orderly_end_leaves_it_at_work(rig: RestartRig) -> None:
    number = rig.execute(Method.TWAP, 40)
    rig.run(2)
    rig.parents.leave()
    rig._step()
    assert rig.told(number)[-1][:2] == (WorkState.WORKING, StopReason.NONE)
    rig.restart(is_heard=False)
    rig.run(12)
    assert rig.told(number)[-1] == (WorkState.DONE, StopReason.NONE, 40)


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from([Method.TWAP, Method.VWAP, Method.SHORTFALL, Method.PEG, Method.BEST]),
    st.sampled_from([1, -1]),
    st.integers(1, 60),
    st.lists(
        st.tuples(
            st.integers(-3, 3), st.integers(0, 9), st.sampled_from(["hears", "deaf", "silent"]),
            st.booleans(),
        ),
        max_size=8,
    ),
)  # fmt: skip
def test_whatever_dies_a_parent_is_never_overfilled(
    method: Method, side: int, qty: int, turns: list[tuple[int, int, str, bool]]
) -> None:
    folder = TemporaryDirectory()
    rig = learned(Path(folder.name) / "profile.json", FALLING, edge_s=5)
    try:
        number = rig.execute(method, qty, side=side, input_1=0.0 if method is Method.BEST else 1.0)
        assert rig.row(number)["state"] == "WORKING"
        deaths = 0
        for move, traded, how, is_heard in turns:
            rig.quote(rig.touch[0] + move, rig.touch[1] + move)
            rig.run(0.5, step_s=0.25, traded=traded)
            rig.deaf, rig.silent = how == "deaf", how == "silent"
            if is_heard:
                trades_a_lot(rig)  # a router that rests
            rig.run(0.75, step_s=0.25, traded=traded)
            assert rig.truth_lots(number) <= qty
            if rig.row(number)["state"] == "WORKING":
                rig.restart(is_heard=is_heard)
                deaths += 1
                assert rig.truth_lots(number) <= qty
            rig.deaf = rig.silent = False
        rig.run(14, step_s=0.25)
        told = rig.told(number)
        if told:
            assert told[-1][0] in {WorkState.DONE, WorkState.ENDED}
            assert told[-1][2] == rig.truth_lots(number)
        assert rig.truth_lots(number) <= qty
    finally:
        rig.close()
        folder.cleanup()
