"""A parent order at work by example: doubt, refusals, bounds, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import OrderStatus
from engine.domain.execution.algorithms import Iceberg, LiveVolume, Peg, Scheduled, live_curve
from engine.domain.execution.curve import curve_of, even
from engine.domain.execution.parent import Look, Parent, Place, is_over, step
from engine.domain.execution.work import (
    CHILDREN_MAX,
    Bounds,
    ChildOrder,
    Market,
    StopReason,
    Work,
    WorkState,
    account,
    advance,
    forget,
    placed,
    stopped,
)
from engine.domain.orders import Stimulus
from tests.parent_rig import END, START, ParentRig, S, plan_of

TWAP = Scheduled(even(START, END))


def ended(rig: ParentRig) -> tuple[WorkState, StopReason]:
    return rig.work.state, rig.work.reason


# -- bounds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"end_ns": START},
        {"end_ns": START + 8 * 86_400 * S},
        {"pause_ns": -1},
        {"children_max": 0},
        {"children_max": CHILDREN_MAX + 1},
        {"doubts_max": 0},
        {"doubts_max": 9},
        {"refusals_max": 0},
    ],
)
def test_a_bound_that_bounds_nothing_is_refused(changes: dict[str, Any]) -> None:
    bounds = Bounds(START, END, 10)
    assert bounds.checked() is bounds
    with pytest.raises(ValueError, match=r"expected|children"):
        bounds._replace(**changes).checked()


def test_nothing_is_asked_for_before_the_start_and_from_the_end_on() -> None:
    rig = ParentRig(plan_of())
    assert not rig.step(after_ns=-1)
    assert rig.work == Work()
    assert not rig.step(after_ns=END + S - START + 1)
    assert ended(rig) == (WorkState.ENDED, StopReason.TIME)


def test_children_are_as_far_apart_as_the_pause_says() -> None:
    rig = ParentRig(plan_of(pause_ns=3 * S))
    times = []
    for _ in range(11):
        rig.step(after_ns=S)
        if rig.children and rig.children[-1].is_open:
            times.append(rig.now_ns - START)
            rig.fill()
    assert times == [S, 4 * S, 7 * S, 10 * S]
    assert sum(rig.sizes) == 100


def test_the_number_of_children_is_a_bound() -> None:
    rig = ParentRig(plan_of(children_max=3))
    for _ in range(6):
        rig.step(after_ns=S)
        if rig.children[-1].is_open:
            rig.close()
    assert len(rig.children) == 3
    assert ended(rig) == (WorkState.ENDED, StopReason.CHILDREN)


def test_refusals_are_tried_again_so_often_and_a_child_that_passes_forgives_them() -> None:
    rig = ParentRig(plan_of(refusals_max=4))
    for refusing in (True, True, True, False, True, True, True):
        rig.refusing = refusing
        assert rig.step(after_ns=S)
        if not refusing:
            rig.close()
    assert rig.work.state is WorkState.WORKING
    rig.step(after_ns=S)
    assert not rig.step(after_ns=S)
    assert ended(rig) == (WorkState.ENDED, StopReason.REFUSED)


def test_a_rest_the_venue_would_not_take_ends_the_parent() -> None:
    rig = ParentRig(plan_of(Peg(), least_lots=10))
    rig.step()
    rig.fill(95)
    rig.close()
    assert not rig.step()
    assert ended(rig) == (WorkState.ENDED, StopReason.RESIDUE)


# -- doubt -----------------------------------------------------------------------------------------


def test_a_child_in_doubt_counts_as_filled_until_it_is_known() -> None:
    rig = ParentRig(plan_of())
    rig.step(after_ns=2 * S)
    rig.say(0, Stimulus.LOST)
    assert not rig.step(), "what is due is in doubt"
    rig.step(after_ns=S)
    assert rig.sizes == [20, 10]
    rig.fill()
    rig.close(0, Stimulus.VENUE_REJECTED)
    rig.step(after_ns=S)
    assert rig.sizes == [20, 10, 30], "the venue never had the first: it is due again"


def test_a_child_in_doubt_that_was_filled_is_not_bought_twice() -> None:
    rig = ParentRig(plan_of(Peg()))
    rig.step()
    rig.say(0, Stimulus.LOST)
    rig.trade_at_venue(0, 100)
    for _ in range(5):
        assert not rig.step(after_ns=S)
    rig.tell_fill(0)
    rig.step()
    assert ended(rig) == (WorkState.DONE, StopReason.NONE)


def test_a_closed_child_whose_fills_are_late_is_doubt_for_what_is_missing() -> None:
    rig = ParentRig(plan_of(Peg()))
    rig.step()
    rig.ack()
    rig.trade_at_venue(0, 60)
    rig.close(0)
    assert rig.known.doubt_lots == 60
    rig.step()
    assert rig.sizes == [100, 40]
    rig.tell_fill(0)
    assert (rig.known.filled_lots, rig.known.doubt_lots) == (60, 0)


def test_so_many_children_in_doubt_and_no_more() -> None:
    rig = ParentRig(plan_of(doubts_max=2))
    for _ in range(6):
        rig.step(after_ns=S)
        rig.say(-1, Stimulus.LOST)
    assert len(rig.children) == 2
    rig.close(0)
    rig.step()
    assert len(rig.children) == 3


def test_a_draft_nobody_answered_counts_and_keeps_the_parent_from_ending() -> None:
    plan, market = plan_of(), Market(999, 1_001, 0)
    work, intent = advance(plan, Work(), [], market, START + S)
    assert isinstance(intent, Place)
    for second in range(2, 40):
        work, intent = advance(plan, work, [], market, START + second * S)
        assert intent is None
    assert account(work, []).doubt_lots == 10
    assert work.state is WorkState.STOPPING
    work, _ = advance(plan, placed(work), [], market, START + 41 * S)
    assert work.state is WorkState.ENDED


def test_a_child_found_again_beside_its_successor_withdraws_both() -> None:
    rig = ParentRig(plan_of(Scheduled(even(START, END), patience_ns=20 * S)))
    rig.step(after_ns=S)
    rig.say(0, Stimulus.LOST)
    rig.step(after_ns=S)
    rig.ack(1)
    rig.say(0, Stimulus.PROVEN_OPEN)
    rig.step()
    rig.step()
    assert rig.withdrawn == [0, 1]
    assert rig.work.state is WorkState.WORKING
    rig.close(0)
    rig.close(1)
    rig.step()
    assert rig.sizes == [10, 10, 20]


def test_a_closed_order_the_venue_takes_back_stops_the_parent() -> None:
    rig = ParentRig(plan_of(Peg()))
    rig.step()
    rig.ack()
    rig.close()
    rig.step()
    rig.ack()
    rig.say(0, Stimulus.PROVEN_OPEN)
    rig.step()
    rig.step()
    assert ended(rig) == (WorkState.STOPPING, StopReason.OVERFILLED)
    assert rig.withdrawn == [0, 1]
    rig.close(0)
    rig.close(1)
    rig.step()
    assert ended(rig) == (WorkState.ENDED, StopReason.OVERFILLED)


# -- stopping --------------------------------------------------------------------------------------


def test_a_stop_withdraws_what_rests_once_it_is_known_and_ends_when_it_is_gone() -> None:
    rig = ParentRig(plan_of(Iceberg(30, 990)))
    rig.step()
    rig.work = stopped(rig.work, StopReason.OPERATOR)
    assert not rig.step(), "nobody knows yet whether the venue has it"
    rig.ack()
    assert rig.step()
    assert not rig.step(), "asked once"
    assert rig.withdrawn == [0]
    rig.fill(20)
    rig.close()
    rig.step()
    assert ended(rig) == (WorkState.ENDED, StopReason.OPERATOR)
    assert rig.known.filled_lots == 20
    assert stopped(rig.work, StopReason.TIME) is rig.work


def test_a_fill_that_races_with_the_last_cancel_makes_it_done() -> None:
    rig = ParentRig(plan_of(Peg()))
    rig.step()
    rig.ack()
    rig.step(after_ns=20 * S)
    assert rig.withdrawn == [0]
    rig.fill()
    rig.step()
    assert ended(rig) == (WorkState.DONE, StopReason.TIME)


def test_a_pegged_child_is_withdrawn_once_and_its_successor_has_what_is_left() -> None:
    rig = ParentRig(plan_of(Peg(chase_ticks=3)))
    rig.step()
    rig.ack()
    assert not rig.step(1_001, 1_003)
    assert rig.step(1_002, 1_004)
    assert not rig.step(1_020, 1_022), "asked once, and no second child beside the first"
    rig.fill(30)
    rig.close()
    rig.step()
    assert (rig.sizes, rig.prices) == ([100, 70], [999, 1_020])


# -- forgetting ------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), max_size=12), st.integers(0, 12))
def test_a_settled_child_may_be_forgotten_and_nothing_changes(
    children: list[tuple[int, int]], kept: int
) -> None:
    orders = [
        ChildOrder(n, OrderStatus.CANCELED, qty, min(cum, qty), min(cum, qty), 1_000, 0)
        for n, (qty, cum) in enumerate(children)
    ]
    plan, market = plan_of(qty_lots=400), Market(999, 1_001, 0)
    work = Work()
    for order in orders[kept:]:
        work = forget(work, order)
    whole = advance(plan, Work(), orders, market, START + 7 * S)
    short = advance(plan, work, orders[:kept], market, START + 7 * S)
    assert short[1] == whole[1]
    assert account(work, orders[:kept])[:3] == account(Work(), orders)[:3]


def test_a_child_that_is_not_settled_is_not_forgotten() -> None:
    for status, filled in ((OrderStatus.NEW, 5), (OrderStatus.UNKNOWN, 5), (OrderStatus.FILLED, 4)):
        with pytest.raises(AssertionError):
            forget(Work(), ChildOrder(1, status, 5, 5, filled, 1_000, 0))


# -- what doubt means to an algorithm --------------------------------------------------------------


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 10 * S))
def test_doubt_is_as_good_as_a_fill_to_every_step(filled: int, doubt: int, at_ns: int) -> None:
    filled = min(filled, 100 - doubt)
    parent = Parent(1, 100, cap_ppm=500_000)
    look = Look(START + at_ns, 999, 1_001, filled, 150, doubt_lots=doubt)
    known = look._replace(filled_lots=filled + doubt, doubt_lots=0)
    for algorithm in (TWAP, Iceberg(9, 990), Peg(), LiveVolume(even(START, END), 300)):
        assert step(parent, algorithm, look) == step(parent, algorithm, known)


def test_a_parent_in_doubt_is_not_over() -> None:
    look = Look(START, 999, 1_001, 90, doubt_lots=10)
    assert not is_over(Parent(1, 100), look)
    assert is_over(Parent(1, 100), look._replace(filled_lots=100, doubt_lots=0))


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=8).map(lambda weights: [*weights, 1]),
    st.integers(1, 500),
    st.lists(st.integers(0, 60), min_size=10, max_size=10),
)
def test_live_volume_is_on_the_line_of_volume_seen_and_expected(
    weights: list[int], expected: int, volumes: list[int]
) -> None:
    times = [START + n * (END - START) // len(weights) for n in range(len(weights) + 1)]
    curve = curve_of(times, weights)
    parent, algorithm = Parent(1, 1_000), LiveVolume(curve, expected)
    filled = seen = 0
    for second, volume in enumerate(volumes, start=1):
        seen += volume
        now_ns = START + second * S
        intent = step(parent, algorithm, Look(now_ns, 999, 1_001, filled, seen))
        due = live_curve(curve, now_ns, seen, expected).due_lots(1_000, now_ns)
        filled += intent.child.qty_lots if isinstance(intent, Place) else 0
        assert filled == max(due, filled)
    assert filled == 1_000
