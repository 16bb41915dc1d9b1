"""Statistics of closes and returns over a window."""

from __future__ import annotations

import math

import numpy as np

from engine.domain.features.plan import FeaturePlan, kernel_number
from engine.domain.features.series import CLOSE, RETURN, RETURN_VARIANCE_MIN, ratio
from engine.domain.features.windows import (
    along_of,
    newest_deviation,
    powers_of,
    products_of,
    squares_between,
    window_sum,
)
from engine.domain.kernel import Floats, kernel

DEVIATION = kernel_number("statistics.deviation")
MOMENTS = kernel_number("statistics.moments")
AUTOCORRELATION = kernel_number("statistics.autocorrelation")
VARIANCE_RATIO = kernel_number("statistics.variance_ratio")
LINE = kernel_number("statistics.line")
RANK = kernel_number("statistics.rank")
REVERSION = kernel_number("statistics.reversion")


@kernel
def deviation(series: Floats, place: int, number: int, bars: int) -> float:
    """Return close minus the mean of `bars` closes, in their standard deviations.

    NaN before `bars` closes and while they are equal.
    """
    if number < bars - 1:
        return np.nan
    return newest_deviation(series, CLOSE, place, bars, 0.0)


@kernel
def moments(
    series: Floats, place: int, number: int, bars: int, features: Floats, column: int
) -> None:
    """Write skewness and excess kurtosis of the window's returns, in place."""
    features[column] = np.nan
    features[column + 1] = np.nan
    if number < bars:
        return
    mean = window_sum(series, RETURN, place, bars) / bars
    two, three, four = powers_of(series, RETURN, place, bars, mean)
    two /= bars
    if not two > RETURN_VARIANCE_MIN:
        return
    features[column] = three / bars / (two * math.sqrt(two))
    features[column + 1] = four / bars / (two * two) - 3.0


@kernel
def update_autocorrelation(
    plan: FeaturePlan, series: Floats, place: int, number: int, features: Floats
) -> None:
    """Write the correlations of returns with those `lag` bars before, within the window, in place.

    Rows of one window follow each other, and share its mean and squares.
    """
    known, mean, squares = 0, 0.0, 0.0
    for k in range(plan.first[AUTOCORRELATION], plan.first[AUTOCORRELATION + 1]):
        bars, lag, value = int(plan.params[k, 0]), int(plan.params[k, 1]), np.nan
        if bars != known:
            known = bars
            mean = window_sum(series, RETURN, place, bars) / bars
            squares = products_of(series, RETURN, place, mean, RETURN, place, mean, bars)
        if number >= bars and squares > RETURN_VARIANCE_MIN * bars:
            shared = products_of(series, RETURN, place, mean, RETURN, place - lag, mean, bars - lag)
            value = shared / squares
        features[plan.column[k]] = value


@kernel
def update_variance_ratio(
    plan: FeaturePlan, series: Floats, place: int, number: int, features: Floats
) -> None:
    """Write the mean squared moves over `step` bars against `step` times those of one, in place.

    Above 1 moves go on, below 1 they turn back. Rows of one window follow each other, and share
    the squares of its moves.
    """
    known, single = 0, 0.0
    for k in range(plan.first[VARIANCE_RATIO], plan.first[VARIANCE_RATIO + 1]):
        bars, step, value = int(plan.params[k, 0]), int(plan.params[k, 1]), np.nan
        if bars != known:
            known, single = bars, squares_between(series, CLOSE, place, bars, 1)
        if number >= bars:
            stepped = squares_between(series, CLOSE, place, bars + 1 - step, step)
            value = ratio(stepped / (bars - step + 1), single / bars * step)
        features[plan.column[k]] = value


@kernel
def line(
    series: Floats,
    place: int,
    number: int,
    bars: int,
    per_atr: float,
    features: Floats,
    column: int,
) -> None:
    """Write slope, fit and newest residual of the straight line through the closes, in place.

    Slope in ATRs per bar; fit is R squared; the residual in standard deviations of all residuals.
    """
    for output in range(3):
        features[column + output] = np.nan
    if number < bars - 1:
        return
    close = series[CLOSE, place]
    middle = (bars - 1) / 2.0
    mean = window_sum(series, CLOSE, place, bars) / bars
    along = along_of(series, CLOSE, place, bars, mean, middle)
    squares = products_of(series, CLOSE, place, mean, CLOSE, place, mean, bars)
    width = bars * (bars * bars - 1) / 12.0
    slope = along / width
    left = squares - slope * along
    features[column] = slope * per_atr
    if squares > 0.0:
        features[column + 1] = slope * along / squares
    # WHY: what rounding leaves beside a straight line is no residual.
    if left > 1e-12 * squares:
        features[column + 2] = (close - mean - slope * middle) / math.sqrt(left / bars)


@kernel
def rank(series: Floats, place: int, number: int, bars: int) -> float:
    """Return the share of the `bars` closes before that are below the newest; ties count half."""
    if number < bars:
        return np.nan
    close, below_twice = series[CLOSE, place], 0
    for at in range(place - bars, place):
        below_twice += int(series[CLOSE, at] < close) + int(series[CLOSE, at] <= close)
    return below_twice / (2 * bars)


@kernel
def reversion(series: Floats, place: int, number: int, bars: int) -> float:
    """Return which share of its distance from the mean a close lost by the next bar, fitted.

    The regression of moves on the closes before them (Ornstein and Uhlenbeck), sign turned.
    """
    if number < bars:
        return np.nan
    mean = window_sum(series, CLOSE, place - 1, bars) / bars
    newest_mean = mean + (series[CLOSE, place] - series[CLOSE, place - bars]) / bars
    before = place - 1
    squares = products_of(series, CLOSE, before, mean, CLOSE, before, mean, bars)
    kept = products_of(series, CLOSE, before, mean, CLOSE, place, newest_mean, bars)
    return ratio(squares - kept, squares)


@kernel
def update_statistics(
    plan: FeaturePlan, series: Floats, place: int, number: int, per_atr: float, features: Floats
) -> None:
    """Write this family's columns for bar `number`, in place."""
    first, params, column = plan.first, plan.params, plan.column
    for k in range(first[DEVIATION], first[DEVIATION + 1]):
        features[column[k]] = deviation(series, place, number, int(params[k, 0]))
    for k in range(first[MOMENTS], first[MOMENTS + 1]):
        moments(series, place, number, int(params[k, 0]), features, column[k])
    update_autocorrelation(plan, series, place, number, features)
    update_variance_ratio(plan, series, place, number, features)
    for k in range(first[LINE], first[LINE + 1]):
        line(series, place, number, int(params[k, 0]), per_atr, features, column[k])
    for k in range(first[RANK], first[RANK + 1]):
        features[column[k]] = rank(series, place, number, int(params[k, 0]))
    for k in range(first[REVERSION], first[REVERSION + 1]):
        features[column[k]] = reversion(series, place, number, int(params[k, 0]))
