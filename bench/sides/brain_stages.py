"""The brain's market side up to a stage: production kernels, put together again one by one.

`up_to` runs the same kernels in the same order as `engine.domain.market_step.apply_record`, and
stops where it is told; at FEATURES it must leave the very state that `apply_record` leaves, which
the bench checks. What is chosen by `depth` is one branch that a CPU predicts always.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from engine.domain.bar_close import update_features
from engine.domain.bars import BAR_MASK, LATE_GRACE_NS, apply_trade_to_bar, close_bar, next_close
from engine.domain.codes import CONFLATED, TRADE_BUYER_AGGRESSOR, RecordType
from engine.domain.desk import Out
from engine.domain.features.micro import (
    QUOTE_SUM,
    add_flow,
    add_trade_flow,
    quote_change,
    refresh_quote,
)
from engine.domain.features.series import read_bar
from engine.domain.features.update import take_bar
from engine.domain.firewall import check_record
from engine.domain.kernel import Record, Records, entry, kernel
from engine.domain.market_state import NEVER_NS, MarketState
from engine.domain.market_step import advance_flow, apply_book_level, apply_rare, apply_record
from engine.domain.score import linear_score
from engine.domain.state import State
from engine.domain.strategy import apply_market
from engine.processes.replay_loop import replay_step

READ, FIREWALL, BOOK, BARS, STRUCTURE, FEATURES, SCORE, STRATEGIES = range(8)
NAMES: Final = (
    "read",
    "firewall",
    "book",
    "bars",
    "structure",
    "features",
    "score",
    "strategies",
    "risk",
    "write",
)

BATCH: Final = 256  # records a step of the brain takes at most

_QUOTE = int(RecordType.QUOTE)
_TRADE = int(RecordType.TRADE)
_LEVEL = int(RecordType.LEVEL)
_LIVENESS = int(RecordType.LIVENESS)


@kernel
def update_structure_alone(market: MarketState, i: int, t: int, number: int) -> None:
    """Take closed bar `number` into windows and structure, in place, and compute no feature."""
    read_bar(market.closed[i, t, number & BAR_MASK], market.bar_inputs)
    count = market.series_count[i, t]
    series, row = market.series[i, t], market.structure[i, t]
    atr, seed = market.atr_ticks[i], market.atr_seed[i]
    if take_bar(market.plan, series, row, count, atr, seed, t, market.bar_inputs):
        market.series_count[i, t] = count + 1


@kernel
def close_bars(market: MarketState, i: int, until_ns: int, depth: int) -> int:
    """Close due bars as `close_due_bars` does, with what the depth asks for at their end."""
    closed = 0
    for t in range(market.timeframes_ns.shape[0]):
        timeframe_ns = market.timeframes_ns[t]
        is_open = market.forming["trade_count"][i, t] > 0
        if is_open and market.forming["start_ns"][i, t] + timeframe_ns <= until_ns:
            close_bar(market.forming, market.closed, market.closed_count, i, t, timeframe_ns)
            number = market.closed_count[i, t] - 1
            if depth >= FEATURES:
                update_features(market, i, t, number)
            elif depth == STRUCTURE:
                update_structure_alone(market, i, t, number)
            closed |= 1 << t
    market.hot["next_close_ns"][i] = next_close(market.forming, market.timeframes_ns, i, NEVER_NS)
    return closed


@kernel
def quote_up_to(market: MarketState, i: int, slot: Record, depth: int) -> int:
    """Apply a quote as far as the depth goes; return the mask of timeframes closed."""
    row = market.hot[i]
    venue_time_ns = slot["venue_time_ns"]
    closed = 0
    if depth >= BARS and venue_time_ns - LATE_GRACE_NS >= row["next_close_ns"]:
        closed = close_bars(market, i, venue_time_ns - LATE_GRACE_NS, depth)
    if depth >= FEATURES:
        advance_flow(row, venue_time_ns)
        if row["bid_price_ticks"] > 0:
            change = quote_change(row, slot)
            if change != 0:
                add_flow(row, QUOTE_SUM, float(change))
    row["bid_price_ticks"] = slot["bid_price_ticks"]
    row["ask_price_ticks"] = slot["ask_price_ticks"]
    row["bid_qty_lots"] = slot["bid_qty_lots"]
    row["ask_qty_lots"] = slot["ask_qty_lots"]
    row["quote_receive_time_ns"] = slot["receive_time_ns"]
    row["quote_venue_time_ns"] = venue_time_ns
    if depth >= FEATURES:
        refresh_quote(row)
    return closed


@kernel
def trade_up_to(market: MarketState, i: int, slot: Record, depth: int) -> int:
    """Apply a trade as far as the depth goes; return the mask of timeframes closed."""
    row = market.hot[i]
    venue_time_ns = slot["venue_time_ns"]
    price_ticks, qty_lots = slot["price_ticks"], slot["qty_lots"]
    is_buy = (slot["flags"] & TRADE_BUYER_AGGRESSOR) != 0
    closed = 0
    if depth >= BARS and venue_time_ns >= row["next_close_ns"]:
        closed = close_bars(market, i, venue_time_ns, depth)
    if depth >= FEATURES:
        advance_flow(row, venue_time_ns)
        signed_lots = qty_lots if is_buy else -qty_lots
        add_trade_flow(row, signed_lots)
    opened = False
    late = False
    if depth >= BARS:
        forming = market.forming
        for t in range(market.timeframes_ns.shape[0]):
            bar = forming[i, t]
            opened |= bar["trade_count"] == 0
            timeframe_ns = market.timeframes_ns[t]
            late |= not apply_trade_to_bar(
                bar, timeframe_ns, venue_time_ns, price_ticks, qty_lots, is_buy
            )
        if opened:
            row["next_close_ns"] = next_close(forming, market.timeframes_ns, i, NEVER_NS)
    if late:
        row["late_trade_count"] += 1
    row["trade_count"] += 1
    row["last_price_ticks"] = price_ticks
    row["trade_venue_time_ns"] = venue_time_ns
    row["trade_receive_time_ns"] = slot["receive_time_ns"]
    return closed


@entry
def up_to(market: MarketState, slots: Records, depth: int) -> float:
    """Take every record through the stages up to BOOK..SCORE; return a sum of what came of it."""
    total = 0.0
    for k in range(slots.shape[0]):
        if check_record(market, slots, k) != 0:
            continue
        slot = slots[k]
        kind = slot["record_type"]
        i = slot["instrument_index"]
        if slot["flags"] & CONFLATED:
            market.hot[i]["conflated_count"] += 1
        if kind < _LIVENESS:
            market.hot[i]["receive_time_ns"] = slot["receive_time_ns"]
        if kind == _QUOTE:
            total += quote_up_to(market, i, slot, depth)
            if depth >= SCORE:
                total += linear_score(market.score_weights, market.hot[i]["micro"])
        elif kind == _TRADE:
            total += trade_up_to(market, i, slot, depth)
        elif kind == _LEVEL:
            apply_book_level(market, i, slot)
        else:
            apply_rare(market, kind, i, slot)
    return total


@entry
def read_only(slots: Records) -> int:
    """Touch every field that some stage reads of most records; return what became of them."""
    total = 0
    for k in range(slots.shape[0]):
        slot = slots[k]
        sums = slot["sequence"] + slot["receive_time_ns"] + slot["venue_time_ns"]
        sums += slot["record_type"] + slot["instrument_index"] + slot["flags"]
        sums += slot["price_ticks"] + slot["qty_lots"] + slot["trade_id"] + slot["trade_count"]
        # WHY: not a plain sum, which would be taken of eight records at once, as no stage can.
        total = (total ^ sums) * 3
    return total


@entry
def firewall_only(market: MarketState, slots: Records) -> int:
    """Check every record; return how many were refused."""
    refused = 0
    for k in range(slots.shape[0]):
        refused += check_record(market, slots, k) != 0
    return refused


@entry
def production(market: MarketState, slots: Records) -> int:
    """Check and apply every record as the engine does; return how many closed a bar."""
    closed = 0
    for k in range(slots.shape[0]):
        if check_record(market, slots, k) == 0:
            closed += apply_record(market, slots, k) != 0
    return closed


@entry
def strategies(
    market: MarketState, exposure: Records, slots: Records, opportunities: Records
) -> int:
    """Run the whole market side; return how many opportunities arose."""
    found = 0
    for k in range(slots.shape[0]):
        now_ns = slots["receive_time_ns"][k]
        found += max(apply_market(market, exposure, slots, k, now_ns, opportunities), 0)
    return found


@entry
def steps(state: State, nothing: Records, market: Records, first: int, count: int, out: Out) -> int:
    """Run the one step over batches of a market; return how many records were consumed."""
    taken = 0
    mask = market.shape[0] - 1
    while taken < count:
        batch = min(BATCH, count - taken)
        now_ns = market["receive_time_ns"][first + taken + batch - 1]
        taken += replay_step(
            state, nothing, 0, nothing, 0, market, first + taken, batch, mask, now_ns, 0, out
        )
    return taken


def same_state(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    """Return whether two market states hold the same bytes, any NaN like any other."""
    for name, part in one.items():
        exact = part.dtype.kind != "f"
        if not np.array_equal(part, other[name], equal_nan=not exact):
            return False
    return True
