"""Trend: how far, how straight and on which side price goes."""

from __future__ import annotations

import numpy as np

from engine.domain.features.averages import update_ema
from engine.domain.features.plan import FeaturePlan, kernel_number
from engine.domain.features.series import CLOSE, HIGH, LOW, TRUE_RANGE, per_atr_of, ratio
from engine.domain.features.windows import (
    distance_between,
    newest_at,
    window_range,
    window_sum,
)
from engine.domain.kernel import Floats, kernel

MACD = kernel_number("trend.macd")
ADX = kernel_number("trend.adx")
AROON = kernel_number("trend.aroon")
SUPERTREND = kernel_number("trend.supertrend")
VORTEX = kernel_number("trend.vortex")
MIDPOINT_DISTANCE = kernel_number("trend.midpoint_distance")
FRACTALS = kernel_number("trend.fractals")


@kernel
def macd(
    memory: Floats,
    cell: int,
    number: int,
    spans: Floats,
    close: float,
    per_atr: float,
    features: Floats,
    column: int,
) -> None:
    """Write short minus long average, and that minus its own average, in ATRs, in place.

    The short average is seeded so that it starts at the bar at which the long one does.

    Args:
        spans: short, long and signal span.
    """
    short_span, long_span, signal_span = int(spans[0]), int(spans[1]), int(spans[2])
    wait = long_span - short_span
    short = update_ema(memory, cell, number - wait, short_span, close)
    long = update_ema(memory, cell + 1, number, long_span, close)
    line = short - long
    signal = update_ema(memory, cell + 2, number - long_span + 1, signal_span, line)
    if signal != signal:  # noqa: PLR0124  NaN: the signal is not seeded yet
        line = np.nan
    features[column] = line * per_atr
    features[column + 1] = (line - signal) * per_atr


@kernel
def fold_wilder(memory: Floats, cell: int, weight: float, value: float) -> None:
    """Fold a value into Wilder's running sum, which loses a share of `weight` first."""
    memory[cell] += value - memory[cell] * weight


@kernel
def adx(
    series: Floats,
    place: int,
    number: int,
    span: int,
    memory: Floats,
    cell: int,
    features: Floats,
    column: int,
) -> None:
    """Write Wilder's +DI, -DI and ADX, each 0 to 1, in place. Cells: plus, minus, range, ADX."""
    for output in range(3):
        features[column + output] = np.nan
    if number < 1:
        return
    up = series[HIGH, place] - series[HIGH, place - 1]
    down = series[LOW, place - 1] - series[LOW, place]
    weight = 1.0 / span
    decay = weight if number >= span else 0.0  # `span` - 1 values are added up as they are
    fold_wilder(memory, cell, decay, up if up > max(down, 0.0) else 0.0)
    fold_wilder(memory, cell + 1, decay, down if down > max(up, 0.0) else 0.0)
    fold_wilder(memory, cell + 2, decay, series[TRUE_RANGE, place])
    if number < span:
        return
    plus = ratio(memory[cell], memory[cell + 2])
    minus = ratio(memory[cell + 1], memory[cell + 2])
    strength = memory[cell + 3] if number >= 2 * span else 0.0
    if plus + minus > 0.0:
        strength = abs(plus - minus) / (plus + minus)
    if number < 2 * span:
        memory[cell + 3] += strength * weight
    else:
        memory[cell + 3] += (strength - memory[cell + 3]) * weight
    if number >= 2 * span - 1:
        features[column] = plus
        features[column + 1] = minus
        features[column + 2] = memory[cell + 3]


@kernel
def aroon(
    series: Floats,
    place: int,
    number: int,
    bars: int,
    memory: Floats,
    cell: int,
    features: Floats,
    column: int,
) -> None:
    """Write how recent the highest high and the lowest low are, 1 (now) to 0, in place.

    Of equal extremes the newest counts. Cells: the bars they are of, which are looked for anew when
    one of them leaves the window.
    """
    features[column] = np.nan
    features[column + 1] = np.nan
    if number < bars:
        return
    oldest, back = number - bars, place - number
    highest, lowest = int(memory[cell]), int(memory[cell + 1])
    if number == bars or highest < oldest or lowest < oldest:
        low, high = window_range(series, HIGH, LOW, place, bars + 1)
        highest = oldest + newest_at(series, HIGH, place, bars + 1, high)
        lowest = oldest + newest_at(series, LOW, place, bars + 1, low)
    if series[HIGH, place] >= series[HIGH, highest + back]:
        highest = number
    if series[LOW, place] <= series[LOW, lowest + back]:
        lowest = number
    memory[cell] = highest
    memory[cell + 1] = lowest
    features[column] = (highest - oldest) / bars
    features[column + 1] = (lowest - oldest) / bars


@kernel
def supertrend(
    series: Floats,
    place: int,
    width_atr: float,
    atr_ticks: float,
    memory: Floats,
    cell: int,
    features: Floats,
    column: int,
) -> None:
    """Write the side of a band that trails price, and close minus that band in ATRs, in place.

    A band only tightens while the close before was inside it; a close through it turns the side.
    Cells: upper band, lower band, side (0: not begun).
    """
    features[column] = np.nan
    features[column + 1] = np.nan
    if not atr_ticks > 0.0:
        return
    middle = (series[HIGH, place] + series[LOW, place]) / 2.0
    upper = middle + width_atr * atr_ticks
    lower = middle - width_atr * atr_ticks
    close = series[CLOSE, place]
    side = memory[cell + 2]
    if side == 0.0:
        side = 1.0 if close >= middle else -1.0
    else:
        before = series[CLOSE, place - 1]
        if before <= memory[cell]:
            upper = min(upper, memory[cell])
        if before >= memory[cell + 1]:
            lower = max(lower, memory[cell + 1])
        if close > upper:
            side = 1.0
        elif close < lower:
            side = -1.0
    memory[cell] = upper
    memory[cell + 1] = lower
    memory[cell + 2] = side
    features[column] = side
    features[column + 1] = (close - (lower if side > 0.0 else upper)) / atr_ticks


@kernel
def vortex(
    series: Floats, place: int, number: int, bars: int, features: Floats, column: int
) -> None:
    """Write upward and downward movement between bars over the true range, in place."""
    features[column] = np.nan
    features[column + 1] = np.nan
    if number < bars:
        return
    plus = distance_between(series, HIGH, place, LOW, place - 1, bars)
    minus = distance_between(series, LOW, place, HIGH, place - 1, bars)
    whole = window_sum(series, TRUE_RANGE, place, bars)
    features[column] = ratio(plus, whole)
    features[column + 1] = ratio(minus, whole)


@kernel
def midpoint_distance(
    series: Floats, place: int, number: int, bars: int, shift: int, per_atr: float
) -> float:
    """Return close minus the middle of the window that ended `shift` bars ago, in ATRs."""
    if number < bars - 1 + shift:
        return np.nan
    low, high = window_range(series, HIGH, LOW, place - shift, bars)
    return (series[CLOSE, place] - (high + low) / 2.0) * per_atr


@kernel
def fractals(
    series: Floats,
    place: int,
    number: int,
    bars: int,
    per_atr: float,
    memory: Floats,
    cell: int,
    features: Floats,
    column: int,
) -> None:
    """Write the newest high above `bars` bars on either side minus close, and low alike, in place.

    Known when the last of those bars closes. Cells: that high, that low; 0: none yet.
    """
    at = place - bars
    is_high = number >= 2 * bars
    is_low = is_high
    for back in range(1, bars + 1):
        is_high &= series[HIGH, at] > max(series[HIGH, at - back], series[HIGH, at + back])
        is_low &= series[LOW, at] < min(series[LOW, at - back], series[LOW, at + back])
    if is_high:
        memory[cell] = series[HIGH, at]
    if is_low:
        memory[cell + 1] = series[LOW, at]
    close = series[CLOSE, place]
    features[column] = np.nan
    features[column + 1] = np.nan
    if memory[cell] > 0.0:
        features[column] = (memory[cell] - close) * per_atr
    if memory[cell + 1] > 0.0:
        features[column + 1] = (close - memory[cell + 1]) * per_atr


@kernel
def update_trend(
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
    for k in range(first[MACD], first[MACD + 1]):
        macd(memory, cell[k], number, params[k], close, per_atr, features, column[k])
    for k in range(first[ADX], first[ADX + 1]):
        span = int(params[k, 0])
        adx(series, place, number, span, memory, cell[k], features, column[k])
    for k in range(first[AROON], first[AROON + 1]):
        bars = int(params[k, 0])
        aroon(series, place, number, bars, memory, cell[k], features, column[k])
    for k in range(first[SUPERTREND], first[SUPERTREND + 1]):
        supertrend(series, place, params[k, 0], atr, memory, cell[k], features, column[k])
    for k in range(first[VORTEX], first[VORTEX + 1]):
        vortex(series, place, number, int(params[k, 0]), features, column[k])
    for k in range(first[MIDPOINT_DISTANCE], first[MIDPOINT_DISTANCE + 1]):
        bars, shift = int(params[k, 0]), int(params[k, 1])
        features[column[k]] = midpoint_distance(series, place, number, bars, shift, per_atr)
    for k in range(first[FRACTALS], first[FRACTALS + 1]):
        bars, c = int(params[k, 0]), column[k]
        fractals(series, place, number, bars, per_atr, memory, cell[k], features, c)
