"""Distance from averages, and their slope."""

from __future__ import annotations

import numpy as np

from engine.domain.features.plan import FeaturePlan, kernel_number
from engine.domain.features.series import CLOSE, VOLUME, ratio, window_volume
from engine.domain.features.windows import along_of, products_of, window_sum, window_way
from engine.domain.kernel import Floats, kernel

EMA_DISTANCE = kernel_number("averages.ema_distance")
EMA_SLOPE = kernel_number("averages.ema_slope")
SMA_DISTANCE = kernel_number("averages.sma_distance")
WMA_DISTANCE = kernel_number("averages.wma_distance")
VWMA_DISTANCE = kernel_number("averages.vwma_distance")
DEMA_DISTANCE = kernel_number("averages.dema_distance")
TEMA_DISTANCE = kernel_number("averages.tema_distance")
KAMA_DISTANCE = kernel_number("averages.kama_distance")
KAMA_QUICK, KAMA_SLOW = 2.0 / 3.0, 2.0 / 31.0  # weights of 2 and 30 bars (Kaufman)


@kernel
def update_ema(memory: Floats, cell: int, number: int, span: int, value: float) -> float:
    """Fold a value into an exponential average and return it; NaN before `span` values.

    Seeded with the mean of the first `span` values, then weight 2 / (span + 1) for the newest.

    Args:
        number: how many values were folded before; below 0: nothing is done yet.
    """
    if number < 0:
        return np.nan
    if number < span:
        memory[cell] += value
        if number < span - 1:
            return np.nan
        memory[cell] /= span
    else:
        memory[cell] += (value - memory[cell]) * (2.0 / (span + 1))
    return float(memory[cell])


@kernel
def fold_wilder_mean(
    memory: Floats, cell: int, number: int, span: int, weight: float, value: float
) -> None:
    """Fold a value into Wilder's average: the mean of the first `span`, then weight 1 / span.

    Args:
        memory: state of the rows.
        cell: where the average stands; until `span` values were folded, a part of it.
        number: which value it is, from 1.
        span: of the average.
        weight: 1 / span.
        value: the newest.
    """
    if number > span:
        memory[cell] += (value - memory[cell]) * weight
    else:
        memory[cell] += value * weight


@kernel
def ema_slope(
    memory: Floats, cell: int, number: int, span: int, close: float, per_atr: float
) -> float:
    """Return what the newest close moved its exponential average by, in ATRs."""
    before = memory[cell]
    average = update_ema(memory, cell, number, span, close)
    if number < span:
        return np.nan
    return (average - before) * per_atr


@kernel
def sma(series: Floats, place: int, number: int, bars: int) -> float:
    """Return the mean of closes."""
    if number < bars - 1:
        return np.nan
    return window_sum(series, CLOSE, place, bars) / bars


@kernel
def wma(series: Floats, place: int, number: int, bars: int) -> float:
    """Return the average of closes with weights 1 .. bars, the newest weighing most."""
    if number < bars - 1:
        return np.nan
    total = along_of(series, CLOSE, place, bars, 0.0, -1.0)
    return total / (bars * (bars + 1) / 2)


@kernel
def vwma(series: Floats, place: int, number: int, bars: int) -> float:
    """Return the average of closes weighted with volume; NaN without volume."""
    if number < bars - 1:
        return np.nan
    total = products_of(series, CLOSE, place, 0.0, VOLUME, place, 0.0, bars)
    return ratio(total, window_volume(series, place, bars))


@kernel
def dema(memory: Floats, cell: int, number: int, span: int, close: float) -> float:
    """Return twice the exponential average minus the average of it."""
    one = update_ema(memory, cell, number, span, close)
    two = update_ema(memory, cell + 1, number - span + 1, span, one)
    return 2.0 * one - two


@kernel
def tema(memory: Floats, cell: int, number: int, span: int, close: float) -> float:
    """Return 3 EMA - 3 EMA(EMA) + EMA(EMA(EMA))."""
    one = update_ema(memory, cell, number, span, close)
    two = update_ema(memory, cell + 1, number - span + 1, span, one)
    three = update_ema(memory, cell + 2, number - 2 * span + 2, span, two)
    return 3.0 * one - 3.0 * two + three


@kernel
def kama(series: Floats, place: int, number: int, bars: int, memory: Floats, cell: int) -> float:
    """Return Kaufman's average, whose weight grows with how straight the window was.

    It starts from the close before the first full window.
    """
    if number < bars:
        return np.nan
    if number == bars:
        memory[cell] = series[CLOSE, place - 1]
    way = window_way(series, CLOSE, place, bars)
    straight = 1.0
    if way > 0.0:
        straight = abs(series[CLOSE, place] - series[CLOSE, place - bars]) / way
    weight = straight * (KAMA_QUICK - KAMA_SLOW) + KAMA_SLOW
    memory[cell] += weight * weight * (series[CLOSE, place] - memory[cell])
    return float(memory[cell])


@kernel
def update_averages(
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
    close = series[CLOSE, place]
    for k in range(first[EMA_DISTANCE], first[EMA_DISTANCE + 1]):
        average = update_ema(memory, cell[k], number, int(params[k, 0]), close)
        features[column[k]] = (close - average) * per_atr
    for k in range(first[EMA_SLOPE], first[EMA_SLOPE + 1]):
        span = int(params[k, 0])
        features[column[k]] = ema_slope(memory, cell[k], number, span, close, per_atr)
    for k in range(first[DEMA_DISTANCE], first[DEMA_DISTANCE + 1]):
        average = dema(memory, cell[k], number, int(params[k, 0]), close)
        features[column[k]] = (close - average) * per_atr
    for k in range(first[TEMA_DISTANCE], first[TEMA_DISTANCE + 1]):
        average = tema(memory, cell[k], number, int(params[k, 0]), close)
        features[column[k]] = (close - average) * per_atr
    for k in range(first[KAMA_DISTANCE], first[KAMA_DISTANCE + 1]):
        average = kama(series, place, number, int(params[k, 0]), memory, cell[k])
        features[column[k]] = (close - average) * per_atr
    update_windowed(plan, series, place, number, per_atr, features)


@kernel
def update_windowed(
    plan: FeaturePlan, series: Floats, place: int, number: int, per_atr: float, features: Floats
) -> None:
    """Write the columns of averages over windows, in place."""
    first, params, column = plan.first, plan.params, plan.column
    close = series[CLOSE, place]
    for k in range(first[SMA_DISTANCE], first[SMA_DISTANCE + 1]):
        average = sma(series, place, number, int(params[k, 0]))
        features[column[k]] = (close - average) * per_atr
    for k in range(first[WMA_DISTANCE], first[WMA_DISTANCE + 1]):
        average = wma(series, place, number, int(params[k, 0]))
        features[column[k]] = (close - average) * per_atr
    for k in range(first[VWMA_DISTANCE], first[VWMA_DISTANCE + 1]):
        average = vwma(series, place, number, int(params[k, 0]))
        features[column[k]] = (close - average) * per_atr
