"""Quotes at the venue: withdrawn where the market is unfit, bounded in number, shed at the end."""

import numpy as np
import pytest

from engine.domain.codes import EventType, Liveness, OrderStatus, OrderType
from engine.domain.limits import RATE_FIRST, pack_rates
from engine.domain.market_state import ENTRIES_WITHOUT_EDGE, LOSS_USED_PPM, MAKER_FEE_PPM
from engine.domain.reports import RATE_PAUSED, WOULD_TAKE
from engine.domain.size_reasons import BY_LOSSES
from engine.domain.strategy_table import INPUT_NAMES, StrategyKind, StrategyReason
from engine.domain.words import Tally, Word
from tests.desk_rig import GENEROUS, MS, S, make_event, of_type
from tests.making_rig import MakingRig, amended, maker_row, requested

T = EventType
BID, ASK = 620_000, 620_001


def quoting(**parameters: float) -> MakingRig:
    """Return a rig whose one maker has both sides at the venue."""
    rig = MakingRig((maker_row(**parameters),))
    rig.show(BID, ASK)
    rig.serve()
    assert sorted(rig.resting()) == [-1, 1]
    return rig


def cancelled(rig: MakingRig) -> set[int]:
    """Return the sides whose cancel went to the venue."""
    return {int(c["side"]) for c in rig.serve() if c["event_type"] == T.COMMAND_CANCEL}


def test_a_flat_maker_quotes_both_sides_around_fair_and_says_why() -> None:
    rig = MakingRig((maker_row(width_atr=1.0),))
    events = rig.show(BID, ASK)
    buy, sell = requested(events)
    assert (buy.side, buy.price, sell.side, sell.price) == (1, BID - 300, -1, ASK + 300)
    assert buy.is_entry
    assert sell.is_entry
    said = of_type(events, T.SIGNAL_GENERATED)[0]
    assert said["reason"] == StrategyReason.MAKING_QUOTE
    names = INPUT_NAMES[StrategyKind.MAKING]
    told = dict(zip(names, (float(said[f"input_{k}"]) for k in (1, 2, 3, 4)), strict=True))
    assert told == {
        "fair_ticks": 620_000.5, "reservation_ticks": 620_000.5,
        "half_ticks": 300.0, "atr_ticks": 300.0,
    }  # fmt: skip
    assert said["input_0"] == 0.0, "no inventory"
    move_bps = 300.5 / 620_000.5 * 10_000
    assert said["expected_move_bps"] == pytest.approx(move_bps)
    assert said["edge_bps"] == pytest.approx(0.5 * move_bps - 0.2)


def test_what_is_held_moves_both_quotes_and_its_side_becomes_an_exit() -> None:
    rig = quoting(inventory=2.0, skew_atr=1.0)
    number, price = rig.resting()[1]
    rig.hit(number, 10)
    events = rig.show(BID, ASK, after_ns=2 * S)
    (buy,) = requested(events)
    assert buy.price == price - 150, "half full: half the skew"
    assert cancelled(rig) == {-1}, "the sell is out of place now"
    (sell,) = requested(rig.show(BID, ASK, after_ns=2 * S))
    assert (sell.price, sell.lots, sell.is_entry) == (ASK + 150, 10, False)


def test_at_its_bound_a_maker_quotes_the_side_that_sheds_alone() -> None:
    rig = quoting(inventory=1.0)
    rig.hit(rig.resting()[-1][0], 10)
    rig.show(BID, ASK, after_ns=2 * S)
    rig.serve()
    rig.show(BID, ASK, after_ns=2 * S)
    rig.serve()
    assert list(rig.resting()) == [1]


def test_a_rest_too_small_to_exit_leaves_with_a_whole_quote() -> None:
    rig = quoting()
    rig.desk.instruments["min_notional_e8"][0] = 100 * 100_000_000  # two lots
    rig.hit(rig.resting()[1][0], 1)
    number = rig.resting()[-1][0]
    events = rig.show(BID + 200, ASK + 200, after_ns=2 * S)
    assert list(amended(events)) == [number], "the sell is as large as before, and still an entry"
    assert cancelled(rig) == {1}, "the buy lacks what was filled"
    (buy,) = requested(rig.show(BID + 200, ASK + 200, after_ns=2 * S))
    assert (buy.side, buy.lots, buy.is_entry) == (1, 10, True)


@pytest.mark.parametrize("seconds", [1.9, 2.2])
def test_quotes_of_a_silent_market_are_withdrawn_by_time_alone(seconds: float) -> None:
    rig = quoting(expiry_s=2.0)
    rig.wait(seconds)
    assert cancelled(rig) == ({-1, 1} if seconds > 2 else set())


def test_without_an_expiry_of_its_own_the_limit_of_prices_holds() -> None:
    rig = quoting(expiry_s=0.0)
    rig.desk.limits["price_age_ns_max"] = 3 * S
    rig.wait(2.9)
    assert cancelled(rig) == set()
    rig.wait(0.2)
    assert cancelled(rig) == {-1, 1}


def test_quotes_leave_with_a_channel_they_need() -> None:
    rig = quoting()
    rig.desk.liveness[0, :] = Liveness.STALE
    rig.wait(0.2)
    assert cancelled(rig) == {-1, 1}


@pytest.mark.parametrize("control", [T.CONTROL_PAUSE, T.CONTROL_REDUCE, T.CONTROL_HALT])
def test_quotes_that_may_open_leave_with_any_halt_and_none_is_asked_for(control: T) -> None:
    rig = quoting()
    rig.control(control)
    rig.wait(0.2)
    rig.wait(0.2)
    assert cancelled(rig) == {-1, 1}
    assert not requested(rig.show(BID, ASK, after_ns=2 * S))


def test_a_pause_leaves_the_exit_in_place() -> None:
    rig = quoting(inventory=1.0)
    rig.hit(rig.resting()[1][0], 10)
    for _ in range(3):
        rig.show(BID, ASK, after_ns=1_500 * MS)
        rig.serve()
    assert list(rig.resting()) == [-1]
    rig.control(T.CONTROL_PAUSE)
    rig.wait(0.2)
    assert cancelled(rig) == set()


def test_a_wild_market_and_an_unknown_one_are_not_quoted() -> None:
    rig = quoting(atr_bps_max=10.0)
    for atr in (700.0, np.nan):
        rig.market.atr_ticks[:] = atr
        assert not requested(rig.show(BID, ASK, after_ns=2 * S))
        rig.wait(0.01)
    assert cancelled(rig) == {-1, 1}


def test_a_small_move_leaves_quotes_and_a_large_one_moves_them_after_a_pause() -> None:
    rig = quoting(requote_share=0.5, requote_s=1.0, width_atr=1.0)
    rig.show(BID + 100, ASK + 100, after_ns=2 * S)
    rig.wait(0.2)
    assert cancelled(rig) == set(), "within half of the half width"
    moved = amended(rig.show(BID + 200, ASK + 200))
    assert sorted(moved.values()) == [BID - 100, ASK + 500]
    rig.serve()
    assert {row["status"] for row in rig.open_orders()} == {OrderStatus.NEW}
    assert {price for _, price in rig.resting().values()} == {BID - 100, ASK + 500}
    assert rig.tally(Tally.ORDERS) == 2, "moved under their own names"


def test_a_market_that_comes_nearer_finds_the_quote_in_place() -> None:
    rig = quoting(requote_s=60.0, width_atr=0.1)
    price = rig.resting()[1][1]
    rig.show(price, price + 1)
    rig.wait(0.01)
    assert cancelled(rig) == set()


def test_a_width_too_narrow_for_its_cost_is_not_quoted_and_counted() -> None:
    rig = MakingRig((maker_row(width_bps_max=1.0, claim=0.1),))
    assert not requested(rig.show(BID, ASK))
    assert rig.market.progress[ENTRIES_WITHOUT_EDGE] == 2
    rig.market.progress[MAKER_FEE_PPM] = 5
    assert len(requested(rig.show(BID, ASK, after_ns=2 * S))) == 2


def test_quotes_take_half_of_the_order_budget() -> None:
    limits = GENEROUS._replace(orders_per_10s_instrument=8)
    rig = MakingRig((maker_row(requote_s=0.0, requote_share=0.0, width_atr=1.0),), limits)
    rig.desk.rates[:] = pack_rates(limits, 1)
    for k in range(40):
        rig.show(BID + 60 * k, ASK + 60 * k)
        rig.serve()
    assert rig.tally(Tally.ORDERS) + rig.tally(Tally.AMENDMENTS) == 4
    burst = int(rig.desk.rates["burst_ns"][RATE_FIRST])
    assert rig.desk.rates["tat_ns"][RATE_FIRST] - rig.now_ns <= burst // 2
    assert rig.tally(Tally.REFUSALS) == 0, "what has no budget is not asked for"


def test_a_position_held_too_long_goes_at_the_market_once_its_quotes_are_gone() -> None:
    rig = quoting(max_hold_s=5.0, expiry_s=0.0)
    rig.hit(rig.resting()[1][0], 10)
    rig.show(BID, ASK, after_ns=6 * S)
    rig.wait(0.01)
    assert cancelled(rig) == {-1}
    events = rig.show(BID, ASK)
    asked = of_type(events, T.ORDER_REQUEST)
    assert asked["order_type"].tolist() == [OrderType.MARKET]
    assert asked["side"].tolist() == [-1]
    assert of_type(events, T.SIGNAL_GENERATED)["reason"].tolist() == [StrategyReason.MAX_HOLD]
    assert not requested(rig.show(BID, ASK, after_ns=100 * MS)), "nor while that is under way"


def test_a_flattening_is_not_held_up_by_new_quotes() -> None:
    rig = quoting(inventory=1.0)
    rig.hit(rig.resting()[1][0], 10)
    rig.now_ns += 5 * S
    rig.control(T.CONTROL_FLATTEN)
    for _ in range(20):
        events = rig.show(BID, ASK, after_ns=20 * MS)
        assert (of_type(events, T.ORDER_REQUEST)["order_type"] == OrderType.MARKET).all()
        rig.serve()
    closing = of_type(rig.all_events(), T.ORDER_REQUEST)[-1]
    assert (closing["order_type"], closing["side"]) == (OrderType.MARKET, -1)


@pytest.mark.parametrize(("reason", "counted"), [(WOULD_TAKE, 0), (RATE_PAUSED, 0), (-2010, 1)])
def test_a_quote_that_came_too_late_is_no_failure(reason: int, counted: int) -> None:
    rig = MakingRig()
    rig.show(BID, ASK)
    number = rig.resting()[1][0]
    rig.update(number, OrderStatus.REJECTED, reason=reason)
    assert rig.word(Word.FAILURE_COUNT) == counted
    assert rig.word(Word.DAY_ENTRY_COUNT) == 1, "its place in the day is given back"
    (again,) = requested(rig.show(BID, ASK, after_ns=1_500 * MS))
    assert again.side == 1


def test_an_unknown_quote_is_not_doubled() -> None:
    rig = MakingRig()
    rig.show(BID, ASK)
    number = rig.resting()[1][0]
    rig.step([make_event(T.ORDER_UNKNOWN, order_sequence=number, epoch_low=1)])
    for _ in range(5):
        assert all(order.side == -1 for order in requested(rig.show(BID, ASK, after_ns=2 * S)))


def test_two_instruments_are_quoted_apart() -> None:
    rig = MakingRig(instruments=2)
    rig.show(BID, ASK, 0)
    rig.serve()
    assert rig.resting(i=1) == {}
    rig.show(2_000, 2_001, 1)
    assert sorted(rig.resting(i=1)) == [-1, 1]
    assert sorted(rig.resting(i=0)) == [-1, 1]


def test_near_a_loss_limit_a_maker_quotes_less_and_further_out_and_says_why() -> None:
    asks = {"safe_from": 0.5, "safe_least": 0.25, "safe_edge_bps": 4.0}
    calm, near = (MakingRig((maker_row(width_atr=0.1, claim=0.5, **asks),)) for _ in range(2))
    near.market.progress[LOSS_USED_PPM] = 750_000
    (buy, _), events = requested(calm.show(BID, ASK)), near.show(BID, ASK)
    less, _ = requested(events)
    assert less.lots == int(buy.lots * 0.625), "half the way to a quarter"
    further_bps = (buy.price - less.price) / BID * 10_000
    assert further_bps > 2.0, "two bps more edge, of which the row claims half"
    said = of_type(events, T.SIGNAL_GENERATED)[0]
    assert said["wanted_lots"] == buy.lots
    assert said["size_reasons"] == BY_LOSSES


def test_what_a_maker_may_not_quote_any_more_it_still_sheds() -> None:
    rig = quoting(inventory=2.0, safe_from=0.5, safe_least=0.0)
    rig.hit(rig.resting()[1][0], 10)
    words, most = rig.desk.words, float(rig.desk.limits["drawdown_ratio_max"][0])
    words[Word.PEAK_EQUITY_E8] = int(words[Word.EQUITY_E8] / (1.0 - 0.99 * most))
    assert requested(rig.show(BID, ASK, after_ns=2 * S)) == []
    assert cancelled(rig) == {-1}, "an entry of before"
    (sell,) = requested(rig.show(BID, ASK, after_ns=2 * S))
    assert (sell.lots, sell.is_entry) == (10, False)
