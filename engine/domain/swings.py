"""Swings, and the breaks of structure they make: BOS, CHoCH and bos_live.

A swing is judged `SWING_BARS` bars late, when both of its sides are known; nothing is known before
that, and nothing is changed after. Definitions with drawings: docs/smart_money.md.
"""

from __future__ import annotations

from engine.domain.bars import BAR_MASK
from engine.domain.kernel import Records, kernel
from engine.domain.structure_state import (
    EVENT_MASK,
    EVENT_RING,
    PENDING_MAX,
    SWING_BARS,
    SWING_MASK,
    SWING_RING,
    StructureKind,
    StructureState,
    emit,
)

_SWING = int(StructureKind.SWING)
_SWING_REPLACED = int(StructureKind.SWING_REPLACED)
_BOS = int(StructureKind.BOS)
_CHOCH = int(StructureKind.CHOCH)
_BOS_LIVE = int(StructureKind.BOS_LIVE)


@kernel
def swing_candidate(closed: Records, i: int, t: int, bar: int) -> int:
    """Return +1 if `bar` is a swing high, -1 a swing low, else 0; high beats low.

    The extreme of bars `bar` - SWING_BARS + 1 .. `bar` + SWING_BARS, ties allowed.
    """
    high = closed["high_ticks"][i, t, bar & BAR_MASK]
    low = closed["low_ticks"][i, t, bar & BAR_MASK]
    is_high = True
    is_low = True
    for other in range(bar - SWING_BARS + 1, bar + SWING_BARS + 1):
        k = other & BAR_MASK
        is_high &= closed["high_ticks"][i, t, k] <= high
        is_low &= closed["low_ticks"][i, t, k] >= low
    if is_high:
        return 1
    return -1 if is_low else 0


@kernel
def place_swing(
    state: StructureState, i: int, t: int, k: int, side: int, bar: int, level: int, known_at: int
) -> None:
    """Write a provisional swing at place `k` of the ring, in place."""
    swings = state.swings
    swings["bar"][i, t, k] = bar
    swings["level_ticks"][i, t, k] = level
    swings["known_at"][i, t, k] = known_at
    swings["broken_at"][i, t, k] = -1
    swings["pattern_done"][i, t, k] = 0
    swings["side"][i, t, k] = side


@kernel
def lock_swing(state: StructureState, i: int, t: int, k: int) -> None:
    """Make the swing at place `k` the level whose break is `bos_live`, unless broken, in place."""
    level = state.swings["level_ticks"][i, t, k]
    if state.swings["broken_at"][i, t, k] >= 0:
        level = 0
    if state.swings["side"][i, t, k] > 0:
        state.structure["high_level_ticks"][i, t] = level
    else:
        state.structure["low_level_ticks"][i, t] = level


@kernel
def apply_candidate(
    state: StructureState, i: int, t: int, side: int, bar: int, level: int, number: int
) -> bool:
    """Fold a candidate into the alternating swings; return whether they changed.

    A candidate of the provisional swing's own side replaces it only when further out; one of the
    opposite side locks it and becomes provisional itself.
    """
    count = state.structure["swing_count"][i, t]
    if count > 0:
        last = (count - 1) & SWING_MASK
        if state.swings["side"][i, t, last] == side:
            if (level - state.swings["level_ticks"][i, t, last]) * side <= 0:
                return False
            place_swing(state, i, t, last, side, bar, level, number)
            emit(state, i, t, _SWING_REPLACED, side, bar, number, level, 0, -1)
            return True
        lock_swing(state, i, t, last)
    place_swing(state, i, t, count & SWING_MASK, side, bar, level, number)
    state.structure["swing_count"][i, t] = count + 1
    emit(state, i, t, _SWING, side, bar, number, level, 0, -1)
    return True


@kernel
def pattern_kind(first: int, second: int, third: int, fourth: int, side: int) -> int:
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
def cancel_earlier(state: StructureState, i: int, t: int, bar: int, broken_at: int) -> None:
    """Flag emitted events, and drop waiting ones, marked before `bar` but broken no earlier."""
    structure = state.structure
    kept = 0
    for k in range(structure["pending_count"][i, t]):
        if state.pending["bar"][i, t, k] >= bar:
            state.pending[i, t, kept] = state.pending[i, t, k]
            kept += 1
    structure["pending_count"][i, t] = kept
    count = structure["event_count"][i, t]
    for number in range(max(0, count - EVENT_RING), count):
        k = number & EVENT_MASK
        kind = state.events["kind"][i, t, k]
        if kind in (_BOS, _CHOCH) and state.events["bar"][i, t, k] < bar:
            if state.events["broken_at"][i, t, k] >= broken_at:
                state.events["is_cancelled"][i, t, k] = 1


@kernel
def emit_break(
    state: StructureState,
    i: int,
    t: int,
    kind: int,
    side: int,
    bar: int,
    level: int,
    broken_at: int,
    number: int,
) -> None:
    """Emit a BOS or CHoCH that is confirmed and broken, in place."""
    cancel_earlier(state, i, t, bar, broken_at)
    emit(state, i, t, kind, side, bar, number, level, 0, broken_at)
    state.structure["trend_side"][i, t] = side
    state.structure["trend_known_at"][i, t] = number


@kernel
def look_for_pattern(state: StructureState, i: int, t: int, number: int) -> None:
    """Emit, or keep waiting, the pattern that the newest four swings make, in place."""
    structure = state.structure
    count = structure["swing_count"][i, t]
    if count < 4:
        return
    swings = state.swings
    a, b = (count - 4) & SWING_MASK, (count - 3) & SWING_MASK
    c, d = (count - 2) & SWING_MASK, (count - 1) & SWING_MASK
    side = swings["side"][i, t, d]
    level = swings["level_ticks"][i, t, b]
    kind = pattern_kind(
        swings["level_ticks"][i, t, a],
        level,
        swings["level_ticks"][i, t, c],
        swings["level_ticks"][i, t, d],
        side,
    )
    if kind == 0 or swings["pattern_done"][i, t, b] != 0:
        return
    swings["pattern_done"][i, t, b] = 1
    bar = swings["bar"][i, t, b]
    broken_at = swings["broken_at"][i, t, b]
    if broken_at >= 0:
        emit_break(state, i, t, kind, side, bar, level, broken_at, number)
        return
    waiting = structure["pending_count"][i, t]
    if waiting == PENDING_MAX:  # the oldest gives way
        for k in range(PENDING_MAX - 1):
            state.pending[i, t, k] = state.pending[i, t, k + 1]
        waiting -= 1
    state.pending["bar"][i, t, waiting] = bar
    state.pending["level_ticks"][i, t, waiting] = level
    state.pending["side"][i, t, waiting] = side
    state.pending["kind"][i, t, waiting] = kind
    structure["pending_count"][i, t] = waiting + 1


@kernel
def break_levels(state: StructureState, i: int, t: int, close: int, number: int) -> None:
    """Apply a close to swings, live levels and waiting patterns, in place."""
    structure = state.structure
    count = structure["swing_count"][i, t]
    for back in range(1, min(count, SWING_RING) + 1):
        k = (count - back) & SWING_MASK
        beyond = (close - state.swings["level_ticks"][i, t, k]) * state.swings["side"][i, t, k] > 0
        if beyond and state.swings["broken_at"][i, t, k] < 0:
            state.swings["broken_at"][i, t, k] = number
    high = structure["high_level_ticks"][i, t]
    low = structure["low_level_ticks"][i, t]
    if high > 0 and close > high:
        emit_live(state, i, t, 1, high, number)
        structure["high_level_ticks"][i, t] = 0
    elif low > 0 and close < low:
        emit_live(state, i, t, -1, low, number)
        structure["low_level_ticks"][i, t] = 0
    k = 0
    while k < structure["pending_count"][i, t]:
        side = state.pending["side"][i, t, k]
        level = state.pending["level_ticks"][i, t, k]
        if (close - level) * side > 0:
            kind = state.pending["kind"][i, t, k]
            bar = state.pending["bar"][i, t, k]
            drop_pending(state, i, t, k)
            emit_break(state, i, t, kind, side, bar, level, number, number)
            k = 0  # the list changed: earlier patterns may have been cancelled
        else:
            k += 1


@kernel
def drop_pending(state: StructureState, i: int, t: int, place: int) -> None:
    """Remove one waiting pattern, in place."""
    last = state.structure["pending_count"][i, t] - 1
    for k in range(place, last):
        state.pending[i, t, k] = state.pending[i, t, k + 1]
    state.structure["pending_count"][i, t] = last


@kernel
def emit_live(state: StructureState, i: int, t: int, side: int, level: int, number: int) -> None:
    """Emit BOS_LIVE: this bar closed beyond the last locked swing, in place."""
    emit(state, i, t, _BOS_LIVE, side, number, number, level, 0, number)
    state.structure["live_side"][i, t] = side
    state.structure["live_level_ticks"][i, t] = level
    state.structure["trend_side"][i, t] = side
    state.structure["trend_known_at"][i, t] = number


@kernel
def update_swings(state: StructureState, closed: Records, i: int, t: int, number: int) -> None:
    """Fold closed bar `number` into breaks, swings and patterns, in place."""
    state.structure["live_side"][i, t] = 0
    break_levels(state, i, t, closed["close_ticks"][i, t, number & BAR_MASK], number)
    bar = number - SWING_BARS
    if bar < 2 * SWING_BARS - 1:
        return
    side = swing_candidate(closed, i, t, bar)
    if side == 0:
        return
    level = closed["high_ticks"][i, t, bar & BAR_MASK]
    if side < 0:
        level = closed["low_ticks"][i, t, bar & BAR_MASK]
    if apply_candidate(state, i, t, side, bar, level, number):
        look_for_pattern(state, i, t, number)
