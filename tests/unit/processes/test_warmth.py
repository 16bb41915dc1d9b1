"""How many strategies know their bars: the rule of the kernels, counted."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from engine.domain.kernel import python_of
from engine.domain.market_state import INSTRUMENTS_KNOWN, MarketState, create_market_state
from engine.domain.opportunity import is_warm
from engine.domain.strategy_table import STRATEGY_TABLE
from engine.processes.brain_ports import counter_index
from engine.processes.warmth import IN_RANGES, SHOW_NS, Warmth, warm_and_cold
from ringbuffer.counters import PAGE_WORDS, CounterPage
from tests.builders import make_instruments

QUOTE_ROW = STRATEGY_TABLE[2]  # says nothing in ranges
ROWS = [
    QUOTE_ROW,
    *(
        msgspec.structs.replace(QUOTE_ROW, name=name, parameters={name: 1.5}, timeframe_s=frame_s)
        for frame_s, name in zip((1, 60, 60, 300), IN_RANGES, strict=True)
    ),
]
WARM, COLD = counter_index("strategies_warm"), counter_index("strategies_cold")


@pytest.fixture
def market() -> MarketState:
    made = create_market_state(make_instruments(3), ROWS)
    made.progress[INSTRUMENTS_KNOWN] = 2
    return made


def test_before_the_first_bars_only_rows_that_need_none_are_warm(market: MarketState) -> None:
    assert warm_and_cold(market) == (1, 4)


def test_a_row_is_warm_once_an_instrument_has_its_range(market: MarketState) -> None:
    minute = market.timeframes_ns.tolist().index(60 * 10**9)
    market.atr_ticks[1, minute] = 12.0
    assert warm_and_cold(market) == (3, 2)
    market.atr_ticks[0] = 3.0
    assert warm_and_cold(market) == (5, 0)


@pytest.mark.parametrize("atr", [np.nan, 0.0, -1.0])
def test_no_range_is_none_and_a_waiting_row_is_no_instrument(
    market: MarketState, atr: float
) -> None:
    market.atr_ticks[:2] = atr
    market.atr_ticks[2] = 5.0  # a row that waits for its instrument
    assert warm_and_cold(market) == (1, 4)


def test_it_says_what_the_kernels_say(market: MarketState) -> None:
    rng = np.random.default_rng(7)
    for _ in range(200):
        market.atr_ticks[:] = rng.choice([np.nan, 0.0, 2.5], market.atr_ticks.shape)
        for field in IN_RANGES:
            market.strategies[field] = rng.choice([0.0, 1.5], len(ROWS))
        says = python_of(is_warm)
        warm = sum(any(says(market, i, s) for i in range(2)) for s in range(len(ROWS)))
        assert warm_and_cold(market) == (warm, len(ROWS) - warm)


def test_it_is_shown_and_not_at_every_look(market: MarketState) -> None:
    page = CounterPage(memoryview(bytearray(8 * PAGE_WORDS)).cast("q"))
    now = [SHOW_NS]
    warmth = Warmth(market, page, lambda: now[0])
    warmth.look()
    assert (page.counter(WARM), page.counter(COLD)) == (1, 4)
    market.atr_ticks[0] = 3.0
    warmth.look()
    assert (page.counter(WARM), page.counter(COLD)) == (1, 4)
    now[0] += SHOW_NS
    warmth.look()
    assert (page.counter(WARM), page.counter(COLD)) == (5, 0)
