"""The market state: preallocated, bounded per instrument, aligned, and read by the order side."""

import numpy as np
import pytest

from engine.domain.arrays import CACHE_LINE_BYTES, aligned_zeros
from engine.domain.codes import Channel, Liveness
from engine.domain.market_state import (
    HOT_DTYPE,
    SEQUENCE_LAST,
    USES_SCORE,
    MarketState,
    create_market_state,
)
from engine.domain.strategy_table import select_rows
from tests.brain_digest import LAX_ROWS
from tests.builders import (
    START_RECEIVE_NS,
    START_VENUE_NS,
    S,
    joined,
    make_instruments,
    make_liveness,
    make_mark,
    make_quote,
    make_record,
    make_trade,
)
from tests.market_runs import arrays_of, play, synthetic_market

BYTES_PER_TIMEFRAME_MAX = 64 * 1024


def bytes_of(market: MarketState) -> int:
    return sum(part.nbytes for part in arrays_of(market).values())


def played(*records: np.ndarray) -> MarketState:
    return play(joined(records), make_instruments(1), select_rows(["quote_imbalance"])).market


def test_memory_is_bounded_per_instrument_and_timeframe() -> None:
    one = create_market_state(make_instruments(1), select_rows())
    many = create_market_state(make_instruments(11), select_rows())
    each = (bytes_of(many) - bytes_of(one)) / 10
    assert each <= 3 * BYTES_PER_TIMEFRAME_MAX
    assert each * 300 <= 57 * 2**20, "three hundred instruments fit in some fifty megabytes"


def test_a_run_moves_no_array_and_makes_none() -> None:
    records = synthetic_market(2_000)
    outcome = play(records, make_instruments(2), LAX_ROWS)
    fresh = create_market_state(make_instruments(2), LAX_ROWS)
    shapes = {name: (part.shape, part.dtype) for name, part in arrays_of(fresh).items()}
    after = {name: (part.shape, part.dtype) for name, part in arrays_of(outcome.market).items()}
    assert after == shapes


def test_hot_rows_start_on_cache_lines() -> None:
    market = create_market_state(make_instruments(7), select_rows())
    assert market.hot.ctypes.data % CACHE_LINE_BYTES == 0
    assert HOT_DTYPE.itemsize % CACHE_LINE_BYTES == 0
    rows = aligned_zeros((3, 5), HOT_DTYPE)
    assert rows.shape == (3, 5)
    assert rows.ctypes.data % CACHE_LINE_BYTES == 0


def test_instruments_are_copied() -> None:
    rows = make_instruments(1)
    market = create_market_state(rows, select_rows())
    rows["unit_e8"] = 7
    assert market.instruments["unit_e8"][0] != 7


def test_the_score_is_computed_only_for_a_strategy_that_reads_it() -> None:
    assert create_market_state(make_instruments(1), select_rows()).progress[USES_SCORE] == 1
    without = create_market_state(make_instruments(1), select_rows(["quote_imbalance"]))
    assert without.progress[USES_SCORE] == 0


def test_an_unknown_feature_is_nan_and_no_record_was_seen() -> None:
    market = create_market_state(make_instruments(2), select_rows())
    assert np.isnan(market.hot["micro"]).all()
    assert np.isnan(market.bar_features).all()
    assert np.isnan(market.atr_ticks).all()
    assert market.progress[SEQUENCE_LAST] == -1


def test_the_quote_and_its_times_are_kept_for_the_order_side() -> None:
    market = played(make_quote(1_000, 1_002, 7, 9))
    hot = market.hot[0]
    assert (hot["bid_price_ticks"], hot["ask_price_ticks"]) == (1_000, 1_002)
    assert (hot["bid_qty_lots"], hot["ask_qty_lots"]) == (7, 9)
    assert hot["quote_receive_time_ns"] == hot["receive_time_ns"] == START_RECEIVE_NS
    assert hot["quote_venue_time_ns"] == START_VENUE_NS


def test_a_trade_refreshes_the_instrument_but_not_its_quote() -> None:
    later = START_RECEIVE_NS + S
    market = played(make_quote(1_000, 1_002), make_trade(1_001, receive_time_ns=later))
    assert market.hot["receive_time_ns"][0] == later
    assert market.hot["quote_receive_time_ns"][0] == START_RECEIVE_NS
    assert market.hot["trade_count"][0] == 1


def test_marks_and_liquidations_are_kept() -> None:
    liquidation = make_record(6, flags=1, price_ticks=1_000, qty_lots=5)
    market = played(make_mark(123), liquidation, liquidation)
    assert market.hot["mark_price_e8"][0] == 123
    assert market.hot["funding_rate_e8"][0] == 10_000
    assert market.hot["liquidation_buy_lots"][0] == 10
    assert market.hot["liquidation_sell_lots"][0] == 0


@pytest.mark.parametrize("state", list(Liveness))
def test_liveness_is_kept_per_channel(state: Liveness) -> None:
    market = played(make_liveness(Channel.TRADE, state))
    assert market.liveness[0, Channel.TRADE] == state
    assert (np.delete(market.liveness[0], Channel.TRADE) == Liveness.UNSUPPORTED).all()


def test_a_change_of_liveness_is_no_sign_of_life() -> None:
    market = played(make_liveness(Channel.QUOTE, Liveness.STALE))
    assert market.hot["receive_time_ns"][0] == 0
