"""A stop that trails, against a plain twin: where it stands at every quote, and when it is met."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.market_state import create_market_state
from engine.domain.row_bits import mark_row
from engine.domain.strategy import (
    EXPOSURE_DTYPE,
    OPPORTUNITY_DTYPE,
    StrategyReason,
    apply_market,
)
from engine.domain.strategy_table import StrategyKind, StrategyRow
from tests.builders import MS, START_RECEIVE_NS, START_VENUE_NS, make_instruments, make_quote

ENTRY = 618_000
ATR = 10.0
DISTANCES = st.sampled_from([0.25, 0.5, 1.0, 1.55, 3.0])  # ATRs
PATHS = st.lists(st.integers(-12, 12), min_size=1, max_size=40)


def plain_stops(side: int, trail: int, stop: int, touches: list[int]) -> list[int]:
    """Return where the stop stands at each touch, in ticks from the entry, up to the one met."""
    stops, best = [], 0
    for touch in touches:
        move = (touch - ENTRY) * side
        best = max(best, move)
        stops.append(max(best - trail, -stop if stop else -(10**9)))
        if move <= stops[-1]:
            break
    return stops


@given(st.sampled_from([1, -1]), DISTANCES, st.just(0.0) | DISTANCES, PATHS)
def test_it_stands_where_the_twin_says_and_ends_the_position_at_the_first_quote_through_it(
    side: int, trail_atr: float, stop_atr: float, moves: list[int]
) -> None:
    parameters = {"threshold": 2.0, "trail_atr": trail_atr, "stop_atr": stop_atr}
    row = StrategyRow(name="x", kind=StrategyKind.QUOTE_IMBALANCE, parameters=parameters)
    market = create_market_state(make_instruments(1), [row])
    market.atr_ticks[:] = ATR
    trail, stop = int(np.ceil(trail_atr * ATR)), int(np.ceil(stop_atr * ATR))
    exposure = np.zeros((1, 1), dtype=EXPOSURE_DTYPE)
    exposure[0, 0] = (3 * side, ENTRY, START_RECEIVE_NS, 0, 0)
    mark_row(market.held_rows[0], 0, True)
    touches = (ENTRY + np.cumsum(moves)).tolist()
    stops = plain_stops(side, trail, stop, touches)
    assert stops == sorted(stops), "it never goes back"
    found = np.zeros(1, dtype=OPPORTUNITY_DTYPE)
    for k, touch in enumerate(touches[: len(stops)]):
        bid = touch if side > 0 else touch - 1
        now = {"receive_time_ns": START_RECEIVE_NS + k * MS, "venue_time_ns": START_VENUE_NS + k}
        quote = make_quote(bid, bid + 1, 5, 5, sequence=k + 1, **now)
        count = apply_market(market, exposure, quote, 0, START_RECEIVE_NS + k * MS, found)
        best = (int(market.trails["best_ticks"][0, 0]) - ENTRY) * side
        assert max(best - trail, -stop if stop else -(10**9)) == stops[k]
        is_met = (touch - ENTRY) * side <= stops[k]
        assert count == int(is_met)
        if is_met:
            at_stop = bool(stop) and stops[k] == -stop
            reason = StrategyReason.STOP_LOSS if at_stop else StrategyReason.TRAILING_STOP
            assert found["reason"][0] == reason
            assert (found["side"][0], found["qty_lots"][0]) == (-side, 3)
