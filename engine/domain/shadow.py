"""What strategies would have made without an order: each want is filled at once at the touch.

The same kernels ask the same questions of the same market; instead of gates, orders and a venue
stands one law: a buy is filled at the best ask, a sell at the best bid, all of it, with the
taker's fee. No latency, no queue, no limits of risk: what a real run makes is worse in the first
two and smaller in the third. An open position is worth what leaving it at the touch would bring.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.domain.kernel import Integers, Records, entry, kernel
from engine.domain.market_state import MarketState
from engine.domain.opportunity import (
    EXPOSURE_DTYPE,
    OPPORTUNITIES_PER_RECORD_MAX,
    OPPORTUNITY_DTYPE,
)
from engine.domain.row_bits import mark_row
from engine.domain.strategy import apply_market

SHADOW_DTYPE = np.dtype(
    [
        ("entry_count", "<i8"),
        ("exit_count", "<i8"),
        ("win_count", "<i8"),  # exits that made more than both fees
        ("traded_e8", "<i8"),  # notional of all fills
        ("gross_e8", "<i8"),  # of closed positions, before fees
        ("fee_e8", "<i8"),
        ("held_ns", "<i8"),  # in closed positions, all together
        ("peak_e8", "<i8"),  # highest of what was made after fees
        ("fall_e8", "<i8"),  # furthest below that peak since
    ]
)
PPM = 1_000_000  # fees are parts of a million of the notional


class Shadow(NamedTuple):
    """What strategies hold and have made without orders; one column per strategy."""

    exposure: Records  # EXPOSURE_DTYPE[n, s]: what they are told they hold
    entry_fee_e8: Integers  # int64[n, s], of the open position
    records: Records  # SHADOW_DTYPE[s]
    opportunities: Records  # OPPORTUNITY_DTYPE[k]
    counted: Integers  # int64[2]: the one instrument that is filled, -1: all; since when, ns


def create_shadow(
    instrument_count: int, strategy_count: int, *, only: int = -1, since_ns: int = 0
) -> Shadow:
    """Return the shadow before the first record.

    Args:
        instrument_count: of the market.
        strategy_count: of the rows.
        only: the one instrument on which wants are filled; -1: on all.
        since_ns: receive time from which on wants are filled; the market before it is seen.
    """
    rows = min(strategy_count, OPPORTUNITIES_PER_RECORD_MAX)
    return Shadow(
        exposure=np.zeros((instrument_count, strategy_count), dtype=EXPOSURE_DTYPE),
        entry_fee_e8=np.zeros((instrument_count, strategy_count), dtype=np.int64),
        records=np.zeros(strategy_count, dtype=SHADOW_DTYPE),
        opportunities=np.zeros(rows, dtype=OPPORTUNITY_DTYPE),
        counted=np.array([only, since_ns], dtype=np.int64),
    )


@kernel
def fee_of(notional_e8: int, fee_ppm: int) -> int:
    """Return the fee of a notional in e8, rounded down; no product leaves an int64."""
    return notional_e8 // PPM * fee_ppm + notional_e8 % PPM * fee_ppm // PPM


@kernel
def touch_ticks(market: MarketState, i: int, side: int) -> int:
    """Return the price at which a taker of a side is filled; 0: not known."""
    return int(market.hot["ask_price_ticks"][i] if side > 0 else market.hot["bid_price_ticks"][i])


@kernel
def note_result(records: Records, s: int, gross_e8: int, fee_e8: int, held_ns: int) -> None:
    """Add a closed position to a strategy's record, in place; `fee_e8` is of both its fills."""
    records["exit_count"][s] += 1
    records["gross_e8"][s] += gross_e8
    records["held_ns"][s] += held_ns
    if gross_e8 > fee_e8:
        records["win_count"][s] += 1
    net_e8 = records["gross_e8"][s] - records["fee_e8"][s]
    records["peak_e8"][s] = max(records["peak_e8"][s], net_e8)
    records["fall_e8"][s] = max(records["fall_e8"][s], records["peak_e8"][s] - net_e8)


@kernel
def fill_opportunity(market: MarketState, shadow: Shadow, k: int, now_ns: int, ppm: int) -> None:
    """Fill opportunity `k` at the touch, in place; nothing happens where there is none."""
    want, exposure, records = shadow.opportunities, shadow.exposure, shadow.records
    i, s, side = want["instrument_index"][k], want["strategy_index"][k], want["side"][k]
    price, lots = touch_ticks(market, i, side), want["qty_lots"][k]
    if price <= 0:
        return
    notional_e8 = price * lots * market.instruments["unit_e8"][i]
    fee_e8 = fee_of(notional_e8, ppm)
    records["traded_e8"][s] += notional_e8
    records["fee_e8"][s] += fee_e8
    if want["is_entry"][k] != 0:
        records["entry_count"][s] += 1
        shadow.entry_fee_e8[i, s] = fee_e8
        exposure["position_lots"][i, s] = side * lots
        exposure["entry_price_ticks"][i, s] = price
        exposure["entry_time_ns"][i, s] = now_ns
        mark_row(market.held_rows[i], s, True)
        return
    move_ticks = (exposure["entry_price_ticks"][i, s] - price) * side
    gross_e8 = move_ticks * lots * market.instruments["unit_e8"][i]
    held_ns = now_ns - exposure["entry_time_ns"][i, s]
    note_result(records, s, gross_e8, fee_e8 + shadow.entry_fee_e8[i, s], held_ns)
    exposure["position_lots"][i, s] = 0
    exposure["entry_price_ticks"][i, s] = 0
    exposure["last_exit_time_ns"][i, s] = now_ns
    mark_row(market.held_rows[i], s, False)


@entry
def shadow_market(market: MarketState, shadow: Shadow, slots: Records, fee_ppm: int) -> int:
    """Apply market records in order and fill what strategies want; return how many were refused.

    Args:
        market: changed in place.
        shadow: changed in place.
        slots: MARKET_DTYPE[n]; their receive time is the time strategies are told.
        fee_ppm: the taker's fee, parts of a million.
    """
    refused = 0
    only, since_ns = shadow.counted[0], shadow.counted[1]
    for place in range(slots.shape[0]):
        now_ns = slots["receive_time_ns"][place]
        found = apply_market(market, shadow.exposure, slots, place, now_ns, shadow.opportunities)
        refused += 1 if found < 0 else 0
        if now_ns < since_ns:
            continue
        for k in range(found):
            if only < 0 or only == shadow.opportunities["instrument_index"][k]:
                fill_opportunity(market, shadow, k, now_ns, fee_ppm)
    return refused


@entry
def open_result_e8(market: MarketState, shadow: Shadow, s: int) -> int:
    """Return what leaving every open position of a strategy at the touch would bring, e8."""
    total = 0
    for i in range(shadow.exposure.shape[0]):
        lots = shadow.exposure["position_lots"][i, s]
        price = touch_ticks(market, i, -1 if lots > 0 else 1)
        if lots != 0 and price > 0:
            move_ticks = price - shadow.exposure["entry_price_ticks"][i, s]
            total += move_ticks * lots * market.instruments["unit_e8"][i]
    return total
