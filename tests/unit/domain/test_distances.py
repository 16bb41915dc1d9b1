"""Stops and targets follow volatility and regime; what an entry rests on may not be stale."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.features.catalogue import catalogue_text, compile_plan
from engine.domain.kernel import python_of
from engine.domain.market_state import (
    TREND_COLUMN,
    TREND_LABEL,
    VENUE_TIME_NEWEST_NS,
    VOLATILITY_COLUMN,
    VOLATILITY_LABEL,
    MarketState,
    create_market_state,
)
from engine.domain.opportunity import EXPOSURE_DTYPE, OPPORTUNITY_DTYPE, set_distances
from engine.domain.strategy import enter_on_quote, may_enter_on_bar
from engine.domain.strategy_table import StrategyKind, StrategyRow
from tests.builders import S, make_instruments

COLUMNS = compile_plan(catalogue_text()).bar_columns
LABELS = st.sampled_from([-1.0, 0.0, 1.0, float("nan")])


def market_of(**parameters: float) -> MarketState:
    row = StrategyRow(
        name="x", kind=StrategyKind.QUOTE_IMBALANCE, timeframe_s=1, parameters=parameters
    )
    market = create_market_state(make_instruments(1), [row])
    market.atr_ticks[0, 0] = 10.0
    return market


def label(value: float) -> float:
    return 0.0 if value != value else value  # noqa: PLR0124  NaN


@given(LABELS, LABELS, st.floats(0, 1), st.sampled_from([1, -1]))
def test_distances_are_moved_by_the_regime(
    trend: float, volatility: float, adapt: float, side: int
) -> None:
    market = market_of(stop_atr=2.0, take_atr=3.0, regime_adapt=adapt)
    market.bar_features[0, 0, COLUMNS.index(TREND_LABEL)] = trend
    market.bar_features[0, 0, COLUMNS.index(VOLATILITY_LABEL)] = volatility
    python_of(set_distances)(market, 0, 0, side)
    calm = 1 + adapt * label(volatility) / 2
    way = 1 + adapt * side * label(trend) / 2
    memory = market.strategy_memory[0, 0]
    assert memory["stop_ticks"] == pytest.approx(20.0 * calm)
    assert memory["take_ticks"] == pytest.approx(30.0 * calm * way)
    assert memory["stop_ticks"] > 0.0
    assert memory["take_ticks"] > 0.0


def test_without_it_they_are_average_true_ranges_and_no_more() -> None:
    market = market_of(stop_atr=1.5)
    market.bar_features[:] = 1.0
    python_of(set_distances)(market, 0, 0, 1)
    assert market.strategy_memory[0, 0].tolist() == (15.0, 0.0)


def test_a_catalogue_without_a_regime_moves_nothing() -> None:
    catalogue = compile_plan(catalogue_text(), keep=lambda row: row.family != "regime")
    row = StrategyRow(
        name="x",
        kind=StrategyKind.QUOTE_IMBALANCE,
        parameters={"stop_atr": 1.0, "regime_adapt": 1.0},
    )
    market = create_market_state(make_instruments(1), [row], catalogue=catalogue)
    assert market.progress[TREND_COLUMN] == market.progress[VOLATILITY_COLUMN] == -1
    market.atr_ticks[0, 0] = 4.0
    python_of(set_distances)(market, 0, 0, 1)
    assert market.strategy_memory["stop_ticks"][0, 0] == 4.0


@pytest.mark.parametrize(
    ("age_s", "expiry_s", "entries"), [(0.9, 1.0, 1), (1.1, 1.0, 0), (99, 0, 1)]
)
def test_an_old_quote_is_no_reason_to_enter(age_s: float, expiry_s: float, entries: int) -> None:
    market = market_of(threshold=0.5, expiry_s=expiry_s)
    market.hot["bid_price_ticks"][0], market.hot["ask_price_ticks"][0] = 599_999, 600_000
    market.hot["micro"][0] = 0.9
    now_ns = 1_000 * S
    market.hot["quote_receive_time_ns"][0] = now_ns - round(age_s * S)
    exposure = np.zeros((1, 1), dtype=EXPOSURE_DTYPE)
    found = np.zeros(2, dtype=OPPORTUNITY_DTYPE)
    assert enter_on_quote(market, exposure, 0, 0, 0.0, now_ns, found, 0) == entries


@pytest.mark.parametrize(
    ("age_s", "expiry_s", "may"), [(2, 2.0, True), (2.1, 2.0, False), (99, 0, True)]
)
def test_a_bar_that_ended_long_ago_is_no_reason_to_enter(
    age_s: float, expiry_s: float, may: bool
) -> None:
    market = market_of(expiry_s=expiry_s)
    start_ns = 5_000 * S
    market.closed["start_ns"][0, 0, 2] = start_ns
    market.closed_count[0, 0] = 3
    market.progress[VENUE_TIME_NEWEST_NS] = start_ns + S + round(age_s * S)
    exposure = np.zeros((1, 1), dtype=EXPOSURE_DTYPE)
    assert may_enter_on_bar(market, exposure, 0, 0, 7) is may
