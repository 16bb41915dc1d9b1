"""What happens when bars end: they are closed, then all that reads closed bars is updated."""

from __future__ import annotations

from engine.domain.bars import close_bar, next_close
from engine.domain.features.averages import update_averages
from engine.domain.features.momentum import update_momentum
from engine.domain.features.returns import update_returns
from engine.domain.features.statistics import update_statistics
from engine.domain.features.volatility import update_atr, update_volatility
from engine.domain.features.volume import update_volume
from engine.domain.kernel import inlined, kernel
from engine.domain.market_state import NEVER_NS, MarketState
from engine.domain.structure import update_structure


@inlined
def update_features(market: MarketState, i: int, t: int, number: int) -> None:
    """Compute every bar feature of closed bar `number`, family by family, in place."""
    closed = market.closed
    plan = market.plan
    features = market.bar_features
    memory = market.feature_memory
    update_atr(closed, market.atr_ticks, market.atr_seed, i, t, number)
    atr_ticks = market.atr_ticks[i, t]
    update_returns(plan, closed, i, t, number, atr_ticks, features)
    update_averages(plan, closed, i, t, number, atr_ticks, memory, features)
    update_momentum(plan, closed, i, t, number, memory, features)
    update_volatility(plan, closed, i, t, number, atr_ticks, features)
    update_volume(plan, closed, i, t, number, features)
    update_statistics(plan, closed, i, t, number, features)


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
            number = market.closed_count[i, t] - 1
            update_features(market, i, t, number)
            update_structure(market.structure, market.closed, i, t, number)
            closed |= 1 << t
    market.hot["next_close_ns"][i] = next_close(market.forming, market.timeframes_ns, i, NEVER_NS)
    return closed
