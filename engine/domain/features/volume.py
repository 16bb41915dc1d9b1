"""Volume and who took it."""

from __future__ import annotations

import numpy as np

from engine.domain.bars import BAR_MASK
from engine.domain.features.plan import RELATIVE_VOLUME, TAKER_BALANCE, FeaturePlan
from engine.domain.kernel import Floats, Records, inlined, kernel


@kernel
def relative_volume(closed: Records, i: int, t: int, number: int, span: int) -> float:
    """Return the volume over the mean volume of the `span` bars before; NaN before."""
    if number < span:
        return np.nan
    total = 0
    for back in range(1, span + 1):
        total += closed["volume_lots"][i, t, (number - back) & BAR_MASK]
    if total == 0:
        return np.nan
    return float(closed["volume_lots"][i, t, number & BAR_MASK] * span / total)


@kernel
def taker_balance(closed: Records, i: int, t: int, number: int, span: int) -> float:
    """Return (buys - sells) / volume of the last `span` bars, by aggressor; NaN before."""
    if number < span - 1:
        return np.nan
    bought = 0
    total = 0
    for back in range(span):
        bought += closed["buy_lots"][i, t, (number - back) & BAR_MASK]
        total += closed["volume_lots"][i, t, (number - back) & BAR_MASK]
    if total == 0:
        return np.nan
    return float((2 * bought - total) / total)


@inlined
def update_volume(
    plan: FeaturePlan, closed: Records, i: int, t: int, number: int, features: Floats
) -> None:
    """Write this family's columns for closed bar `number`, in place."""
    for k in range(plan.first[RELATIVE_VOLUME], plan.first[RELATIVE_VOLUME + 1]):
        span = int(plan.params[k, 0])
        features[i, t, plan.column[k]] = relative_volume(closed, i, t, number, span)
    for k in range(plan.first[TAKER_BALANCE], plan.first[TAKER_BALANCE + 1]):
        span = int(plan.params[k, 0])
        features[i, t, plan.column[k]] = taker_balance(closed, i, t, number, span)
