"""Microstructure features of one instrument: updated by quotes, trades and book diffs.

Order flow is summed over two sliding windows made of buckets of venue time, so that nothing is
exponentiated and nothing drifts:

    buckets[i, number & BUCKET_MASK] = trade sum, trade squares, quote sum, quote squares
    sums[i]     the same four over the short window, then over the long window

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

from engine.domain.kernel import Floats, Records, kernel

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


@kernel
def ratio_to_noise(total: float, squares: float) -> float:
    """Return total / sqrt(squares); NaN without flow."""
    if squares > 0.0:
        return total / math.sqrt(squares)
    return np.nan


@kernel
def refresh_flow(sums: Floats, values: Floats, i: int) -> None:
    """Write the four flow features from the window sums, in place."""
    values[i, TRADE_FLOW_SHORT] = ratio_to_noise(sums[i, TRADE_SUM], sums[i, TRADE_SQUARES])
    values[i, TRADE_FLOW_LONG] = ratio_to_noise(
        sums[i, LONG + TRADE_SUM], sums[i, LONG + TRADE_SQUARES]
    )
    values[i, QUOTE_FLOW_SHORT] = ratio_to_noise(sums[i, QUOTE_SUM], sums[i, QUOTE_SQUARES])
    values[i, QUOTE_FLOW_LONG] = ratio_to_noise(
        sums[i, LONG + QUOTE_SUM], sums[i, LONG + QUOTE_SQUARES]
    )


@kernel
def roll_buckets(
    hot: Records, buckets: Floats, sums: Floats, values: Floats, i: int, bucket: int
) -> None:
    """Move the windows on to `bucket`: clear what is new, sum again what stays, in place."""
    advance = min(bucket - hot["flow_bucket"][i], FLOW_BUCKETS)
    for step in range(advance):
        row = (bucket - step) & BUCKET_MASK
        for column in range(LONG):
            buckets[i, row, column] = 0.0
    hot["flow_bucket"][i] = bucket
    for column in range(LONG):
        short = 0.0
        for step in range(SHORT_BUCKETS):
            short += buckets[i, (bucket - step) & BUCKET_MASK, column]
        long = short
        for step in range(SHORT_BUCKETS, FLOW_BUCKETS):
            long += buckets[i, (bucket - step) & BUCKET_MASK, column]
        sums[i, column] = short
        sums[i, LONG + column] = long
    refresh_flow(sums, values, i)


@kernel
def add_flow(
    hot: Records, buckets: Floats, sums: Floats, i: int, column: int, signed_lots: float
) -> None:
    """Add one signed quantity to the current bucket and to both windows, in place."""
    row = hot["flow_bucket"][i] & BUCKET_MASK
    square = signed_lots * signed_lots
    buckets[i, row, column] += signed_lots
    buckets[i, row, column + 1] += square
    sums[i, column] += signed_lots
    sums[i, column + 1] += square
    sums[i, LONG + column] += signed_lots
    sums[i, LONG + column + 1] += square


@kernel
def add_trade_flow(
    hot: Records, buckets: Floats, sums: Floats, values: Floats, i: int, signed_lots: int
) -> None:
    """Add a trade to the windows and refresh the trade-flow features, in place."""
    root = math.sqrt(abs(signed_lots))
    add_flow(hot, buckets, sums, i, TRADE_SUM, root if signed_lots > 0 else -root)
    values[i, TRADE_FLOW_SHORT] = ratio_to_noise(sums[i, TRADE_SUM], sums[i, TRADE_SQUARES])
    values[i, TRADE_FLOW_LONG] = ratio_to_noise(
        sums[i, LONG + TRADE_SUM], sums[i, LONG + TRADE_SQUARES]
    )


@kernel
def quote_change(hot: Records, i: int, slots: Records, slot_index: int) -> int:
    """Return what the quote in `slots` adds to bid minus ask against the stored quote, in lots."""
    change = 0
    bid_before = hot["bid_price_ticks"][i]
    ask_before = hot["ask_price_ticks"][i]
    bid = slots["bid_price_ticks"][slot_index]
    ask = slots["ask_price_ticks"][slot_index]
    if bid >= bid_before:
        change += slots["bid_qty_lots"][slot_index]
    if bid <= bid_before:
        change -= hot["bid_qty_lots"][i]
    if ask <= ask_before:
        change -= slots["ask_qty_lots"][slot_index]
    if ask >= ask_before:
        change += hot["ask_qty_lots"][i]
    return change


@kernel
def refresh_quote(hot: Records, sums: Floats, values: Floats, i: int) -> None:
    """Write the features of the stored quote and the quote flow, in place."""
    bid = hot["bid_price_ticks"][i]
    ask = hot["ask_price_ticks"][i]
    bid_lots = hot["bid_qty_lots"][i]
    ask_lots = hot["ask_qty_lots"][i]
    spread_bps = 20_000.0 * (ask - bid) / (ask + bid)
    imbalance = np.nan
    if bid_lots + ask_lots > 0:
        imbalance = (bid_lots - ask_lots) / (bid_lots + ask_lots)
    values[i, SPREAD_BPS] = spread_bps
    values[i, IMBALANCE] = imbalance
    # microprice - mid = spread / 2 * imbalance, whatever the scale.
    values[i, MICROPRICE_BPS] = 0.5 * spread_bps * imbalance
    values[i, QUOTE_FLOW_SHORT] = ratio_to_noise(sums[i, QUOTE_SUM], sums[i, QUOTE_SQUARES])
    values[i, QUOTE_FLOW_LONG] = ratio_to_noise(
        sums[i, LONG + QUOTE_SUM], sums[i, LONG + QUOTE_SQUARES]
    )


@kernel
def forget_flow(buckets: Floats, sums: Floats, values: Floats, i: int) -> None:
    """Empty both windows after a gap: what was lost makes them unknown, in place."""
    for row in range(FLOW_BUCKETS):
        for column in range(LONG):
            buckets[i, row, column] = 0.0
    for column in range(FLOW_SUMS):
        sums[i, column] = 0.0
    refresh_flow(sums, values, i)
