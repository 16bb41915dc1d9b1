"""Relative strength. Recursive: two numbers of state per row."""

from __future__ import annotations

import numpy as np

from engine.domain.bars import BAR_MASK
from engine.domain.features.plan import RSI, FeaturePlan
from engine.domain.kernel import Floats, Records, inlined, kernel


@kernel
def update_rsi(
    memory: Floats, i: int, t: int, cell: int, number: int, span: int, move: float
) -> float:
    """Fold a close-to-close move into Wilder's averages; return strength in [-1, 1].

    Seeded with the means of the first `span` moves; NaN before, and while nothing moved.
    """
    gain = max(move, 0.0)
    loss = max(-move, 0.0)
    if number <= span:
        memory[i, t, cell] += gain / span
        memory[i, t, cell + 1] += loss / span
        if number < span:
            return np.nan
    else:
        memory[i, t, cell] = (memory[i, t, cell] * (span - 1) + gain) / span
        memory[i, t, cell + 1] = (memory[i, t, cell + 1] * (span - 1) + loss) / span
    total = memory[i, t, cell] + memory[i, t, cell + 1]
    if total == 0.0:
        return np.nan
    return float((memory[i, t, cell] - memory[i, t, cell + 1]) / total)


@inlined
def update_momentum(
    plan: FeaturePlan,
    closed: Records,
    i: int,
    t: int,
    number: int,
    memory: Floats,
    features: Floats,
) -> None:
    """Write this family's columns for closed bar `number`, in place."""
    if number == 0:
        return
    close = closed["close_ticks"][i, t, number & BAR_MASK]
    move = float(close - closed["close_ticks"][i, t, (number - 1) & BAR_MASK])
    for k in range(plan.first[RSI], plan.first[RSI + 1]):
        features[i, t, plan.column[k]] = update_rsi(
            memory, i, t, plan.cell[k], number, int(plan.params[k, 0]), move
        )
