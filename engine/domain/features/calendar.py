"""Time of day and week, and the day before, by UTC. A bar counts by its start."""

from __future__ import annotations

import math

import numpy as np

from engine.domain.features.plan import FeaturePlan, kernel_number
from engine.domain.features.series import CLOSE, DAY_S, HIGH, LOW, START_S, begin_day, in_atrs
from engine.domain.kernel import Floats, kernel

DAY_CIRCLE = kernel_number("calendar.day_circle")
WEEK_CIRCLE = kernel_number("calendar.week_circle")
DAY_BEFORE = kernel_number("calendar.day_before")
WEEK_S = 7.0 * DAY_S
MONDAY_S = 4.0 * DAY_S  # 1970-01-01 was a Thursday: the first Monday is four days on


@kernel
def circle(seconds: float, period_s: float, features: Floats, column: int) -> None:
    """Write where on its circle the time stands, in place, so that its end meets its start."""
    angle = 2.0 * math.pi * (seconds % period_s) / period_s
    features[column] = math.sin(angle)
    features[column + 1] = math.cos(angle)


@kernel
def day_before(series: Floats, place: int, memory: Floats, cell: int) -> float:
    """Fold the bar into its day, in place; return how many changes of day were seen.

    Cells: two of `begin_day`, the day's high and low, high and low of the day before.
    """
    if begin_day(series, place, memory, cell):
        memory[cell + 4] = memory[cell + 2]
        memory[cell + 5] = memory[cell + 3]
        memory[cell + 2] = series[HIGH, place]
        memory[cell + 3] = series[LOW, place]
    memory[cell + 2] = max(memory[cell + 2], series[HIGH, place])
    memory[cell + 3] = min(memory[cell + 3], series[LOW, place])
    return float(memory[cell] - 1.0)


@kernel
def update_calendar(
    plan: FeaturePlan,
    series: Floats,
    place: int,
    atr: float,
    memory: Floats,
    features: Floats,
) -> None:
    """Write this family's columns, in place."""
    first, column, cell = plan.first, plan.column, plan.cell
    start_s = series[START_S, place]
    for k in range(first[DAY_CIRCLE], first[DAY_CIRCLE + 1]):
        circle(start_s, DAY_S, features, column[k])
    for k in range(first[WEEK_CIRCLE], first[WEEK_CIRCLE + 1]):
        circle(start_s - MONDAY_S, WEEK_S, features, column[k])
    for k in range(first[DAY_BEFORE], first[DAY_BEFORE + 1]):
        above, below = np.nan, np.nan
        # WHY: the day in which the bars began was not seen whole.
        if day_before(series, place, memory, cell[k]) >= 2.0:
            above = in_atrs(memory[cell[k] + 4] - series[CLOSE, place], atr)
            below = in_atrs(series[CLOSE, place] - memory[cell[k] + 5], atr)
        features[column[k]] = above
        features[column[k] + 1] = below
