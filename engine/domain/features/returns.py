"""Returns and the shape of a bar."""

from __future__ import annotations

import numpy as np

from engine.domain.bars import BAR_MASK
from engine.domain.features.plan import BODY, CHANGE, CLOSE_PLACE, FeaturePlan
from engine.domain.kernel import Floats, Records, inlined, kernel


@kernel
def change(closed: Records, i: int, t: int, number: int, lookback: int, atr_ticks: float) -> float:
    """Return close minus the close `lookback` bars before, in ATRs; NaN when unknown."""
    if number < lookback or not atr_ticks > 0.0:
        return np.nan
    close = closed["close_ticks"][i, t, number & BAR_MASK]
    before = closed["close_ticks"][i, t, (number - lookback) & BAR_MASK]
    return float((close - before) / atr_ticks)


@kernel
def body(closed: Records, i: int, t: int, number: int) -> float:
    """Return (close - open) / (high - low); NaN in a flat bar."""
    k = number & BAR_MASK
    span = closed["high_ticks"][i, t, k] - closed["low_ticks"][i, t, k]
    if span == 0:
        return np.nan
    return float((closed["close_ticks"][i, t, k] - closed["open_ticks"][i, t, k]) / span)


@kernel
def close_place(closed: Records, i: int, t: int, number: int) -> float:
    """Return where the close lies between low (-1) and high (+1); NaN in a flat bar."""
    k = number & BAR_MASK
    high = closed["high_ticks"][i, t, k]
    low = closed["low_ticks"][i, t, k]
    if high == low:
        return np.nan
    return float((2 * closed["close_ticks"][i, t, k] - high - low) / (high - low))


@inlined
def update_returns(
    plan: FeaturePlan,
    closed: Records,
    i: int,
    t: int,
    number: int,
    atr_ticks: float,
    features: Floats,
) -> None:
    """Write this family's columns for closed bar `number`, in place."""
    for k in range(plan.first[CHANGE], plan.first[CHANGE + 1]):
        lookback = int(plan.params[k, 0])
        features[i, t, plan.column[k]] = change(closed, i, t, number, lookback, atr_ticks)
    for k in range(plan.first[BODY], plan.first[BODY + 1]):
        features[i, t, plan.column[k]] = body(closed, i, t, number)
    for k in range(plan.first[CLOSE_PLACE], plan.first[CLOSE_PLACE + 1]):
        features[i, t, plan.column[k]] = close_place(closed, i, t, number)
