"""The last locked leg, and how far price came back on it.

A leg runs from one locked swing to the next. Its retracement is the way back from its end over its
length: 0 at the end, 1 at the start. The zone from 62 to 79 percent is its OTE (optimal trade
entry); the first bar that trades inside it is an event. Below the middle of a rising leg price is
at a discount, above it at a premium.
"""

from __future__ import annotations

from engine.domain.features.series import HIGH, LOW
from engine.domain.kernel import Floats, Record, kernel
from engine.domain.structure_state import StructureKind, emit_zone

OTE_NEAR = 0.62
OTE_FAR = 0.79
_OTE = int(StructureKind.OTE)


@kernel
def retracement(row: Record, price: float) -> float:
    """Return how much of the leg a price has come back; the leg has a side."""
    end = row["leg_end_ticks"]
    return float((end - price) / (end - row["leg_start_ticks"]))


@kernel
def update_leg(row: Record, series: Floats, place: int, number: int) -> None:
    """Fold bar `number` into the leg, in place; swings have seen it before."""
    side = row["leg_side"]
    if side == 0:
        return
    deep = series[LOW if side > 0 else HIGH, place]
    shallow = series[HIGH if side > 0 else LOW, place]
    depth = retracement(row, deep)
    row["leg_depth"] = max(row["leg_depth"], depth)
    if row["leg_ote_at"] < 0 and depth >= OTE_NEAR and retracement(row, shallow) <= OTE_FAR:
        row["leg_ote_at"] = number
        end = row["leg_end_ticks"]
        length = end - row["leg_start_ticks"]
        near, far = end - OTE_NEAR * length, end - OTE_FAR * length
        emit_zone(row, _OTE, side, number, number, near, far)
