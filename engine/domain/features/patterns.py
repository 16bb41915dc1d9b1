"""Chart patterns of locked swings: double, head and shoulders, triangle, wedge, flag.

A pattern is looked for whenever a swing locks, among the newest locked swings, and never again; so
it does not repaint. It has two levels and, but for a symmetrical triangle, a side:

            upper ----------------   a close above: known where the side is not -1,
                   the pattern                      else given up
            lower ----------------   a close below: known where the side is not +1,
                                                    else given up

The first such close decides, from that of the bar which locked the swing on. A pattern that forms
while one waits takes its place.
Definitions with drawings: docs/chart_patterns.md.

Cells of a row: swings seen, waits (0 or 1), side, lower, upper, side known last, bar of that.
"""

from __future__ import annotations

from engine.domain.features.plan import FeaturePlan, kernel_number
from engine.domain.features.series import CLOSE
from engine.domain.features.smart_money import write_side
from engine.domain.kernel import Floats, Record, kernel
from engine.domain.structure_state import SWING_MASK

DOUBLE = kernel_number("patterns.double")
HEAD_SHOULDERS = kernel_number("patterns.head_shoulders")
TRIANGLE = kernel_number("patterns.triangle")
WEDGE = kernel_number("patterns.wedge")
FLAG = kernel_number("patterns.flag")

SEEN, WAITS, SIDE, LOWER, UPPER, KNOWN_SIDE, KNOWN_AT = 0, 1, 2, 3, 4, 5, 6
PROVISIONAL = 1  # the newest swing is not locked


@kernel
def level_back(row: Record, back: int) -> float:
    """Return the level of the locked swing `back` before the newest locked one, ticks."""
    k = (row["swing_count"] - PROVISIONAL - 1 - back) & SWING_MASK
    return float(row["swing_level_ticks"][k])


@kernel
def side_back(row: Record) -> int:
    """Return the side of the newest locked swing: +1 a high, -1 a low."""
    return int(row["swing_side"][(row["swing_count"] - PROVISIONAL - 1) & SWING_MASK])


@kernel
def keep_waiting(memory: Floats, cell: int, side: float, one: float, other: float) -> None:
    """Let a pattern wait for a close beyond one of two levels, in place."""
    memory[cell + WAITS] = 1.0
    memory[cell + SIDE] = side
    memory[cell + LOWER] = min(one, other)
    memory[cell + UPPER] = max(one, other)


@kernel
def look_for_double(
    row: Record, side: int, near: float, deep: float, memory: Floats, cell: int
) -> None:
    """Keep two tops of nearly one level with a deep swing between them, in place.

    Bottoms are tops upside down: levels times `side`, the side of the newest locked swing. It
    waits for a close beyond the swing between them.
    """
    newest, between = level_back(row, 0) * side, level_back(row, 1) * side
    before = level_back(row, 2) * side
    if abs(newest - before) <= near and min(newest, before) - between >= deep:
        top = max(newest, before) * side
        keep_waiting(memory, cell, -side, between * side, top)


@kernel
def look_for_head(
    row: Record, side: int, near: float, deep: float, memory: Floats, cell: int
) -> None:
    """Keep a head above two shoulders of nearly one level, in place; upside down as a double.

    It waits for a close beyond the deeper of the swings between them.
    """
    right, head = level_back(row, 0) * side, level_back(row, 2) * side
    left = level_back(row, 4) * side
    after, before = level_back(row, 1) * side, level_back(row, 3) * side
    is_level = abs(right - left) <= near and head - max(left, right) >= deep
    if is_level and min(left, right) > max(after, before):
        keep_waiting(memory, cell, -side, min(after, before) * side, head * side)


@kernel
def look_for_triangle(row: Record, side: int, near: float, memory: Floats, cell: int) -> None:
    """Keep two highs and two lows that close in on each other, one pair perhaps level, in place.

    It waits for a close beyond the level pair; of a symmetrical one, beyond either newest swing.
    """
    high, low = level_back(row, 0) * side, level_back(row, 1) * side
    high_before, low_before = level_back(row, 2) * side, level_back(row, 3) * side
    falls, rises = high_before - high > near, low - low_before > near
    is_top_level = abs(high - high_before) <= near
    is_bottom_level = abs(low - low_before) <= near
    if falls and rises and high > low:
        keep_waiting(memory, cell, 0.0, low * side, high * side)
    elif is_top_level and rises:
        keep_waiting(memory, cell, side, low * side, max(high, high_before) * side)
    elif falls and is_bottom_level:
        keep_waiting(memory, cell, -side, min(low, low_before) * side, high * side)


@kernel
def look_for_wedge(row: Record, side: int, near: float, memory: Floats, cell: int) -> None:
    """Keep highs and lows that go one way and close in on each other, in place.

    It waits for a close beyond the newest swing that lies the other way.
    """
    high, low = level_back(row, 0) * side, level_back(row, 1) * side
    high_move, low_move = high - level_back(row, 2) * side, low - level_back(row, 3) * side
    if not low_move > high_move or not high > low:
        return
    if high_move > near:
        keep_waiting(memory, cell, -side, low * side, high * side)
    elif low_move < -near:
        keep_waiting(memory, cell, side, low * side, high * side)


@kernel
def look_for_flag(row: Record, side: int, pole: float, memory: Floats, cell: int) -> None:
    """Keep a long leg, then two swings that give back less than half and do not exceed it.

    It waits for a close beyond the leg's end.
    """
    newest, back = level_back(row, 0) * side, level_back(row, 1) * side
    end, start = level_back(row, 2) * side, level_back(row, 3) * side
    if end - start >= pole and end - back < (end - start) / 2.0 and newest <= end:
        keep_waiting(memory, cell, side, back * side, end * side)


@kernel
def look_for(
    pattern: int, row: Record, numbers: Floats, atr: float, memory: Floats, cell: int
) -> None:
    """Look for a pattern among the locked swings, in place; one of them locked with this bar."""
    locked = row["swing_count"] - PROVISIONAL
    side = side_back(row)
    near, deep = numbers[0] * atr, numbers[1] * atr
    if not atr > 0.0 or locked < 3:
        return
    if pattern == DOUBLE:
        look_for_double(row, side, near, deep, memory, cell)
    elif pattern == HEAD_SHOULDERS and locked > 4:
        look_for_head(row, side, near, deep, memory, cell)
    elif pattern == TRIANGLE and locked > 3:
        look_for_triangle(row, side, near, memory, cell)
    elif pattern == WEDGE and locked > 3:
        look_for_wedge(row, side, near, memory, cell)
    elif pattern == FLAG and locked > 3:
        look_for_flag(row, side, near, memory, cell)


@kernel
def follow(close: float, number: int, memory: Floats, cell: int) -> None:
    """Decide a pattern that waits by the close of bar `number`, in place."""
    if memory[cell + WAITS] == 0.0:
        return
    broken = 0.0
    if close > memory[cell + UPPER]:
        broken = 1.0
    elif close < memory[cell + LOWER]:
        broken = -1.0
    if broken == 0.0:
        return
    memory[cell + WAITS] = 0.0
    if memory[cell + SIDE] != -broken:
        memory[cell + KNOWN_SIDE] = broken
        memory[cell + KNOWN_AT] = number


@kernel
def update_patterns(
    plan: FeaturePlan,
    row: Record,
    series: Floats,
    place: int,
    number: int,
    atr: float,
    memory: Floats,
    features: Floats,
) -> None:
    """Write this family's columns for bar `number`, in place; the structure has seen it."""
    first, params, column, cell = plan.first, plan.params, plan.column, plan.cell
    close = series[CLOSE, place]
    for pattern in range(DOUBLE, FLAG + 1):
        for k in range(first[pattern], first[pattern + 1]):
            c = cell[k]
            follow(close, number, memory, c)
            if memory[c + SEEN] != row["swing_count"]:
                memory[c + SEEN] = row["swing_count"]
                look_for(pattern, row, params[k], atr, memory, c)
                follow(close, number, memory, c)
            side, known_at = int(memory[c + KNOWN_SIDE]), int(memory[c + KNOWN_AT])
            write_side(side, known_at, number, features, column[k])
