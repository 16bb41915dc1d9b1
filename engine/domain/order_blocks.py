"""Order blocks: the bar a break set out from, and what becomes of it.

When a bar closes beyond the newest swing of a side for the first time, the block is the furthest
bar between them: upwards the one with the lowest low (the last on ties), from its high (near edge)
down to its low (far edge). Its life, upwards:

    ACTIVE --- trades at its high ---> MITIGATED --- closes below its low ---> BREAKER
    ACTIVE --- closes below its low -----------------------------------------> BREAKER
    BREAKER --- closes above its high ---> invalid: gone
"""

from __future__ import annotations

from engine.domain.features.series import CLOSE, HIGH, LOW, WINDOW_MAX
from engine.domain.kernel import Floats, Record, kernel
from engine.domain.structure_state import (
    BLOCKS_MAX,
    BlockState,
    StructureKind,
    close_up,
    emit_zone,
    row_of,
)

_BLOCK = int(StructureKind.BLOCK)
_MITIGATED_EVENT = int(StructureKind.BLOCK_MITIGATED)
_BREAKER_EVENT = int(StructureKind.BLOCK_BREAKER)
_INVALID_EVENT = int(StructureKind.BLOCK_INVALID)
_ACTIVE = int(BlockState.ACTIVE)
_MITIGATED = int(BlockState.MITIGATED)
_BREAKER = int(BlockState.BREAKER)


@kernel
def drop_block(row: Record, r: int, place: int) -> None:
    """Remove one block, in place."""
    last = row["block_count"][r] - 1
    close_up(row["block_near_ticks"][r], place, last)
    close_up(row["block_far_ticks"][r], place, last)
    close_up(row["block_bar"][r], place, last)
    close_up(row["block_state"][r], place, last)
    row["block_count"][r] = last


@kernel
def next_state(state: int, side: int, near: float, far: float, reach: float, close: float) -> int:
    """Return the state of a block after a bar; 0: it is gone.

    Args:
        state: a BlockState.
        side: +1 a bullish block, -1 a bearish one.
        near: edge that price meets first on its way back.
        far: the other edge.
        reach: the bar's low for bullish blocks, its high for bearish ones.
        close: of the bar.
    """
    if state == _BREAKER:
        return 0 if (close - near) * side > 0.0 else _BREAKER
    if (close - far) * side < 0.0:
        return _BREAKER
    if (reach - near) * side <= 0.0:
        return _MITIGATED
    return state


@kernel
def age_blocks(row: Record, side: int, reach: float, close: float, number: int) -> None:
    """Move every block of a side on by one bar, in place."""
    r = row_of(side)
    k = 0
    while k < row["block_count"][r]:
        near = row["block_near_ticks"][r, k]
        far = row["block_far_ticks"][r, k]
        bar = row["block_bar"][r, k]
        before = row["block_state"][r, k]
        after = next_state(before, side, near, far, reach, close)
        if before == _ACTIVE and after != _ACTIVE:
            emit_zone(row, _MITIGATED_EVENT, side, bar, number, near, far)
        if before != _BREAKER and after == _BREAKER:
            emit_zone(row, _BREAKER_EVENT, side, bar, number, near, far)
        if after == _MITIGATED and (reach - near) * side <= 0.0:
            row["touch_side"] = side
            row["touch_at"] = number
            row["touch_far_ticks"] = far
        row["block_state"][r, k] = after
        if after == 0:
            emit_zone(row, _INVALID_EVENT, side, bar, number, near, far)
            drop_block(row, r, k)
        else:
            k += 1


@kernel
def furthest_bar(series: Floats, place: int, bars: int, side: int) -> int:
    """Return how many bars before `place` the furthest of the `bars` before it stands."""
    found = 1
    for back in range(2, bars + 1):
        if side > 0:
            further = series[LOW, place - back] < series[LOW, place - found]
        else:
            further = series[HIGH, place - back] > series[HIGH, place - found]
        if further:
            found = back
    return found


@kernel
def push_block(row: Record, series: Floats, place: int, side: int, number: int) -> None:
    """Add the block that this bar's break set out from; the oldest gives way, in place."""
    r = row_of(side)
    bars = min(number - 1 - row["broken_bar"][r], WINDOW_MAX)
    back = furthest_bar(series, place, bars, side)
    high = series[HIGH, place - back]
    low = series[LOW, place - back]
    near = high if side > 0 else low
    far = low if side > 0 else high
    if row["block_count"][r] == BLOCKS_MAX:
        drop_block(row, r, 0)
        row["dropped_blocks"] += 1
    k = row["block_count"][r]
    row["block_near_ticks"][r, k] = near
    row["block_far_ticks"][r, k] = far
    row["block_bar"][r, k] = number - back
    row["block_state"][r, k] = _ACTIVE
    row["block_count"][r] = k + 1
    emit_zone(row, _BLOCK, side, number - back, number, near, far)


@kernel
def update_blocks(row: Record, series: Floats, place: int, number: int) -> None:
    """Fold bar `number` into the order blocks, in place; swings have seen it before."""
    close = series[CLOSE, place]
    age_blocks(row, 1, series[LOW, place], close, number)
    age_blocks(row, -1, series[HIGH, place], close, number)
    if row["broken_bar"][0] >= 0:
        push_block(row, series, place, 1, number)
    if row["broken_bar"][1] >= 0:
        push_block(row, series, place, -1, number)
