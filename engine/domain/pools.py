"""Liquidity pools: levels where swings met, behind which stops may lie, and their sweeps.

Each confirmed swing is a level with a width, `POOL_ATR` average true ranges of that bar. A second
swing of the same side within the width makes it a pool, at the outermost of them. The first bar
that trades beyond level and width sweeps it; where that bar closes back, it is reclaimed.
"""

from __future__ import annotations

from engine.domain.features.series import CLOSE, HIGH, LOW
from engine.domain.kernel import Floats, Record, kernel
from engine.domain.structure_state import (
    POOLS_MAX,
    SWING_MASK,
    StructureKind,
    close_up,
    emit,
    emit_broken,
    row_of,
)

POOL_ATR = 0.25
_POOL = int(StructureKind.POOL)
_SWEPT = int(StructureKind.POOL_SWEPT)


@kernel
def drop_pool(row: Record, r: int, place: int) -> None:
    """Remove one level, in place."""
    last = row["pool_count"][r] - 1
    close_up(row["pool_level_ticks"][r], place, last)
    close_up(row["pool_width_ticks"][r], place, last)
    close_up(row["pool_touches"][r], place, last)
    row["pool_count"][r] = last


@kernel
def sweep_pools(row: Record, side: int, reach: float, close: float, number: int) -> None:
    """Remove every level of a side that a bar traded through, in place.

    Args:
        row: the structure.
        side: +1 levels above highs, -1 below lows.
        reach: the bar's high for levels above, its low for those below.
        close: of the bar.
        number: of the bar.
    """
    r = row_of(side)
    k = 0
    while k < row["pool_count"][r]:
        level = row["pool_level_ticks"][r, k]
        if (reach - level) * side <= row["pool_width_ticks"][r, k]:
            k += 1
            continue
        if row["pool_touches"][r, k] > 1:
            is_reclaimed = (close - level) * side <= 0.0
            emit_broken(row, _SWEPT, side, number, number, level, -1 if is_reclaimed else number)
            row["sweep_side"] = side
            row["sweep_at"] = number
            row["sweep_is_reclaimed"] = 1 if is_reclaimed else 0
        drop_pool(row, r, k)


@kernel
def nearest_level(row: Record, r: int, level: float) -> int:
    """Return the level of a side within whose width `level` lies, the nearest; -1: none."""
    found = -1
    for k in range(row["pool_count"][r]):
        distance = abs(row["pool_level_ticks"][r, k] - level)
        if distance <= row["pool_width_ticks"][r, k]:
            if found < 0 or distance <= abs(row["pool_level_ticks"][r, found] - level):
                found = k
    return found


@kernel
def add_level(row: Record, side: int, bar: int, level: float, width: float, number: int) -> None:
    """Fold a confirmed swing into the levels of its side, in place; the oldest gives way."""
    r = row_of(side)
    k = nearest_level(row, r, level)
    if k >= 0:
        if (row["pool_level_ticks"][r, k] - level) * side > 0.0:
            level = row["pool_level_ticks"][r, k]
        row["pool_level_ticks"][r, k] = level
        row["pool_touches"][r, k] += 1
        if row["pool_touches"][r, k] == 2:
            emit(row, _POOL, side, bar, number, level)
        return
    if row["pool_count"][r] == POOLS_MAX:
        drop_pool(row, r, 0)
        row["dropped_pools"] += 1
    k = row["pool_count"][r]
    row["pool_level_ticks"][r, k] = level
    row["pool_width_ticks"][r, k] = width
    row["pool_touches"][r, k] = 1
    row["pool_count"][r] = k + 1


@kernel
def update_pools(row: Record, series: Floats, place: int, number: int, atr: float) -> None:
    """Fold bar `number` into the levels, in place; swings have seen it before.

    While the average true range is not known only equal prices are one level.
    """
    close = series[CLOSE, place]
    sweep_pools(row, 1, series[HIGH, place], close, number)
    sweep_pools(row, -1, series[LOW, place], close, number)
    count = row["swing_count"]
    last = (count - 1) & SWING_MASK
    if count > 0 and row["swing_known_at"][last] == number:
        width = POOL_ATR * atr if atr > 0.0 else 0.0
        level = row["swing_level_ticks"][last]
        add_level(row, row["swing_side"][last], row["swing_bar"][last], level, width, number)
