"""Feature vectors: what strategies could read of a bar when it ended, kept for whoever stores them.

A log with room for what one step can end; the loop empties it after each step. Full is a count,
never a wait.
"""

from __future__ import annotations

from engine.domain.bars import BAR_MASK
from engine.domain.kernel import Record, Records, kernel
from engine.domain.market_state import (
    PLAN_WORD,
    S_TO_NS,
    VECTORS_LOST,
    VECTORS_WAITING,
    MarketState,
)


@kernel
def write_bar(vectors: Records, k: int, bar: Record) -> None:
    """Copy a closed bar into vector `k`, in place."""
    vectors["start_ns"][k] = bar["start_ns"]
    vectors["open_ticks"][k] = bar["open_ticks"]
    vectors["high_ticks"][k] = bar["high_ticks"]
    vectors["low_ticks"][k] = bar["low_ticks"]
    vectors["close_ticks"][k] = bar["close_ticks"]
    vectors["volume_lots"][k] = bar["volume_lots"]
    vectors["buy_lots"][k] = bar["buy_lots"]


@kernel
def write_values(market: MarketState, i: int, t: int, k: int) -> None:
    """Copy every column of the newest bar, then those of quotes and trades, into vector `k`."""
    values = market.vectors["values"]
    columns = market.bar_features.shape[2]
    micro = market.hot["micro"]
    for column in range(columns):
        values[k, column] = market.bar_features[i, t, column]
    for column in range(micro.shape[1]):
        values[k, columns + column] = micro[i, column]
    market.vectors["value_count"][k] = columns + micro.shape[1]


@kernel
def log_vectors(market: MarketState, i: int, closed_mask: int) -> None:
    """Append the vectors of the bars that just ended, or count those that find no room, in place.

    Args:
        market: its `vectors` take them.
        i: the instrument.
        closed_mask: bit t for each timeframe whose bar ended; those that do not end by the clock
            are called -1, -2 ... in a vector, in their order.
    """
    progress = market.progress
    clocks = market.timeframes_ns.shape[0]
    for t in range(market.bar_kinds.shape[0]):
        if closed_mask >> t & 1 == 0:
            continue
        k = progress[VECTORS_WAITING]
        if k >= market.vectors.shape[0]:
            progress[VECTORS_LOST] += 1
            continue
        number = market.closed_count[i, t] - 1
        market.vectors["instrument_index"][k] = i
        length_s = market.timeframes_ns[t] // S_TO_NS if t < clocks else clocks - t - 1
        market.vectors["timeframe_s"][k] = length_s
        market.vectors["number"][k] = number
        market.vectors["plan"][k] = progress[PLAN_WORD]
        write_bar(market.vectors, k, market.closed[i, t, number & BAR_MASK])
        write_values(market, i, t, k)
        progress[VECTORS_WAITING] = k + 1
