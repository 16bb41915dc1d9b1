"""Strategies: when each kind enters and leaves, and what holds all of them back."""

from typing import Any

import numpy as np
import pytest

from engine.domain.features import micro
from engine.domain.firewall_reasons import FirewallReason
from engine.domain.market_state import SCORER_FAULT_NS, MarketState, create_market_state
from engine.domain.row_bits import mark_row
from engine.domain.strategy import (
    EXPOSURE_DTYPE,
    OPPORTUNITIES_PER_RECORD_MAX,
    OPPORTUNITY_DTYPE,
    SCORER_REARM_NS,
    StrategyReason,
    apply_market,
)
from engine.domain.strategy_table import StrategyKind, StrategyRow
from tests.builders import (
    MS,
    START_RECEIVE_NS,
    START_VENUE_NS,
    S,
    make_instruments,
    make_quote,
    make_trade,
)

BID, ASK = 618_002, 618_003
ATR = 20.0


class Desk:
    """One instrument, some strategies, and an order side that fills at the quote when told to."""

    def __init__(self, *rows: StrategyRow) -> None:
        self.market: MarketState = create_market_state(make_instruments(1), rows)
        self.exposure = np.zeros((1, len(rows)), dtype=EXPOSURE_DTYPE)
        self.found = np.zeros(OPPORTUNITIES_PER_RECORD_MAX, dtype=OPPORTUNITY_DTYPE)
        self.market.atr_ticks[:] = ATR
        self.sequence = 0

    def apply(self, record: np.ndarray, at_ms: int) -> list[StrategyReason]:
        """Apply a record received `at_ms` after the start; return the reasons of what it caused."""
        self.sequence += 1
        record["sequence"] = self.sequence
        record["receive_time_ns"] = START_RECEIVE_NS + at_ms * MS
        record["venue_time_ns"] = START_VENUE_NS + at_ms * MS
        now_ns = int(record["receive_time_ns"][0])
        count = apply_market(self.market, self.exposure, record, 0, now_ns, self.found)
        assert count >= 0, FirewallReason(-count)
        return [StrategyReason(int(reason)) for reason in self.found["reason"][:count]]

    def quote(
        self, bid_qty: int, ask_qty: int, at_ms: int = 0, bid: int = BID
    ) -> list[StrategyReason]:
        """Apply a quote one tick wide."""
        return self.apply(make_quote(bid, bid + 1, bid_qty, ask_qty), at_ms)

    def scored_quote(self, score: float, at_ms: int = 0, bid: int = BID) -> list[StrategyReason]:
        """Apply a quote at which every input of the score says `score`."""
        market = self.market
        # No bucket is opened and nothing is added by this quote, so the sums below stay.
        market.hot["flow_bucket"][0] = (START_VENUE_NS + at_ms * MS) >> micro.BUCKET_SHIFT
        market.hot["bid_price_ticks"][0] = 0
        flow = 6.0 * score  # the weights' scale of every flow
        market.hot["flow_sums"][0] = [flow, 1.0, flow, 1.0, flow, 1.0, flow, 1.0]
        market.hot["micro"][0, micro.TRADE_FLOW_SHORT] = flow  # trades refresh these, not quotes
        market.hot["micro"][0, micro.TRADE_FLOW_LONG] = flow
        lots = round(1_000 * 0.5 * score)  # the weights' scale of the imbalance
        return self.quote(1_000 + lots, 1_000 - lots, at_ms, bid)

    def hold(self, lots: int, price: int = ASK, at_ms: int = 0, s: int = 0) -> None:
        """Give strategy `s` a position."""
        self.exposure["position_lots"][0, s] = lots
        mark_row(self.market.held_rows[0], s, lots != 0)
        self.exposure["entry_price_ticks"][0, s] = price
        self.exposure["entry_time_ns"][0, s] = START_RECEIVE_NS + at_ms * MS


def row(kind: StrategyKind, **parameters: float) -> StrategyRow:
    return StrategyRow(name="under_test", kind=kind, parameters=parameters)


def imbalance_row(**parameters: float) -> StrategyRow:
    return row(StrategyKind.QUOTE_IMBALANCE, **({"threshold": 0.9} | parameters))


def flow_row(**parameters: float) -> StrategyRow:
    defaults = {"enter_score": 0.7, "exit_score": 0.3}
    return row(StrategyKind.ORDERFLOW, **(defaults | parameters))


def smc_row(**parameters: float) -> StrategyRow:
    return row(StrategyKind.SMC, **({"flow_min": 2.0} | parameters))


# --- quote imbalance ----------------------------------------------------------------------------


@pytest.mark.parametrize(("bid_qty", "ask_qty", "side"), [(99, 1, 1), (1, 99, -1)])
def test_one_extreme_quote_enters_and_the_opposite_one_leaves(
    bid_qty: int, ask_qty: int, side: int
) -> None:
    desk = Desk(imbalance_row())
    assert desk.quote(bid_qty, ask_qty) == [StrategyReason.QUOTE_IMBALANCE]
    assert desk.found["side"][0] == side
    desk.hold(side * 3)
    assert desk.quote(bid_qty, ask_qty, 1) == [], "the same side keeps it"
    assert desk.quote(50, 50, 2) == []
    assert desk.quote(ask_qty, bid_qty, 3) == [StrategyReason.IMBALANCE_REVERSED]
    assert desk.found["side"][0] == -side
    assert desk.found["qty_lots"][0] == 3


def test_a_balanced_quote_causes_nothing() -> None:
    desk = Desk(imbalance_row())
    assert desk.quote(94, 6) == []
    assert desk.quote(95, 5, 1) == [StrategyReason.QUOTE_IMBALANCE]


def test_the_decision_shows_the_quote() -> None:
    desk = Desk(imbalance_row())
    desk.quote(99, 1)
    shown = desk.found[0]
    assert shown["score"] == pytest.approx(0.98)
    assert (shown["input_1"], shown["input_2"]) == (99.0, 1.0)


# --- what holds back ----------------------------------------------------------------------------


def test_an_order_in_flight_silences_its_strategy_only() -> None:
    desk = Desk(imbalance_row(), imbalance_row())
    desk.exposure["in_flight"][0, 0] = 1
    assert desk.quote(99, 1) == [StrategyReason.QUOTE_IMBALANCE]
    assert desk.found["strategy_index"][0] == 1


def test_an_order_in_flight_silences_exits_too() -> None:
    desk = Desk(imbalance_row(max_hold_s=1.0))
    desk.hold(3)
    desk.exposure["in_flight"][0, 0] = 1
    assert desk.quote(1, 99, 5_000) == []


def test_after_an_exit_the_strategy_cools_down() -> None:
    desk = Desk(imbalance_row(cooldown_s=2.0))
    desk.exposure["last_exit_time_ns"][0, 0] = START_RECEIVE_NS
    assert desk.quote(99, 1, 1_999) == []
    assert desk.quote(99, 1, 2_000) == [StrategyReason.QUOTE_IMBALANCE]


def test_an_opinion_waits_for_the_least_hold_a_stop_does_not() -> None:
    desk = Desk(imbalance_row(min_hold_s=5.0, stop_atr=1.0))
    desk.hold(3, ASK)
    assert desk.quote(1, 99, 4_999) == []
    assert desk.quote(1, 99, 5_000) == [StrategyReason.IMBALANCE_REVERSED]
    assert desk.quote(50, 50, 10, bid=ASK - 20) == [StrategyReason.STOP_LOSS]


def test_a_strategy_with_a_stop_waits_until_its_distance_is_known() -> None:
    desk = Desk(imbalance_row(stop_atr=1.0))
    desk.market.atr_ticks[:] = np.nan
    assert desk.quote(99, 1) == []
    desk.market.atr_ticks[:] = ATR
    assert desk.quote(99, 1, 1) == [StrategyReason.QUOTE_IMBALANCE]


def test_a_refused_quote_causes_nothing() -> None:
    desk = Desk(imbalance_row())
    crossed = make_quote(ASK, BID, 99, 1)
    count = apply_market(desk.market, desk.exposure, crossed, 0, START_RECEIVE_NS, desk.found)
    assert count == -FirewallReason.QUOTE_CROSSED


def test_every_strategy_may_act_on_one_quote() -> None:
    desk = Desk(*(imbalance_row() for _ in range(16)))
    assert len(desk.quote(99, 1)) == 16
    assert sorted(desk.found["strategy_index"][:16]) == list(range(16))


# --- stop, target, longest hold -----------------------------------------------------------------


@pytest.mark.parametrize("side", [1, -1])
def test_stop_and_target_are_measured_where_an_exit_would_fill(side: int) -> None:
    def leaves(move: int) -> list[StrategyReason]:
        desk = Desk(imbalance_row(stop_atr=1.0, take_atr=2.0))
        desk.hold(3 * side, BID)
        # A long leaves at the bid, a short at the ask, which is the bid plus one.
        bid = BID + move if side > 0 else BID - move - 1
        return desk.quote(50, 50, 1, bid=bid)

    assert leaves(-19) == []
    assert leaves(-20) == [StrategyReason.STOP_LOSS]
    assert leaves(39) == []
    assert leaves(40) == [StrategyReason.TAKE_PROFIT]


def test_the_longest_hold_ends_a_position() -> None:
    desk = Desk(imbalance_row(max_hold_s=3.0))
    desk.hold(3)
    assert desk.quote(50, 50, 2_999) == []
    assert desk.quote(50, 50, 3_000) == [StrategyReason.MAX_HOLD]


def test_the_distances_are_those_of_the_entry() -> None:
    desk = Desk(imbalance_row(stop_atr=1.0))
    desk.quote(99, 1)
    desk.hold(3, ASK)
    desk.market.atr_ticks[:] = 1_000.0
    assert desk.quote(99, 1, 1, bid=ASK - 20) == [StrategyReason.STOP_LOSS]


def test_a_restored_position_takes_the_distances_of_now() -> None:
    desk = Desk(imbalance_row(stop_atr=2.0))
    desk.market.atr_ticks[:] = np.nan
    desk.hold(3, ASK)
    assert desk.quote(50, 50, 1, bid=ASK - 500) == [], "unknown distances stop nothing"
    desk.market.atr_ticks[:] = ATR
    assert desk.quote(50, 50, 2, bid=ASK - 39) == []
    assert desk.quote(50, 50, 3, bid=ASK - 40) == [StrategyReason.STOP_LOSS]


# --- order flow ---------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [1, -1])
def test_the_score_enters_beyond_its_threshold(side: int) -> None:
    desk = Desk(flow_row())
    assert desk.scored_quote(0.68 * side) == []
    assert desk.scored_quote(0.72 * side, 1) == [StrategyReason.FLOW_SCORE]
    assert desk.found["side"][0] == side
    assert desk.found["score"][0] == pytest.approx(0.72 * side, abs=1e-3)


def test_between_the_thresholds_a_position_is_kept() -> None:
    desk = Desk(flow_row())
    desk.hold(3)
    for k, score in enumerate((0.9, 0.2, 0.0, -0.28)):
        assert desk.scored_quote(score, k) == []
    assert desk.scored_quote(-0.32, 9) == [StrategyReason.FLOW_REVERSED]


def test_an_unknown_score_neither_enters_nor_leaves() -> None:
    desk = Desk(flow_row())
    assert desk.quote(99, 1) == [], "no trade yet"
    desk.hold(3)
    assert desk.quote(1, 99, 1) == []


def test_a_scorer_that_fails_leaves_the_others_to_trade_and_its_own_position_protected() -> None:
    desk = Desk(flow_row(stop_atr=2.0), imbalance_row(threshold=0.4))
    assert desk.scored_quote(0.99) == [StrategyReason.FLOW_SCORE, StrategyReason.QUOTE_IMBALANCE]
    desk.market.score_weights[:, 2] = np.nan
    assert desk.scored_quote(0.99, 1) == [StrategyReason.QUOTE_IMBALANCE]
    desk.hold(3)
    assert desk.scored_quote(-0.99, 2) == [StrategyReason.QUOTE_IMBALANCE], "no opinion, no exit"
    assert desk.scored_quote(0.0, 3, bid=BID - round(2 * ATR)) == [StrategyReason.STOP_LOSS]


@pytest.mark.parametrize("weights", [np.nan, np.inf, 9.0, -9.0])
def test_a_row_stands_in_for_a_scorer_whose_answers_are_no_scores(weights: float) -> None:
    desk = Desk(flow_row(), imbalance_row(threshold=0.4, stand_in=1.0))
    sound = desk.market.score_weights.copy()
    assert desk.scored_quote(0.99) == [StrategyReason.FLOW_SCORE]
    desk.market.score_weights[:, 2] = weights
    assert desk.scored_quote(0.99, 1) == [StrategyReason.QUOTE_IMBALANCE]
    desk.market.score_weights[:] = sound
    rearm_ms = SCORER_REARM_NS // MS
    assert desk.scored_quote(0.99, rearm_ms) == [StrategyReason.QUOTE_IMBALANCE], "not yet believed"
    assert desk.scored_quote(0.99, rearm_ms + 1) == [StrategyReason.FLOW_SCORE]
    assert desk.market.progress[SCORER_FAULT_NS] == 0


def test_an_answer_that_lacks_an_input_is_no_fault_of_the_scorer() -> None:
    desk = Desk(flow_row(), imbalance_row(threshold=0.4, stand_in=1.0))
    assert desk.quote(99, 1) == [], "no trade yet: the flow is not known"
    assert desk.market.progress[SCORER_FAULT_NS] == 0


def test_who_stands_in_leaves_as_ever_once_the_scorer_is_back() -> None:
    desk = Desk(flow_row(), imbalance_row(threshold=0.4, stand_in=1.0))
    desk.hold(3, s=1)
    assert StrategyReason.IMBALANCE_REVERSED in desk.scored_quote(-0.99)


def test_the_decision_shows_what_the_score_was_made_of() -> None:
    desk = Desk(flow_row())
    desk.scored_quote(0.8)
    shown = desk.found[0]
    assert shown["input_1"] == pytest.approx(0.8 * 6.0)
    assert shown["input_2"] == pytest.approx(0.8 * 6.0)
    assert shown["input_3"] == pytest.approx(0.4)
    assert shown["input_4"] == pytest.approx(10_000 / (BID + 0.5), rel=1e-9)


# --- smart money --------------------------------------------------------------------------------


def smc_desk(side: int = 1, **parameters: float) -> Desk:
    """Return a desk whose structure and flow point to `side`, with no event at the newest bar."""
    desk = Desk(smc_row(**parameters))
    desk.market.structure["trend_side"][0, 0] = side
    desk.market.hot["flow_sums"][0, micro.LONG + micro.TRADE_SUM] = 3.0 * side
    desk.market.hot["flow_sums"][0, micro.LONG + micro.TRADE_SQUARES] = 1.0
    desk.market.hot["flow_sums"][0, micro.LONG + micro.QUOTE_SUM] = 1.0 * side
    desk.market.hot["flow_sums"][0, micro.LONG + micro.QUOTE_SQUARES] = 1.0
    return desk


def close_bar(desk: Desk, prepare: dict[str, Any] | None = None) -> list[StrategyReason]:
    """Trade in one second, let a quote of a later one close its bar; return what that caused."""
    desk.quote(50, 50, 0)
    desk.apply(make_trade(BID, trade_id=1), 100)
    structure = desk.market.structure
    for name, number in (prepare or {}).items():
        structure[name][0, 0] = number
    market = desk.market
    # The trade above added its own flow; put back what the test wants to see.
    market.hot["flow_buckets"][:] = 0.0
    newest = (START_VENUE_NS + 1_300 * MS) >> micro.BUCKET_SHIFT
    side = int(structure["trend_side"][0, 0])
    before = (newest - 6) & micro.BUCKET_MASK  # in the long window, not cleared by this quote
    market.hot["flow_buckets"][0, before] = [3.0 * side, 1.0, 1.0 * side, 1.0]
    return desk.apply(make_quote(BID, ASK, 50, 50), 1_300)


def held_gap(side: int) -> dict[str, int]:
    """Return a gap that price just came back to and that held."""
    return {
        "return_side": side,
        "return_at": 0,
        "return_near_ticks": BID + 10 * side,
        "return_far_ticks": BID - 10 * side,
    }


@pytest.mark.parametrize("side", [1, -1])
def test_a_return_into_a_gap_with_structure_and_flow_enters(side: int) -> None:
    desk = smc_desk(side)
    assert close_bar(desk, held_gap(side)) == [StrategyReason.FVG_RETURN]
    assert desk.found["side"][0] == side
    assert desk.found["input_1"][0] == side
    assert desk.found["input_2"][0] == BID + 10 * side
    assert desk.found["input_3"][0] == pytest.approx(3.0 * side)


@pytest.mark.parametrize(
    "changes",
    [
        {"return_side": -1},  # the gap points the other way
        {"return_side": 0},  # no return
        {"return_at": -9},  # too long ago
        {"return_far_ticks": BID},  # the close gave the gap up
        {"return_near_ticks": BID - 9},  # too small
        {"trend_side": 0},  # no structure
        {"trend_side": -1},  # the structure points the other way, and the flow with it
    ],
)
def test_without_one_of_its_reasons_it_does_not_enter(changes: dict[str, int]) -> None:
    desk = smc_desk(1, wait_bars=5.0, gap_atr_min=0.5)
    assert close_bar(desk, held_gap(1) | changes) == []


def test_without_takers_flow_it_does_not_enter() -> None:
    assert close_bar(smc_desk(1, flow_min=3.5), held_gap(1)) == []
    assert close_bar(smc_desk(1, quote_flow_min=1.5), held_gap(1)) == []


def test_breaks_are_traded_only_when_the_row_says_so() -> None:
    # The update of the newest bar sets live_side: a close above the last locked high does it.
    def live(**parameters: float) -> list[StrategyReason]:
        desk = smc_desk(1, **parameters)
        return close_bar(desk, {"high_level_ticks": BID - 5})

    assert live() == [StrategyReason.BOS_LIVE]
    assert live(trade_breaks=0.0) == []


def test_a_structure_that_turns_ends_the_position() -> None:
    desk = smc_desk(1)
    desk.hold(3, BID)
    assert close_bar(desk, {"low_level_ticks": BID + 5}) == [StrategyReason.STRUCTURE_REVERSED]
    assert desk.found["side"][0] == -1


def test_a_structure_that_turns_waits_for_the_least_hold() -> None:
    turned = {"low_level_ticks": BID + 5}
    desk = smc_desk(1, min_hold_s=2.0)
    desk.hold(3, BID)
    assert close_bar(desk, turned) == []
    desk = smc_desk(1, min_hold_s=1.0)
    desk.hold(3, BID)
    assert close_bar(desk, turned) == [StrategyReason.STRUCTURE_REVERSED]


def test_a_structure_that_turned_earlier_does_not() -> None:
    desk = smc_desk(1)
    desk.hold(3, BID)
    assert close_bar(desk, {"trend_side": -1, "trend_known_at": -5}) == []


def test_a_strategy_acts_once_per_record() -> None:
    # This quote closes the bar that turns the structure and is beyond the stop as well.
    desk = smc_desk(1, stop_atr=1.0)
    desk.hold(3, BID + 1_000)
    assert close_bar(desk, {"low_level_ticks": BID + 5}) == [StrategyReason.STRUCTURE_REVERSED]


def test_bars_of_another_timeframe_do_not_ask_the_strategy() -> None:
    slow = StrategyRow(
        name="slow", kind=StrategyKind.SMC, timeframe_s=5, parameters={"flow_min": 2.0}
    )
    desk = Desk(slow)
    desk.market.structure["trend_side"][0, :] = 1
    assert close_bar(desk, {"high_level_ticks": BID - 5}) == []
    assert desk.market.closed_count[0, 0] == 1
    assert desk.market.closed_count[0, 1] == 0


def test_time_stands_still_between_records() -> None:
    # The only clock is the argument: the same record with the same time decides the same.
    outcomes = []
    for _ in range(2):
        desk = Desk(imbalance_row(max_hold_s=3.0))
        desk.hold(3)
        outcomes.append((desk.quote(50, 50, 10 * S // MS), desk.found.tobytes()))
    assert outcomes[0] == outcomes[1]
