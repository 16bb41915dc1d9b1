"""Statistics of closes over a window."""

from __future__ import annotations

import math

import numpy as np

from engine.domain.bars import BAR_MASK
from engine.domain.features.plan import DEVIATION, FeaturePlan
from engine.domain.kernel import Floats, Records, inlined, kernel


@kernel
def deviation(closed: Records, i: int, t: int, number: int, span: int) -> float:
    """Return close minus the mean of `span` closes, in their standard deviations.

    Sums are taken of differences from the newest close, so that large prices lose no digits.
    NaN before `span` closes and while they are equal.
    """
    if number < span - 1:
        return np.nan
    close = closed["close_ticks"][i, t, number & BAR_MASK]
    total = 0.0
    squares = 0.0
    for back in range(span):
        difference = float(closed["close_ticks"][i, t, (number - back) & BAR_MASK] - close)
        total += difference
        squares += difference * difference
    variance = squares / span - (total / span) * (total / span)
    if not variance > 0.0:
        return np.nan
    return -(total / span) / math.sqrt(variance)


@inlined
def update_statistics(
    plan: FeaturePlan, closed: Records, i: int, t: int, number: int, features: Floats
) -> None:
    """Write this family's columns for closed bar `number`, in place."""
    for k in range(plan.first[DEVIATION], plan.first[DEVIATION + 1]):
        span = int(plan.params[k, 0])
        features[i, t, plan.column[k]] = deviation(closed, i, t, number, span)
