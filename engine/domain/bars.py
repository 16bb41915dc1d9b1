"""Time bars from trades, by venue event time, for several timeframes at once.

Rules, in order:

1. A bar covers [start, start + timeframe) of venue time; it opens with its first trade. A span
   without trades has no bar.
2. It is closed, `is_final` set and copied to the ring of closed bars, by the first trade at or
   after its end, or by another record of the instrument (a quote) whose venue time is at least
   `LATE_GRACE_NS` after its end: so quiet instruments close too, and a quote that overtook a trade
   on its way does not close the bar too early.
3. A trade that belongs to a bar already closed is late: it is counted in `late_trade_count` and
   changes no bar. A closed bar never changes.

    forming[i, t]            one bar being built, is_final 0, trade_count 0 when none is open
    closed[i, t, k & mask]   ring of closed bars, k = 0, 1, 2 ... is the bar's number
"""

from __future__ import annotations

import numpy as np

from engine.domain.kernel import Integers, Record, Records, fused, kernel

BAR_RING_BARS = 16  # closed bars kept per timeframe; a power of two; windows are in the series
BAR_MASK = BAR_RING_BARS - 1
LATE_GRACE_NS = 200_000_000  # a trade may arrive this much behind a quote of the same instrument

BAR_DTYPE = np.dtype(
    [
        ("start_ns", "<i8"),
        ("open_ticks", "<i8"),
        ("high_ticks", "<i8"),
        ("low_ticks", "<i8"),
        ("close_ticks", "<i8"),
        ("volume_lots", "<i8"),
        ("buy_lots", "<i8"),  # volume whose aggressor bought
        ("trade_count", "<i4"),
        ("is_final", "<u1"),
    ],
    align=True,
)
assert BAR_DTYPE.itemsize == 64, "a bar fills one cache line"


@fused
def open_bar(bar: Record, start_ns: int, price_ticks: int) -> None:
    """Start a bar at a first price, in place."""
    bar["start_ns"] = start_ns
    bar["open_ticks"] = price_ticks
    bar["high_ticks"] = price_ticks
    bar["low_ticks"] = price_ticks
    bar["close_ticks"] = price_ticks
    bar["volume_lots"] = 0
    bar["buy_lots"] = 0
    bar["trade_count"] = 0


@fused
def add_trade(bar: Record, price_ticks: int, qty_lots: int, is_buy: bool) -> None:
    """Fold one trade into the open bar, in place."""
    bar["high_ticks"] = max(bar["high_ticks"], price_ticks)
    bar["low_ticks"] = min(bar["low_ticks"], price_ticks)
    bar["close_ticks"] = price_ticks
    bar["volume_lots"] += qty_lots
    if is_buy:
        bar["buy_lots"] += qty_lots
    bar["trade_count"] += 1


@kernel
def close_bar(
    forming: Records, closed: Records, closed_count: Integers, i: int, t: int, timeframe_ns: int
) -> None:
    """Mark the open bar final, copy it to the ring and forget it, in place."""
    forming["is_final"][i, t] = 1
    closed[i, t, closed_count[i, t] & BAR_MASK] = forming[i, t]
    closed_count[i, t] += 1
    forming["is_final"][i, t] = 0
    forming["trade_count"][i, t] = 0
    # The next bar cannot start before this one ended: what lies below is late.
    forming["start_ns"][i, t] += timeframe_ns


@fused
def apply_trade_to_bar(
    bar: Record,
    timeframe_ns: int,
    venue_time_ns: int,
    price_ticks: int,
    qty_lots: int,
    is_buy: bool,
) -> bool:
    """Open a bar if none is, then fold the trade into it; False: the trade was late.

    Invariants: the caller closed the open bar first if the trade lies at or after its end.
    """
    if venue_time_ns < bar["start_ns"]:
        return False
    if bar["trade_count"] == 0:
        open_bar(bar, venue_time_ns - venue_time_ns % timeframe_ns, price_ticks)
    add_trade(bar, price_ticks, qty_lots, is_buy)
    return True


@kernel
def next_close(forming: Records, timeframes_ns: Integers, i: int, none_ns: int) -> int:
    """Return the venue time at which the first open bar of the instrument ends, else `none_ns`."""
    earliest_ns = none_ns
    for t in range(timeframes_ns.shape[0]):
        if forming["trade_count"][i, t] > 0:
            end_ns = forming["start_ns"][i, t] + timeframes_ns[t]
            earliest_ns = min(earliest_ns, end_ns)
    return earliest_ns
