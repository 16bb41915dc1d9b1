"""Fair value gaps: where they open, and when price comes back to them.

Three bars leave a bullish gap when the third stays above the first and the one between rose: from
the third bar's low (near edge) down to the first bar's high (far edge). It is mitigated by the
first later bar that trades at its near edge. A gap that opens now lies nearer to price than every
open one (any other was mitigated by this very bar), so each side is a stack, nearest last.
"""

from __future__ import annotations

from engine.domain.bars import BAR_MASK
from engine.domain.kernel import Records, kernel
from engine.domain.structure_state import GAPS_MAX, StructureKind, StructureState, emit

_GAP = int(StructureKind.GAP)
_GAP_MITIGATED = int(StructureKind.GAP_MITIGATED)


@kernel
def open_gaps(state: StructureState, i: int, t: int, side: int) -> int:
    """Return how many gaps of a side are open."""
    if side > 0:
        return int(state.structure["bullish_gaps"][i, t])
    return int(state.structure["bearish_gaps"][i, t])


@kernel
def set_open_gaps(state: StructureState, i: int, t: int, side: int, count: int) -> None:
    """Store how many gaps of a side are open, in place."""
    if side > 0:
        state.structure["bullish_gaps"][i, t] = count
    else:
        state.structure["bearish_gaps"][i, t] = count


@kernel
def mitigate(
    state: StructureState, i: int, t: int, side: int, reach: int, close: int, number: int
) -> None:
    """Close every gap of a side that a bar reached, in place.

    The furthest of them that the close did not give up is remembered as the return.

    Args:
        reach: the bar's low for bullish gaps, its high for bearish ones.
    """
    row = 0 if side > 0 else 1
    count = open_gaps(state, i, t, side)
    while count > 0 and (reach - state.gaps["near_ticks"][i, t, row, count - 1]) * side <= 0:
        count -= 1
        near = state.gaps["near_ticks"][i, t, row, count]
        far = state.gaps["far_ticks"][i, t, row, count]
        known_at = state.gaps["known_at"][i, t, row, count]
        emit(state, i, t, _GAP_MITIGATED, side, known_at, number, near, far, -1)
        if (close - far) * side > 0:
            state.structure["return_side"][i, t] = side
            state.structure["return_at"][i, t] = number
            state.structure["return_near_ticks"][i, t] = near
            state.structure["return_far_ticks"][i, t] = far
    set_open_gaps(state, i, t, side, count)


@kernel
def push_gap(
    state: StructureState, i: int, t: int, side: int, near: int, far: int, number: int
) -> None:
    """Open a gap; the furthest one is dropped when there is no room, in place."""
    row = 0 if side > 0 else 1
    count = open_gaps(state, i, t, side)
    if count == GAPS_MAX:
        for k in range(GAPS_MAX - 1):
            state.gaps[i, t, row, k] = state.gaps[i, t, row, k + 1]
        count -= 1
        state.structure["dropped_gaps"][i, t] += 1
    state.gaps["near_ticks"][i, t, row, count] = near
    state.gaps["far_ticks"][i, t, row, count] = far
    state.gaps["known_at"][i, t, row, count] = number
    set_open_gaps(state, i, t, side, count + 1)
    emit(state, i, t, _GAP, side, number - 1, number, near, far, -1)


@kernel
def update_gaps(state: StructureState, closed: Records, i: int, t: int, number: int) -> None:
    """Fold closed bar `number` into the gaps, in place."""
    this = number & BAR_MASK
    high = closed["high_ticks"][i, t, this]
    low = closed["low_ticks"][i, t, this]
    close = closed["close_ticks"][i, t, this]
    mitigate(state, i, t, 1, low, close, number)
    mitigate(state, i, t, -1, high, close, number)
    if number < 2:
        return
    middle = (number - 1) & BAR_MASK
    first = (number - 2) & BAR_MASK
    body = closed["close_ticks"][i, t, middle] - closed["open_ticks"][i, t, middle]
    if body > 0 and low > closed["high_ticks"][i, t, first]:
        push_gap(state, i, t, 1, low, closed["high_ticks"][i, t, first], number)
    elif body < 0 and high < closed["low_ticks"][i, t, first]:
        push_gap(state, i, t, -1, high, closed["low_ticks"][i, t, first], number)
