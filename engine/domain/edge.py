"""Whether an entry is worth its cost: what it may gain, how sure it is, what it pays.

    gain_bps = claim * confidence * expected move
    edge_bps = gain - (two fees + spread + slippage)       an entry passes from edge_min_bps on

In a market without drift a target T and a stop S are met with chances S / (S + T) and T / (S + T),
so the gain is nothing whatever they are. A row claims more: chances that exceed those by `claim`
times its confidence of what is left to certainty, which is worth `claim * confidence * T`. The
claim is the row's; whether it holds is what its record shows. Unknown is NaN and passes nowhere.
"""

from __future__ import annotations

import numpy as np

from engine.domain.features.micro import IMBALANCE, TRADE_FLOW_LONG
from engine.domain.kernel import Records, kernel
from engine.domain.market_state import (
    ENTRIES_WITHOUT_EDGE,
    ENTRIES_WITHOUT_SIZE,
    TAKER_FEE_PPM,
    MarketState,
)
from engine.domain.opportunity import TO_BPS
from engine.domain.rules import ENTRY_AT, ENTRY_COLUMN, ENTRY_RULE, reading
from engine.domain.sizing import edge_asked_bps, size_entry
from engine.domain.strategy_kinds import FLOW_MIN
from engine.domain.strategy_table import Rule, StrategyKind

SURE_AT = 2.0  # times its bound: there a reading is as sure as it gets
SLIPPAGE_SPREADS_MAX = 10.0
PPM_PER_BPS = 100.0
_SMC = int(StrategyKind.SMC)
_ORDERFLOW = int(StrategyKind.ORDERFLOW)
_RULES = int(StrategyKind.RULES)
_EVENT, _EVENT_AGAINST = int(Rule.EVENT), int(Rule.EVENT_AGAINST)


@kernel
def beyond_bound(number: float, bound: float) -> float:
    """Return how sure a reading at or beyond its bound is: half there, all at SURE_AT times it."""
    if not bound > 0.0:
        return 1.0 if number == number else np.nan  # noqa: PLR0124  NaN
    return min(abs(number) / (SURE_AT * bound), 1.0)


@kernel
def rules_confidence(market: MarketState, i: int, s: int) -> float:
    """Return how sure an entry rule is: by its feature, of an event by how fresh it is."""
    own = market.parameters[s]
    t = market.strategies["timeframe_index"][s]
    column = int(own[ENTRY_COLUMN])
    if int(own[ENTRY_RULE]) in (_EVENT, _EVENT_AGAINST):
        return 1.0 - reading(market, i, t, column + 1) / (SURE_AT * (own[ENTRY_AT] + 1.0))
    return beyond_bound(reading(market, i, t, column), own[ENTRY_AT])


@kernel
def confidence_of(market: MarketState, i: int, s: int, score: float) -> float:
    """Return how sure an entry is, 0 to 1, by the strategy's kind; NaN: not known."""
    kind = market.strategies["kind"][s]
    micro = market.hot["micro"]
    if kind == _ORDERFLOW:
        return abs(score)
    if kind == _RULES:
        return rules_confidence(market, i, s)
    if kind == _SMC:
        return beyond_bound(micro[i, TRADE_FLOW_LONG], market.parameters[s, FLOW_MIN])
    return abs(micro[i, IMBALANCE])


@kernel
def expected_move_ticks(market: MarketState, i: int, s: int) -> float:
    """Return how far an entry is meant to go: its target, without one an ATR; NaN: not known."""
    take_ticks = market.strategy_memory["take_ticks"][i, s]
    if take_ticks > 0.0:
        return float(take_ticks)
    return float(market.atr_ticks[i, market.strategies["timeframe_index"][s]])


@kernel
def entry_cost_bps(market: MarketState, i: int, side: int, qty_lots: int) -> float:
    """Return what coming in and going out again costs: two fees, the spread, slippage; bps.

    Slippage: for each further quantity of the touch that the order takes, a spread more.
    """
    hot = market.hot
    bid, ask = hot["bid_price_ticks"][i], hot["ask_price_ticks"][i]
    if bid <= 0 or ask <= 0:
        return np.nan
    spread_bps = (ask - bid) / ((ask + bid) * 0.5) * TO_BPS
    offered = hot["ask_qty_lots"][i] if side > 0 else hot["bid_qty_lots"][i]
    beyond = max(qty_lots / max(offered, 1) - 1.0, 0.0)
    fees_bps = 2.0 * market.progress[TAKER_FEE_PPM] / PPM_PER_BPS
    return float(fees_bps + spread_bps * (1.0 + min(beyond, SLIPPAGE_SPREADS_MAX)))


@kernel
def weigh_entry(market: MarketState, opportunities: Records, k: int, score: float) -> bool:
    """Write entry `k`'s size and what it may bring into its row; return whether it is worth it.

    Rows whose `edge_min_bps` is below 0 are not asked: their entries pass, with the same figures.
    """
    i, s = opportunities["instrument_index"][k], opportunities["strategy_index"][k]
    side = opportunities["side"][k]
    touch = market.hot["ask_price_ticks"][i] if side > 0 else market.hot["bid_price_ticks"][i]
    move_bps = expected_move_ticks(market, i, s) / touch * TO_BPS
    confidence = confidence_of(market, i, s, score)
    cost_bps = entry_cost_bps(market, i, side, opportunities["qty_lots"][k])
    if not size_entry(market, opportunities, k, confidence, cost_bps):
        market.progress[ENTRIES_WITHOUT_SIZE] += 1
        return False
    if opportunities["size_reasons"][k] != 0:
        cost_bps = entry_cost_bps(market, i, side, opportunities["qty_lots"][k])
    edge_bps = market.strategies["claim"][s] * confidence * move_bps - cost_bps
    opportunities["expected_move_bps"][k] = move_bps
    opportunities["confidence"][k] = confidence
    opportunities["cost_bps"][k] = cost_bps
    opportunities["edge_bps"][k] = edge_bps
    least_bps = edge_asked_bps(market, s)
    if least_bps < 0.0 or edge_bps >= least_bps:
        return True
    market.progress[ENTRIES_WITHOUT_EDGE] += 1
    return False
