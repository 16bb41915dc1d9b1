"""Bounds of a strategy and of the venue, the day's profit lock, and what a restart knows."""

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.codes import EventType, OrderStatus, TradingState
from engine.domain.desk import STRATEGY_NET
from engine.domain.fold import Fold
from engine.domain.limits import Bounds, InstrumentBounds, RiskLimits
from engine.domain.risk_reasons import RiskReason, reasons_of
from engine.domain.strategy_table import EVERY_STRATEGY, STRATEGY_TABLE
from engine.domain.words import Word
from tests.desk_rig import ASK, BID, E8, GENEROUS, DeskRig, S, of_type, types

R = RiskReason
T = EventType
FILLED = OrderStatus.FILLED
NONE = Bounds()
FIRST = STRATEGY_TABLE[0].name
ORDER = ASK * 10 * 10_000 / E8  # what ten lots cost, quote currency


def connected(
    venue: Bounds = NONE,
    every: Bounds | None = None,
    **own: Any,  # noqa: ANN401  a bound of any kind
) -> DeskRig:
    """Return a session whose first strategy has the bounds `own`."""
    named = {FIRST: Bounds(**own)} if own else {}
    if every is not None:
        named[EVERY_STRATEGY] = every
    rig = DeskRig(GENEROUS._replace(strategy_bounds=named, venue_bounds=venue))
    rig.connect()
    return rig


def refused(rig: DeskRig, side: int = 1, qty: int = 10, **options: int) -> tuple[RiskReason, ...]:
    """Propose an entry that no earlier refusal hides; return why it was refused."""
    rig.now_ns += S
    events = rig.propose(side, qty, **options)
    if types(events)[-1] == T.ORDER_REQUEST:
        return ()
    assert types(events) == [T.SIGNAL_GENERATED, T.RISK_REFUSAL]
    assert events[0]["refusal_mask"] == events[1]["refusal_mask"]
    return reasons_of(int(events[1]["refusal_mask"]))


def take(rig: DeskRig, side: int, price: int, *, s: int = 0, entry: int = True) -> None:
    """Trade ten lots of a strategy at a price."""
    order = rig.order(side, 10, s=s, entry=entry)
    rig.fill(order, order, 10, price, order_status=FILLED, cum_qty_lots=10, side=side)


def lose(rig: DeskRig, lots_ticks: int, *, s: int = 0) -> None:
    """Lose ten lots' worth of ticks with one entry and its exit."""
    take(rig, 1, ASK, s=s)
    take(rig, -1, ASK - lots_ticks, s=s, entry=False)


def resume(rig: DeskRig) -> None:
    rig.control(T.CONTROL_RESUME)
    rig.fetch()


def test_an_order_over_its_strategys_notional_is_refused_and_others_are_not() -> None:
    rig = connected(order_notional_max=ORDER + 1)
    assert refused(rig, qty=10) == ()
    assert refused(rig, qty=11) == (R.STRATEGY_ORDER_NOTIONAL,)
    assert refused(rig, qty=11, s=1) == ()


def test_an_order_over_the_venues_notional_is_refused_for_every_strategy() -> None:
    rig = connected(Bounds(order_notional_max=ORDER + 1))
    for s in (0, 1):
        assert refused(rig, qty=11, s=s) == (R.VENUE_ORDER_NOTIONAL,)
        assert refused(rig, qty=10, s=s) == ()


def test_a_strategys_open_orders_count_into_its_position() -> None:
    rig = connected(position_notional_max=2.5 * ORDER)
    take(rig, 1, ASK)
    assert refused(rig) == ()
    assert refused(rig) == (R.STRATEGY_POSITION_NOTIONAL,)
    assert refused(rig, s=1) == ()
    assert refused(rig, side=-1, qty=20, s=0) == ()


def test_all_positions_together_keep_the_venues_bound() -> None:
    rig = connected(Bounds(position_notional_max=2.5 * ORDER))
    take(rig, 1, ASK)
    take(rig, 1, ASK, s=1)
    assert refused(rig, i=1) == (R.VENUE_TOTAL_NOTIONAL,)


def test_a_days_orders_are_counted_with_exits_and_end_entries_only() -> None:
    rig = connected(orders_per_day_max=3)
    lose(rig, 0)
    take(rig, 1, ASK)
    assert refused(rig) == (R.STRATEGY_ORDERS_PER_DAY,)
    assert refused(rig, s=1) == ()
    rig.order(-1, 10, entry=False)


def test_the_venues_orders_of_a_day_are_those_of_all() -> None:
    rig = connected(Bounds(orders_per_day_max=3))
    lose(rig, 0)
    assert refused(rig, s=1) == ()
    for s in (0, 1):
        assert refused(rig, s=s) == (R.VENUE_ORDERS_PER_DAY,)


def test_a_strategy_that_lost_its_bound_waits_for_an_operator_and_others_go_on() -> None:
    rig = connected(daily_loss_max=1.0)
    lose(rig, 999)
    lose(rig, 1)
    assert rig.word(Word.EFFECTIVE_STATE) == TradingState.ENABLED
    assert refused(rig) == (R.STRATEGY_DAILY_LOSS,)
    assert refused(rig, s=1) == ()
    resume(rig)
    assert refused(rig) == ()


def test_fees_count_as_loss() -> None:
    rig = connected(daily_loss_max=1.0)
    order = rig.order(1, 10)
    rig.fill(order, 1, 10, ASK, order_status=FILLED, cum_qty_lots=10, fee_e8=E8)
    assert refused(rig) == (R.STRATEGY_DAILY_LOSS,)


def test_what_a_strategy_wins_pays_for_what_it_loses() -> None:
    rig = connected(daily_loss_max=1.0)
    lose(rig, -1000)
    lose(rig, 1999)
    assert refused(rig) == ()
    lose(rig, 1)
    assert R.STRATEGY_DAILY_LOSS in refused(rig)


def test_a_bound_for_every_strategy_holds_where_none_has_its_own() -> None:
    rig = connected(every=Bounds(orders_per_day_max=0), order_notional_max=ORDER + 1)
    assert refused(rig) == ()
    assert refused(rig, s=1) == (R.STRATEGY_ORDERS_PER_DAY,)


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [
        (Bounds(order_notional_max=0.0), R.STRATEGY_ORDER_NOTIONAL),
        (Bounds(position_notional_max=0.0), R.STRATEGY_POSITION_NOTIONAL),
        (Bounds(orders_per_day_max=0), R.STRATEGY_ORDERS_PER_DAY),
        (Bounds(daily_loss_max=0.0), R.STRATEGY_DAILY_LOSS),
    ],
)
def test_a_bound_of_nothing_refuses_from_the_start_and_after_a_resume(
    bounds: Bounds, reason: RiskReason
) -> None:
    rig = connected(every=bounds)
    assert refused(rig) == (reason,)
    resume(rig)
    assert refused(rig, s=1) == (reason,)


def test_the_venues_loss_of_a_day_reduces_then_halts() -> None:
    rig = connected(Bounds(daily_loss_max=1.0))
    take(rig, 1, ASK, s=1)
    lose(rig, 1000)
    assert rig.word(Word.TRIPPED) == 1 << R.VENUE_DAILY_LOSS
    assert rig.word(Word.EFFECTIVE_STATE) == TradingState.REDUCING
    assert refused(rig) == (R.TRADING_STATE, R.VENUE_DAILY_LOSS)
    take(rig, -1, ASK, s=1, entry=False)
    assert rig.word(Word.EFFECTIVE_STATE) == TradingState.HALTED
    resume(rig)
    assert refused(rig) == ()


def test_the_profit_lock_pauses_until_an_operator_resumes() -> None:
    rig = DeskRig(GENEROUS._replace(profit_lock_ratio=0.0001))  # a ten-thousandth of 10,000
    rig.connect()
    lose(rig, -998)
    assert rig.word(Word.EFFECTIVE_STATE) == TradingState.ENABLED
    take(rig, 1, ASK, s=1)
    lose(rig, -3)
    assert rig.word(Word.TRIPPED) == 1 << R.PROFIT_LOCK
    assert rig.word(Word.EFFECTIVE_STATE) == TradingState.PAUSED
    assert refused(rig) == (R.TRADING_STATE, R.PROFIT_LOCK)
    rig.order(-1, 10, s=1, entry=False)
    resume(rig)
    assert refused(rig) == (), "profit counts from here"


def test_there_is_no_profit_lock_unless_asked_for() -> None:
    rig = connected()
    lose(rig, -100_000)
    assert rig.word(Word.EFFECTIVE_STATE) == TradingState.ENABLED


def test_a_new_day_gives_orders_back_and_what_tripped_stays() -> None:
    rig = connected(orders_per_day_max=2, daily_loss_max=1.0)
    lose(rig, 1000)
    assert refused(rig) == (R.STRATEGY_ORDERS_PER_DAY, R.STRATEGY_DAILY_LOSS)
    midnight(rig)
    assert refused(rig) == (R.STRATEGY_DAILY_LOSS,)
    resume(rig)
    assert refused(rig) == ()


def midnight(rig: DeskRig) -> None:
    """Let the venue's clock pass into the next day."""
    day_ns = 86_400 * S
    now_ns = rig.now_ns + S
    offset_ns = (rig.word(Word.DAY_NUMBER) + 20_001) * day_ns - now_ns
    rig.report(T.VENUE_CLOCK, clock_offset_ns=offset_ns, clock_anchor_ns=now_ns)
    before = rig.word(Word.DAY_NUMBER)
    rig.wait(2)
    rig.quote()
    assert rig.word(Word.DAY_NUMBER) > before


# -- kept over a restart ---------------------------------------------------------------------------


def restarted(rig: DeskRig) -> DeskRig:
    """Return the next session, made from the events of one that was killed."""
    fold = Fold()
    fold.add(rig.all_events())
    after = DeskRig(epoch=rig.epoch + 1)
    after.desk.limits[0] = rig.desk.limits[0]
    for name in ("order_e8_max", "orders_per_day_max", "daily_loss_e8_max", "is_counted"):
        after.desk.bounds[name] = rig.desk.bounds[name]
    after.now_ns = rig.now_ns + S
    records = fold.restore_records()
    after.step(np.split(records, len(records)))
    after.report(T.VENUE_CONNECTED)
    after.fetch()
    after.quote()
    return after


DAY = ("day_orders", "day_result_e8", "tripped")


@pytest.mark.parametrize("flushed", [True, False])
def test_the_day_of_a_strategy_survives_a_kill(flushed: bool) -> None:
    rig = connected(Bounds(orders_per_day_max=50), orders_per_day_max=3, daily_loss_max=5.0)
    lose(rig, 700)
    order = rig.order(1, 10)
    if flushed:
        rig.wait(0.001)
    rig.update(order, OrderStatus.REJECTED)
    after = restarted(rig)
    for name in DAY:
        assert after.desk.bounds[name].tolist()[0] == rig.desk.bounds[name][0], name
        assert after.desk.bounds[name].tolist()[-1] == rig.desk.bounds[name][-1], name
    assert refused(after) == (R.STRATEGY_ORDERS_PER_DAY,)
    assert restarted(after).desk.bounds["day_orders"].tolist()[-1] == 3


def test_an_order_that_the_journal_has_and_no_count_followed_is_counted() -> None:
    rig = connected(orders_per_day_max=2)
    rig.order(1, 10)
    rig.order(1, 10)
    events = rig.all_events()
    assert of_type(events, T.BOUNDS_CHANGED)["day_entry_count"].tolist() == [0]
    fold = Fold()
    fold.add(events)
    (kept,) = of_type(fold.restore_records(), T.RESTORE_BOUNDS)
    assert (kept["strategy_index"], kept["day_entry_count"]) == (0, 2)


def test_what_tripped_holds_over_a_restart_and_a_resume_ends_it() -> None:
    rig = connected(daily_loss_max=1.0)
    lose(rig, 1000)
    rig.wait(0.001)
    after = restarted(rig)
    assert R.STRATEGY_DAILY_LOSS in refused(after)
    resume(after)
    after.update(after.order(1, 10), OrderStatus.REJECTED)
    assert refused(restarted(after)) == ()


def test_nothing_is_written_of_a_day_nobody_bounded() -> None:
    rig = connected()
    lose(rig, 100)
    assert len(of_type(rig.all_events(), T.BOUNDS_CHANGED)) == 0
    assert rig.desk.bounds["day_orders"].tolist() == [2, 0, 0, 2]


# -- against a plain model -------------------------------------------------------------------------


class Given(NamedTuple):
    """Bounds of one row of the model, all of them there."""

    order_notional_max: float
    position_notional_max: float
    orders_per_day_max: int
    daily_loss_max: float


class Model:
    """What the bounds mean, in plain Python."""

    def __init__(self, bounds: dict[int, Given]) -> None:
        self.bounds = bounds
        self.orders = dict.fromkeys(bounds, 0)
        self.result = dict.fromkeys(bounds, 0)
        self.tripped: set[int] = set()

    def expected(self, s: int, qty: int, held: int, price: int) -> set[RiskReason]:
        own, venue = self.bounds[s], self.bounds[STRATEGY_NET]
        order_e8, reached_e8 = (price * 10_000 * lots for lots in (qty, abs(held + qty)))
        found = set()
        if order_e8 > own.order_notional_max * E8:
            found.add(R.STRATEGY_ORDER_NOTIONAL)
        if order_e8 > venue.order_notional_max * E8:
            found.add(R.VENUE_ORDER_NOTIONAL)
        if reached_e8 > own.position_notional_max * E8:
            found.add(R.STRATEGY_POSITION_NOTIONAL)
        if self.orders[s] >= own.orders_per_day_max:
            found.add(R.STRATEGY_ORDERS_PER_DAY)
        if self.orders[STRATEGY_NET] >= venue.orders_per_day_max:
            found.add(R.VENUE_ORDERS_PER_DAY)
        if s in self.tripped:
            found.add(R.STRATEGY_DAILY_LOSS)
        return found

    def count(self, s: int) -> None:
        self.orders[s] += 1
        self.orders[STRATEGY_NET] += 1

    def book(self, s: int, result_e8: int) -> None:
        self.result[s] += result_e8
        if -self.result[s] >= self.bounds[s].daily_loss_max * E8:
            self.tripped.add(s)


BOUNDS = st.builds(
    Given,
    order_notional_max=st.integers(400, 1300).map(float),
    position_notional_max=st.integers(600, 3000).map(float),
    orders_per_day_max=st.integers(0, 12),
    daily_loss_max=st.integers(1, 8).map(float),
)
MOVES = st.tuples(st.integers(0, 1), st.integers(1, 20), st.integers(-900, 900), st.booleans())


@settings(max_examples=60, deadline=None)
@given(st.tuples(BOUNDS, BOUNDS, BOUNDS), st.lists(MOVES, max_size=25))
def test_a_plain_model_refuses_the_same(
    given_bounds: tuple[Given, Given, Given], moves: list[tuple[int, int, int, bool]]
) -> None:
    first, second, venue = given_bounds
    named = {STRATEGY_TABLE[0].name: Bounds(*first), STRATEGY_TABLE[1].name: Bounds(*second)}
    of_venue = Bounds(venue.order_notional_max, None, venue.orders_per_day_max, None)
    rig = DeskRig(RiskLimits(*GENEROUS)._replace(strategy_bounds=named, venue_bounds=of_venue))
    rig.connect()
    model = Model({0: first, 1: second, STRATEGY_NET: venue})
    for s, qty, move, exits in moves:
        held = rig.lots(0, s)
        if exits and held:
            order = rig.order(-1, held, s=s, entry=False)
            price = BID + move
            cost_e8 = int(rig.desk.positions["cost_e8"][0, s])
            rig.fill(order, order, held, price, order_status=FILLED, cum_qty_lots=held, side=-1)
            model.count(s)
            model.book(s, price * held * 10_000 - cost_e8)
            continue
        found = set(refused(rig, qty=qty, s=s))
        assert found == model.expected(s, qty, held, ASK)
        if not found:
            model.count(s)
            order = rig.word(Word.NEXT_ORDER_SEQUENCE) - 1
            rig.fill(order, order, qty, ASK, order_status=FILLED, cum_qty_lots=qty)


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [
        (InstrumentBounds(order_qty_max=0.009), R.ORDER_QTY),
        (InstrumentBounds(position_qty_max=0.009), R.POSITION_QTY),
        (InstrumentBounds(order_notional_max=600.0), R.ORDER_NOTIONAL),
        (InstrumentBounds(position_notional_max=600.0), R.POSITION_NOTIONAL),
    ],
)
def test_an_instruments_own_number_stands_for_the_accounts(
    bounds: InstrumentBounds, reason: RiskReason
) -> None:
    rig = session(GENEROUS._replace(instrument_bounds={"T0USDT": bounds}))
    assert (refused(rig), refused(rig, i=1)) == ((reason,), ())


def test_it_may_be_the_larger_one_and_what_it_leaves_out_is_the_accounts() -> None:
    own = {"T0USDT": InstrumentBounds(order_notional_max=1e9)}
    limits = GENEROUS._replace(order_notional_max=600.0, order_qty_max=0.015, instrument_bounds=own)
    rig = session(limits)
    assert (refused(rig), refused(rig, i=1)) == ((), (R.ORDER_NOTIONAL,))
    assert refused(rig, qty=20) == (R.ORDER_QTY,)


def session(limits: RiskLimits) -> DeskRig:
    """Return a session of T0USDT and T1USDT."""
    rig = DeskRig(limits)
    rig.connect()
    return rig
