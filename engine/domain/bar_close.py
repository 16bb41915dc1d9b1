"""What happens when bars end: they are closed, then all that reads closed bars is updated."""

from __future__ import annotations

import numpy as np

from engine.domain.bar_kinds import add_to_kind
from engine.domain.bars import BAR_MASK, close_bar, next_close
from engine.domain.book import BOOK_LEVELS, BOOK_SETTLED
from engine.domain.codes import TRADE_BUYER_AGGRESSOR, Channel, Liveness
from engine.domain.features.series import (
    BREADTH,
    DEPTH_FIRST,
    DEPTH_FLOW,
    DEPTH_RUN,
    FUNDING_RATE_BPS,
    LEADER_PRICE,
    LIQUIDATED_BUYS,
    LIQUIDATED_SELLS,
    MARK_BASIS_BPS,
    NEWS_WEIGHT,
    NEXT_FUNDING_S,
    OPEN_INTEREST_LOTS,
    S_TO_NS,
    TIMEFRAME_S,
    TO_BPS,
    read_bar,
)
from engine.domain.features.update import fold_bar
from engine.domain.firewall_memory import BOOK_DOUBTED
from engine.domain.instrument_row import News
from engine.domain.kernel import Floats, Record, kernel
from engine.domain.market_state import LEADER, NEVER_NS, MarketState

_UNSUPPORTED = int(Liveness.UNSUPPORTED)
_LIQUIDATION = int(Channel.LIQUIDATION)
_NEWS_CALM = int(News.CALM)
_NEWS_GRADES = float(News.HIGH - News.CALM)
E8_PER_BPS = 10_000.0


@kernel
def read_context(row: Record, listed: Record, is_liquidation_fed: bool, context: Floats) -> None:
    """Write what is known of the instrument beside its bars, NaN for the rest, in place."""
    for word in range(context.shape[0]):
        context[word] = np.nan
    if row["mark_receive_time_ns"] > 0:
        context[FUNDING_RATE_BPS] = row["funding_rate_e8"] / E8_PER_BPS
        if row["index_price_e8"] > 0:
            basis = (row["mark_price_e8"] - row["index_price_e8"]) / row["index_price_e8"]
            context[MARK_BASIS_BPS] = basis * TO_BPS
        if row["next_funding_time_ns"] > 0:
            context[NEXT_FUNDING_S] = row["next_funding_time_ns"] / S_TO_NS
    if is_liquidation_fed:
        context[LIQUIDATED_BUYS] = row["liquidation_buy_lots"]
        context[LIQUIDATED_SELLS] = row["liquidation_sell_lots"]
    if listed["open_interest_lots"] > 0:
        context[OPEN_INTEREST_LOTS] = listed["open_interest_lots"]
    if listed["news"] >= _NEWS_CALM:
        context[NEWS_WEIGHT] = (listed["news"] - _NEWS_CALM) / _NEWS_GRADES


@kernel
def read_depth(row: Record, book: Record, context: Floats) -> None:
    """Write the book's levels and the flow at its best ones, in place; none of a doubted book."""
    if book["state"] != BOOK_SETTLED or row["book_check"][BOOK_DOUBTED] != 0:
        return
    context[DEPTH_FLOW] = book["flow_lots"]
    context[DEPTH_RUN] = book["flow_run"]
    for side in range(2):
        first = DEPTH_FIRST + 2 * BOOK_LEVELS * side
        for k in range(book["count"][side]):
            context[first + k] = book["price_ticks"][side, k]
            context[first + BOOK_LEVELS + k] = book["qty_lots"][side, k]


@kernel
def note_direction(market: MarketState, i: int, t: int, bar: Record) -> None:
    """Let a closed bar's direction stand for its instrument in the breadth, in place."""
    before = market.directions[i, t]
    move = bar["close_ticks"] - bar["open_ticks"]
    now = 2 + int(move > 0) - int(move < 0)
    market.directions[i, t] = now
    if before == 0:
        market.breadth[t, 0] += now - 2
        market.breadth[t, 1] += 1
    else:
        market.breadth[t, 0] += now - before


@kernel
def read_others(market: MarketState, t: int, context: Floats) -> None:
    """Write what other instruments are known to do when a bar ends, in place.

    A leader without a trade, a market of one instrument and a bar that does not end by the clock
    leave NaN.
    """
    leader = market.progress[LEADER]
    if leader >= 0 and market.hot["last_price_ticks"][leader] > 0:
        context[LEADER_PRICE] = market.hot["last_price_ticks"][leader]
    if market.breadth[t, 1] > 1:
        context[BREADTH] = market.breadth[t, 0] / market.breadth[t, 1]
    if t < market.timeframes_ns.shape[0]:
        context[TIMEFRAME_S] = market.timeframes_ns[t] / S_TO_NS


@kernel
def update_features(market: MarketState, i: int, t: int, number: int) -> None:
    """Compute structure and every feature of closed bar `number`, in place."""
    bar = market.closed[i, t, number & BAR_MASK]
    read_bar(bar, market.bar_inputs)
    note_direction(market, i, t, bar)
    is_liquidation_fed = market.liveness[i, _LIQUIDATION] != _UNSUPPORTED
    read_context(market.hot[i], market.instruments[i], is_liquidation_fed, market.bar_context)
    read_depth(market.hot[i], market.books[i], market.bar_context)
    read_others(market, t, market.bar_context)
    fold_bar(
        market.plan,
        market.series[i, t],
        market.coarse[i, t],
        market.structure[i, t],
        market.series_count[i],
        market.atr_ticks[i],
        market.atr_seed[i],
        t,
        market.bar_inputs,
        market.bar_context,
        market.feature_memory[i, t],
        market.bar_features[i, t],
    )


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
            closed |= 1 << t
    market.hot["next_close_ns"][i] = next_close(market.forming, market.timeframes_ns, i, NEVER_NS)
    return closed


@kernel
def add_to_bars_by_trade(market: MarketState, i: int, slot: Record) -> int:
    """Fold a trade into every bar that does not end by the clock, and close those it ends.

    The trade is already the instrument's last one, so that it belongs to what it ends.

    Returns:
        Bit t for every t that closed one.
    """
    closed = 0
    for t in range(market.timeframes_ns.shape[0], market.bar_kinds.shape[0]):
        if add_to_kind(
            market.forming,
            market.closed,
            market.closed_count,
            market.measures,
            i,
            t,
            market.bar_kinds[t],
            market.thresholds[i, t],
            slot["venue_time_ns"],
            slot["price_ticks"],
            slot["qty_lots"],
            (slot["flags"] & TRADE_BUYER_AGGRESSOR) != 0,
        ):
            update_features(market, i, t, market.closed_count[i, t] - 1)
            closed |= 1 << t
    return closed
