"""The kernels that decide, one set per StrategyKind: entry side, exit by opinion, inputs to show.

A kernel reads the market state and parameters of its row; it writes nothing. It answers a side
(+1, -1, 0 for no opinion) or a StrategyReason (0 for none). To add a kind: a member of
StrategyKind, its parameters in `engine.domain.strategy_table`, its kernels here, one line in each
dispatcher of `engine.domain.strategy`.
"""

from __future__ import annotations

import numpy as np

from engine.domain.features.micro import (
    IMBALANCE,
    MICROPRICE_BPS,
    QUOTE_FLOW_LONG,
    SPREAD_BPS,
    TRADE_FLOW_LONG,
)
from engine.domain.features.series import CLOSE, place_of
from engine.domain.kernel import Records, fused, kernel
from engine.domain.market_state import MarketState
from engine.domain.opportunity import write_inputs
from engine.domain.strategy_table import StrategyReason
from engine.domain.trailing import trailed_move

_FLOW_REVERSED = int(StrategyReason.FLOW_REVERSED)
_IMBALANCE_REVERSED = int(StrategyReason.IMBALANCE_REVERSED)
_STOP_LOSS = int(StrategyReason.STOP_LOSS)
_TAKE_PROFIT = int(StrategyReason.TAKE_PROFIT)
_MAX_HOLD = int(StrategyReason.MAX_HOLD)
_TRAILING_STOP = int(StrategyReason.TRAILING_STOP)

_STRUCTURE_REVERSED = int(StrategyReason.STRUCTURE_REVERSED)
_FVG_RETURN = int(StrategyReason.FVG_RETURN)
_BOS_LIVE = int(StrategyReason.BOS_LIVE)

# Positions in MarketState.parameters, in the order of KIND_PARAMETERS.
ENTER_SCORE, EXIT_SCORE = 0, 1
THRESHOLD = 0
FLOW_MIN, QUOTE_FLOW_MIN, GAP_ATR_MIN, WAIT_BARS, TRADE_BREAKS = 0, 1, 2, 3, 4


@fused
def side_beyond(number: float, bound: float) -> int:
    """Return +1 at or above `bound`, -1 at or below its opposite, else 0; NaN gives 0."""
    if number >= bound:
        return 1
    if number <= -bound:
        return -1
    return 0


@kernel
def orderflow_entry(market: MarketState, s: int, score: float) -> int:
    """Return the side the order-flow score is sure of, or 0."""
    return side_beyond(score, market.parameters[s, ENTER_SCORE])


@kernel
def orderflow_exit(market: MarketState, s: int, position_lots: int, score: float) -> int:
    """Return FLOW_REVERSED when the score turned against the position, or 0.

    The exit bound lies below the entry bound: between them the position is kept (hysteresis).
    """
    side = side_beyond(score, market.parameters[s, EXIT_SCORE])
    return _FLOW_REVERSED if side * position_lots < 0 else 0


@kernel
def orderflow_inputs(
    market: MarketState, i: int, score: float, opportunities: Records, count: int
) -> None:
    """Show what the score was made of, in place."""
    micro = market.hot["micro"]
    write_inputs(
        opportunities,
        count,
        score,
        micro[i, TRADE_FLOW_LONG],
        micro[i, QUOTE_FLOW_LONG],
        micro[i, IMBALANCE],
        micro[i, SPREAD_BPS],
    )


@kernel
def imbalance_entry(market: MarketState, i: int, s: int) -> int:
    """Return the side of an extreme quote imbalance, or 0."""
    return side_beyond(market.hot[i]["micro"][IMBALANCE], market.parameters[s, THRESHOLD])


@kernel
def imbalance_exit(market: MarketState, i: int, s: int, position_lots: int) -> int:
    """Return IMBALANCE_REVERSED at the opposite extreme, or 0."""
    side = side_beyond(market.hot[i]["micro"][IMBALANCE], market.parameters[s, THRESHOLD])
    return _IMBALANCE_REVERSED if side * position_lots < 0 else 0


@kernel
def imbalance_inputs(market: MarketState, i: int, opportunities: Records, count: int) -> None:
    """Show the quote, in place."""
    micro = market.hot["micro"]
    write_inputs(
        opportunities,
        count,
        micro[i, IMBALANCE],
        float(market.hot["bid_qty_lots"][i]),
        float(market.hot["ask_qty_lots"][i]),
        micro[i, MICROPRICE_BPS],
        micro[i, SPREAD_BPS],
    )


@kernel
def smc_entry(market: MarketState, i: int, s: int) -> int:
    """Return side * StrategyReason of an entry at the end of a bar, or 0.

    Takers' flow must point one way and the quote's must not disagree. Then, with the structure: a
    break of the last locked swing at this bar, or a return into a fair value gap at most
    `wait_bars` ago that still holds.
    """
    t = market.strategies["timeframe_index"][s]
    structure = market.structure
    side = side_beyond(market.hot["micro"][i, TRADE_FLOW_LONG], market.parameters[s, FLOW_MIN])
    if side == 0 or structure["trend_side"][i, t] != side:
        return 0
    if not market.hot["micro"][i, QUOTE_FLOW_LONG] * side >= market.parameters[s, QUOTE_FLOW_MIN]:
        return 0
    if structure["live_side"][i, t] == side and market.parameters[s, TRADE_BREAKS] != 0.0:
        return side * _BOS_LIVE
    number = market.series_count[i, t] - 1
    if structure["return_side"][i, t] != side:
        return 0
    if number - structure["return_at"][i, t] > market.parameters[s, WAIT_BARS]:
        return 0
    close = market.series[i, t, CLOSE, place_of(market.series[i, t], number)]
    near = structure["return_near_ticks"][i, t]
    far = structure["return_far_ticks"][i, t]
    least = market.parameters[s, GAP_ATR_MIN] * market.atr_ticks[i, t]
    if (close - far) * side > 0 and abs(near - far) >= least:
        return side * _FVG_RETURN
    return 0


@kernel
def smc_exit(market: MarketState, i: int, s: int, position_lots: int) -> int:
    """Return STRUCTURE_REVERSED when the newest bar turned the structure against it, or 0."""
    t = market.strategies["timeframe_index"][s]
    structure = market.structure
    is_now = structure["trend_known_at"][i, t] == market.series_count[i, t] - 1
    if is_now and structure["trend_side"][i, t] * position_lots < 0:
        return _STRUCTURE_REVERSED
    return 0


@kernel
def smc_inputs(market: MarketState, i: int, s: int, opportunities: Records, count: int) -> None:
    """Show the structure: its side, the level of the entry, the flow, the ATR; in place."""
    t = market.strategies["timeframe_index"][s]
    structure = market.structure
    level = structure["live_level_ticks"][i, t]
    if opportunities["reason"][count] == _FVG_RETURN:
        level = structure["return_near_ticks"][i, t]
    flow = market.hot["micro"][i, TRADE_FLOW_LONG]
    write_inputs(
        opportunities,
        count,
        flow,
        float(structure["trend_side"][i, t]),
        float(level),
        flow,
        market.atr_ticks[i, t],
    )


@kernel
def protective_exit(market: MarketState, exposure: Records, i: int, s: int, now_ns: int) -> int:
    """Return STOP_LOSS, TRAILING_STOP, TAKE_PROFIT or MAX_HOLD when one is due, or 0.

    Of an open position. The move is measured at the price an exit would take: the bid for a long,
    the ask for a short. Of a stop and one that trails the nearer one counts. A position whose
    distances are not known (restored from an earlier session) takes those of now.
    """
    row = market.strategies[s]
    held = exposure[i, s]
    if row["max_hold_ns"] > 0 and now_ns - held["entry_time_ns"] >= row["max_hold_ns"]:
        return _MAX_HOLD
    if row["stop_atr"] == 0.0 and row["take_atr"] == 0.0 and row["trail_atr"] == 0.0:
        return 0
    memory = market.strategy_memory[i, s]
    if memory["stop_ticks"] == 0.0 and memory["take_ticks"] == 0.0:
        atr_ticks = market.atr_ticks[i, row["timeframe_index"]]
        if atr_ticks > 0.0:
            memory["stop_ticks"] = row["stop_atr"] * atr_ticks
            memory["take_ticks"] = row["take_atr"] * atr_ticks
    stop_ticks, take_ticks = memory["stop_ticks"], memory["take_ticks"]
    if held["position_lots"] > 0:
        touch = market.hot["bid_price_ticks"][i]
        move = touch - held["entry_price_ticks"]
    else:
        touch = market.hot["ask_price_ticks"][i]
        move = held["entry_price_ticks"] - touch
    trailed = -np.inf
    if row["trail_atr"] > 0.0:
        trailed = trailed_move(market, exposure, i, s, touch)
    if stop_ticks > 0.0 and -stop_ticks >= trailed:
        if move <= -stop_ticks:
            return _STOP_LOSS
    elif move <= trailed:
        return _TRAILING_STOP
    return _TAKE_PROFIT if take_ticks > 0.0 and move >= take_ticks else 0
