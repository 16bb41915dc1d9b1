"""Volatility: the average true range that scales other features, and how returns spread."""

from __future__ import annotations

import math

import numpy as np

from engine.domain.bars import BAR_MASK
from engine.domain.features.plan import ATR_BPS, DEVIATION_BPS, RANGE_ATR, FeaturePlan
from engine.domain.kernel import Floats, Records, inlined, kernel

ATR_BARS = 14


@inlined
def update_atr(
    closed: Records, atr_ticks: Floats, atr_seed: Floats, i: int, t: int, number: int
) -> None:
    """Fold closed bar `number` into Wilder's average true range, in ticks, in place.

    The first value is the mean of the true ranges of bars 1 to `ATR_BARS`; NaN before.
    """
    if number < 1:
        return
    high = closed["high_ticks"][i, t, number & BAR_MASK]
    low = closed["low_ticks"][i, t, number & BAR_MASK]
    close_before = closed["close_ticks"][i, t, (number - 1) & BAR_MASK]
    true_range = float(max(high, close_before) - min(low, close_before))
    if number <= ATR_BARS:
        atr_seed[i, t] += true_range
        if number == ATR_BARS:
            atr_ticks[i, t] = atr_seed[i, t] / ATR_BARS
        return
    atr_ticks[i, t] = (atr_ticks[i, t] * (ATR_BARS - 1) + true_range) / ATR_BARS


@kernel
def deviation_bps(closed: Records, i: int, t: int, number: int, span: int) -> float:
    """Return the root mean square of the last `span` returns, bps; NaN before."""
    if number < span:
        return np.nan
    squares = 0.0
    for back in range(span):
        close = closed["close_ticks"][i, t, (number - back) & BAR_MASK]
        before = closed["close_ticks"][i, t, (number - back - 1) & BAR_MASK]
        change = (close - before) / before
        squares += change * change
    return math.sqrt(squares / span) * 10_000.0


@inlined
def update_volatility(
    plan: FeaturePlan,
    closed: Records,
    i: int,
    t: int,
    number: int,
    atr_ticks: float,
    features: Floats,
) -> None:
    """Write this family's columns for closed bar `number`, in place."""
    place = number & BAR_MASK
    close = closed["close_ticks"][i, t, place]
    for k in range(plan.first[ATR_BPS], plan.first[ATR_BPS + 1]):
        features[i, t, plan.column[k]] = atr_ticks / close * 10_000.0
    for k in range(plan.first[RANGE_ATR], plan.first[RANGE_ATR + 1]):
        span = closed["high_ticks"][i, t, place] - closed["low_ticks"][i, t, place]
        features[i, t, plan.column[k]] = span / atr_ticks if atr_ticks > 0.0 else np.nan
    for k in range(plan.first[DEVIATION_BPS], plan.first[DEVIATION_BPS + 1]):
        lookback = int(plan.params[k, 0])
        features[i, t, plan.column[k]] = deviation_bps(closed, i, t, number, lookback)
