"""Time of day and week; day, week and month before; by UTC. A bar counts by its start."""

from __future__ import annotations

import math

import numpy as np

from engine.domain.features.plan import FeaturePlan, kernel_number
from engine.domain.features.series import CLOSE, DAY_S, START_S, stretch_of
from engine.domain.kernel import Floats, Record, kernel

DAY_CIRCLE = kernel_number("calendar.day_circle")
WEEK_CIRCLE = kernel_number("calendar.week_circle")
BEFORE = kernel_number("calendar.before")
RUNNING = kernel_number("calendar.running")
WEEK_S = 7.0 * DAY_S
MONDAY_S = 4.0 * DAY_S  # 1970-01-01 was a Thursday: the first Monday is four days on


@kernel
def circle(seconds: float, period_s: float, features: Floats, column: int) -> None:
    """Write where on its circle the time stands, in place, so that its end meets its start."""
    passed = seconds - stretch_of(seconds, period_s) * period_s
    angle = 2.0 * math.pi * passed / period_s
    features[column] = math.sin(angle)
    features[column + 1] = math.cos(angle)


@kernel
def write_before(
    row: Record, part: int, close: float, per_atr: float, features: Floats, column: int
) -> None:
    """Write how far the last whole span's high lies above, its low below, in place; in ATRs.

    Args:
        row: the structure, which has seen the bar.
        part: engine.domain.structure_state.Part: a day, week, month or session.
        close: of the bar.
        per_atr: 1 / average true range, ticks.
        features: the columns.
        column: the first of two.
    """
    features[column] = np.nan
    features[column + 1] = np.nan
    if row["before_high_ticks"][part - 1] > 0.0:
        features[column] = (row["before_high_ticks"][part - 1] - close) * per_atr
        features[column + 1] = (close - row["before_low_ticks"][part - 1]) * per_atr


@kernel
def write_running(
    row: Record, part: int, close: float, per_atr: float, features: Floats, column: int
) -> None:
    """Write how far the running span's high so far lies above, its low below, in place; in ATRs.

    NaN of a span whose beginning was not seen.
    """
    features[column] = np.nan
    features[column + 1] = np.nan
    if row["span_is_whole"][part - 1] != 0:
        features[column] = (row["span_high_ticks"][part - 1] - close) * per_atr
        features[column + 1] = (close - row["span_low_ticks"][part - 1]) * per_atr


@kernel
def update_before(
    plan: FeaturePlan, number: int, row: Record, close: float, per_atr: float, features: Floats
) -> None:
    """Write the rows of kernel `number`, which speak of the last whole spans, in place."""
    for k in range(plan.first[number], plan.first[number + 1]):
        write_before(row, int(plan.params[k, 0]), close, per_atr, features, plan.column[k])


@kernel
def update_calendar(
    plan: FeaturePlan, row: Record, series: Floats, place: int, per_atr: float, features: Floats
) -> None:
    """Write this family's columns, in place; the structure has seen the bar."""
    first, column = plan.first, plan.column
    start_s = series[START_S, place]
    for k in range(first[DAY_CIRCLE], first[DAY_CIRCLE + 1]):
        circle(start_s, DAY_S, features, column[k])
    for k in range(first[WEEK_CIRCLE], first[WEEK_CIRCLE + 1]):
        circle(start_s - MONDAY_S, WEEK_S, features, column[k])
    close = series[CLOSE, place]
    update_before(plan, BEFORE, row, close, per_atr, features)
    for k in range(first[RUNNING], first[RUNNING + 1]):
        write_running(row, int(plan.params[k, 0]), close, per_atr, features, column[k])
