"""Microstructure that a closed bar shows: what volume does to price, and how trades arrive."""

from __future__ import annotations

import math

import numpy as np

from engine.domain.features.plan import FeaturePlan, kernel_number
from engine.domain.features.series import (
    BALANCE,
    CLOSE,
    RETURN,
    TO_BPS,
    TRADES,
    VOLUME,
    ratio,
    window_volume,
)
from engine.domain.features.windows import (
    LANES_MASK,
    LANES_SHIFT,
    distance_from,
    products_of,
    window_sum,
)
from engine.domain.kernel import Floats, fused, kernel

AMIHUD_BPS = kernel_number("impact.amihud_bps")
KYLE_BPS = kernel_number("impact.kyle_bps")
VPIN = kernel_number("impact.vpin")
ROLL_BPS = kernel_number("impact.roll_bps")
ARRIVALS = kernel_number("impact.arrivals")
TRADE_SIZE = kernel_number("impact.trade_size")


@fused
def cost_of(series: Floats, at: int) -> float:
    """Return a bar's absolute return per volume; 0 without volume."""
    volume = series[VOLUME, at]
    cost = abs(series[RETURN, at]) / volume
    return cost if volume > 0.0 else 0.0


@kernel
def amihud_bps(series: Floats, place: int, number: int, bars: int) -> float:
    """Return the mean absolute return per mean volume of the window, bps (Amihud 2002).

    Bars without volume are left out; NaN when every bar is.
    """
    if number < bars:
        return np.nan
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    for k in range(bars >> LANES_SHIFT):
        at = place - bars + 1 + 4 * k
        one += cost_of(series, at)
        two += cost_of(series, at + 1)
        three += cost_of(series, at + 2)
        four += cost_of(series, at + 3)
    for at in range(place + 1 - (bars & LANES_MASK), place + 1):
        one += cost_of(series, at)
    count = 0
    for at in range(place - bars + 1, place + 1):
        count += int(series[VOLUME, at] > 0.0)
    volume = window_volume(series, place, bars)
    return ratio((one + two + three + four) * volume * TO_BPS, float(count * count))


@kernel
def kyle_bps(series: Floats, place: int, number: int, bars: int) -> float:
    """Return what the mean volume, all bought, moves the price by, bps (Kyle 1985).

    The slope of returns on signed volume, through the origin, times the mean volume.
    """
    if number < bars:
        return np.nan
    shared = products_of(series, RETURN, place, 0.0, BALANCE, place, 0.0, bars)
    squares = products_of(series, BALANCE, place, 0.0, BALANCE, place, 0.0, bars)
    mean = window_volume(series, place, bars) / bars
    return ratio(shared, squares) * mean * TO_BPS


@kernel
def vpin(series: Floats, place: int, number: int, bars: int) -> float:
    """Return the sum of one-sided volume over all volume of the window, 0 to 1."""
    if number < bars - 1:
        return np.nan
    one_sided = distance_from(series, BALANCE, place, bars, 0.0)
    return ratio(one_sided, window_volume(series, place, bars))


@fused
def turn_of(series: Floats, at: int) -> float:
    """Return a bar's move times the move before it."""
    before = series[CLOSE, at - 1]
    return (series[CLOSE, at] - before) * (before - series[CLOSE, at - 2])


@kernel
def roll_bps(series: Floats, place: int, number: int, bars: int) -> float:
    """Return Roll's spread from how moves turn back, bps, negative where they go on instead.

    Twice the root of the covariance of moves with the move before, its sign turned.
    """
    if number < bars + 1:
        return np.nan
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    for k in range(bars >> LANES_SHIFT):
        at = place - bars + 1 + 4 * k
        one += turn_of(series, at)
        two += turn_of(series, at + 1)
        three += turn_of(series, at + 2)
        four += turn_of(series, at + 3)
    for at in range(place + 1 - (bars & LANES_MASK), place + 1):
        one += turn_of(series, at)
    shared = one + two + three + four
    drift = (series[CLOSE, place] - series[CLOSE, place - bars]) / bars
    drift_before = (series[CLOSE, place - 1] - series[CLOSE, place - bars - 1]) / bars
    covariance = shared / bars - drift * drift_before
    root = 2.0 * math.sqrt(abs(covariance)) / series[CLOSE, place] * TO_BPS
    return -root if covariance > 0.0 else root


@kernel
def arrivals(series: Floats, place: int, number: int, bars: int) -> float:
    """Return the trades of this bar over the mean of the `bars` bars before; NaN before."""
    if number < bars:
        return np.nan
    return ratio(series[TRADES, place], window_sum(series, TRADES, place - 1, bars) / bars)


@kernel
def trade_size(series: Floats, place: int, number: int, bars: int) -> float:
    """Return the mean quantity of this bar's trades over that of the window's."""
    if number < bars - 1:
        return np.nan
    newest = ratio(series[VOLUME, place], series[TRADES, place])
    trades = window_sum(series, TRADES, place, bars)
    return ratio(newest, ratio(window_volume(series, place, bars), trades))


@kernel
def update_impact(
    plan: FeaturePlan, series: Floats, place: int, number: int, features: Floats
) -> None:
    """Write this family's columns for bar `number`, in place."""
    first, params, column = plan.first, plan.params, plan.column
    for k in range(first[AMIHUD_BPS], first[AMIHUD_BPS + 1]):
        features[column[k]] = amihud_bps(series, place, number, int(params[k, 0]))
    for k in range(first[KYLE_BPS], first[KYLE_BPS + 1]):
        features[column[k]] = kyle_bps(series, place, number, int(params[k, 0]))
    for k in range(first[VPIN], first[VPIN + 1]):
        features[column[k]] = vpin(series, place, number, int(params[k, 0]))
    for k in range(first[ROLL_BPS], first[ROLL_BPS + 1]):
        features[column[k]] = roll_bps(series, place, number, int(params[k, 0]))
    for k in range(first[ARRIVALS], first[ARRIVALS + 1]):
        features[column[k]] = arrivals(series, place, number, int(params[k, 0]))
    for k in range(first[TRADE_SIZE], first[TRADE_SIZE + 1]):
        features[column[k]] = trade_size(series, place, number, int(params[k, 0]))
