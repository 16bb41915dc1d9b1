"""Fills to positions, in exact integers: signed lots, signed cost, realised PnL, fees.

        notional_e8 = price_ticks * qty_lots * unit_e8
        cost_e8     = what the open lots cost (negative for a short: what they brought in)
        realised    = proceeds of what was closed - its share of the cost, rounded towards zero
        equity      = cash + lots * mid * unit - cost

        positions[i, column]     columns 0 .. s-1 strategies, s external, s+1 net

The external column holds what no strategy of ours did: orders by hand, liquidations, adjustments.
The net column is the venue's position (one-way mode); its lots are the sum of the others.

Average cost. Whatever the rounding of a share, `realised - cost` equals the money that changed
hands, so equity is exact after every fill and PnL is exact whenever a position is flat.

UNITS: |lots| <= LOTS_MAX and |cost| <= UNBOUNDED (4e18), so that no sum or product here can leave
an int64; `fill_fits` refuses what would.
"""

from __future__ import annotations

import numpy as np

from engine.domain.kernel import Records, kernel
from engine.domain.limits import LOTS_MAX, UNBOUNDED

HALF_LOTS_MAX = LOTS_MAX // 2
COST_MAX = UNBOUNDED // 4  # a fill at most doubles a bounded cost; three of them still fit

POSITION_DTYPE = np.dtype(
    [
        ("lots", "<i8"),
        ("cost_e8", "<i8"),
        ("realised_e8", "<i8"),  # before fees and funding
        ("fee_e8", "<i8"),
        ("funding_e8", "<i8"),
        ("entry_time_ns", "<i8"),  # when it last left zero
        ("last_exit_time_ns", "<i8"),  # when it last came back to zero
        ("fill_count", "<i8"),
    ]
)


@kernel
def fits(price_ticks: int, qty_lots: int, unit_e8: int) -> bool:
    """Return whether a notional stays within COST_MAX; computed in floats, so it cannot wrap."""
    return float(price_ticks) * float(qty_lots) * float(unit_e8) < float(COST_MAX)


@kernel
def notional(price_ticks: int, qty_lots: int, unit_e8: int) -> int:
    """Return price times quantity in e8; UNBOUNDED, which limits refuse, when it would not fit."""
    if price_ticks <= 0 or qty_lots < 0 or not fits(price_ticks, qty_lots, unit_e8):
        return UNBOUNDED
    return price_ticks * qty_lots * unit_e8


@kernel
def share(whole_e8: int, part_lots: int, whole_lots: int) -> int:
    """Return whole_e8 * part_lots / whole_lots towards zero, exactly, without a wide product.

    Invariants: 0 < part_lots <= whole_lots <= LOTS_MAX; share(w, n, n) == w.
    """
    magnitude = abs(whole_e8)
    quotient = magnitude // whole_lots
    rest = magnitude - quotient * whole_lots
    part = quotient * part_lots + rest * part_lots // whole_lots
    return part if whole_e8 >= 0 else -part


@kernel
def fill_fits(
    positions: Records, i: int, column: int, price_ticks: int, qty_lots: int, unit_e8: int
) -> bool:
    """Return whether a fill can be applied without leaving the stated ranges."""
    if qty_lots <= 0 or qty_lots > HALF_LOTS_MAX or price_ticks <= 0:
        return False
    if abs(positions["lots"][i, column]) > HALF_LOTS_MAX:
        return False
    if abs(positions["cost_e8"][i, column]) > COST_MAX:
        return False
    return fits(price_ticks, qty_lots, unit_e8)


@kernel
def apply_fill(
    positions: Records,
    i: int,
    column: int,
    side: int,
    qty_lots: int,
    price_ticks: int,
    unit_e8: int,
    now_ns: int,
) -> int:
    """Apply one fill to a position, in place; return the PnL it realised, in e8, before fees.

    Invariants: `fill_fits` said yes; side is +1 or -1.
    """
    lots = positions["lots"][i, column]
    cost = positions["cost_e8"][i, column]
    lot_price_e8 = price_ticks * unit_e8
    closed = 0
    realised = 0
    if lots * side < 0:
        closed = min(abs(lots), qty_lots)
        removed = share(cost, closed, abs(lots))
        realised = -side * closed * lot_price_e8 - removed
        cost -= removed
    opened = qty_lots - closed
    if opened > 0 and closed == abs(lots):
        positions["entry_time_ns"][i, column] = now_ns
    lots += side * qty_lots
    if lots == 0:
        positions["last_exit_time_ns"][i, column] = now_ns
    positions["lots"][i, column] = lots
    positions["cost_e8"][i, column] = cost + side * opened * lot_price_e8
    positions["realised_e8"][i, column] += realised
    positions["fill_count"][i, column] += 1
    return realised


@kernel
def marked_value(lots: int, mid_half_ticks: int, unit_e8: int) -> int:
    """Return lots at mid in e8, rounded down, within UNBOUNDED; `mid_half_ticks` is bid + ask."""
    if not fits(mid_half_ticks, abs(lots), unit_e8):
        return UNBOUNDED if lots > 0 else -UNBOUNDED
    return lots * mid_half_ticks * unit_e8 // 2
