"""Asia, London and New York by their own clocks: which is open, how far, and the one before."""

from __future__ import annotations

from engine.domain.features.calendar import update_before
from engine.domain.features.plan import FeaturePlan, kernel_number
from engine.domain.features.series import CLOSE
from engine.domain.kernel import Floats, Record, kernel
from engine.domain.structure_state import Part

OPEN_COUNT = kernel_number("sessions.open_count")
PASSED = kernel_number("sessions.passed")
BEFORE = kernel_number("sessions.before")
_ASIA, _NEW_YORK = int(Part.ASIA), int(Part.NEW_YORK)


@kernel
def open_count(row: Record) -> float:
    """Return how many sessions are open."""
    count = 0.0
    for part in range(_ASIA, _NEW_YORK + 1):
        if row["span_id"][part - 1] >= 0:
            count += 1.0
    return count


@kernel
def update_sessions(
    plan: FeaturePlan, row: Record, series: Floats, place: int, per_atr: float, features: Floats
) -> None:
    """Write this family's columns, in place; the structure has seen the bar."""
    first, params, column = plan.first, plan.params, plan.column
    for k in range(first[OPEN_COUNT], first[OPEN_COUNT + 1]):
        features[column[k]] = open_count(row)
    for k in range(first[PASSED], first[PASSED + 1]):
        features[column[k]] = row["session_share"][int(params[k, 0]) - 1]
    update_before(plan, BEFORE, row, series[CLOSE, place], per_atr, features)
