"""Bars that end by what was traded, not by the clock: ticks, volume, dollars, imbalance.

Rules, in order:

1. Trades count in the order in which they arrive; none is late, because no bar ends by time.
2. A bar ends with the trade that brings its measure to the threshold. That trade belongs to it
   whole: a bar may measure more than the threshold, and one large trade ends one bar, not several.
3. A bar starts at its first trade's venue time, but at least `START_STEP_NS` after the start of the
   bar before, so that no two bars have one time although trades may.

    kind       measure of the open bar                          unit of the threshold
    TICK       trades                                           trades
    VOLUME     quantity                                         lots
    DOLLAR     price times quantity                             ticks * lots
    IMBALANCE  quantity bought minus quantity sold, absolute    lots

Folding a trade in and closing are the code of time bars (`engine.domain.bars`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.domain.bar_sizes import BarKind
from engine.domain.bars import (
    BAR_DTYPE,
    BAR_MASK,
    BAR_RING_BARS,
    add_trade,
    close_bar,
    open_bar,
)
from engine.domain.kernel import Bytes, Integers, Records, entry, kernel

START_STEP_NS = 1_000  # what seconds in a float still tell apart


_TICK = int(BarKind.TICK)
_VOLUME = int(BarKind.VOLUME)
_DOLLAR = int(BarKind.DOLLAR)


class KindState(NamedTuple):
    """Bars of one kind and threshold, per instrument, outside of a brain."""

    forming: Records  # BAR_DTYPE[n, 1]
    closed: Records  # BAR_DTYPE[n, 1, BAR_RING_BARS]
    closed_count: Integers  # int64[n, 1]
    measures: Integers  # int64[n, 1], signed for IMBALANCE


class TradeColumns(NamedTuple):
    """Trades of one instrument, in the order of their arrival, all of one length."""

    venue_time_ns: Integers
    price_ticks: Integers
    qty_lots: Integers
    is_buy: Bytes  # 1 where the aggressor bought


def create_kind_state(n: int) -> KindState:
    """Return the state before the first trade of `n` instruments."""
    return KindState(
        forming=np.zeros((n, 1), dtype=BAR_DTYPE),
        closed=np.zeros((n, 1, BAR_RING_BARS), dtype=BAR_DTYPE),
        closed_count=np.zeros((n, 1), dtype=np.int64),
        measures=np.zeros((n, 1), dtype=np.int64),
    )


@kernel
def measure_of(kind: int, price_ticks: int, qty_lots: int, is_buy: bool) -> int:
    """Return what one trade adds to the measure of its bar.

    A price in ticks times a quantity in lots fits an int64, as the firewall's bounds hold it.
    """
    if kind == _TICK:
        return 1
    if kind == _VOLUME:
        return qty_lots
    if kind == _DOLLAR:
        return price_ticks * qty_lots
    return qty_lots if is_buy else -qty_lots


@kernel
def add_to_kind(
    forming: Records,
    closed: Records,
    closed_count: Integers,
    measures: Integers,
    i: int,
    t: int,
    kind: int,
    threshold: int,
    venue_time_ns: int,
    price_ticks: int,
    qty_lots: int,
    is_buy: bool,
) -> bool:
    """Fold one trade into the open bar, in place; True when that closed it.

    Args:
        forming: BAR_DTYPE[n, t].
        closed: BAR_DTYPE[n, t, BAR_RING_BARS].
        closed_count: int64[n, t].
        measures: int64[n, t], of the open bars.
        i: the instrument.
        t: where its bars of this kind and threshold stand.
        kind: a BarKind.
        threshold: where a bar ends, above 0; the unit is the kind's.
        venue_time_ns: of the trade.
        price_ticks: of the trade.
        qty_lots: of the trade.
        is_buy: whether the aggressor bought.
    """
    bar = forming[i, t]
    if bar["trade_count"] == 0:
        start_ns = venue_time_ns
        if closed_count[i, t] > 0:
            # INVARIANT: closing leaves here the first time at which the next bar may start.
            start_ns = max(venue_time_ns, bar["start_ns"])
        open_bar(bar, start_ns, price_ticks)
        measures[i, t] = 0
    add_trade(bar, price_ticks, qty_lots, is_buy)
    measures[i, t] += measure_of(kind, price_ticks, qty_lots, is_buy)
    if abs(measures[i, t]) < threshold:
        return False
    close_bar(forming, closed, closed_count, i, t, START_STEP_NS)
    return True


@entry
def collect_bars(
    state: KindState, kind: int, threshold: int, trades: TradeColumns, bars: Records
) -> int:
    """Fold trades of instrument 0 and write every bar they close; return how many.

    Args:
        state: goes on from there, changed in place.
        kind: a BarKind.
        threshold: where a bar ends.
        trades: in the order of their arrival.
        bars: BAR_DTYPE[n], room for one per trade.
    """
    count = 0
    for k in range(trades.price_ticks.shape[0]):
        if add_to_kind(
            state.forming,
            state.closed,
            state.closed_count,
            state.measures,
            0,
            0,
            kind,
            threshold,
            trades.venue_time_ns[k],
            trades.price_ticks[k],
            trades.qty_lots[k],
            trades.is_buy[k] != 0,
        ):
            last = (state.closed_count[0, 0] - 1) & BAR_MASK
            bars[count] = state.closed[0, 0, last]
            count += 1
    return count
