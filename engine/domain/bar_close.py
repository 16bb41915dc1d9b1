"""What happens when bars end: they are closed, then all that reads closed bars is updated."""

from __future__ import annotations

from engine.domain.bars import BAR_MASK, close_bar, next_close
from engine.domain.kernel import Floats, Integers, Records, kernel
from engine.domain.market_state import NEVER_NS, MarketState

ATR_BARS = 14


@kernel
def update_atr(
    closed: Records, closed_count: Integers, atr_ticks: Floats, atr_seed: Floats, i: int, t: int
) -> None:
    """Fold the newest closed bar into Wilder's average true range, in ticks, in place.

    The first value is the mean of the true ranges of bars 1 to `ATR_BARS`; NaN before.
    """
    number = closed_count[i, t] - 1
    if number < 1:
        return
    high = closed["high_ticks"][i, t, number & BAR_MASK]
    low = closed["low_ticks"][i, t, number & BAR_MASK]
    close_before = closed["close_ticks"][i, t, (number - 1) & BAR_MASK]
    true_range = float(max(high, close_before) - min(low, close_before))
    if number <= ATR_BARS:
        atr_seed[i, t] += true_range
        if number == ATR_BARS:
            atr_ticks[i, t] = atr_seed[i, t] / ATR_BARS
        return
    atr_ticks[i, t] = (atr_ticks[i, t] * (ATR_BARS - 1) + true_range) / ATR_BARS


@kernel
def close_due_bars(market: MarketState, i: int, until_ns: int) -> int:
    """Close every open bar of the instrument that ends at or before `until_ns`, shortest first.

    Returns:
        Bit t for every timeframe t that closed one; at most one bar per timeframe is open.
    """
    closed = 0
    for t in range(market.timeframes_ns.shape[0]):
        timeframe_ns = market.timeframes_ns[t]
        is_open = market.forming["trade_count"][i, t] > 0
        if is_open and market.forming["start_ns"][i, t] + timeframe_ns <= until_ns:
            close_bar(market.forming, market.closed, market.closed_count, i, t, timeframe_ns)
            update_atr(market.closed, market.closed_count, market.atr_ticks, market.atr_seed, i, t)
            closed |= 1 << t
    market.hot["next_close_ns"][i] = next_close(market.forming, market.timeframes_ns, i, NEVER_NS)
    return closed
