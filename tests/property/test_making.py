"""Laws of where a market maker quotes, whatever the market and its row."""

from functools import cache

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.kernel import python_of
from engine.domain.making import BUY, QUOTE_DTYPE, SELL, plan_quotes
from engine.domain.market_state import (
    MAKER_FEE_PPM,
    MarketState,
    create_market_state,
    pack_strategies,
    timeframes_of,
)
from engine.domain.opportunity import EXPOSURE_DTYPE
from tests.builders import make_instruments
from tests.making_rig import UNIT_E8, maker_row

NOW_NS = 10**12
BIDS = st.integers(50_000, 2_000_000)
SPREADS = st.integers(1, 200)
ATRS = st.floats(0.5, 50_000.0)
NUMBERS = st.fixed_dictionaries(
    {
        "width_atr": st.floats(0.0, 5.0),
        "width_bps_min": st.floats(0.0, 20.0),
        "width_bps_max": st.floats(0.1, 50.0),
        "skew_atr": st.floats(0.0, 5.0),
        "inventory": st.floats(1.0, 5.0),
        "claim": st.floats(0.05, 1.0),
        "edge_min_bps": st.floats(-1.0, 5.0),
    }
)


@cache
def create_once() -> MarketState:
    return create_market_state(make_instruments(1), [maker_row()])


def market_of(numbers: dict[str, float], bid: int, spread: int, atr: float) -> MarketState:
    market = create_once()
    rows = (maker_row(**numbers),)
    market.strategies[:], market.parameters[:] = pack_strategies(rows, timeframes_of(rows))
    market.hot["bid_price_ticks"][0], market.hot["ask_price_ticks"][0] = bid, bid + spread
    market.hot["quote_receive_time_ns"][0] = NOW_NS
    market.hot["micro"][0] = 0.0
    market.atr_ticks[:] = atr
    market.progress[MAKER_FEE_PPM] = 200
    return market


def planned(market: MarketState, held: int, now_ns: int = NOW_NS) -> np.void:
    exposure = np.zeros((1, 1), dtype=EXPOSURE_DTYPE)
    exposure["position_lots"] = held
    exposure["entry_price_ticks"] = market.hot["bid_price_ticks"][0]
    quotes = np.zeros((1, 1), dtype=QUOTE_DTYPE)
    python_of(plan_quotes)(market, exposure, quotes, 0, 0, 0, now_ns)
    return quotes[0, 0]


@given(NUMBERS, BIDS, SPREADS, ATRS, st.integers(-60, 60))
def test_quotes_never_meet_nor_take_and_lie_within_their_bounds(
    numbers: dict[str, float], bid: int, spread: int, atr: float, held: int
) -> None:
    found = planned(market_of(numbers, bid, spread, atr), held)
    buy, sell = found["wanted_ticks"][BUY], found["wanted_ticks"][SELL]
    assert buy == 0 or buy < bid + spread, "post-only"
    assert sell == 0 or sell > bid
    assert buy == 0 or sell == 0 or buy < sell
    if found["lots"]:
        most = max(numbers["width_bps_max"] / 10_000 * found["fair_ticks"], 0.5)
        assert 0.5 <= found["half_ticks"] <= most * (1 + 1e-12)
        assert -1.0 <= found["inventory"] <= 1.0


@given(NUMBERS, BIDS, SPREADS, ATRS, st.integers(-40, 39))
def test_one_lot_more_never_raises_a_price(
    numbers: dict[str, float], bid: int, spread: int, atr: float, held: int
) -> None:
    market = market_of(numbers, bid, spread, atr)
    fewer, more = planned(market, held), planned(market, held + 1)
    for side in (BUY, SELL):
        if fewer["wanted_ticks"][side] and more["wanted_ticks"][side]:
            assert more["wanted_ticks"][side] <= fewer["wanted_ticks"][side]


@given(NUMBERS, BIDS, SPREADS, ATRS, st.integers(-40, 40))
def test_no_side_leads_beyond_the_bound_and_what_is_held_can_always_be_shed(
    numbers: dict[str, float], bid: int, spread: int, atr: float, held: int
) -> None:
    found = planned(market_of(numbers, bid, spread, atr), held)
    lots = int(625 * 10**8 // ((bid + spread) * UNIT_E8))
    most = int(numbers["inventory"] * lots)
    if found["wanted_ticks"][BUY] and held >= 0:
        assert held + lots <= most
    if found["wanted_ticks"][SELL] and held <= 0:
        assert held - lots >= -most
    if lots and held:
        assert found["wanted_ticks"][SELL if held > 0 else BUY] != 0


@given(NUMBERS, BIDS, SPREADS, ATRS)
def test_an_old_quote_and_an_empty_side_are_not_quoted(
    numbers: dict[str, float], bid: int, spread: int, atr: float
) -> None:
    market = market_of(numbers, bid, spread, atr)
    assert not planned(market, 0, NOW_NS + 61 * 10**9)["wanted_ticks"].any()
    market.hot["ask_price_ticks"][0] = bid
    assert not planned(market, 0)["wanted_ticks"].any()
