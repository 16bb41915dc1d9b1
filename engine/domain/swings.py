"""Swings, and the breaks of structure they make: BOS, CHoCH and bos_live.

A swing is judged `SWING_BARS` bars late, when both of its sides are known; nothing is known before
that, and nothing is changed after. Definitions with drawings: docs/smart_money.md.
"""

from __future__ import annotations

from engine.domain.features.series import CLOSE, HIGH, LOW
from engine.domain.kernel import Floats, Record, kernel
from engine.domain.structure_state import (
    EVENT_MASK,
    EVENT_RING,
    PENDING_MAX,
    SWING_BARS,
    SWING_MASK,
    SWING_RING,
    StructureKind,
    close_up,
    emit,
    emit_broken,
    row_of,
)

_SWING = int(StructureKind.SWING)
_SWING_REPLACED = int(StructureKind.SWING_REPLACED)
_SWING_LOCKED = int(StructureKind.SWING_LOCKED)
_BOS = int(StructureKind.BOS)
_CHOCH = int(StructureKind.CHOCH)
_BOS_LIVE = int(StructureKind.BOS_LIVE)


@kernel
def swing_candidate(series: Floats, place: int) -> int:
    """Return +1 if the bar SWING_BARS before `place` is a swing high, -1 a swing low, else 0.

    The extreme of that bar, SWING_BARS - 1 before it and SWING_BARS after; ties allowed; high beats
    low.
    """
    at = place - SWING_BARS
    is_high = True
    is_low = True
    for other in range(at - SWING_BARS + 1, place + 1):
        is_high &= series[HIGH, other] <= series[HIGH, at]
        is_low &= series[LOW, other] >= series[LOW, at]
    if is_high:
        return 1
    return -1 if is_low else 0


@kernel
def place_swing(row: Record, k: int, side: int, bar: int, level: float, number: int) -> None:
    """Write a provisional swing at place `k` of the ring, in place."""
    row["swing_bar"][k] = bar
    row["swing_level_ticks"][k] = level
    row["swing_known_at"][k] = number
    row["swing_broken_at"][k] = -1
    row["swing_pattern_done"][k] = 0
    row["swing_side"][k] = side


@kernel
def lock_swing(row: Record, k: int, number: int) -> None:
    """Make the swing at place `k` the level whose break is `bos_live`, unless broken, in place."""
    side = row["swing_side"][k]
    level = row["swing_level_ticks"][k]
    emit(row, _SWING_LOCKED, side, row["swing_bar"][k], number, level)
    if row["swing_broken_at"][k] >= 0:
        level = 0.0
    if side > 0:
        row["high_level_ticks"] = level
    else:
        row["low_level_ticks"] = level


@kernel
def begin_leg(row: Record, number: int) -> None:
    """Take the newest two swings, both locked now, as the leg that price may come back to."""
    count = row["swing_count"]
    if count < 2:
        return
    side = row["swing_side"][(count - 1) & SWING_MASK]
    start = row["swing_level_ticks"][(count - 2) & SWING_MASK]
    end = row["swing_level_ticks"][(count - 1) & SWING_MASK]
    # WHY: after a gap in prices a swing high may lie below the swing low before it.
    row["leg_side"] = side if (end - start) * side > 0.0 else 0
    row["leg_start_ticks"] = start
    row["leg_end_ticks"] = end
    row["leg_known_at"] = number
    row["leg_depth"] = 0.0
    row["leg_ote_at"] = -1


@kernel
def apply_candidate(row: Record, side: int, bar: int, level: float, number: int) -> bool:
    """Fold a candidate into the alternating swings; return whether they changed.

    A candidate of the provisional swing's own side replaces it only when further out; one of the
    opposite side locks it and becomes provisional itself.
    """
    count = row["swing_count"]
    if count > 0:
        last = (count - 1) & SWING_MASK
        if row["swing_side"][last] == side:
            if (level - row["swing_level_ticks"][last]) * side <= 0.0:
                return False
            place_swing(row, last, side, bar, level, number)
            emit(row, _SWING_REPLACED, side, bar, number, level)
            return True
        lock_swing(row, last, number)
        begin_leg(row, number)
    place_swing(row, count & SWING_MASK, side, bar, level, number)
    row["swing_count"] = count + 1
    emit(row, _SWING, side, bar, number, level)
    return True


@kernel
def pattern_kind(first: float, second: float, third: float, fourth: float, side: int) -> int:
    """Return BOS, CHOCH or 0 for the levels of four alternating swings, oldest first.

    Upwards (`side` +1; downwards mirrored): the newest is a high above the high before it. BOS when
    the lows rose as well; CHoCH when the last low was below the one before.
    """
    a, b, c, d = first * side, second * side, third * side, fourth * side
    if a < c < b < d:
        return _BOS
    if d > b > a > c:
        return _CHOCH
    return 0


@kernel
def cancel_earlier(row: Record, bar: int, broken_at: int) -> None:
    """Flag emitted events, and drop waiting ones, marked before `bar` but broken no earlier."""
    place = 0
    while place < row["pending_count"]:
        if row["pending_bar"][place] >= bar:
            place += 1
        else:
            drop_pending(row, place)
    count = row["event_count"]
    for number in range(max(0, count - EVENT_RING), count):
        k = number & EVENT_MASK
        kind = row["event_kind"][k]
        if kind in (_BOS, _CHOCH) and row["event_bar"][k] < bar:
            if row["event_broken_at"][k] >= broken_at:
                row["event_is_cancelled"][k] = 1


@kernel
def emit_break(
    row: Record, kind: int, side: int, bar: int, level: float, broken_at: int, number: int
) -> None:
    """Emit a BOS or CHoCH that is confirmed and broken, in place."""
    cancel_earlier(row, bar, broken_at)
    emit_broken(row, kind, side, bar, number, level, broken_at)
    row["trend_side"] = side
    row["trend_known_at"] = number


@kernel
def push_pending(row: Record, kind: int, side: int, bar: int, level: float) -> None:
    """Keep a pattern whose level is not broken yet, in place; the oldest gives way."""
    if row["pending_count"] == PENDING_MAX:
        drop_pending(row, 0)
    waiting = row["pending_count"]
    row["pending_bar"][waiting] = bar
    row["pending_level_ticks"][waiting] = level
    row["pending_side"][waiting] = side
    row["pending_kind"][waiting] = kind
    row["pending_count"] = waiting + 1


@kernel
def look_for_pattern(row: Record, number: int) -> None:
    """Emit, or keep waiting, the pattern that the newest four swings make, in place."""
    count = row["swing_count"]
    if count < 4:
        return
    a, b = (count - 4) & SWING_MASK, (count - 3) & SWING_MASK
    c, d = (count - 2) & SWING_MASK, (count - 1) & SWING_MASK
    levels = row["swing_level_ticks"]
    side = row["swing_side"][d]
    kind = pattern_kind(levels[a], levels[b], levels[c], levels[d], side)
    if kind == 0 or row["swing_pattern_done"][b] != 0:
        return
    row["swing_pattern_done"][b] = 1
    bar = row["swing_bar"][b]
    broken_at = row["swing_broken_at"][b]
    if broken_at >= 0:
        emit_break(row, kind, side, bar, levels[b], broken_at, number)
    else:
        push_pending(row, kind, side, bar, levels[b])


@kernel
def break_swings(row: Record, close: float, number: int) -> None:
    """Apply a close to the swings, in place; what it broke of the newest stands in broken_bar."""
    row["broken_bar"][0] = -1
    row["broken_bar"][1] = -1
    count = row["swing_count"]
    for back in range(1, min(count, SWING_RING) + 1):
        k = (count - back) & SWING_MASK
        side = row["swing_side"][k]
        beyond = (close - row["swing_level_ticks"][k]) * side > 0.0
        if beyond and row["swing_broken_at"][k] < 0:
            row["swing_broken_at"][k] = number
            if back <= 2:  # sides alternate: these are the newest high and the newest low
                row["broken_bar"][row_of(side)] = row["swing_bar"][k]


@kernel
def break_levels(row: Record, close: float, number: int) -> None:
    """Apply a close to live levels and waiting patterns, in place."""
    high = row["high_level_ticks"]
    low = row["low_level_ticks"]
    if high > 0.0 and close > high:
        emit_live(row, 1, high, number)
        row["high_level_ticks"] = 0.0
    elif low > 0.0 and close < low:
        emit_live(row, -1, low, number)
        row["low_level_ticks"] = 0.0
    k = 0
    while k < row["pending_count"]:
        side = row["pending_side"][k]
        level = row["pending_level_ticks"][k]
        if (close - level) * side > 0.0:
            kind = row["pending_kind"][k]
            bar = row["pending_bar"][k]
            drop_pending(row, k)
            emit_break(row, kind, side, bar, level, number, number)
            k = 0  # the list changed: earlier patterns may have been cancelled
        else:
            k += 1


@kernel
def drop_pending(row: Record, place: int) -> None:
    """Remove one waiting pattern, in place."""
    last = row["pending_count"] - 1
    close_up(row["pending_bar"], place, last)
    close_up(row["pending_level_ticks"], place, last)
    close_up(row["pending_side"], place, last)
    close_up(row["pending_kind"], place, last)
    row["pending_count"] = last


@kernel
def emit_live(row: Record, side: int, level: float, number: int) -> None:
    """Emit BOS_LIVE: this bar closed beyond the last locked swing, in place."""
    emit_broken(row, _BOS_LIVE, side, number, number, level, number)
    row["live_side"] = side
    row["live_level_ticks"] = level
    row["trend_side"] = side
    row["trend_known_at"] = number


@kernel
def update_swings(row: Record, series: Floats, place: int, number: int) -> None:
    """Fold bar `number` into breaks, swings and patterns, in place."""
    row["live_side"] = 0
    close = series[CLOSE, place]
    break_swings(row, close, number)
    break_levels(row, close, number)
    if number - SWING_BARS < 2 * SWING_BARS - 1:
        return
    side = swing_candidate(series, place)
    if side == 0:
        return
    level = series[HIGH if side > 0 else LOW, place - SWING_BARS]
    if apply_candidate(row, side, number - SWING_BARS, level, number):
        look_for_pattern(row, number)
