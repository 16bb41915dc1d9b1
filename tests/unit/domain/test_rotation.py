"""The portfolio's places: never more than allowed, the weakest goes first, and only for better."""

import math

import pytest

from engine.domain.codes import EventType, HeldOutcome, OrderStatus
from engine.domain.limits import RiskLimits
from engine.domain.risk_reasons import RiskReason, reasons_of
from engine.domain.rotation import ROTATION_WAIT_NS, keep_bps
from engine.domain.strategy_table import ROTATION_INPUTS, StrategyReason
from engine.domain.words import Tally, Word
from tests.desk_rig import of_type, types
from tests.rotation_rig import (
    ASK,
    BID,
    FEE_BPS,
    HOLD_S,
    PLACES,
    ROTATING,
    RotationRig,
    Signal,
    requested,
)

T = EventType
R = RiskReason
STRONG = Signal(3, 0, edge_bps=200.0)


def full(limits: RiskLimits = ROTATING) -> RotationRig:
    """Return a rig with every place taken, by positions old enough; the second is the weakest."""
    rig = RotationRig(limits)
    for i, confidence in enumerate((0.9, 0.3, 0.6)):
        rig.hold(Signal(i, 0, confidence=confidence))
        rig.wait(0.5)
    rig.wait(HOLD_S)
    for i in range(4):
        rig.show(i)
    assert len(rig.places()) == PLACES
    return rig


def test_without_rotation_a_full_portfolio_takes_no_entry_and_says_why() -> None:
    rig = full(ROTATING._replace(rotates=False))
    events = rig.want(STRONG)
    assert types(events) == [T.SIGNAL_GENERATED, T.RISK_REFUSAL]
    assert reasons_of(int(events[0]["refusal_mask"])) == (R.POSITION_COUNT,)


def test_without_a_bound_there_is_no_gate() -> None:
    rig = full(ROTATING._replace(positions_max=0, rotates=False))
    assert len(requested(rig.want(STRONG))) == 1


def test_an_entry_on_its_way_takes_its_place() -> None:
    rig = RotationRig()
    for i in range(PLACES):
        rig.want(Signal(i, 0))
    assert reasons_of(int(rig.want(Signal(3, 1))[0]["refusal_mask"])) == (R.POSITION_COUNT,)
    rig.update(1, OrderStatus.CANCELED)
    assert len(requested(rig.want(Signal(3, 0)))) == 1


def test_orders_from_outside_need_no_place() -> None:
    rig = full()
    assert rig.word(Word.PLACES_TAKEN) == PLACES
    order = rig.order(1, 1, i=3, s=7)  # no strategy of ours: the external column
    assert rig.row(order)["column"] == rig.desk.exposure.shape[1]
    assert rig.word(Word.PLACES_TAKEN) == PLACES


def test_the_weakest_is_closed_first_and_the_entry_follows_its_fill() -> None:
    rig = full()
    events = rig.want(STRONG)
    assert types(events) == [
        T.SIGNAL_GENERATED, T.INTENT_HELD, T.SIGNAL_GENERATED, T.ORDER_REQUEST,
    ]  # fmt: skip
    entry, held, leaving, request = events
    assert reasons_of(int(entry["refusal_mask"])) == (R.POSITION_COUNT,)
    assert (entry["instrument_index"], held["instrument_index"]) == (3, 3)
    assert (leaving["instrument_index"], leaving["side"], leaving["qty_lots"]) == (1, -1, 10)
    assert leaving["reason"] == request["reason"] == StrategyReason.ROTATED
    told = dict(
        zip(ROTATION_INPUTS, (float(leaving[f"input_{k}"]) for k in (1, 2, 3, 4)), strict=True)
    )
    assert told["new_edge_bps"] == 200.0
    assert told["confidence"] == 0.3
    assert told["leave_bps"] == pytest.approx(FEE_BPS, abs=0.05)
    assert told["gained_bps"] == pytest.approx((BID - ASK) / ASK * 10_000)
    assert leaving["input_0"] == pytest.approx(0.5 * 0.3 * 60.0, rel=0.01)
    assert len(rig.places()) == PLACES, "nothing enters before the exit is filled"
    events = rig.settle(int(request["order_sequence"]))
    settled = of_type(events, T.INTENT_SETTLED)[0]
    assert (settled["reason"], settled["trade_id"]) == (HeldOutcome.SENT, held["trade_id"])
    assert requested(events) == [int(request["order_sequence"]) + 1]
    assert rig.places() == {(0, 0), (2, 0), (3, 0)}
    assert rig.tally(Tally.ROTATIONS) == 1


def test_an_exit_in_parts_keeps_the_entry_waiting() -> None:
    rig = full()
    exit_order = requested(rig.want(STRONG))[0]
    events = rig.fill(exit_order, 90, 4, BID, side=-1, instrument_index=1, order_status=3)
    assert requested(events) == []
    events = rig.fill(
        exit_order, 91, 6, BID, side=-1, instrument_index=1, order_status=4, cum_qty_lots=10
    )
    assert len(requested(events)) == 1


@pytest.mark.parametrize("late", [False, True])
def test_an_entry_does_not_wait_longer_than_a_decision_may(late: bool) -> None:
    rig = full()
    exit_order = requested(rig.want(STRONG))[0]
    rig.step(after_ns=ROTATION_WAIT_NS + (1 if late else -2_000_000))
    settled = of_type(rig.all_events(), T.INTENT_SETTLED)["reason"].tolist()
    assert settled == ([HeldOutcome.EXPIRED] if late else [])
    assert len(requested(rig.settle(exit_order))) == (0 if late else 1)
    assert rig.word(Word.ROTATING) == 0
    assert len(rig.places()) == (PLACES - 1 if late else PLACES)


def test_an_exit_that_the_venue_refuses_makes_no_place() -> None:
    rig = full()
    exit_order = requested(rig.want(STRONG))[0]
    rig.update(exit_order, OrderStatus.REJECTED)
    rig.wait(1)
    assert rig.places() == {(0, 0), (1, 0), (2, 0)}
    assert rig.word(Word.ROTATING) == 0
    assert of_type(rig.all_events(), T.INTENT_SETTLED)["reason"].tolist() == [HeldOutcome.EXPIRED]
    assert len(requested(rig.want(STRONG))) == 1, "the next one may"


def test_one_rotation_at_a_time() -> None:
    rig = full()
    rig.want(STRONG)
    events = rig.want(Signal(3, 1, edge_bps=500.0))
    assert types(events) == [T.SIGNAL_GENERATED, T.RISK_REFUSAL]


def test_an_operator_who_drops_the_entry_ends_the_rotation() -> None:
    rig = full()
    events = rig.want(STRONG)
    number = int(of_type(events, T.INTENT_HELD)["trade_id"][0])
    rig.control(T.CONTROL_REJECT, trade_id=number)
    assert requested(rig.settle(requested(events)[0])) == []
    assert rig.word(Word.ROTATING) == 0


def test_gates_that_shut_meanwhile_keep_the_entry_out() -> None:
    rig = full()
    exit_order = requested(rig.want(STRONG))[0]
    rig.control(T.CONTROL_PAUSE)
    events = rig.settle(exit_order)
    assert of_type(events, T.INTENT_SETTLED)["reason"].tolist() == [HeldOutcome.REFUSED]
    assert rig.places() == {(0, 0), (2, 0)}


@pytest.mark.parametrize(
    "limits",
    [
        ROTATING._replace(order_notional_max=1.0),
        ROTATING._replace(approval_notional_min=1.0),
        ROTATING._replace(rotate_hold_s=3_600),
    ],
)
def test_nothing_is_closed_for_an_entry_that_may_not_go_or_too_early(limits: RiskLimits) -> None:
    rig = full(ROTATING)
    rig.desk.limits[:] = RotationRig(limits).desk.limits
    rig.desk.instrument_limits[:] = RotationRig(limits).desk.instrument_limits
    assert requested(rig.want(STRONG)) == []
    assert rig.tally(Tally.ROTATIONS) == 0
    assert rig.tally(Tally.HELD) == 0


def test_the_margin_is_asked_beside_every_cost() -> None:
    rig = full()
    keeps = 0.5 * 0.3 * 60.0 * (1 + (BID - ASK) / ASK * 10_000 / 60.0)
    spread = (ASK - BID) / ((ASK + BID) / 2) * 10_000
    least = keeps + (2 * FEE_BPS + spread) / 2 + 5.0
    assert requested(rig.want(Signal(3, 0, edge_bps=least - 1e-6))) == []
    assert len(requested(rig.want(Signal(3, 0, edge_bps=least + 1e-6)))) == 1


@pytest.mark.parametrize("edge", [math.nan, -math.inf])
def test_an_edge_that_is_not_known_replaces_nothing(edge: float) -> None:
    assert requested(full().want(Signal(3, 0, edge_bps=edge))) == []


def test_what_is_not_known_is_kept() -> None:
    rig = full()
    rig.desk.holdings["confidence"] = math.nan
    assert requested(rig.want(Signal(3, 0, edge_bps=1e6))) == []
    rig = full()
    rig.desk.hot["bid_price_ticks"][:3] = 0
    assert requested(rig.want(Signal(3, 0, edge_bps=1e6))) == []


def test_no_position_is_closed_that_has_an_order_open() -> None:
    rig = full()
    rig.order(-1, 5, i=1, entry=False)
    assert [int(rig.row(n)["instrument_index"]) for n in requested(rig.want(STRONG))] == [2]


@pytest.mark.parametrize(
    ("gained", "kept"), [(0, 30), (30, 15), (60, 0), (90, 0), (-30, 15), (-60, 0), (-90, 0)]
)
def test_what_is_kept_falls_with_what_was_gained_and_with_what_was_lost(
    gained: float, kept: float
) -> None:
    assert keep_bps(0.5, 1.0, 60.0, gained) == pytest.approx(kept)


@pytest.mark.parametrize(
    "figures", [(math.nan, 60.0, 0.0), (1.0, math.nan, 0.0), (1.0, 60.0, math.nan), (1.0, 0.0, 0.0)]
)
def test_an_unknown_figure_makes_it_unknown(figures: tuple[float, float, float]) -> None:
    assert math.isnan(keep_bps(0.5, *figures))


def test_a_position_without_figures_is_never_closed_for_another() -> None:
    rig = full()
    rig.desk.holdings[:] = 0
    assert requested(rig.want(Signal(3, 0, edge_bps=1e6))) == []


@pytest.mark.parametrize("times", [1, 2])
def test_what_entries_promised_survives_a_restart(times: int) -> None:
    rig = full()
    before = rig.desk.holdings.copy()
    for _ in range(times):
        rig = RotationRig(earlier=rig)
    assert rig.desk.holdings.tolist() == before.tolist()
    assert requested(rig.want(STRONG)) == [], "nobody knows how old they are: as of the restart"
    rig.wait(HOLD_S)
    for i in range(4):
        rig.show(i)
    leaving = of_type(rig.want(STRONG), T.SIGNAL_GENERATED)[-1]
    assert (leaving["instrument_index"], leaving["reason"]) == (1, StrategyReason.ROTATED)
    told = dict(
        zip(ROTATION_INPUTS, (float(leaving[f"input_{k}"]) for k in (1, 2, 3, 4)), strict=True)
    )
    assert told["confidence"] == 0.3


def test_of_an_entry_that_waited_for_its_place_a_restart_knows_what_it_promised() -> None:
    rig = full()
    (leaving,) = requested(rig.want(STRONG))
    rig.want(Signal(3, 1, move_bps=7.0))  # full, and a rotation runs: refused
    (entry,) = requested(rig.settle(leaving))
    rig.settle(entry)
    kept = RotationRig(earlier=rig).desk.holdings[3, 0]
    assert (kept["move_bps"], kept["confidence"]) == (STRONG.move_bps, STRONG.confidence)


def test_an_entry_that_waited_and_was_not_sent_promised_nothing() -> None:
    rig = full()
    (leaving,) = requested(rig.want(STRONG))
    rig.wait(ROTATION_WAIT_NS / 1e9 + 0.1)
    rig.update(leaving, OrderStatus.REJECTED)
    assert RotationRig(earlier=rig).desk.holdings[3, 0]["move_bps"] == 0.0
