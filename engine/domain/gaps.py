"""Fair value gaps: where they open, and when price comes back to them.

Three bars leave a bullish gap when the third stays above the first and the one between rose: from
the third bar's low (near edge) down to the first bar's high (far edge). It is mitigated by the
first later bar that trades at its near edge. A gap that opens now lies nearer to price than every
open one (any other was mitigated by this very bar), so each side is a stack, nearest last.
"""

from __future__ import annotations

from engine.domain.features.series import CLOSE, HIGH, LOW, OPEN
from engine.domain.kernel import Floats, Record, kernel
from engine.domain.structure_state import (
    GAPS_MAX,
    StructureKind,
    close_up,
    emit_zone,
    row_of,
)

_GAP = int(StructureKind.GAP)
_GAP_MITIGATED = int(StructureKind.GAP_MITIGATED)


@kernel
def mitigate(row: Record, side: int, reach: float, close: float, number: int) -> None:
    """Close every gap of a side that a bar reached, in place.

    The furthest of them that the close did not give up is remembered as the return.

    Args:
        row: the structure.
        side: +1 bullish gaps, -1 bearish ones.
        reach: the bar's low for bullish gaps, its high for bearish ones.
        close: of the bar.
        number: of the bar.
    """
    r = row_of(side)
    count = row["gap_count"][r]
    while count > 0 and (reach - row["gap_near_ticks"][r, count - 1]) * side <= 0.0:
        count -= 1
        near = row["gap_near_ticks"][r, count]
        far = row["gap_far_ticks"][r, count]
        emit_zone(row, _GAP_MITIGATED, side, row["gap_known_at"][r, count], number, near, far)
        if (close - far) * side > 0.0:
            row["return_side"] = side
            row["return_at"] = number
            row["return_near_ticks"] = near
            row["return_far_ticks"] = far
    row["gap_count"][r] = count


@kernel
def push_gap(row: Record, side: int, near: float, far: float, number: int) -> None:
    """Open a gap; the furthest one is dropped when there is no room, in place."""
    r = row_of(side)
    count = row["gap_count"][r]
    if count == GAPS_MAX:
        count -= 1
        close_up(row["gap_near_ticks"][r], 0, count)
        close_up(row["gap_far_ticks"][r], 0, count)
        close_up(row["gap_known_at"][r], 0, count)
        row["dropped_gaps"] += 1
    row["gap_near_ticks"][r, count] = near
    row["gap_far_ticks"][r, count] = far
    row["gap_known_at"][r, count] = number
    row["gap_count"][r] = count + 1
    emit_zone(row, _GAP, side, number - 1, number, near, far)


@kernel
def update_gaps(row: Record, series: Floats, place: int, number: int) -> None:
    """Fold bar `number` into the gaps, in place."""
    high = series[HIGH, place]
    low = series[LOW, place]
    close = series[CLOSE, place]
    mitigate(row, 1, low, close, number)
    mitigate(row, -1, high, close, number)
    if number < 2:
        return
    body = series[CLOSE, place - 1] - series[OPEN, place - 1]
    if body > 0.0 and low > series[HIGH, place - 2]:
        push_gap(row, 1, low, series[HIGH, place - 2], number)
    elif body < 0.0 and high < series[LOW, place - 2]:
        push_gap(row, -1, high, series[LOW, place - 2], number)
