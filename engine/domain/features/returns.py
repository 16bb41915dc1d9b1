"""Returns and the shape of a bar."""

from __future__ import annotations

import numpy as np

from engine.domain.features.plan import FeaturePlan, kernel_number
from engine.domain.features.series import (
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    RETURN,
    RETURN_VARIANCE_MIN,
    ratio,
)
from engine.domain.features.windows import newest_deviation
from engine.domain.kernel import Floats, kernel

CHANGE = kernel_number("returns.change")
BODY = kernel_number("returns.body")
CLOSE_PLACE = kernel_number("returns.close_place")
WICKS = kernel_number("returns.wicks")
GAP = kernel_number("returns.gap")
DEVIATION_OF_RETURN = kernel_number("returns.deviation_of_return")
RUN = kernel_number("returns.run")


@kernel
def change(series: Floats, place: int, number: int, bars: int, per_atr: float) -> float:
    """Return close minus the close `bars` bars before, in ATRs; NaN when unknown."""
    if number < bars:
        return np.nan
    return (series[CLOSE, place] - series[CLOSE, place - bars]) * per_atr


@kernel
def body(series: Floats, place: int) -> float:
    """Return (close - open) / (high - low); NaN in a flat bar."""
    span = series[HIGH, place] - series[LOW, place]
    return ratio(series[CLOSE, place] - series[OPEN, place], span)


@kernel
def close_place(series: Floats, place: int) -> float:
    """Return where the close lies between low (-1) and high (+1); NaN in a flat bar."""
    high = series[HIGH, place]
    low = series[LOW, place]
    return ratio(2.0 * series[CLOSE, place] - high - low, high - low)


@kernel
def wicks(series: Floats, place: int, features: Floats, column: int) -> None:
    """Write what lies above and below the body, over high minus low; NaN in a flat bar."""
    high = series[HIGH, place]
    low = series[LOW, place]
    features[column] = ratio(high - max(series[OPEN, place], series[CLOSE, place]), high - low)
    features[column + 1] = ratio(min(series[OPEN, place], series[CLOSE, place]) - low, high - low)


@kernel
def gap(series: Floats, place: int, number: int, per_atr: float) -> float:
    """Return open minus the close before, in ATRs."""
    if number < 1:
        return np.nan
    return (series[OPEN, place] - series[CLOSE, place - 1]) * per_atr


@kernel
def deviation_of_return(series: Floats, place: int, number: int, bars: int) -> float:
    """Return the newest return minus the mean of the window's, in their standard deviations."""
    if number < bars:
        return np.nan
    return newest_deviation(series, RETURN, place, bars, RETURN_VARIANCE_MIN)


@kernel
def run(series: Floats, place: int, number: int, memory: Floats, cell: int) -> float:
    """Return how many closes in a row rose (+) or fell (-); an equal close starts at 0 again."""
    if number < 1:
        return np.nan
    move = series[CLOSE, place] - series[CLOSE, place - 1]
    if move > 0.0:
        memory[cell] = max(memory[cell], 0.0) + 1.0
    elif move < 0.0:
        memory[cell] = min(memory[cell], 0.0) - 1.0
    else:
        memory[cell] = 0.0
    return float(memory[cell])


@kernel
def update_returns(
    plan: FeaturePlan,
    series: Floats,
    place: int,
    number: int,
    per_atr: float,
    memory: Floats,
    features: Floats,
) -> None:
    """Write this family's columns for bar `number`, in place."""
    first, params, column = plan.first, plan.params, plan.column
    for k in range(first[CHANGE], first[CHANGE + 1]):
        features[column[k]] = change(series, place, number, int(params[k, 0]), per_atr)
    for k in range(first[BODY], first[BODY + 1]):
        features[column[k]] = body(series, place)
    for k in range(first[CLOSE_PLACE], first[CLOSE_PLACE + 1]):
        features[column[k]] = close_place(series, place)
    for k in range(first[WICKS], first[WICKS + 1]):
        wicks(series, place, features, column[k])
    for k in range(first[GAP], first[GAP + 1]):
        features[column[k]] = gap(series, place, number, per_atr)
    for k in range(first[DEVIATION_OF_RETURN], first[DEVIATION_OF_RETURN + 1]):
        features[column[k]] = deviation_of_return(series, place, number, int(params[k, 0]))
    for k in range(first[RUN], first[RUN + 1]):
        features[column[k]] = run(series, place, number, memory, plan.cell[k])
