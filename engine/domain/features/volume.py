"""Volume, who took it, and where it traded."""

from __future__ import annotations

import math

import numpy as np

from engine.domain.features.averages import update_ema
from engine.domain.features.plan import FeaturePlan, kernel_number
from engine.domain.features.series import (
    BALANCE,
    CLOSE,
    HIGH,
    LOW,
    RETURN,
    TO_BPS,
    TYPICAL,
    VOLUME,
    begin_day,
    ratio,
    window_volume,
)
from engine.domain.features.windows import (
    LANES_MASK,
    LANES_SHIFT,
    newest_deviation,
    products_of,
    weighted_squares_of,
    window_sum,
)
from engine.domain.kernel import Floats, fused, kernel

RELATIVE = kernel_number("volume.relative")
TAKER_BALANCE = kernel_number("volume.taker_balance")
DEVIATION_OF_VOLUME = kernel_number("volume.deviation_of_volume")
DIRECTION = kernel_number("volume.direction")
MONEY_FLOW = kernel_number("volume.money_flow")
MONEY_FLOW_INDEX = kernel_number("volume.money_flow_index")
WEIGHTED_RETURN_BPS = kernel_number("volume.weighted_return_bps")
FORCE = kernel_number("volume.force")
VWAP_DISTANCE = kernel_number("volume.vwap_distance")
DAY_VWAP_DISTANCE = kernel_number("volume.day_vwap_distance")
DAY_DELTA = kernel_number("volume.day_delta")
SPAN_MIN = 1e-300  # below any difference of prices


@kernel
def relative_volume(series: Floats, place: int, number: int, bars: int) -> float:
    """Return the volume over the mean volume of the `bars` bars before; NaN before."""
    if number < bars:
        return np.nan
    return ratio(series[VOLUME, place] * bars, window_volume(series, place - 1, bars))


@kernel
def taker_balance(series: Floats, place: int, number: int, bars: int) -> float:
    """Return (buys - sells) / volume of the last `bars` bars, by aggressor; NaN before."""
    if number < bars - 1:
        return np.nan
    balance = window_sum(series, BALANCE, place, bars)
    return ratio(balance, window_volume(series, place, bars))


@kernel
def deviation_of_volume(series: Floats, place: int, number: int, bars: int) -> float:
    """Return volume minus the window's mean, in its standard deviations; NaN when equal."""
    if number < bars - 1:
        return np.nan
    return newest_deviation(series, VOLUME, place, bars, 0.0)


@fused
def signed_volume(series: Floats, at: int) -> float:
    """Return the volume of a bar that closed higher, that of one that closed lower below zero."""
    move, volume = series[CLOSE, at] - series[CLOSE, at - 1], series[VOLUME, at]
    # One number is chosen rather than one of two ways gone: which it is cannot be foreseen.
    rising = volume if move > 0.0 else 0.0
    return -volume if move < 0.0 else rising


@kernel
def direction(series: Floats, place: int, number: int, bars: int) -> float:
    """Return volume of rising minus volume of falling bars, over all volume of the window."""
    if number < bars:
        return np.nan
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    for k in range(bars >> LANES_SHIFT):
        at = place - bars + 1 + 4 * k
        one += signed_volume(series, at)
        two += signed_volume(series, at + 1)
        three += signed_volume(series, at + 2)
        four += signed_volume(series, at + 3)
    for at in range(place + 1 - (bars & LANES_MASK), place + 1):
        one += signed_volume(series, at)
    return ratio(one + two + three + four, window_volume(series, place, bars))


@fused
def flow_of(series: Floats, at: int) -> float:
    """Return a bar's volume times the close's place in it, -1 to 1; 0 in a flat bar."""
    high, low = series[HIGH, at], series[LOW, at]
    # Nothing over what is next to nothing is nothing: no way of its own for a flat bar.
    place = (2.0 * series[CLOSE, at] - high - low) / max(high - low, SPAN_MIN)
    return place * series[VOLUME, at]


@kernel
def money_flow(series: Floats, place: int, number: int, bars: int) -> float:
    """Return volume weighted with the close's place in its bar, over all volume (Chaikin)."""
    if number < bars - 1:
        return np.nan
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    for k in range(bars >> LANES_SHIFT):
        at = place - bars + 1 + 4 * k
        one += flow_of(series, at)
        two += flow_of(series, at + 1)
        three += flow_of(series, at + 2)
        four += flow_of(series, at + 3)
    for at in range(place + 1 - (bars & LANES_MASK), place + 1):
        one += flow_of(series, at)
    return ratio(one + two + three + four, window_volume(series, place, bars))


@kernel
def money_flow_index(series: Floats, place: int, number: int, bars: int) -> float:
    """Return worth traded at rising minus at falling typical prices, over both, in [-1, 1]."""
    if number < bars:
        return np.nan
    rising = 0.0
    falling = 0.0
    for at in range(place - bars + 1, place + 1):
        worth = series[TYPICAL, at] * series[VOLUME, at]
        rising += worth if series[TYPICAL, at] > series[TYPICAL, at - 1] else 0.0
        falling += worth if series[TYPICAL, at] < series[TYPICAL, at - 1] else 0.0
    return ratio(rising - falling, rising + falling)


@kernel
def weighted_return_bps(series: Floats, place: int, number: int, bars: int) -> float:
    """Return the mean return of the window, each weighted with its volume, bps."""
    if number < bars:
        return np.nan
    total = products_of(series, RETURN, place, 0.0, VOLUME, place, 0.0, bars)
    return ratio(total * TO_BPS, window_volume(series, place, bars))


@kernel
def force(
    series: Floats,
    place: int,
    number: int,
    span: int,
    per_atr: float,
    memory: Floats,
    cell: int,
) -> float:
    """Return the averaged move times volume over the averaged volume, in ATRs (Elder)."""
    if number < 1:
        return np.nan
    volume = series[VOLUME, place]
    move = series[CLOSE, place] - series[CLOSE, place - 1]
    pushed = update_ema(memory, cell, number - 1, span, move * volume)
    mean = update_ema(memory, cell + 1, number - 1, span, volume)
    return ratio(pushed, mean) * per_atr


@kernel
def vwap_distance(
    series: Floats,
    place: int,
    number: int,
    bars: int,
    per_atr: float,
    features: Floats,
    column: int,
) -> None:
    """Write close minus the window's volume-weighted typical price, in place.

    In ATRs, then in volume-weighted standard deviations.
    """
    features[column] = np.nan
    features[column + 1] = np.nan
    volume = window_volume(series, place, bars)
    if number < bars - 1 or not volume > 0.0:
        return
    close = series[CLOSE, place]
    total = products_of(series, TYPICAL, place, close, VOLUME, place, 0.0, bars)
    squares = weighted_squares_of(series, TYPICAL, VOLUME, place, bars, close)
    mean = total / volume
    variance = squares / volume - mean * mean
    features[column] = -mean * per_atr
    if variance > 1e-9 * mean * mean:
        features[column + 1] = -mean / math.sqrt(variance)


@kernel
def day_vwap_distance(
    series: Floats, place: int, per_atr: float, memory: Floats, cell: int
) -> float:
    """Return close minus the volume-weighted typical price since midnight UTC, in ATRs.

    NaN on the first day, which was not seen whole. Cells: two of `begin_day`, sum of price times
    volume, sum of volume.
    """
    if begin_day(series, place, memory, cell):
        memory[cell + 2] = 0.0
        memory[cell + 3] = 0.0
    memory[cell + 2] += series[TYPICAL, place] * series[VOLUME, place]
    memory[cell + 3] += series[VOLUME, place]
    if memory[cell] < 2.0:
        return np.nan
    return (series[CLOSE, place] - ratio(memory[cell + 2], memory[cell + 3])) * per_atr


@kernel
def day_delta(series: Floats, place: int, memory: Floats, cell: int) -> float:
    """Return volume bought minus sold since midnight UTC, over all volume since then.

    NaN on the first day, which was not seen whole. Cells: two of `begin_day`, then both sums.
    """
    if begin_day(series, place, memory, cell):
        memory[cell + 2] = 0.0
        memory[cell + 3] = 0.0
    memory[cell + 2] += series[BALANCE, place]
    memory[cell + 3] += series[VOLUME, place]
    return ratio(memory[cell + 2], memory[cell + 3]) if memory[cell] >= 2.0 else np.nan


@kernel
def update_volume(
    plan: FeaturePlan,
    series: Floats,
    place: int,
    number: int,
    per_atr: float,
    memory: Floats,
    features: Floats,
) -> None:
    """Write this family's columns for bar `number`, in place."""
    first, params, column, cell = plan.first, plan.params, plan.column, plan.cell
    for k in range(first[RELATIVE], first[RELATIVE + 1]):
        features[column[k]] = relative_volume(series, place, number, int(params[k, 0]))
    for k in range(first[TAKER_BALANCE], first[TAKER_BALANCE + 1]):
        features[column[k]] = taker_balance(series, place, number, int(params[k, 0]))
    for k in range(first[DEVIATION_OF_VOLUME], first[DEVIATION_OF_VOLUME + 1]):
        features[column[k]] = deviation_of_volume(series, place, number, int(params[k, 0]))
    for k in range(first[DIRECTION], first[DIRECTION + 1]):
        features[column[k]] = direction(series, place, number, int(params[k, 0]))
    for k in range(first[MONEY_FLOW], first[MONEY_FLOW + 1]):
        features[column[k]] = money_flow(series, place, number, int(params[k, 0]))
    for k in range(first[MONEY_FLOW_INDEX], first[MONEY_FLOW_INDEX + 1]):
        features[column[k]] = money_flow_index(series, place, number, int(params[k, 0]))
    for k in range(first[WEIGHTED_RETURN_BPS], first[WEIGHTED_RETURN_BPS + 1]):
        features[column[k]] = weighted_return_bps(series, place, number, int(params[k, 0]))
    for k in range(first[FORCE], first[FORCE + 1]):
        span = int(params[k, 0])
        features[column[k]] = force(series, place, number, span, per_atr, memory, cell[k])
    for k in range(first[VWAP_DISTANCE], first[VWAP_DISTANCE + 1]):
        vwap_distance(series, place, number, int(params[k, 0]), per_atr, features, column[k])
    for k in range(first[DAY_VWAP_DISTANCE], first[DAY_VWAP_DISTANCE + 1]):
        features[column[k]] = day_vwap_distance(series, place, per_atr, memory, cell[k])
    for k in range(first[DAY_DELTA], first[DAY_DELTA + 1]):
        features[column[k]] = day_delta(series, place, memory, cell[k])
