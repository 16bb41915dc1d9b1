"""Volatility: the average true range that scales other features, and how returns spread."""

from __future__ import annotations

import math

import numpy as np

from engine.domain.features.averages import fold_wilder_mean
from engine.domain.features.plan import FeaturePlan, kernel_number
from engine.domain.features.series import (
    CLOSE,
    HIGH,
    LOG_BODY_SQUARE,
    LOG_DRIFT,
    LOG_RANGE_SQUARE,
    LOW,
    OPEN,
    RETURN,
    TO_BPS,
    TRUE_RANGE,
    log_ratio,
    per_atr_of,
    ratio,
)
from engine.domain.features.windows import (
    products_of,
    window_range,
    window_spread,
    window_sum,
)
from engine.domain.kernel import Floats, kernel

ATR_BARS = 14

ATR_BPS = kernel_number("volatility.atr_bps")
RANGE_ATR = kernel_number("volatility.range_atr")
DEVIATION_BPS = kernel_number("volatility.deviation_bps")
NATR_BPS = kernel_number("volatility.natr_bps")
PARKINSON_BPS = kernel_number("volatility.parkinson_bps")
GARMAN_KLASS_BPS = kernel_number("volatility.garman_klass_bps")
ROGERS_SATCHELL_BPS = kernel_number("volatility.rogers_satchell_bps")
DECAYED_BPS = kernel_number("volatility.decayed_bps")
DEVIATION_RATIO = kernel_number("volatility.deviation_ratio")
BAND_WIDTH = kernel_number("volatility.band_width")
CHANNEL = kernel_number("volatility.channel")
ULCER_BPS = kernel_number("volatility.ulcer_bps")
CHOPPINESS = kernel_number("volatility.choppiness")


@kernel
def update_atr(series: Floats, number: int, place: int, atr: Floats, seed: Floats, t: int) -> float:
    """Fold bar `number` into Wilder's average true range, in ticks, in place; return it.

    The first value is the mean of the true ranges of bars 1 to `ATR_BARS`; NaN before.

    Args:
        atr: float64[timeframes] of the instrument; `seed` the sums that seed them.
        t: which of them.
    """
    if number < 1:
        return np.nan
    true_range = series[TRUE_RANGE, place]
    if number <= ATR_BARS:
        seed[t] += true_range
        if number == ATR_BARS:
            atr[t] = seed[t] / ATR_BARS
    else:
        atr[t] = (atr[t] * (ATR_BARS - 1) + true_range) / ATR_BARS
    return float(atr[t])


@kernel
def root_mean_square(series: Floats, place: int, bars: int) -> float:
    """Return the root of the mean squared return of the window."""
    squares = products_of(series, RETURN, place, 0.0, RETURN, place, 0.0, bars)
    return math.sqrt(squares / bars)


@kernel
def deviation_ratio(series: Floats, place: int, number: int, short: int, long: int) -> float:
    """Return the short window's root mean square of returns over the long one's."""
    if number < long:
        return np.nan
    return ratio(root_mean_square(series, place, short), root_mean_square(series, place, long))


@kernel
def natr(series: Floats, place: int, number: int, span: int, memory: Floats, cell: int) -> float:
    """Return Wilder's average true range of `span` bars, ticks; NaN before."""
    if number < 1:
        return np.nan
    fold_wilder_mean(memory, cell, number, span, 1.0 / span, series[TRUE_RANGE, place])
    return float(memory[cell]) if number >= span else np.nan


@kernel
def garman_klass(series: Floats, place: int, bars: int) -> float:
    """Return Garman and Klass' variance of a bar, from range and body of the window's bars."""
    ranges = window_sum(series, LOG_RANGE_SQUARE, place, bars)
    bodies = window_sum(series, LOG_BODY_SQUARE, place, bars)
    return max(0.5 * ranges - (2.0 * math.log(2.0) - 1.0) * bodies, 0.0) / bars


@kernel
def decayed(series: Floats, place: int, number: int, span: int, memory: Floats, cell: int) -> float:
    """Return the exponentially weighted mean of squared returns; the first one seeds it."""
    if number < 1:
        return np.nan
    square = series[RETURN, place] * series[RETURN, place]
    if number == 1:
        memory[cell] = square
    else:
        memory[cell] += (square - memory[cell]) * (2.0 / (span + 1))
    return float(memory[cell]) if number >= span else np.nan


@kernel
def band_width(
    series: Floats,
    place: int,
    number: int,
    bars: int,
    per_atr: float,
    features: Floats,
    column: int,
) -> None:
    """Write four standard deviations of closes over their mean, bps, in place.

    Then the squeeze: two deviations over 1.5 ATRs; below 1 the deviations lie inside the ranges.
    """
    features[column] = np.nan
    features[column + 1] = np.nan
    if number < bars - 1:
        return
    mean, variance = window_spread(series, CLOSE, place, bars)
    deviation = math.sqrt(max(variance, 0.0))
    features[column] = 4.0 * deviation / (series[CLOSE, place] + mean) * TO_BPS
    features[column + 1] = deviation * per_atr * (4.0 / 3.0)


@kernel
def channel(
    series: Floats,
    place: int,
    number: int,
    bars: int,
    per_atr: float,
    features: Floats,
    column: int,
) -> None:
    """Write where the close lies in the window's range, -1 to 1, and the range, in place."""
    features[column] = np.nan
    features[column + 1] = np.nan
    if number < bars - 1:
        return
    low, high = window_range(series, HIGH, LOW, place, bars)
    features[column] = ratio(2.0 * series[CLOSE, place] - high - low, high - low)
    features[column + 1] = (high - low) * per_atr


@kernel
def ulcer(series: Floats, place: int, number: int, bars: int) -> float:
    """Return the root mean square of falls from the window's highest close so far, bps."""
    if number < bars - 1:
        return np.nan
    peak = 0.0
    squares = 0.0
    for at in range(place - bars + 1, place + 1):
        peak = max(peak, series[CLOSE, at])
        fall = series[CLOSE, at] / peak - 1.0
        squares += fall * fall
    return math.sqrt(squares / bars) * TO_BPS


@kernel
def choppiness(series: Floats, place: int, number: int, bars: int) -> float:
    """Return log(sum of true ranges / range) / log(bars): 1 goes nowhere, 0 straight."""
    if number < bars:
        return np.nan
    low, high = window_range(series, HIGH, LOW, place, bars)
    if not high > low:
        return np.nan
    ranges = window_sum(series, TRUE_RANGE, place, bars)
    return math.log(ranges / (high - low)) / math.log(float(bars))


@kernel
def update_volatility(
    plan: FeaturePlan,
    series: Floats,
    place: int,
    number: int,
    atr: float,
    memory: Floats,
    features: Floats,
) -> None:
    """Write this family's columns for bar `number`, in place."""
    first, params, column, cell = plan.first, plan.params, plan.column, plan.cell
    close, per_atr = series[CLOSE, place], per_atr_of(atr)
    for k in range(first[ATR_BPS], first[ATR_BPS + 1]):
        features[column[k]] = atr / close * TO_BPS
    for k in range(first[RANGE_ATR], first[RANGE_ATR + 1]):
        features[column[k]] = (series[HIGH, place] - series[LOW, place]) * per_atr
    for k in range(first[NATR_BPS], first[NATR_BPS + 1]):
        span = int(params[k, 0])
        features[column[k]] = natr(series, place, number, span, memory, cell[k]) / close * TO_BPS
    for k in range(first[DECAYED_BPS], first[DECAYED_BPS + 1]):
        mean = decayed(series, place, number, int(params[k, 0]), memory, cell[k])
        features[column[k]] = math.sqrt(mean) * TO_BPS
    for k in range(first[BAND_WIDTH], first[BAND_WIDTH + 1]):
        band_width(series, place, number, int(params[k, 0]), per_atr, features, column[k])
    for k in range(first[CHANNEL], first[CHANNEL + 1]):
        channel(series, place, number, int(params[k, 0]), per_atr, features, column[k])
    for k in range(first[ULCER_BPS], first[ULCER_BPS + 1]):
        features[column[k]] = ulcer(series, place, number, int(params[k, 0]))
    for k in range(first[CHOPPINESS], first[CHOPPINESS + 1]):
        features[column[k]] = choppiness(series, place, number, int(params[k, 0]))
    update_spread(plan, series, place, number, features)


@kernel
def push_logs(series: Floats, place: int) -> None:
    """Write the newest bar's logarithms into their columns, in place."""
    start, close = series[OPEN, place], series[CLOSE, place]
    range_log = log_ratio(series[HIGH, place], series[LOW, place])
    body_log = log_ratio(close, start)
    up_log = log_ratio(series[HIGH, place], start)
    down_log = up_log - range_log
    series[LOG_RANGE_SQUARE, place] = range_log * range_log
    series[LOG_BODY_SQUARE, place] = body_log * body_log
    series[LOG_DRIFT, place] = up_log * (up_log - body_log) + down_log * (down_log - body_log)


@kernel
def update_spread(
    plan: FeaturePlan, series: Floats, place: int, number: int, features: Floats
) -> None:
    """Write the columns that estimate a bar's deviation over a window, in place."""
    first, params, column = plan.first, plan.params, plan.column
    for k in range(first[DEVIATION_BPS], first[DEVIATION_BPS + 1]):
        bars, value = int(params[k, 0]), np.nan
        if number >= bars:
            value = root_mean_square(series, place, bars) * TO_BPS
        features[column[k]] = value
    for k in range(first[DEVIATION_RATIO], first[DEVIATION_RATIO + 1]):
        short, long = int(params[k, 0]), int(params[k, 1])
        features[column[k]] = deviation_ratio(series, place, number, short, long)
    update_ranges(plan, series, place, number, features)


@kernel
def update_ranges(
    plan: FeaturePlan, series: Floats, place: int, number: int, features: Floats
) -> None:
    """Write the columns that estimate it from ranges and bodies, in place."""
    first, params, column = plan.first, plan.params, plan.column
    if first[PARKINSON_BPS] == first[ROGERS_SATCHELL_BPS + 1]:
        return
    push_logs(series, place)
    for k in range(first[PARKINSON_BPS], first[PARKINSON_BPS + 1]):
        bars, value = int(params[k, 0]), np.nan
        if number >= bars - 1:
            squares = window_sum(series, LOG_RANGE_SQUARE, place, bars)
            value = math.sqrt(squares / (bars * 4.0 * math.log(2.0))) * TO_BPS
        features[column[k]] = value
    for k in range(first[GARMAN_KLASS_BPS], first[GARMAN_KLASS_BPS + 1]):
        bars, value = int(params[k, 0]), np.nan
        if number >= bars - 1:
            value = math.sqrt(garman_klass(series, place, bars)) * TO_BPS
        features[column[k]] = value
    for k in range(first[ROGERS_SATCHELL_BPS], first[ROGERS_SATCHELL_BPS + 1]):
        bars, value = int(params[k, 0]), np.nan
        if number >= bars - 1:
            mean = max(window_sum(series, LOG_DRIFT, place, bars), 0.0) / bars
            value = math.sqrt(mean) * TO_BPS
        features[column[k]] = value
