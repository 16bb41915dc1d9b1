"""Time of day and week; day, week and month before; by UTC. A bar counts by its start."""

from __future__ import annotations

import math

import numpy as np

from engine.domain.features.plan import FeaturePlan, kernel_number
from engine.domain.features.series import CLOSE, DAY_S, START_S, in_atrs
from engine.domain.kernel import Floats, Record, kernel

DAY_CIRCLE = kernel_number("calendar.day_circle")
WEEK_CIRCLE = kernel_number("calendar.week_circle")
BEFORE = kernel_number("calendar.before")
WEEK_S = 7.0 * DAY_S
MONDAY_S = 4.0 * DAY_S  # 1970-01-01 was a Thursday: the first Monday is four days on


@kernel
def circle(seconds: float, period_s: float, features: Floats, column: int) -> None:
    """Write where on its circle the time stands, in place, so that its end meets its start."""
    angle = 2.0 * math.pi * (seconds % period_s) / period_s
    features[column] = math.sin(angle)
    features[column + 1] = math.cos(angle)


@kernel
def write_before(
    row: Record, part: int, close: float, atr: float, features: Floats, column: int
) -> None:
    """Write how far the last whole span's high lies above, its low below, in place; in ATRs.

    Args:
        row: the structure, which has seen the bar.
        part: engine.domain.structure_state.Part: a day, week, month or session.
        close: of the bar.
        atr: average true range, ticks.
        features: the columns.
        column: the first of two.
    """
    features[column] = np.nan
    features[column + 1] = np.nan
    if row["before_high_ticks"][part - 1] > 0.0:
        features[column] = in_atrs(row["before_high_ticks"][part - 1] - close, atr)
        features[column + 1] = in_atrs(close - row["before_low_ticks"][part - 1], atr)


@kernel
def update_calendar(
    plan: FeaturePlan, row: Record, series: Floats, place: int, atr: float, features: Floats
) -> None:
    """Write this family's columns, in place; the structure has seen the bar."""
    first, params, column = plan.first, plan.params, plan.column
    start_s = series[START_S, place]
    for k in range(first[DAY_CIRCLE], first[DAY_CIRCLE + 1]):
        circle(start_s, DAY_S, features, column[k])
    for k in range(first[WEEK_CIRCLE], first[WEEK_CIRCLE + 1]):
        circle(start_s - MONDAY_S, WEEK_S, features, column[k])
    close = series[CLOSE, place]
    for k in range(first[BEFORE], first[BEFORE + 1]):
        write_before(row, int(params[k, 0]), close, atr, features, column[k])
