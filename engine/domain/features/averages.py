"""Distance from averages. Recursive: one number of state per row."""

from __future__ import annotations

import numpy as np

from engine.domain.bars import BAR_MASK
from engine.domain.features.plan import EMA_DISTANCE, FeaturePlan
from engine.domain.kernel import Floats, Records, inlined, kernel


@kernel
def update_ema(
    memory: Floats, i: int, t: int, cell: int, number: int, span: int, close: float
) -> float:
    """Fold a close into an exponential average and return it; NaN before `span` closes.

    Seeded with the mean of the first `span` closes, then weight 2 / (span + 1) for the newest.
    """
    if number < span:
        memory[i, t, cell] += close
        if number < span - 1:
            return np.nan
        memory[i, t, cell] /= span
    else:
        memory[i, t, cell] += (close - memory[i, t, cell]) * (2.0 / (span + 1))
    return float(memory[i, t, cell])


@inlined
def update_averages(
    plan: FeaturePlan,
    closed: Records,
    i: int,
    t: int,
    number: int,
    atr_ticks: float,
    memory: Floats,
    features: Floats,
) -> None:
    """Write this family's columns for closed bar `number`, in place."""
    close = float(closed["close_ticks"][i, t, number & BAR_MASK])
    for k in range(plan.first[EMA_DISTANCE], plan.first[EMA_DISTANCE + 1]):
        average = update_ema(memory, i, t, plan.cell[k], number, int(plan.params[k, 0]), close)
        distance = np.nan
        if atr_ticks > 0.0:
            distance = (close - average) / atr_ticks
        features[i, t, plan.column[k]] = distance
