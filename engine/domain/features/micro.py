"""Microstructure features of one instrument: updated by quotes, trades and book diffs.

Order flow is summed over two sliding windows made of buckets of venue time, so that nothing is
exponentiated and nothing drifts:

    flow_buckets[number & BUCKET_MASK] = trade sum, trade squares, quote sum, quote squares
    flow_sums   the same four over the short window, then over the long window

A flow feature is sum / sqrt(sum of squares): measured in standard deviations of what the same
quantities would give with random signs. It is NaN in a window without flow. A record older than the
current bucket counts into the current one.

Trades count with the square root of their quantity: a single large print does not hide how one-
sided the many others are, as it would by quantity, and dust does not outvote it, as it would by
count.

Quote flow follows the order-flow imbalance of Cont, Kukanov and Stoikov (2014): what a change of
the quote adds to the bid minus what it adds to the ask, in lots.
"""

from __future__ import annotations

import math

import numpy as np

from engine.domain.kernel import Record, fused, kernel

BUCKET_SHIFT = 28  # a bucket is 2**28 ns of venue time, 0.27 s
FLOW_BUCKETS = 16  # the long window, 4.3 s; a power of two
BUCKET_MASK = FLOW_BUCKETS - 1
SHORT_BUCKETS = 4  # the short window, 1.1 s

TRADE_SUM, TRADE_SQUARES, QUOTE_SUM, QUOTE_SQUARES = 0, 1, 2, 3
LONG = 4  # offset of the long window's sums
FLOW_SUMS = 8

# Columns of the feature row.
SPREAD_BPS = 0
IMBALANCE = 1
MICROPRICE_BPS = 2
DEPTH_IMBALANCE = 3
QUOTE_FLOW_SHORT = 4
QUOTE_FLOW_LONG = 5
TRADE_FLOW_SHORT = 6
TRADE_FLOW_LONG = 7
MICRO_COLUMNS = 8


@fused
def ratio_to_noise(total: float, squares: float) -> float:
    """Return total / sqrt(squares); NaN without flow."""
    if squares > 0.0:
        return total / math.sqrt(squares)
    return np.nan


@fused
def refresh_trade_flow(row: Record) -> None:
    """Write the two features of trade flow from the window sums, in place."""
    sums = row["flow_sums"]
    values = row["micro"]
    values[TRADE_FLOW_SHORT] = ratio_to_noise(sums[TRADE_SUM], sums[TRADE_SQUARES])
    values[TRADE_FLOW_LONG] = ratio_to_noise(sums[LONG + TRADE_SUM], sums[LONG + TRADE_SQUARES])


@fused
def refresh_quote_flow(row: Record) -> None:
    """Write the two features of quote flow from the window sums, in place."""
    sums = row["flow_sums"]
    values = row["micro"]
    values[QUOTE_FLOW_SHORT] = ratio_to_noise(sums[QUOTE_SUM], sums[QUOTE_SQUARES])
    values[QUOTE_FLOW_LONG] = ratio_to_noise(sums[LONG + QUOTE_SUM], sums[LONG + QUOTE_SQUARES])


@kernel
def roll_buckets(row: Record, bucket: int) -> None:
    """Move the windows on to `bucket`: clear what is new, sum again what stays, in place."""
    buckets = row["flow_buckets"]
    sums = row["flow_sums"]
    advance = min(bucket - row["flow_bucket"], FLOW_BUCKETS)
    for step in range(advance):
        place = (bucket - step) & BUCKET_MASK
        for column in range(LONG):
            buckets[place, column] = 0.0
    row["flow_bucket"] = bucket
    for column in range(LONG):
        short = 0.0
        for step in range(SHORT_BUCKETS):
            short += buckets[(bucket - step) & BUCKET_MASK, column]
        long = short
        for step in range(SHORT_BUCKETS, FLOW_BUCKETS):
            long += buckets[(bucket - step) & BUCKET_MASK, column]
        sums[column] = short
        sums[LONG + column] = long
    refresh_trade_flow(row)
    refresh_quote_flow(row)


@fused
def add_flow(row: Record, column: int, signed_lots: float) -> None:
    """Add one signed quantity to the current bucket and to both windows, in place."""
    buckets = row["flow_buckets"]
    sums = row["flow_sums"]
    place = row["flow_bucket"] & BUCKET_MASK
    square = signed_lots * signed_lots
    buckets[place, column] += signed_lots
    buckets[place, column + 1] += square
    sums[column] += signed_lots
    sums[column + 1] += square
    sums[LONG + column] += signed_lots
    sums[LONG + column + 1] += square


@fused
def add_trade_flow(row: Record, signed_lots: int) -> None:
    """Add a trade to the windows and refresh the trade-flow features, in place."""
    root = math.sqrt(abs(signed_lots))
    add_flow(row, TRADE_SUM, root if signed_lots > 0 else -root)
    refresh_trade_flow(row)


@fused
def quote_change(row: Record, slot: Record) -> int:
    """Return what the quote in `slots` adds to bid minus ask against the stored quote, in lots."""
    bid_before = row["bid_price_ticks"]
    ask_before = row["ask_price_ticks"]
    bid = slot["bid_price_ticks"]
    ask = slot["ask_price_ticks"]
    # WHY: every quantity is read before it is chosen or not, so that no choice needs a branch.
    bid_lots_before = row["bid_qty_lots"]
    ask_lots_before = row["ask_qty_lots"]
    bid_lots = slot["bid_qty_lots"]
    ask_lots = slot["ask_qty_lots"]
    change = bid_lots if bid >= bid_before else 0
    change -= bid_lots_before if bid <= bid_before else 0
    change -= ask_lots if ask <= ask_before else 0
    change += ask_lots_before if ask >= ask_before else 0
    return change


@fused
def refresh_quote(row: Record) -> None:
    """Write the features of the stored quote and the quote flow, in place."""
    values = row["micro"]
    bid = row["bid_price_ticks"]
    ask = row["ask_price_ticks"]
    bid_lots = row["bid_qty_lots"]
    ask_lots = row["ask_qty_lots"]
    spread_bps = 20_000.0 * (ask - bid) / (ask + bid)
    imbalance = np.nan
    if bid_lots + ask_lots > 0:
        imbalance = (bid_lots - ask_lots) / (bid_lots + ask_lots)
    values[SPREAD_BPS] = spread_bps
    values[IMBALANCE] = imbalance
    # microprice - mid = spread / 2 * imbalance, whatever the scale.
    values[MICROPRICE_BPS] = 0.5 * spread_bps * imbalance
    refresh_quote_flow(row)


@kernel
def forget_flow(row: Record) -> None:
    """Empty both windows after a gap: what was lost makes them unknown, in place."""
    for place in range(FLOW_BUCKETS):
        for column in range(LONG):
            row["flow_buckets"][place, column] = 0.0
    for column in range(FLOW_SUMS):
        row["flow_sums"][column] = 0.0
    refresh_trade_flow(row)
    refresh_quote_flow(row)
