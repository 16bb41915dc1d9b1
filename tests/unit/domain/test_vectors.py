"""A vector is what strategies could read of a bar when it ended; missing room is counted."""

from collections.abc import Sequence

import numpy as np
import pytest

from engine.domain.bars import BAR_MASK
from engine.domain.features.catalogue import plan_hash, plan_word
from engine.domain.market_state import (
    PLAN_WORD,
    VECTORS_LOST,
    VECTORS_WAITING,
    MarketState,
    create_market_state,
)
from engine.domain.opportunity import (
    EXPOSURE_DTYPE,
    OPPORTUNITIES_PER_RECORD_MAX,
    OPPORTUNITY_DTYPE,
)
from engine.domain.strategy import apply_market
from tests.brain_digest import LAX_ROWS
from tests.builders import S, make_instruments
from tests.market_runs import synthetic_market

BAR = (
    "start_ns",
    "open_ticks",
    "high_ticks",
    "low_ticks",
    "close_ticks",
    "volume_lots",
    "buy_lots",
)


def market_of(vector_rows: int) -> MarketState:
    return create_market_state(make_instruments(2), LAX_ROWS, vector_rows=vector_rows)


def play(market: MarketState, records: np.ndarray, first: int, count: int) -> None:
    exposure = np.zeros((2, len(LAX_ROWS)), dtype=EXPOSURE_DTYPE)
    found = np.zeros(OPPORTUNITIES_PER_RECORD_MAX, dtype=OPPORTUNITY_DTYPE)
    for place in range(first, first + count):
        apply_market(market, exposure, records, place, place, found)


def expected(market: MarketState, closed: Sequence[tuple[int, int]]) -> list[bytes]:
    """Return the bars and values that the state holds of bars that just ended."""
    made = []
    for i, t in closed:
        bar = market.closed[i, t, (market.closed_count[i, t] - 1) & BAR_MASK]
        values = [*market.bar_features[i, t], *market.hot["micro"][i]]
        about = np.array([bar[name] for name in BAR], dtype=np.int64)
        made.append(about.tobytes() + np.array(values).tobytes())
    return made


def test_each_bar_that_ends_leaves_what_could_be_read_of_it() -> None:
    market = market_of(8)
    records = synthetic_market(2_500, seed=3)
    total = 0
    for place in range(len(records)):
        before = market.closed_count.copy()
        play(market, records, place, 1)
        closed = [(int(i), int(t)) for i, t in np.argwhere(market.closed_count > before)]
        count = int(market.progress[VECTORS_WAITING])
        vectors = market.vectors[:count]
        assert count == len(closed)
        assert [
            (int(v["instrument_index"]), int(v["timeframe_s"]), int(v["number"])) for v in vectors
        ] == [
            (i, int(market.timeframes_ns[t]) // S, int(market.closed_count[i, t]) - 1)
            for i, t in closed
        ]
        told = [
            np.array([v[name] for name in BAR], dtype=np.int64).tobytes()
            + v["values"][: v["value_count"]].tobytes()
            for v in vectors
        ]
        assert told == expected(market, closed)
        market.progress[VECTORS_WAITING] = 0
        total += count
    assert total == market.closed_count.sum() > 30
    assert market.progress[VECTORS_LOST] == 0


def test_each_vector_names_its_plan() -> None:
    market = market_of(8)
    assert market.progress[PLAN_WORD] == plan_word(plan_hash())
    assert market_of(0).progress[PLAN_WORD] == 0, "nothing is read where nothing is kept"


@pytest.mark.parametrize("rows", [0, 5])
def test_what_finds_no_room_is_counted_and_changes_nothing_else(rows: int) -> None:
    records = synthetic_market(1_500, seed=3)
    small, large = market_of(rows), market_of(4_096)
    play(small, records, 0, len(records))
    play(large, records, 0, len(records))
    made = int(large.progress[VECTORS_WAITING])
    assert made == large.closed_count.sum() > rows
    assert small.progress[VECTORS_WAITING] == rows
    assert small.progress[VECTORS_LOST] == (made - rows if rows else 0), "off is no loss"
    assert small.vectors.tobytes() == large.vectors[:rows].tobytes() or rows == 0
    np.testing.assert_array_equal(small.bar_features, large.bar_features)
